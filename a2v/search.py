"""Exact search: the summed Hamming distance of a query at every position of every track."""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import as_strided

from a2v.hashing import signs

# Both fit the second-level cache with their products; larger ones are slower.
_POSITIONS = 4096
_QUERY_ROWS = 256


@dataclass(frozen=True)
class Hits:
    """What one query met in a catalogue.

    Attributes:
        position: int64 `[tracks]`, where in each track the query fits best, in hops; negative
            where the query begins before the track. The first of equals.
        distance: float64 `[tracks]`, the summed Hamming distance there, in bits, each counted by
            its weight.
        windows: int, how many windows of any weight the sums run over.
        mean: float, over all positions of all tracks, in bits.
        deviation: float, the standard deviation of the same, in bits.
        positions: int, how many there were.
        weight: float, of all bits of the query together: its distance from its own opposite.
        squares: float, the sum of their squared weights.
    """

    position: np.ndarray
    distance: np.ndarray
    windows: int
    mean: float
    deviation: float
    positions: int
    weight: float
    squares: float


class ExactSearch:
    """Scans the whole catalogue for every query; the oracle of every other engine.

    With bits as -1 and +1 the Hamming distance is an inner product, so one matrix product gives
    all query windows against a chunk of the catalogue, and sums along its diagonals give the
    distances of aligned sequences. Silent query windows and the gaps between tracks are zeros:
    they add nothing to the product, which is half the bits of the distance. A query's bits may
    have weights. All sums are whole numbers below 2 ** 24, so float32 is exact (128 bits: queries
    up to 9 hours without weights, 2 hours with those of `hashing.reliability`).

    A query may overhang either end of a track as long as half its windows have a counterpart; of
    a track shorter than the query, half the track has to be covered.

    Args:
        codes: uint8 `[n, bytes]`, the hashes of all tracks, one track after the other.
        starts: int `[tracks + 1]`, track t owns `codes[starts[t]:starts[t + 1]]`, at least one.
    """

    def __init__(self, codes, starts):
        self.codes = np.ascontiguousarray(codes, dtype=np.uint8)
        self.starts = np.asarray(starts, dtype=np.int64)
        self.lengths = np.diff(self.starts)
        if self.codes.ndim != 2 or self.starts[0] != 0 or self.starts[-1] != len(self.codes):
            raise ValueError(f"starts do not cover the codes {self.codes.shape}")
        if len(self.lengths) and self.lengths.min() < 1:
            raise ValueError("a track has no codes")

    def search(self, queries):
        """Compares queries with every track; several at once share the work on the catalogue.

        Args:
            queries: list of (codes uint8 `[n, bytes]`, weights), n at least 1; weights are bool
                `[n]`, whether a window counts at all, or uint8 or int8 `[n, bits]`, how much each
                bit does.

        Returns:
            list of Hits, one per query.
        """
        if not queries or not len(self.lengths):
            return [no_hits(*weighed(codes, weights)[1:]) for codes, weights in queries]
        rows = max(len(codes) for codes, _ in queries)
        values = np.zeros((len(queries), rows, 8 * self.codes.shape[1]), np.float32)
        prepared = [weighed(codes, weights) for codes, weights in queries]
        for query, (weighted, *_) in zip(values, prepared, strict=True):
            query[: len(weighted)] = weighted
        gap = rows - (min(rows, self.lengths.min()) + 1) // 2
        origins = self.starts[:-1] + gap * np.arange(1, len(self.lengths) + 1)
        tallies = [_Tally(len(codes), self.lengths, origins) for codes, _ in queries]
        end = origins[-1] + self.lengths[-1]
        step = max(_POSITIONS, rows)
        for first in range(0, end, step):
            count = min(step, end - first)
            sums = _diagonal_sums(values, self._stretch(origins, first, count + rows - 1))
            for tally, row in zip(tallies, sums, strict=True):
                tally.add(row, first)
        return [tally.hits(*totals) for tally, (_, *totals) in zip(tallies, prepared, strict=True)]

    def _stretch(self, origins, first, count):
        """The catalogue with its gaps from `first` on: float32 `[count, bits]`, zeros in gaps."""
        stretch = np.zeros((count, 8 * self.codes.shape[1]), np.float32)
        track = max(0, int(np.searchsorted(origins, first, side="right")) - 1)
        while track < len(origins) and origins[track] < first + count:
            begin = max(0, first - origins[track])
            stop = min(self.lengths[track], first + count - origins[track])
            if begin < stop:
                codes = self.codes[self.starts[track] + begin : self.starts[track] + stop]
                at = origins[track] + begin - first
                stretch[at : at + len(codes)] = signs(codes)
            track += 1
        return stretch


class _Tally:
    """Best position per track and null statistics of one query, gathered chunk by chunk."""

    def __init__(self, rows, lengths, origins):
        least = (np.minimum(rows, lengths) + 1) // 2
        self.origins = origins
        self.begins = origins - (rows - least)
        self.ends = origins + lengths - least + 1
        self.best = np.full(len(origins), -np.inf)
        self.where = np.zeros(len(origins), np.int64)
        self.count, self.total, self.squares = 0, 0.0, 0.0

    def add(self, sums, first):
        """Takes the inner products at the positions `first`, `first + 1`, ..."""
        low = np.searchsorted(self.ends, first, side="right")
        high = np.searchsorted(self.begins, first + len(sums), side="left")
        if low >= high:
            return
        begins = np.maximum(self.begins[low:high] - first, 0)
        ends = np.minimum(self.ends[low:high] - first, len(sums))
        # reduceat works on [begin, next begin): with the ends between, every second result counts.
        edges = np.stack([begins, ends], axis=1).ravel()
        sums = np.append(sums.astype(np.float64), 0.0)
        # One key orders by sum, then by the earlier position; whole numbers, exact in float64.
        keys = sums * len(sums) - np.arange(len(sums))
        top = np.maximum.reduceat(keys, edges)[::2]
        best = np.ceil(top / len(sums))
        where = (best * len(sums) - top).astype(np.int64) + first
        better = best > self.best[low:high]
        self.best[low:high][better] = best[better]
        self.where[low:high][better] = where[better]
        self.count += int((ends - begins).sum())
        self.total += np.add.reduceat(sums, edges)[::2].sum()
        self.squares += np.add.reduceat(sums * sums, edges)[::2].sum()

    def hits(self, windows, weight, squares):
        mean = self.total / self.count
        variance = max(0.0, self.squares / self.count - mean * mean)
        return Hits(
            position=self.where - self.origins,
            distance=(weight - self.best) / 2,
            windows=windows,
            mean=(weight - mean) / 2,
            deviation=variance**0.5 / 2,
            positions=self.count,
            weight=weight,
            squares=squares,
        )


def weighed(codes, weights):
    """Prepares a query.

    Args:
        codes: uint8 `[n, bytes]`; weights: bool `[n]` or uint8 or int8 `[n, bits]`.

    Returns:
        (float32 `[n, bits]`: -1 and +1 times their weights; int, windows that count; float, sum of
        the weights; float, sum of their squares).
    """
    weights = np.asarray(weights)
    weights = np.broadcast_to(weights.T, (8 * codes.shape[1], len(codes))).T.astype(np.float32)
    windows = int(np.count_nonzero(weights.any(axis=1)))
    sums = weights.sum(dtype=np.float64), np.square(weights).sum(dtype=np.float64)
    return signs(codes) * weights, windows, *map(float, sums)


def _diagonal_sums(queries, stretch):
    """Inner products of aligned sequences.

    Args:
        queries: float32 `[queries, rows, bits]`.
        stretch: float32 `[positions + rows - 1, bits]`.

    Returns:
        float32 `[queries, positions]`: sum over i of `queries[:, i] @ stretch[position + i]`.
    """
    n_queries, rows, n_bits = queries.shape
    positions = len(stretch) - rows + 1
    sums = np.zeros((n_queries, positions), np.float32)
    for first in range(0, rows, _QUERY_ROWS):
        part = np.ascontiguousarray(queries[:, first : first + _QUERY_ROWS])
        count = part.shape[1]
        width = positions + count - 1
        product = part.reshape(-1, n_bits) @ stretch[first : first + width].T
        row, item = product.strides
        # Row i moved left by i: what belongs to one position stands in one column.
        shape, strides = (n_queries, count, positions), (row * count, row + item, item)
        aligned = as_strided(product, shape, strides)
        sums += aligned.sum(axis=1)
    return sums


def no_hits(windows, weight, squares):
    """Hits of a query, of which `weighed` gives the totals, in a catalogue without tracks."""
    empty = np.zeros(0)
    return Hits(empty.astype(np.int64), empty, windows, 0.0, 0.0, 0, weight, squares)
