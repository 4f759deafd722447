"""Hears a recording once, block by block: hashes, silence, and excerpts to know it again by."""

from dataclasses import dataclass

import numpy as np

from a2v import audio
from a2v.chance import PHASES
from a2v.errors import A2VError

# So many excerpts of this length are kept, spread over the recording.
EXCERPTS = 3
EXCERPT_S = 6.0


@dataclass(frozen=True)
class Heard:
    """What a library keeps of a recording, and what it looks for copies with.

    Attributes:
        seconds: float, s.
        codes: uint8 `[windows, bytes]`.
        silent: int, how many of the windows are not audible.
        excerpts: list of (start_s, prints): where each begins, in s, and what
            `runtime.Encoder.fingerprint` gives for it; empty if they were not asked for.
    """

    seconds: float
    codes: np.ndarray
    silent: int
    excerpts: list


def listen(encoder, path, *, excerpts=EXCERPTS):
    """Hashes a recording that is not silent throughout, in memory bounded by a block.

    Args:
        encoder: `runtime.Encoder`.
        path: Path of a recording `audio.blocks` decodes.
        excerpts: int, at most so many; each costs `PHASES` times its length in hashing.

    Returns:
        Heard.

    Raises:
        A2VError: the recording cannot be read, is shorter than a window or silent throughout.
    """
    ear = _Ear(encoder, excerpts)
    blocks = audio.blocks(path, sample_rate=encoder.sample_rate, downmix=encoder.downmix)
    try:
        codes = encoder.hash_blocks(ear.heard(blocks))
    except A2VError as error:
        raise error if str(path) in str(error) else A2VError(f"{path}: {error}") from None
    if ear.loudest < audio.SILENCE_DBFS:
        raise A2VError(
            f"{path}: silent throughout (its loudest second is at {ear.loudest:.1f} dBFS, silence "
            f"ends at {audio.SILENCE_DBFS:.0f}); nothing could find it"
        )
    prints = [
        (start_s, encoder.fingerprint(waveform, phases=PHASES, plain=True))
        for start_s, waveform in ear.excerpts()
    ]
    return Heard(ear.samples / encoder.sample_rate, codes, ear.silent, prints)


class Listener:
    """What `workers.mapped` listens with.

    Args:
        encoder: `runtime.Encoder`; excerpts: int, as for `listen`.
    """

    def __init__(self, encoder, excerpts):
        self._encoder, self._excerpts = encoder, excerpts

    def __call__(self, path):
        """Hears a recording: Heard."""
        return listen(self._encoder, path, excerpts=self._excerpts)


class _Ear:
    """Counts what passes, and keeps excerpts of it."""

    def __init__(self, encoder, wanted):
        self.samples, self.silent, self.loudest = 0, 0, -np.inf
        self._encoder, self._wanted = encoder, wanted
        self._hop = round(encoder.hop_s * encoder.sample_rate)
        # Whole hops, so that an excerpt begins where a hash does.
        self._length = round(max(EXCERPT_S, 2 * encoder.window_s) / encoder.hop_s) * self._hop
        self._tail = np.zeros(0, np.float32)  # from the first window on that is not yet whole
        self._piece = np.zeros(0, np.float32)  # of the excerpt that is not yet whole
        self._number, self._stride, self._kept = 0, 1, []

    def heard(self, blocks):
        """Passes blocks on."""
        rate = self._encoder.sample_rate
        for block in blocks:
            self.samples += len(block)
            for start in range(0, len(block), rate):
                self.loudest = max(self.loudest, audio.level_dbfs(block[start : start + rate]))
            self._judge(block)
            if self._wanted:
                self._keep(block)
            yield block

    def excerpts(self):
        """The chosen excerpts: list of (start_s, float32 `[n]`), in order."""
        found = list(self._kept)
        if len(found) < self._wanted and self._encoder.windows(len(self._piece)):
            found.append((self._number, self._piece))
        count = min(self._wanted, len(found))
        places = np.linspace(0, len(found) - 1, count).round().astype(int) if count else []
        length_s = self._length / self._encoder.sample_rate
        return [(found[k][0] * length_s, found[k][1]) for k in places]

    def _judge(self, block):
        """Counts the silent among the windows that the block makes whole."""
        self._tail = np.concatenate([self._tail, block])
        windows = self._encoder.windows(len(self._tail))
        if windows:
            self.silent += windows - int(np.count_nonzero(self._encoder.audible(self._tail)))
            self._tail = self._tail[windows * self._hop :]

    def _keep(self, block):
        """Keeps every so many excerpts, fewer the longer it takes."""
        self._piece = np.concatenate([self._piece, block])
        while len(self._piece) >= self._length:
            if self._number % self._stride == 0:
                self._kept.append((self._number, self._piece[: self._length].copy()))
            self._number += 1
            self._piece = self._piece[self._length :]
            if len(self._kept) > 2 * self._wanted:
                self._kept = self._kept[::2]
                self._stride *= 2
