"""Long queries: their windows as they come, and the latest of them along a line."""

import math
from typing import NamedTuple

import numpy as np

from a2v import chance, hashing, matching
from a2v.search import Hits


class Line(NamedTuple):
    """Where a query runs through a track.

    Args:
        query_s: float, s, a time in the query.
        place_s: float, s, where in the track that is.
        speed: float, how much faster than the track the query runs.
    """

    query_s: float
    place_s: float
    speed: float

    def at(self, query_s):
        """The place in the track of another time of the query: float, s."""
        return self.place_s + self.speed * (query_s - self.query_s)


class Compared(NamedTuple):
    """Hashes of a track beside those of a query.

    Args:
        places: int64 `[n]`, the hashes of the track.
        distance: int32 `[n]`, bits that differ, each counted by its weight.
        weight: int32 `[n]`, all bits, counted alike.
        squares: int, the sum of their squared weights.
    """

    places: np.ndarray
    distance: np.ndarray
    weight: np.ndarray
    squares: int

    def depth(self, null, overlap, *, allowed=False):
        """How far below chance they lie.

        Args:
            null: `search.Hits` of the same stretch of the query, which tell what chance is.
            overlap: int, hops per window; allowed: bool; both as for `matching.match`.

        Returns:
            float, standard deviations; 0 where nothing is audible, or where all that is tells less
            than nothing: weights of a discriminant may be below 0.
        """
        weight = int(self.weight.sum())
        if weight <= 0:
            return 0.0
        share = weight / null.weight
        hit = Hits(
            position=np.zeros(1, np.int64),
            distance=np.array([self.distance.sum()], np.float64),
            windows=int(np.count_nonzero(self.weight)),
            mean=null.mean * share,
            deviation=null.deviation * math.sqrt(share),
            positions=null.positions,
            weight=float(weight),
            squares=float(self.squares),
        )
        return float(matching.deviations(hit, overlap, allowed=allowed)[0])


class Recent:
    """The last windows of a query, in memory that does not grow.

    Args:
        encoder: `runtime.Encoder` that makes them.
        phases: int, beginnings within one hop.
        rows: int, how many are kept.

    Attributes:
        first, end: int, the rows of the query that are kept: from `first` on, before `end`.
    """

    def __init__(self, encoder, *, phases, rows):
        self.first = self.end = 0
        self._rows, self._phases = rows, phases
        self._hop, self._discriminant = encoder.hop_s, encoder.discriminant
        self._embeddings = np.zeros((0, phases, encoder.n_bits), np.float32)
        self._made = {}  # of stretches: many lines through the same one are compared

    def keep(self, embeddings):
        """Takes the next ones: float32 `[n, phases, n_bits]`, see `embeddings`."""
        self._embeddings = np.concatenate([self._embeddings, embeddings])[-self._rows :]
        self.end += len(embeddings)
        self._made = {}
        self.first = self.end - len(self._embeddings)

    def queries(self, begin):
        """The rows from `begin` on, as a search engine takes them: list of one query a phase."""
        codes, weights = self._hashes(begin, self.end)
        return [(codes[:, p], weights[:, p]) for p in range(self._phases)]

    def _hashes(self, begin, end):
        """Codes uint8 `[rows, phases, n_bits / 8]` and their weights `[rows, phases, n_bits]`.

        Weights are `hashing.weights`, relative to all phases of these rows, which lines mix.
        """
        if (begin, end) not in self._made:
            part = self._embeddings[begin - self.first : end - self.first]
            weights = hashing.weights(part, discriminant=self._discriminant)
            self._made[begin, end] = hashing.pack(hashing.binarize(part)), weights
        return self._made[begin, end]

    def compare(self, reference, begin, end, line):
        """Compares hashes along a line.

        Args:
            reference: uint8 `[n, n_bits / 8]`, hashes of a track.
            begin, end: int, the rows of the query, `end` not among them.
            line: Line.

        Returns:
            Compared: every hash of the track beside the nearest of the query, of all phases.
        """
        low, high = (math.floor(line.at(row * self._hop) / self._hop) for row in (begin, end))
        places = np.arange(max(0, low), min(len(reference) - 1, high) + 1)
        times = line.query_s + (self._hop * places - line.place_s) / line.speed
        rows = np.rint(times * self._phases / self._hop).astype(np.int64) - begin * self._phases
        inside = (rows >= 0) & (rows < (end - begin) * self._phases)
        places, rows = places[inside], rows[inside]
        codes, weights = (
            part.reshape(-1, part.shape[-1])[rows] for part in self._hashes(begin, end)
        )
        weights = weights.astype(np.int32)
        differing = hashing.unpack(codes ^ reference[places])
        return Compared(
            places,
            (differing * weights).sum(axis=1, dtype=np.int32),
            weights.sum(axis=1, dtype=np.int32),
            int(np.square(weights).sum()),
        )


def embeddings(encoder, blocks, *, phases=chance.PHASES, rows=None):
    """Embeds a long query from several beginnings on, in memory bounded by the longest block.

    Args:
        encoder: `runtime.Encoder`.
        blocks: iterable of float32 `[m]` at its sample rate, of any lengths.
        phases: int, beginnings within one hop, `hop_s / phases` apart.
        rows: int, windows given at a time; as many as the encoder makes at once if not given.

    Yields:
        float32 `[rows, phases, n_bits]`, those of `Encoder.beginnings` of the whole, 0 where it is
        not audible; at the end fewer, and 0 at phases that have no window any more.

    Raises:
        A2VError: all blocks together are shorter than a window.
    """
    hop, window = (round(s * encoder.sample_rate) for s in (encoder.hop_s, encoder.window_s))
    rows = rows or encoder.metadata["block_windows"]
    starts = [round(phase * hop / phases) for phase in range(phases)]
    # The last window's frames reach beyond it.
    needed = (rows - 1) * hop + max(window, encoder.metadata["span_samples"]) + starts[-1]
    pending, given = np.zeros(0, np.float32), False
    for block in blocks:
        pending = np.concatenate([pending, block])
        first = 0
        while len(pending) - first >= needed:
            yield _rows(encoder, pending[first : first + needed], starts, rows)
            first, given = first + rows * hop, True
        pending = pending[first:]
    count = encoder.windows(len(pending))
    if count or not given:
        yield _rows(encoder, pending, starts, count)


def _rows(encoder, waveform, starts, rows):
    begun = encoder.beginnings(waveform, phases=len(starts))
    found = np.zeros((rows, len(starts), encoder.n_bits), np.float32)
    for phase, (start, (_, embedding, audible)) in enumerate(zip(starts, begun, strict=True)):
        # Where no window is left, `beginnings` made one up.
        count = min(rows, encoder.windows(len(waveform) - start))
        found[:count, phase] = (embedding * audible[:, None])[:count]
    return found
