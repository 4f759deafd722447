"""What tells a clip's hashes from unrelated ones, where bits and windows depend on each other."""

import io
import math

import numpy as np

from a2v import hashing

# Windows that are weighed together, at most; a longer clip is weighed in pieces.
LAGS = 64


class Discriminant:
    """Weighs a clip's bits given all others.

    Unrelated hashes agree with a clip by chance, the more so where bits repeat each other and music
    goes on as it was. Of all sums of weighed bits, that by the expected bits times the inverse of
    the covariance of unrelated hashes lies the farthest above what these reach, in their standard
    deviations. The covariance of bits i and j, some windows apart, is taken to be that of common
    directions which do not depend on each other, each with its own covariance over time.

    Args:
        directions: float `[bits, bits]`, orthonormal columns.
        covariance: float `[lags, bits]`, of each direction's values so many windows apart.
        shrinkage: float, above 0, variance that is added to every value's own: the less it varies
            over music, the more noise there is in it.

    Reference: R. A. Fisher, "The use of multiple measurements in taxonomic problems", 1936.
    """

    def __init__(self, directions, covariance, shrinkage):
        self.directions = np.asarray(directions, np.float32)
        self.covariance = np.asarray(covariance, np.float32)
        self.shrinkage = float(shrinkage)
        self._inverses = {}  # by how many windows

    @classmethod
    def learnt(cls, recordings, shrinkage):
        """Learns it from much unrelated music: music whose like is missing is told apart the worse.

        Args:
            recordings: list of (codes uint8 `[n, bytes]`, audible bool `[n]`).
            shrinkage: float, as above.
        """
        codes = np.concatenate([codes[audible] for codes, audible in recordings])
        values = hashing.signs(codes).astype(np.float64)
        mean = values.mean(axis=0)
        _, directions = np.linalg.eigh(np.cov(values.T))
        sums = np.zeros((LAGS, len(mean)))
        for codes, audible in recordings:
            turned = (hashing.signs(codes) - mean) * audible[:, None] @ directions
            for lag in range(min(LAGS, len(codes))):
                sums[lag] += (turned[lag:] * turned[: len(turned) - lag]).sum(axis=0)
        # Divided by all windows, not by how many are so far apart: no variance is below 0 then.
        return cls(directions, sums / len(values), shrinkage)

    @classmethod
    def read(cls, data):
        """Reads what `saved` gives."""
        with np.load(io.BytesIO(data)) as arrays:
            return cls(*(arrays[name] for name in ("directions", "covariance", "shrinkage")))

    def saved(self):
        """Half precision: bytes, the same for the same values."""
        file = io.BytesIO()
        half = {n: getattr(self, n).astype(np.float16) for n in ("directions", "covariance")}
        np.savez(file, **half, shrinkage=self.shrinkage)
        return file.getvalue()

    def told(self, embedding, shares=1.0):
        """What each bit of a clip tells of a hash, given the others.

        Args:
            embedding: float `[windows, ..., bits]`, one after the other, of several beginnings
                where there are more axes, 0 in windows that are to be left out.
            shares: float, or `[windows, ..., 1]`, above 0, how sure a window is.

        Returns:
            float32, as `embedding`, 0 in the same windows.
        """
        expected = np.tanh(np.asarray(embedding, np.float32))
        expected *= np.asarray(shares, np.float32)
        turned = expected @ self.directions
        pieces = np.array_split(turned, -(-len(turned) // len(self.covariance)) or 1)
        told = np.concatenate([self._given(piece) for piece in pieces]) @ self.directions.T
        return told * expected.any(axis=-1, keepdims=True)

    def _given(self, turned):
        """Values of directions times the inverse of their covariance over time."""
        rows, *beginnings, bits = turned.shape
        flat = np.moveaxis(turned, -1, 0).reshape(bits, rows, math.prod(beginnings))
        if rows not in self._inverses:
            self._inverses[rows] = self._inverted(rows)
        return np.moveaxis(self._inverses[rows] @ flat, 0, -1).reshape(turned.shape)

    def _inverted(self, rows):
        """The inverse of the covariance of so many windows: float32 `[bits, rows, rows]`."""
        lags = np.abs(np.subtract.outer(np.arange(rows), np.arange(rows)))
        covariance = self.covariance.T.astype(np.float64)[:, lags]
        return np.linalg.inv(covariance + self.shrinkage * np.eye(rows)).astype(np.float32)
