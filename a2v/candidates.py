"""Search for large catalogues: an index names places worth looking at, which are compared whole.

Only some windows of a query are looked up among all hashes, each at its own place and from another
beginning, since a scan of all of them is what takes the time. Wherever one of their nearest hashes
says that the query may begin, the query is laid over the track and compared in all its windows.
"""

import numpy as np

from a2v.hashing import products
from a2v.search import ExactSearch, Hits, no_hits, weighed

# So many windows of a query are looked up, one more for each so many of its windows; none that
# weighs less than this part of the heaviest, such as those that hang over a clip's ends.
SCANS, WINDOWS_A_SCAN, HEAVY = 8, 4, 0.5
# Nearest hashes of each that are followed up, by engines without a reason for another number.
NEIGHBOURS = 128
# Another beginning of the same sound may lie on the hash before or after, a little less likely.
_AROUND = (0.9, 1.0, 0.9)
# So many windows are compared with each query, at its likeliest places; at least so many places,
# since the best of those that are not the answer tell what chance is.
COMPARED, PLACES = 1 << 16, 512
# Parts of tracks that tell what chance reaches: of so many hashes, and of so many times those of
# the query, where tracks are as long. Over an end a query meets less, and varies less.
STRETCHES, STRETCH, SPANS = 32, 128, 4


class CandidateSearch:
    """Candidates, rescored; the interface of `search.ExactSearch`. Subclasses name and read hashes.

    What it reports of a track is true of the place that it names, but the best place, and tracks
    of no candidate, can be missed: these are given the distance that chance has on average. Mean
    and deviation are those of a sample.

    Args:
        starts: int `[tracks + 1]`, as for `ExactSearch`.
    """

    # Places that are followed up, at most; as `COMPARED` and `PLACES` say where `None`.
    followed = None

    def __init__(self, starts):
        self.starts = np.asarray(starts, np.int64)
        self.lengths = np.diff(self.starts)
        self._samples = {}

    def nearest(self, codes, weighed):
        """Looks hashes up.

        Args:
            codes: uint8 `[n, bytes]`; weighed: float32 `[n, bits]`, their bits as -1 and +1 times
                their weights, for engines that can look up by them.

        Returns:
            (row, place, product): int64 `[m]` twice, which hash is like which of the catalogue;
            float or int `[m]`, how alike they are: their inner product, weighed where the engine
            weighs, and possibly rounded.
        """
        raise NotImplementedError

    def fetched(self, places):
        """Reads hashes of the catalogue: places, int64 `[...]`, to uint8 `[..., bytes]`."""
        raise NotImplementedError

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
        begins = self._candidates(queries, [query for query, *_ in prepared])
        chance = self._sampled(max(len(codes) for codes, _ in queries)).search(queries)
        return [
            self._hits(begins, query, totals, null)
            for (query, *totals), null in zip(prepared, chance, strict=True)
        ]

    def _candidates(self, queries, values):
        """Where in the catalogue a query may begin: int64 `[candidates]`, likeliest first."""
        looked_up = spread(queries)
        if not looked_up:
            return np.zeros(0, np.int64)
        rows = np.array([row for _, row in looked_up])
        codes = np.stack([queries[k][0][row] for k, row in looked_up])
        asked = np.stack([values[k][row] for k, row in looked_up])
        scan, places, product = self.nearest(codes, asked)
        around = (places - rows[scan])[:, None] + np.array([-1, 0, 1])
        begins, member = np.unique(around, return_inverse=True)
        likely = np.bincount(member.ravel(), np.outer(product, _AROUND).ravel(), len(begins))
        return begins[np.argsort(-likely, kind="stable")]

    def _hits(self, begins, query, totals, null):
        """Compares one query at the likeliest candidates."""
        windows, weight, squares = totals
        begins = np.sort(begins[: self.followed or max(PLACES, COMPARED // len(query))])
        track, begins = self._placed(begins, len(query))
        alike = self._compared(track, begins, query)
        position = np.zeros(len(self.lengths), np.int64)
        distance = np.full(len(self.lengths), null.mean)
        # The last of a track that is written stays: the best, of equals the first.
        order = np.lexsort((-begins, alike))
        position[track[order]] = (begins - self.starts[track])[order]
        distance[track[order]] = (weight - alike[order]) / 2
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
            inside = np.clip(begins + at, 0, self.starts[-1] - 1)
            found.append(np.searchsorted(self.starts, inside, side="right") - 1)
        pairs = np.unique(np.stack([np.concatenate(found), np.tile(begins, 3)]), axis=1)
        track, begins = pairs
        covered = np.minimum(begins + rows, self.starts[track + 1])
        covered -= np.maximum(begins, self.starts[track])
        enough = covered >= self._least(rows)[track]
        return track[enough], begins[enough]

    def _compared(self, track, begins, query):
        """Inner products with a weighed query, laid over tracks: float64 `[candidates]`."""
        places = begins[:, None] + np.arange(len(query))
        inside = (places >= self.starts[track][:, None]) & (
            places < self.starts[track + 1][:, None]
        )
        there = self.fetched(np.clip(places, 0, self.starts[-1] - 1))
        return (products(there, query) * inside).sum(axis=1, dtype=np.float64)

    def _sampled(self, rows):
        """Exact search over stretches from all over the catalogue, for queries of so many rows."""
        long = STRETCH
        while long < SPANS * rows:
            long *= 2
        if long not in self._samples:
            parts = [np.arange(*ends) for ends in self._stretches(long)]
            codes = self.fetched(np.concatenate(parts))
            self._samples[long] = ExactSearch(codes, np.cumsum([0, *map(len, parts)]))
        return self._samples[long]

    def _stretches(self, long):
        """Begins and ends of parts of tracks, of whole ones that are no longer: int64 `[n, 2]`."""
        places = np.linspace(0, self.starts[-1] - 1, STRETCHES).astype(np.int64)
        track = np.searchsorted(self.starts, places, side="right") - 1
        begins = np.maximum(self.starts[track], np.minimum(places, self.starts[track + 1] - long))
        ends = np.minimum(self.starts[track + 1], begins + long)
        return np.unique(np.stack([begins, ends], axis=1), axis=0)


def spread(queries):
    """Which windows are looked up: list of (query, row).

    They lie evenly over all that are heavy enough, the queries in turn; of a clip of 1 s that is
    every such one.
    """
    return list(dict.fromkeys(_spread(queries)))


def _spread(queries):
    heavy = [
        np.asarray(weights).reshape(len(codes), -1).sum(axis=1, dtype=np.int64)
        for codes, weights in queries
    ]
    least = max(1.0, HEAVY * max((sums.max() for sums in heavy), default=0))
    counting = [(number, np.flatnonzero(sums >= least)) for number, sums in enumerate(heavy)]
    counting = [(number, rows) for number, rows in counting if len(rows)]
    scans = SCANS + max((len(rows) for _, rows in counting), default=0) // WINDOWS_A_SCAN
    for scan in range(scans if counting else 0):
        number, rows = counting[scan % len(counting)]
        yield number, int(rows[(2 * scan + 1) * len(rows) // (2 * scans)])
