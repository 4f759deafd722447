"""Power spectra by products of matrices: what LiteRT computes three times as fast as its own FFT.

LiteRT's transform is in double precision, a frame at a time. Split as Cooley and Tukey split it,
once, a spectrum is two products with constant matrices for all frames of a block together. It takes
many more multiplications and a table of 280 kB for 1,024 points; longer transforms would take
tables of megabytes.

Reference:
    J. W. Cooley, J. W. Tukey, "An algorithm for the machine calculation of complex Fourier series",
    Mathematics of Computation 19, 1965.
"""

import numpy as np
from keras import ops


class Spectrum:
    """The transform of real frames of `rows * columns` samples.

    Sample `n = columns a + b`, bin `k = k1 + rows k2`: first over a, for k1 up to `rows / 2`, then
    over b. What is left out are complex conjugates of what is not.

    Args:
        rows, columns: int, even.
        nothing: float or scalar tensor, 0, added to the tables, see `conversion.front`.

    Attributes:
        bins: int `[(rows / 2 + 1) * columns]`, the bin of each value that `power` gives; bins
            between 0 and half the sampling rate come once or twice.
    """

    def __init__(self, rows, columns, *, nothing=0.0):
        self._shape, size = (rows, columns), rows * columns
        a, b, k1, k2 = (np.arange(n) for n in (rows, columns, rows // 2 + 1, columns))
        turned = np.exp(-2j * np.pi * np.outer(k1, a) / rows)
        first = np.concatenate([turned.real, turned.imag])  # [2 k1, a]
        k = k1[:, None] + rows * k2
        turned = np.exp(-2j * np.pi * b[None, :, None] * k[:, None] / size)  # [k1, b, k2]
        parts = [[turned.real, turned.imag], [-turned.imag, turned.real]]
        second = np.block(parts)  # [k1, 2 b, 2 k2]
        self._tables = [np.float32(table) + nothing for table in (first, second)]
        self.bins = np.minimum(k, size - k).ravel()

    def power(self, frames):
        """Power of float32 `[frames, rows * columns]`, in the order of `bins`."""
        (rows, columns), count = self._shape, ops.shape(frames)[0]
        parts = rows // 2 + 1
        square = ops.reshape(frames, (count, rows, columns))
        first = ops.reshape(ops.matmul(self._tables[0][None], square), (count, 2, parts, columns))
        first = ops.reshape(ops.transpose(first, (2, 0, 1, 3)), (parts, count, 2 * columns))
        both = ops.square(ops.matmul(first, self._tables[1]))
        power = ops.transpose(both[..., :columns] + both[..., columns:], (1, 0, 2))
        return ops.reshape(power, (count, parts * columns))

    def spread(self, filters):
        """Filters of bins, float `[bins, d]`, as those of what `power` gives: each bin once."""
        _, first = np.unique(self.bins, return_index=True)
        spread = np.zeros((len(self.bins), filters.shape[1]), filters.dtype)
        spread[first] = filters
        return spread
