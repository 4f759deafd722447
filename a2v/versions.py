"""Finds what a clip is a version of: it is asked in all keys and at several tempi.

For encoders whose hashes turn with the key (`hashing.transpose`): a clip is played faster and
slower, in whole semitones, as a tape would be, so that it changes in tempo and key; the key does
not matter, since every hash is turned through all twelve.
"""

import numpy as np
import soxr

from a2v import alignment, hashing, matching

# How much faster a clip is played, in semitones: 0.79 to 1.26 times the speed.
SEMITONES = tuple(range(-4, 5))


def views(encoder, waveform, *, semitones=SEMITONES):
    """Makes the queries of a clip.

    Args:
        encoder: `runtime.Encoder` whose hashes turn with the key.
        waveform: float32 `[n]` at its sample rate.
        semitones: ints, how much faster it is played.

    Returns:
        list of (0.0, codes uint8 `[windows, bytes]`, weights uint8 `[windows, n_bits]`), as from
        `runtime.Encoder.fingerprint`, twelve for each speed that leaves a window.
    """
    found = []
    for faster in semitones:
        rate = encoder.sample_rate / 2 ** (faster / 12)
        heard = soxr.resample(waveform, encoder.sample_rate, rate) if faster else waveform
        if not encoder.windows(len(heard)):
            continue
        ((phase_s, codes, weights),) = encoder.fingerprint(heard.astype(np.float32), plain=True)
        for key in range(hashing.PITCH_CLASSES):
            turned = alignment.transpose(codes, key)
            found.append((phase_s, turned, hashing.transpose(weights, key)))
    return found


def identify(encoder, engine, tracks, waveform, *, semitones=SEMITONES, top=None):
    """Finds the tracks that a clip may be a version of.

    Args:
        encoder, waveform, semitones: as for `views`.
        engine: search engine over the catalogue, such as `search.ExactSearch`.
        tracks: list of (name, path), in the order of the catalogue.
        top: int, at most so many; all where `None`.

    Returns:
        list of `matching.Match`, best first; `offset_s` is where the clip begins in the track.
    """
    prints = views(encoder, waveform, semitones=semitones)
    return matching.ask(encoder, engine, tracks, prints, plain=True, top=top)
