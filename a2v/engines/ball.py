"""Semantic hashing: a hash of 32 bits is an address, and what is alike lies in the ball around it.

Reference: R. Salakhutdinov, G. Hinton, "Semantic hashing", International Journal of Approximate
Reasoning 50, 2009.
"""

from functools import cache
from itertools import combinations

import numpy as np

from a2v import hashing
from a2v.candidates import NEIGHBOURS, CandidateSearch
from a2v.store import LibraryError

N_BITS = 32
# The ball grows until so many hashes lie in it, or to this radius, in bits: 41,449 addresses.
RADIUS = 4


def over(catalogue, *, uri):
    """See `a2v.engines`."""
    if 8 * catalogue.width != N_BITS:
        raise LibraryError(
            f"{catalogue.path}: hashes of {8 * catalogue.width} bits; engine ball takes those of "
            f"{N_BITS}, as of semantic32; use another engine"
        )
    tracks, codes, starts = catalogue.read()
    return tracks, BallSearch(codes, starts)


class BallSearch(CandidateSearch):
    """Looks hashes up in a table by their value, then by all values near it.

    Args:
        codes: uint8 `[n, 4]`.
        starts: int `[tracks + 1]`, as for `ExactSearch`.
    """

    def __init__(self, codes, starts):
        super().__init__(starts)
        self.codes = np.ascontiguousarray(codes, np.uint8)
        addresses = _addresses(self.codes)
        self._places = np.argsort(addresses, kind="stable")
        self._table, self._begins = np.unique(addresses[self._places], return_index=True)
        self._begins = np.append(self._begins, len(addresses))

    def nearest(self, codes, weighed):
        found = [self._around(address) for address in _addresses(codes)]
        rows = np.repeat(np.arange(len(codes)), [len(places) for places in found])
        places = np.concatenate(found)
        return rows, places, N_BITS - 2 * hashing.hamming(codes[rows], self.codes[places])

    def fetched(self, places):
        return self.codes[places]

    def _around(self, address):
        """Places of the hashes nearest to an address, and of all others as near: int64 `[m]`."""
        places = []
        for radius in range(RADIUS + 1):
            asked = address ^ _shell(radius)
            at = np.searchsorted(self._table, asked)
            there = at[np.take(self._table, at, mode="clip") == asked]
            places += [self._places[self._begins[k] : self._begins[k + 1]] for k in there]
            if sum(map(len, places)) >= NEIGHBOURS:
                break
        return np.concatenate([self._places[:0], *places])


def _addresses(codes):
    """Hashes as numbers: uint8 `[n, 4]` to uint32 `[n]`."""
    return np.ascontiguousarray(codes).view(">u4")[:, 0].astype(np.uint32)


@cache
def _shell(radius):
    """All numbers of so many set bits: uint32 `[m]`."""
    bits = 1 << np.arange(N_BITS, dtype=np.uint32)
    return np.array([sum(chosen) for chosen in combinations(bits.tolist(), radius)], np.uint32)
