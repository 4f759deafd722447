"""Search for large catalogues: FAISS names places worth looking at, which are then compared whole.

Only a few windows of a query are looked up among all hashes, each at its own place and from another
beginning, since a scan costs as much as all the rest. Wherever one of their nearest hashes says
that the query may begin, the query is laid over the track and compared in all its windows.
"""

import numpy as np

from a2v.hashing import hamming, signs
from a2v.search import ExactSearch, Hits, no_hits, weighed

# So many windows of a query are looked up, one more for each so many of its windows.
SCANS, WINDOWS_A_SCAN = 3, 12
# Nearest hashes of each that are followed up.
NEIGHBOURS = 64
# Places of each query that are compared by weighed bits, the best by bits alone.
COMPARED = 256
# Stretches of the catalogue, and positions in each, that tell what chance reaches.
STRETCHES, STRETCH = 32, 128


class Storage(np.ndarray):
    """The memory of a FAISS index as uint8 `[n, bytes]`, so that hashes are held once."""

    index = None


def allocated(count, width):
    """Makes an index of so many hashes, to be filled in.

    Args:
        count: int; width: int, bytes of a hash.

    Returns:
        Storage `[count, width]`, for `FaissSearch`.
    """
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexBinaryFlat(8 * width)
    index.xb.resize(count * width)
    held = faiss.rev_swig_ptr(index.xb.data(), count * width) if count else np.zeros(0, np.uint8)
    storage = held.reshape(count, width).view(Storage)
    storage.index = index
    return storage


class FaissSearch:
    """Candidates by `faiss.IndexBinaryFlat`, rescored; the interface of `search.ExactSearch`.

    What it reports of a track is true of the place that it names, but the best place, and tracks
    of no candidate, can be missed: these are given the distance that chance has on average. Mean
    and deviation are those of a sample. One thread searches.

    Args:
        codes: uint8 `[n, bytes]`: copied, unless `allocated` made it.
        starts: int `[tracks + 1]`, as for `ExactSearch`.
    """

    def __init__(self, codes, starts):
        self.starts = np.asarray(starts, np.int64)
        self.lengths = np.diff(self.starts)
        if not isinstance(codes, Storage):
            given, codes = codes, allocated(*codes.shape)
            codes[:] = given
        self.codes, self._index = codes.view(np.ndarray), codes.index
        self._index.ntotal = len(codes)
        self._sample = None

    def search(self, queries):
        """Compares queries, the same sound from several beginnings, with every track.

        Args:
            queries: list of (codes uint8 `[n, bytes]`, weights), as for `ExactSearch.search`.

        Returns:
            list of Hits, one per query.
        """
        prepared = [weighed(codes, weights) for codes, weights in queries]
        if not queries or not len(self.lengths):
            return [no_hits(*totals) for _, *totals in prepared]
        if self._sample is None:
            self._sample = self._sampled()
        begins = self._candidates(queries)
        chance = self._sample.search(queries)
        return [
            self._hits(begins, codes, query, totals, null)
            for (codes, _), (query, *totals), null in zip(queries, prepared, chance, strict=True)
        ]

    def _candidates(self, queries):
        """Where in the catalogue a query may begin: int64 `[candidates]`, rising."""
        looked_up = list(_spread(queries))
        if not looked_up:
            return np.zeros(0, np.int64)
        codes = np.stack([queries[k][0][row] for k, row in looked_up])
        near = min(NEIGHBOURS, len(self.codes))
        _, places = self._index.search(codes, near)
        begins = places - np.array([row for _, row in looked_up])[:, None]
        # Another beginning of the same sound may lie on the hash before or after.
        return np.unique(begins[..., None] + np.arange(-1, 2))

    def _hits(self, begins, codes, query, totals, null):
        """Compares one query at all candidates."""
        windows, weight, squares = totals
        track, begins = self._placed(begins, len(query))
        if len(begins) > COMPARED:
            best = np.argsort(self._distances(track, begins, codes), kind="stable")[:COMPARED]
            track, begins = track[best], begins[best]
        products = self._products(track, begins, query)
        position = np.zeros(len(self.lengths), np.int64)
        distance = np.full(len(self.lengths), null.mean)
        # The last of a track that is written stays: the best, of equals the first.
        order = np.lexsort((-begins, products))
        position[track[order]] = (begins - self.starts[track])[order]
        distance[track[order]] = (weight - products[order]) / 2
        return Hits(
            position=position,
            distance=distance,
            windows=windows,
            mean=null.mean,
            deviation=null.deviation,
            positions=int(np.sum(self.lengths + len(query) - 2 * self._least(len(query)) + 1)),
            weight=weight,
            squares=squares,
        )

    def _least(self, rows):
        """How many windows of a query each track has to cover, as in `ExactSearch`."""
        return (np.minimum(rows, self.lengths) + 1) // 2

    def _placed(self, begins, rows):
        """Tracks and begins of those candidates that a track covers well enough."""
        # By the query's middle, since it may overhang either end; near an end, by either track.
        found = []
        for at in (0, rows // 2, rows - 1):
            inside = np.clip(begins + at, 0, len(self.codes) - 1)
            found.append(np.searchsorted(self.starts, inside, side="right") - 1)
        pairs = np.unique(np.stack([np.concatenate(found), np.tile(begins, 3)]), axis=1)
        track, begins = pairs
        covered = np.minimum(begins + rows, self.starts[track + 1])
        covered -= np.maximum(begins, self.starts[track])
        enough = covered >= self._least(rows)[track]
        return track[enough], begins[enough]

    def _rows(self, track, begins, rows):
        """Hashes under a query `[candidates, rows, bytes]`, and which are of the track at all."""
        index = begins[:, None] + np.arange(rows)
        inside = (index >= self.starts[track][:, None]) & (index < self.starts[track + 1][:, None])
        return self.codes[np.clip(index, 0, len(self.codes) - 1)], inside

    def _distances(self, track, begins, codes):
        """Summed Hamming distances, what overhangs counted as half: float64 `[candidates]`."""
        there, inside = self._rows(track, begins, len(codes))
        half = 4 * codes.shape[1]
        return np.where(inside, hamming(there, codes), half).sum(axis=1, dtype=np.float64)

    def _products(self, track, begins, query):
        """Inner products with a weighed query `[rows, bits]`: float64 `[candidates]`."""
        there, inside = self._rows(track, begins, len(query))
        values = signs(there)
        values[~inside] = 0
        return values.reshape(len(track), query.size) @ query.ravel()

    def _sampled(self):
        """Exact search over stretches from all over the catalogue."""
        last = max(0, len(self.codes) - STRETCH)
        begins = np.unique(np.linspace(0, last, STRETCHES).astype(np.int64))
        parts = [self.codes[begin : begin + STRETCH] for begin in begins]
        return ExactSearch(np.concatenate(parts), np.cumsum([0, *map(len, parts)]))


def _spread(queries):
    """(query, row) of the windows to look up: evenly over all that count, the queries in turn."""
    counting = []
    for number, (codes, weights) in enumerate(queries):
        rows = np.flatnonzero(np.asarray(weights).reshape(len(codes), -1).any(axis=1))
        if len(rows):
            counting.append((number, rows))
    scans = SCANS + max((len(rows) for _, rows in counting), default=0) // WINDOWS_A_SCAN
    for scan in range(scans if counting else 0):
        number, rows = counting[scan % len(counting)]
        yield number, int(rows[(2 * scan + 1) * len(rows) // (2 * scans)])
