"""Windows that have one hash because they are one sound, such as a loop that comes again."""

import numpy as np
import scipy.fft

# Two windows are one sound from this normalised cross-correlation on: what differs, such as what a
# codec leaves, is 17 dB below.
ALIKE = 0.99


def count(waveform, codes, audible, encoder):
    """Counts windows of a track that have the hash of an earlier one, and sound as it does.

    A sound may come again off the hop's grid, by half a hop at most. A window is compared with
    the first one of each sound that has its hash.

    Args:
        waveform: float32 `[n]`, a whole track.
        codes: uint8 `[windows, bytes]`; audible: bool `[windows]`, those that count.
        encoder: `runtime.Encoder` that they are of.

    Returns:
        int, at most the collisions within the track.
    """
    places = np.flatnonzero(audible)
    _, group = np.unique(codes[places], axis=0, return_inverse=True)
    group = group.ravel()
    hop, window = (round(s * encoder.sample_rate) for s in (encoder.hop_s, encoder.window_s))
    lag = hop // 2
    wide, found = np.pad(waveform, lag), 0
    for number in np.flatnonzero(np.bincount(group, minlength=1) > 1):
        different = []
        for begin in places[group == number] * hop:
            sound = _Sound(wide[begin : begin + window + 2 * lag], lag)
            if any(sound.comes_again_in(other) for other in different):
                found += 1
            else:
                different.append(sound)
    return found


class _Sound:
    """A window, and what lies around it.

    Args:
        around: float32 `[lag + samples + lag]`; lag: int, samples.
    """

    def __init__(self, around, lag):
        around = around.astype(np.float64)
        self._lags = 2 * lag + 1
        self._size = scipy.fft.next_fast_len(len(around), real=True)
        energy = np.cumsum(np.pad(around**2, (1, 0)))
        # Of the window at each lag; of silence it is above all products.
        self._level = np.sqrt(energy[-self._lags :] - energy[: self._lags])
        self._level[self._level == 0] = np.inf
        window = around[lag : len(around) - lag] / self._level[lag]
        self._window, self._around = (scipy.fft.rfft(x, self._size) for x in (window, around))

    def comes_again_in(self, other):
        """Whether this window is what lies within a lag around another one's place."""
        product = scipy.fft.irfft(self._window.conj() * other._around, self._size)
        return (product[: self._lags] >= ALIKE * other._level).any()
