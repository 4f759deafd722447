"""Candidates by `faiss.IndexPQFastScan`, one thread, for a machine's memory of hashes."""

import numpy as np

from a2v.candidates import SCANNED, CandidateSearch
from a2v.hashing import signs

NEEDED = {"faiss": "faiss-cpu"}
# Hashes that are put into the index at once; others of them are copied meanwhile.
_AT_ONCE = 1 << 20


def over(catalogue, *, model_id, uri):
    """See `a2v.engines`."""
    tracks, codes, starts = catalogue.read()
    return tracks, FaissSearch(codes, starts)


class FaissSearch(CandidateSearch):
    """Looks hashes up by scanning all of them, each bit counted by its weight.

    The index is of FAISS's product quantiser with four bits as one subspace, of which every value
    is a centroid: nothing is lost, and tables of what four bits give fit the processor's registers.
    It lays hashes out for that, so that they are held twice, here one after the other.

    Args:
        codes: uint8 `[n, bytes]`.
        starts: int `[tracks + 1]`, as for `ExactSearch`.

    Reference: F. Andre, A.-M. Kermarrec, N. Le Scouarnec, "Cache locality is not enough", VLDB 9,
    2015.
    """

    def __init__(self, codes, starts):
        super().__init__(starts)
        self.codes = np.ascontiguousarray(codes, np.uint8)
        self._index = _indexed(self.codes)

    def nearest(self, codes, weighed):
        near = min(SCANNED, len(self.codes))
        products, places = self._index.search(_halves_swapped(weighed), near)
        return np.repeat(np.arange(len(codes)), near), places.ravel(), products.ravel()

    def fetched(self, places):
        return self.codes[places]


def _indexed(codes):
    import faiss

    faiss.omp_set_num_threads(1)
    index = None
    for first in range(0, max(len(codes), 1), _AT_ONCE):
        some = codes[first : first + _AT_ONCE]
        plain = faiss.IndexPQ(8 * some.shape[1], 2 * some.shape[1], 4, faiss.METRIC_INNER_PRODUCT)
        # The four low bits of a number from 0 to 15, most significant first, as in a hash.
        every = signs(np.arange(16, dtype=np.uint8)[:, None])[:, 4:]
        faiss.copy_array_to_vector(np.tile(every.ravel(), 2 * some.shape[1]), plain.pq.centroids)
        plain.is_trained = True
        faiss.copy_array_to_vector(some.ravel(), plain.codes)
        plain.ntotal = len(some)
        part = faiss.IndexPQFastScan(plain)
        if index is None:
            index = part
        else:
            index.merge_from(part)
    return index


def _halves_swapped(weighed):
    """Bits as FAISS counts them, of each byte the lower four first: float32 `[n, bits]`."""
    halves = weighed.reshape(len(weighed), -1, 2, 4)
    return np.ascontiguousarray(halves[:, :, ::-1]).reshape(weighed.shape)
