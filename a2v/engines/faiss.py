"""Candidates by `faiss.IndexPQFastScan`, one thread, for a machine's memory of hashes."""

import numpy as np

from a2v.candidates import CandidateSearch
from a2v.hashing import signs

NEEDED = {"faiss": "faiss-cpu"}
# Nearest hashes of each window looked up that are followed up.
SCANNED = 1024


def over(catalogue, *, uri):
    """See `a2v.engines`."""
    tracks, codes, starts = catalogue.read()
    return tracks, FaissSearch(codes, starts)


class FaissSearch(CandidateSearch):
    """Looks hashes up by scanning all of them, each bit counted by its weight.

    The index is of FAISS's product quantiser with four bits as one subspace, of which every value
    is a centroid: tables of what four bits give, of a byte an entry, fit the processor's registers.
    Hashes are kept exactly, products are rounded. Hashes are held twice: as given, and as the index
    lays them out.

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
        # What is as unlike as can be is left out, its place -1.
        rows, columns = np.nonzero(places >= 0)
        return rows, places[rows, columns], products[rows, columns]

    def fetched(self, places):
        return self.codes[places]


def _indexed(codes):
    import faiss

    faiss.omp_set_num_threads(1)
    bits, parts = 8 * codes.shape[1], 2 * codes.shape[1]
    plain = faiss.IndexPQ(bits, parts, 4, faiss.METRIC_INNER_PRODUCT)
    # The four low bits of the numbers from 0 to 15, most significant first, as in a hash.
    every = signs(np.arange(16, dtype=np.uint8)[:, None])[:, 4:]
    faiss.copy_array_to_vector(np.tile(every.ravel(), parts), plain.pq.centroids)
    plain.is_trained = True
    faiss.copy_array_to_vector(codes.ravel(), plain.codes)
    plain.ntotal = len(codes)
    return faiss.IndexPQFastScan(plain)


def _halves_swapped(weighed):
    """Bits as FAISS counts them, of each byte the lower four first: float32 `[n, bits]`."""
    halves = weighed.reshape(len(weighed), -1, 2, 4)
    return np.ascontiguousarray(halves[:, :, ::-1]).reshape(weighed.shape)
