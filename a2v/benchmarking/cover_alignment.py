"""Whole tracks against each other, aligned: by the codes of a model, and the baseline by chroma."""

import numpy as np

from a2v import alignment, covers, features, hashing
from a2v.audio import SAMPLE_RATE

# The baseline's name among the systems: chroma, transposed and aligned as in Serra et al. 2009, but
# by cosine where they take the Euclidean distance.
QMAX = "qmax"
_BATCH = 64  # frames, 26 MB of framed samples


def distances(sequences, *, hop_s, transposable, progress=None):
    """Aligns all tracks with each other.

    Args:
        sequences: list of uint8 `[n, bytes]` or float `[n, d]`, see `alignment.align`.
        hop_s: float, s, from one frame to the next.
        transposable: bool, see `alignment.align`.
        progress: function `(done, total)`, in tracks.

    Returns:
        float64 `[tracks, tracks]`, of a query (row) to each track: the square root of the track's
        stacks over Qmax, inf where nothing recurs; 0 of a track to itself.

    Reference: Serra et al. 2009, see `alignment`.
    """
    settings = {**covers.stacking(hop_s), "transposable": transposable}
    score = np.zeros((len(sequences), len(sequences)))
    for k, own in enumerate(sequences):
        for other in range(k + 1, len(sequences)):
            found = alignment.align(own, sequences[other], **settings).score
            score[k, other] = score[other, k] = found
        if progress:
            progress(k + 1, len(sequences))
    stacks = np.array([covers.stacks(len(own), hop_s) for own in sequences], float)
    found = np.full(score.shape, np.inf)
    np.divide(np.sqrt(stacks), score, out=found, where=score > 0)
    np.fill_diagonal(found, 0)
    return found


def chroma(waveform):
    """Chroma of a recording: the mean over each half second, scaled to a maximum of 1.

    Args:
        waveform: float32 `[n]` at 16 kHz.

    Returns:
        float32 `[frames, 12]`, one each `covers.FRAME_S`; those of digital silence are left out.
    """
    layer = features.build("chroma", n_chroma=hashing.PITCH_CLASSES)
    step = round(covers.FRAME_S * SAMPLE_RATE)
    span = layer.span(step // features.FRAME_STEP)
    if len(waveform) < span:
        return np.zeros((0, hashing.PITCH_CLASSES), np.float32)
    parts = np.lib.stride_tricks.sliding_window_view(waveform, span)[::step]  # [frames, span]
    batches = (parts[k : k + _BATCH] for k in range(0, len(parts), _BATCH))
    frames = np.concatenate([np.asarray(layer(batch)).mean(axis=1) for batch in batches])
    peak = frames.max(axis=1, keepdims=True)
    return (frames / np.where(peak > 0, peak, 1))[peak[:, 0] > 0]
