"""A catalogue of landmarks as large as is asked for, made of a few recordings."""

import numpy as np

from a2v import audio
from a2v.classics.wang import Wang


class Copied(Wang):
    """Recordings, and copies of their landmarks, each moved by some bins as if it were transposed.

    Args:
        waveforms: list of float32 `[n]`.
        hours: float; what is added ends with the copy of all that goes beyond it.
        shift: int, bins that a copy is moved by at most, never by none.
        generator: numpy Generator.

    Attributes:
        hours: float, of audio that it holds.
    """

    def __init__(self, waveforms, hours, *, shift, generator):
        super().__init__()
        for k, waveform in enumerate(waveforms):
            self.add(f"{k:08}", waveform)
        once = np.concatenate(self._added)
        frames, tracks = self._starts[-1], len(waveforms)
        seconds = sum(map(len, waveforms)) / audio.SAMPLE_RATE
        copies = max(0, int(np.ceil(3600 * hours / seconds)) - 1)
        starts = np.array(self._starts)
        postings = np.empty((copies + 1, len(once)), np.uint64)
        postings[0] = once
        bin_of_hash = np.uint64((2 * self.zone_bins + 1) * (self.zone_frames + 1))
        for copy in range(1, copies + 1):
            bins = np.uint64(generator.integers(1, shift + 1)) * bin_of_hash
            moved = once + np.uint64(copy * frames)
            upwards = generator.random() < 0.5
            step = bins << np.uint64(32)
            # Below the lowest bin there is nothing to move to.
            down = moved - np.where(moved >= step, step, np.uint64(0))
            postings[copy] = moved + step if upwards else down
            self._names += [f"{copy * tracks + k:08}" for k in range(tracks)]
            self._starts += (starts[1:] + copy * frames).tolist()
        self._starts = np.array(self._starts)  # as a list it would be made one at each look-up
        self.hours = (copies + 1) * seconds / 3600
        self._postings, self._added = postings.ravel(), []
        self._postings.sort()
