"""Windows that have one hash because they are one sound, such as a loop that comes again."""

import numpy as np
import scipy.fft

# Two windows are one sound from this normalised cross-correlation on: what differs, such as what a
# codec leaves, is 17 dB below.
ALIKE = 0.99
# A sound that comes again off the hop's grid may still have the same hash.
LAG_S = 0.125


def count(waveform, codes, audible, encoder):
    """Counts windows of a track that have the hash of an earlier one, and sound as it does.

    Args:
        waveform: float32 `[n]`, a whole track.
        codes: uint8 `[windows, bytes]`; audible: bool `[windows]`, those that count.
        encoder: `runtime.Encoder` that they are of.

    Returns:
        int, at most the collisions within the track.
    """
    places = np.flatnonzero(audible)
    _, group = np.unique(codes[places], axis=0, return_inverse=True)
    hop, window, lag = (
        round(seconds * encoder.sample_rate) for seconds in (encoder.hop_s, encoder.window_s, LAG_S)
    )
    wide, found = np.pad(waveform, lag), 0
    for number in np.flatnonzero(np.bincount(group.ravel(), minlength=1) > 1):
        begins = places[group.ravel() == number] * hop
        around = np.stack([wide[begin : begin + window + 2 * lag] for begin in begins])
        found += _repeats(around.astype(np.float64), lag)
    return found


def _repeats(around, lag):
    """How many windows are as an earlier one, or what lies around it within a lag: int.

    Args:
        around: float64 `[n, lag + samples + lag]`, windows and what lies around them.
        lag: int, samples.
    """
    size = scipy.fft.next_fast_len(around.shape[1], real=True)
    energy = np.cumsum(np.pad(around**2, ((0, 0), (1, 0))), axis=1)
    n_lags = 2 * lag + 1
    level = np.sqrt(energy[:, -n_lags:] - energy[:, :n_lags])  # of the window at each lag
    windows = scipy.fft.rfft(around[:, lag : around.shape[1] - lag] / level[:, lag, None], size)
    different = []  # the first of each sound
    for k, window in enumerate(windows):
        for known in different:
            product = scipy.fft.irfft(window.conj() * scipy.fft.rfft(around[known], size), size)
            if (product[:n_lags] >= ALIKE * level[known]).any():
                break
        else:
            different.append(k)
    return len(windows) - len(different)
