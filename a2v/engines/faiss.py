"""Candidates by `faiss.IndexBinaryFlat`, one thread, for a machine's memory of hashes."""

import numpy as np

from a2v.candidates import NEIGHBOURS, CandidateSearch

NEEDED = {"faiss": "faiss-cpu"}


def over(catalogue, *, model_id, uri):
    """See `a2v.engines`."""
    tracks, codes, starts = catalogue.read(allocated)
    return tracks, FaissSearch(codes, starts)


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


class FaissSearch(CandidateSearch):
    """Looks hashes up by scanning all of them.

    Args:
        codes: uint8 `[n, bytes]`: copied, unless `allocated` made it.
        starts: int `[tracks + 1]`, as for `ExactSearch`.
    """

    def __init__(self, codes, starts):
        super().__init__(starts)
        if not isinstance(codes, Storage):
            given, codes = codes, allocated(*codes.shape)
            codes[:] = given
        self.codes, self._index = codes.view(np.ndarray), codes.index
        self._index.ntotal = len(codes)

    def nearest(self, codes):
        near = min(NEIGHBOURS, len(self.codes))
        apart, places = self._index.search(codes, near)
        return np.repeat(np.arange(len(codes)), near), places.ravel(), apart.ravel()

    def fetched(self, places):
        return self.codes[places]
