"""Learns from real queries what a match's score is worth."""

import numpy as np

from a2v import matching
from a2v.search import ExactSearch

LENGTHS_S = (1.0, 2.0, 3.0, 5.0, 10.0)
SNRS_DB = (None, 10.0, 0.0)
PHASES = 4
# A reported offset this close to the truth counts as right: two hops at either side.
TOLERANCE_S = 0.5


def calibrate(encoder, waveforms, *, queries=400, seed=0):
    """Asks with excerpts of recordings that are, and of others that are not, in a catalogue.

    Half of the recordings make the catalogue, then the other half. Excerpts are clean or under
    pink noise, start off the grid, and are as long as `LENGTHS_S` says.

    Args:
        encoder: `runtime.Encoder`.
        waveforms: list of float32 `[n]`, at least two recordings, none of which the model was
            trained on.
        queries: int, how many in all.
        seed: int.

    Returns:
        dict with `slope`, `intercept` (see `matching.probability`), `queries` (those that were
        counted), `right` (top answers that were); or `None` if all answers, or none, were right.
    """
    generator = np.random.default_rng(seed)
    codes = [encoder.hash(waveform) for waveform in waveforms]
    scores, correct = [], []
    for half in range(2):
        members = list(range(half, len(codes), 2))
        starts = np.cumsum([0] + [len(codes[i]) for i in members])
        search = ExactSearch(np.concatenate([codes[i] for i in members]), starts)
        names = [(str(i), "") for i in members]
        for k in range(queries // 2):
            source = int(generator.integers(len(waveforms)))
            length_s, snr_db = LENGTHS_S[k % len(LENGTHS_S)], SNRS_DB[k // 5 % len(SNRS_DB)]
            start, excerpt = _excerpt(waveforms[source], length_s, encoder, generator)
            query = with_noise(excerpt, snr_db, generator)
            found = matching.identify(encoder, search, names, query, phases=PHASES)
            if not found:
                continue
            best, right = found[0], found[0].track == str(source)
            near = abs(best.offset_s - start / encoder.sample_rate) <= TOLERANCE_S
            # The right track elsewhere is mostly a passage that repeats: neither right nor wrong.
            if near or not right:
                scores.append(best.score)
                correct.append(right)
    if len(set(correct)) < 2:
        return None
    fitted = matching.fit_calibration(scores, correct)
    return fitted | {"queries": len(scores), "right": int(np.sum(correct))}


def _excerpt(waveform, length_s, encoder, generator):
    length = min(len(waveform), round(length_s * encoder.sample_rate))
    start = int(generator.integers(len(waveform) - length + 1))
    return start, waveform[start : start + length]


def with_noise(waveform, snr_db, generator):
    """Adds pink noise to float32 `[n]` at `snr_db`, dB; nothing where it is `None`."""
    if snr_db is None or not np.any(waveform):
        return waveform
    bins = len(waveform) // 2 + 1
    spectrum = generator.standard_normal((bins, 2)) @ [1, 1j] / np.sqrt(np.arange(1, bins + 1))
    noise = np.fft.irfft(spectrum, len(waveform))
    power = np.mean(np.square(waveform)) / np.mean(np.square(noise)) * 10 ** (-snr_db / 10)
    return (waveform + np.sqrt(power) * noise).astype(np.float32)
