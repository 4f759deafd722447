import numpy as np
import pytest

from a2v.spectrum import Spectrum


@pytest.mark.parametrize("rows, columns", [(32, 32), (8, 16), (16, 8), (4, 2)])
def test_power_is_that_of_the_fourier_transform(rows, columns):
    spectrum, size = Spectrum(rows, columns), rows * columns
    frames = np.float32(np.random.default_rng(0).normal(size=(5, size)))
    expected = np.square(np.abs(np.fft.rfft(np.float64(frames))))
    found = np.asarray(spectrum.power(frames))
    assert set(spectrum.bins) == set(range(size // 2 + 1))
    np.testing.assert_allclose(found, expected[:, spectrum.bins], atol=1e-6 * expected.max())


def test_spread_filters_count_each_bin_once():
    spectrum = Spectrum(16, 8)
    filters = np.random.default_rng(0).normal(size=(65, 3))
    power = np.random.default_rng(1).normal(size=(4, 65))
    spread = spectrum.spread(filters)
    np.testing.assert_allclose(power[:, spectrum.bins] @ spread, power @ filters)
