"""Engines that search the same catalogue for the same query: a2v's, a plain scan, FAISS alone.

Each takes a query's prints, one per phase, and names the place in the catalogue that fits best: of
all phases and positions that of the smallest share of differing bits, the first of equals.
"""

import numpy as np

from a2v import hashing
from a2v.chance import PHASES
from a2v.engines.faiss import FaissSearch
from a2v.errors import A2VError
from a2v.search import ExactSearch

NEIGHBOURS = 20
EXACT = ("exact", "numpy")
_TRIES = 100
# IndexBinaryIVF: cells, of how many one is scanned, of how many hashes they are learnt.
# IndexBinaryMultiHash: bits of a piece, and how many of them are tried both ways.
CELLS, PROBED, TRAINED, PIECE, FLIPPED = 1024, 16, 50_000, 20, 2
_POSITIONS = 65536  # a stretch of the catalogue that stays in the second-level cache
_SET_BITS = hashing.unpack(np.arange(65536, dtype=np.uint16).view(np.uint8).reshape(-1, 2)).sum(
    axis=1, dtype=np.uint8
)


def catalogue(real, size, generator):
    """As many hashes as are asked for, from those of some recordings.

    Args:
        real: list of uint8 `[n, bytes]`, the hashes of each recording.
        size: int.
        generator: numpy Generator.

    Returns:
        (codes, starts): uint8 `[size, bytes]`, the recordings as they are, then as often again as
        needed with a random quarter of the bits flipped, cut at the end; int64 `[tracks + 1]`,
        where each begins.
    """
    once = np.concatenate(real)
    copies = -(-size // len(once))
    codes = np.tile(once, (copies, 1))[:size]
    made = codes[len(once) :]
    # Both of two random bits are set in one of four cases.
    flips = generator.integers(0, 256, made.shape, dtype=np.uint8)
    made ^= flips & generator.integers(0, 256, made.shape, dtype=np.uint8)
    ends = np.cumsum(np.tile([len(own) for own in real], copies))
    return codes, np.concatenate([[0], ends[ends < size], [size]])


def query(encoder, waveforms, starts, length_s, generator):
    """Hashes a random excerpt of recordings that a catalogue begins with.

    Args:
        encoder: runtime.Encoder.
        waveforms: list of float32 `[n]`.
        starts: int `[tracks + 1]`, from `catalogue`.
        length_s: float, s.
        generator: numpy Generator.

    Returns:
        (prints, place): list of uint8 `[windows, bytes]`, one per phase, no window of which is
        silent or hangs over; float, where in the catalogue the excerpt begins, in hashes.

    Raises:
        A2VError: no recording is long enough, or none is loud enough.
    """
    hop = round(encoder.hop_s * encoder.sample_rate)
    length = round(length_s * encoder.sample_rate)
    # A window less than there are: then no phase goes beyond the last hash.
    rooms = np.diff(starts)[: len(waveforms)] - encoder.windows(length) - 1
    if rooms.max() < 0:
        raise A2VError(f"no track in the catalogue is longer than {length_s:g} s; give longer ones")
    for _ in range(_TRIES):
        k = generator.choice(np.flatnonzero(rooms >= 0))
        begin = generator.integers(rooms[k] * hop + 1)
        clip = waveforms[k][begin : begin + length]
        prints = encoder.fingerprint(clip, phases=PHASES, plain=True)
        if all(weights.any(axis=1).all() for _, _, weights in prints):
            return [codes for _, codes, _ in prints], float(starts[k] + begin / hop)
    raise A2VError(f"no excerpt of {length_s:g} s without silence found; give other tracks")


def disturbed(prints, codes, place, share, generator):
    """Flips random bits of a query, until as many differ from the catalogue as are asked for.

    Args:
        prints, place: as from `query`.
        codes: uint8 `[n, bytes]`, the catalogue's.
        share: float, of the bits, in the print that differs least; unchanged if more do already.
        generator: numpy Generator.

    Returns:
        list of uint8 `[windows, bytes]`.
    """
    apart = []
    for own in prints:
        for first in (int(place), int(place) + 1):
            there = codes[first : first + len(own)]
            if len(there) == len(own):
                apart.append(hashing.hamming(there, own).sum() / (8 * own.size))
    least = min(apart)
    if least >= share:
        return prints
    flipped = (share - least) / (1 - 2 * least)
    draws = [generator.random((len(own), 8 * own.shape[1])) < flipped for own in prints]
    return [own ^ np.packbits(draw, axis=1) for own, draw in zip(prints, draws, strict=True)]


class Ours:
    """A search of a2v, all bits of a query counted alike."""

    def __init__(self, search):
        self._search = search

    def best(self, prints):
        """Asks once.

        Args:
            prints: list of uint8 `[windows, bytes]`.

        Returns:
            int, the place of the query's first hash in the catalogue.
        """
        found = []
        for hits in self._search.search([(own, np.ones(len(own), bool)) for own in prints]):
            track = int(np.argmin(hits.distance))
            place = self._search.starts[track] + hits.position[track]
            found.append((hits.distance[track], place))
        return _nearest(prints, found)


class Scan:
    """The plain way in NumPy: XOR, set bits by table 16 at a time, summed along the alignment."""

    def __init__(self, codes):
        even = np.pad(codes, ((0, 0), (0, codes.shape[1] % 2)))
        self._columns = np.ascontiguousarray(even.view(np.uint16).T)

    def best(self, prints):
        """Asks once, see `Ours.best`."""
        return _nearest(prints, [self._first(own) for own in prints])

    def _first(self, query):
        """The smallest distance at any position, and the first place where it is."""
        even = np.pad(query, ((0, 0), (0, query.shape[1] % 2)))
        words = np.ascontiguousarray(even).view(np.uint16)
        positions = self._columns.shape[1] - len(words) + 1
        best = None
        for first in range(0, positions, _POSITIONS):
            count = min(_POSITIONS, positions - first)
            total = np.zeros(count, np.int32)
            for i, row in enumerate(words, first):
                for column, word in zip(self._columns, row, strict=True):
                    total += _SET_BITS.take(column[i : i + count] ^ word, mode="clip")
            place = int(np.argmin(total))
            if best is None or total[place] < best[0]:
                best = int(total[place]), first + place
        return best


class Faiss:
    """FAISS: the nearest hashes of each window by one of its indices, then where they line up.

    Every place that one of the `NEIGHBOURS` nearest hashes of a window points to is compared as a
    whole. That is exact only where the right place is among them.

    Args:
        codes: uint8 `[n, bytes]`, the catalogue's.
        index: function of the package, the number of bits and that of hashes: one of `INDICES`.
    """

    def __init__(self, codes, index):
        import faiss

        faiss.omp_set_num_threads(1)
        self._codes = codes
        self._index = index(faiss, 8 * codes.shape[1], len(codes))
        if not self._index.is_trained:
            self._index.train(codes[:: max(1, len(codes) // TRAINED)])
        self._index.add(codes)

    def best(self, prints):
        """Asks once, see `Ours.best`."""
        top = min(NEIGHBOURS, len(self._codes))
        _, near = self._index.search(np.concatenate(prints), top)
        found, row = [], 0
        for own in prints:
            steps = np.arange(len(own))
            places = np.unique(near[row : row + len(own)] - steps[:, None])
            places = places[(places >= 0) & (places <= len(self._codes) - len(own))]
            row += len(own)
            if len(places):
                there = self._codes[places[:, None] + steps]
                total = hashing.hamming(there, own).sum(axis=1)
                found.append((int(total.min()), int(places[np.argmin(total)])))
            else:
                found.append((np.inf, -1))
        return _nearest(prints, found)


def _flat(faiss, bits, count):
    """Scans all hashes."""
    del count
    return faiss.IndexBinaryFlat(bits)


def _ivf(faiss, bits, count):
    """Scans the hashes of one cell of `PROBED`, those whose centres are nearest."""
    cells = max(1, min(CELLS, count // 40))
    centres = faiss.IndexBinaryFlat(bits)
    index = faiss.IndexBinaryIVF(centres, bits, cells)
    index.nprobe = max(1, cells // PROBED)
    index.referenced = centres  # Python would drop what only C++ points to
    return index


def _multi_hash(faiss, bits, count):
    """Looks pieces of `PIECE` bits up in tables, with up to `FLIPPED` of them flipped."""
    del count
    piece = min(PIECE, bits)
    index = faiss.IndexBinaryMultiHash(bits, bits // piece, piece)
    index.nflip = FLIPPED
    return index


INDICES = {"faiss alone": _flat, "ivf": _ivf, "multi-hash": _multi_hash}


def engines(codes, starts):
    """All engines: dict of name to engine, those of `EXACT` first."""
    return {
        "exact": Ours(ExactSearch(codes, starts)),
        "numpy": Scan(codes),
        "faiss": Ours(FaissSearch(codes, starts)),
        **{name: Faiss(codes, index) for name, index in INDICES.items()},
    }


def _nearest(prints, found):
    """Of (distance, place) of every phase, the place of the smallest share of differing bits."""
    shares = [bits / own.size for own, (bits, _) in zip(prints, found, strict=True)]
    return int(found[int(np.argmin(shares))][1])
