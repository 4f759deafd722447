"""Which tracks may have something in common, and how far apart: from windows whose codes collide.

Two windows collide if they agree in one of several samples of their bits. Each collision is a vote
for two tracks and an offset.

Reference: P. Indyk, R. Motwani, "Approximate nearest neighbors: towards removing the curse of
dimensionality", STOC 1998 (samples of bits).
"""

import contextlib
import math
import tempfile
from itertools import islice

import numpy as np

from a2v import hashing
from a2v.errors import A2VError

# A window that differs in no greater share of its bits from the one before is held still; of codes
# with few bits set, whose windows differ in few, in as small a part of that.
STILL = 1 / 32
# Samples of bits; each of as many bits as tell all windows apart, this many at least.
TABLES, LEAST_BITS = 16, 16
# Of the windows that agree, each is compared with fewer than so many that follow.
CROWD = 8
# How many votes make an offset a candidate, and how many offsets of two tracks are.
VOTES, OFFSETS = 3, 12
_CHUNK = 1 << 18
_FILES = 256  # that votes lie in at most
_SAMPLE = 20_000  # windows that tell how many bits are set
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd: keys of any width, told apart but for chance


def moving(codes, starts):
    """Tells windows that differ from the one before, and so tell something, from those held still.

    Args:
        codes: uint8 `[n, bytes]`, the hashes of all tracks, one track after the other.
        starts: int64 `[tracks + 1]`, where each track's begin.

    Returns:
        bool `[n]`; a track's first window is like its second.
    """
    set_ = _density(codes)
    limit = round(STILL * 8 * codes.shape[1] * 4 * set_ * (1 - set_))
    changes = np.ones(len(codes), bool)  # from each window to the next
    for k in range(0, len(codes) - 1, _CHUNK):
        after = codes[k + 1 : k + 1 + _CHUNK]
        changes[k : k + len(after)] = hashing.hamming(codes[k : k + len(after)], after) > limit
    found = np.roll(changes, 1)
    found[starts[:-1]] = changes[starts[:-1]]
    return found


def candidates(codes, starts, telling, *, apart):
    """Finds tracks and offsets with votes.

    The work is that of sorting all windows `TABLES` times, and fewer than `CROWD` pairs of each.
    Votes wait in temporary files until all are cast, so memory holds some numbers for each window,
    and the votes of one file, for first tracks that have `_CHUNK` windows together.

    Args:
        codes, starts: as for `moving`.
        telling: bool `[n]`, the windows that vote, two at least.
        apart: int, windows of one track vote if they are as many windows apart, or more.

    Yields:
        (first, second, offsets): int, two tracks, or one twice; list of int, those of most votes
        first: window k of the first track is window k + offset of the second.

    Raises:
        A2VError: temporary files cannot be written.
    """
    windows = np.flatnonzero(telling)
    track = np.searchsorted(starts, windows, side="right") - 1
    # By their place in the track: in a crowd of repeats, copies then stand beside each other.
    order = np.argsort(windows - starts[track], kind="stable")
    windows, track = windows[order], track[order]
    place = windows - starts[track]
    reach, n_tracks = int(np.diff(starts).max()), len(starts) - 1
    span = 2 * reach + 1
    n_bits = 8 * codes.shape[1]
    wanted = max(LEAST_BITS, math.ceil(math.log2(len(windows))))
    width = round(min(n_bits, wanted / max(_entropy(_density(codes)), 1e-9)))
    # Files by first tracks, so that answers come in their order.
    files = min(_FILES, -(-len(windows) // _CHUNK))
    with _Votes(starts[:-1] * files // starts[-1], span, files) as votes:
        for bits in islice(_samples(n_bits, width), TABLES):
            one, another = colliding(_sampled(codes, windows, bits))
            turned = track[one] > track[another]
            one, another = np.where(turned, another, one), np.where(turned, one, another)
            offset = place[another] - place[one]
            asked = (track[one] != track[another]) | (offset >= apart)
            one, another, offset = one[asked], another[asked], offset[asked]
            votes.cast(track[one], track[another], offset + reach)
        for pair, offset, counts in votes.counted():
            enough = counts >= VOTES
            for both, offsets in _by_pair(pair[enough], offset[enough] - reach, counts[enough]):
                yield *divmod(both, n_tracks), offsets


def _density(codes):
    """Share of bits set, of all windows or of a sample of them."""
    if len(codes) > _SAMPLE:
        codes = codes[np.random.default_rng(0).integers(len(codes), size=_SAMPLE)]
    return float(np.unpackbits(codes, axis=1).mean()) if len(codes) else 0.5


def _entropy(p):
    """Of a bit that is set with probability p: bit."""
    return -sum(q * math.log2(q) for q in (p, 1 - p) if q > 0)


class _Votes:
    """Votes in files.

    Args:
        place: int64 `[tracks]`, the file for votes of each first track, rising.
        span: int, above every offset; files: int, how many.
    """

    def __init__(self, place, span, files):
        self._place, self._span = place, span
        self._stack, self._files = contextlib.ExitStack(), []
        with _written():
            for _ in range(files):
                self._files.append(self._stack.enter_context(tempfile.TemporaryFile()))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        with contextlib.suppress(OSError):  # what they still hold back is of no use any more
            self._stack.close()

    def cast(self, first, second, offset):
        """Takes votes: int64 `[n]` each, offsets from 0 on."""
        votes = (first * len(self._place) + second) * self._span + offset
        file = self._place[first]
        order = np.argsort(file, kind="stable")
        ends = np.searchsorted(file[order], np.arange(1, len(self._files) + 1))
        with _written():
            for own, part in zip(self._files, np.split(votes[order], ends[:-1]), strict=True):
                own.write(part.tobytes())

    def counted(self):
        """Yields (pair, offset, counts) of each file, int64 `[m]`: each vote once, rising."""
        for file in self._files:
            with _written():
                file.seek(0)
                votes = np.frombuffer(file.read(), np.int64)
            votes, counts = np.unique(votes, return_counts=True)
            yield *np.divmod(votes, self._span), counts


@contextlib.contextmanager
def _written():
    try:
        yield
    except OSError as error:
        raise A2VError(
            f"cannot write temporary files ({error}); let TMPDIR name a folder with room for them"
        ) from error


def colliding(keys):
    """Pairs of equal keys, in a crowd only those that follow each other closely.

    Args:
        keys: int `[n]`.

    Returns:
        two int64 `[m]`, m below `CROWD` n: places in keys, the first of each pair before the other.
    """
    order = np.argsort(keys, kind="stable")
    ranked = keys[order]
    ones, others = [order[:0]], [order[:0]]
    for step in range(1, min(CROWD, len(keys))):
        same = ranked[step:] == ranked[:-step]
        ones.append(order[:-step][same])
        others.append(order[step:][same])
    return np.concatenate(ones), np.concatenate(others)


def _samples(n_bits, width):
    """Yields places of bits, int `[width]`: as many disjoint ones as there are, then others."""
    generator = np.random.default_rng(0)
    while True:
        order = generator.permutation(n_bits)
        for k in range(n_bits // width):
            yield order[k * width : (k + 1) * width]


def _sampled(codes, windows, bits):
    """A number for these bits of each of these windows: uint64 `[windows]`."""
    keys = np.zeros(len(windows), np.uint64)
    for bit in bits.tolist():
        keys *= _FACTOR
        keys += codes[windows, bit // 8] >> (7 - bit % 8) & 1
    return keys


def _by_pair(pair, offset, counts):
    """Yields (pair, offsets), int and list of int, those of most votes first, `OFFSETS` at most."""
    order = np.lexsort((offset, -counts, pair))
    pair, offset = pair[order], offset[order]
    for members in np.split(np.arange(len(pair)), np.flatnonzero(np.diff(pair)) + 1):
        if len(members):
            yield int(pair[members[0]]), offset[members[:OFFSETS]].tolist()
