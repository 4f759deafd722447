import numpy as np
import pytest
import scipy.signal
from keras import ops

from a2v import degrade
from a2v.audio import SAMPLE_RATE

N = 16000
FFT = 32768
ROOM = 0.02 * np.exp(-np.arange(8000) / 800.0)
ROOM *= np.random.default_rng(3).standard_normal(8000)
ROOM[0] = 1.0  # the direct sound


@pytest.fixture
def music():
    """Two different noises with the spectrum of music: float32 `[2, 16000]`."""
    white = np.random.default_rng(0).standard_normal((2, N))
    return scipy.signal.lfilter([0.05], [1, -0.95], white).astype(np.float32)


@pytest.fixture
def noise():
    return np.random.default_rng(1).standard_normal((2, N)).astype(np.float32)


def level_db(waveform):
    return 10 * np.log10(np.mean(np.square(waveform, dtype=np.float64), axis=-1))


def lag(got, original):
    """Samples by which `got` comes late: the peak of the cross-correlation."""
    found = scipy.signal.correlate(got, original)
    return int(np.argmax(found)) - (len(original) - 1)


def spectrum(impulse):
    return ops.rfft(np.asarray(impulse, np.float32), fft_length=FFT)


DEGRADATIONS = {
    "noise": lambda x: degrade.add_noise(x, np.roll(x[::-1], 99, axis=-1), snr_db=0.0),
    "gain": lambda x: degrade.gain(x, gain_db=-20.0),
    "clip": lambda x: degrade.clip(x, drive_db=12.0),
    "band": lambda x: degrade.filtered(
        x,
        spectrum=(degrade.band_response(300.0, 3400.0, FFT // 2 + 1), np.zeros(FFT // 2 + 1)),
        fft_length=FFT,
    ),
    "room": lambda x: degrade.filtered(x, spectrum=spectrum(ROOM), fft_length=FFT),
    "read_at": lambda x: degrade.read_at(x, np.tile(np.arange(N, dtype=np.float32), (2, 1))),
}


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_degradation_adds_no_delay(name, music):
    got = np.asarray(DEGRADATIONS[name](music))
    assert got.shape == music.shape
    assert [lag(*both) for both in zip(got, music, strict=True)] == [0, 0]


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_degradation_takes_each_example_alone(name, music):
    if name == "noise":  # which this suite takes from the neighbour
        return
    together = np.asarray(DEGRADATIONS[name](music))
    alone = np.asarray(DEGRADATIONS[name](np.stack([music[0], 7 * music[0]])))
    np.testing.assert_allclose(alone[0], together[0], atol=1e-5)


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_silence_stays_silent(name):
    silence = np.zeros((2, N), np.float32)
    np.testing.assert_array_equal(DEGRADATIONS[name](silence), silence)


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 10.0, 30.0])
def test_measured_snr_is_the_asked_one(snr_db, music, noise):
    got = np.asarray(degrade.add_noise(music, 3 * noise, snr_db=snr_db))
    measured = level_db(music) - level_db(got - music)
    np.testing.assert_allclose(measured, snr_db, atol=0.1)


def test_snr_may_differ_from_example_to_example_and_count_a_part_only(music, noise):
    asked = np.array([[0.0], [20.0]], np.float32)
    part = music[:, : N // 4]
    got = np.asarray(degrade.add_noise(music, noise, snr_db=asked, reference=part))
    measured = level_db(part) - level_db(got - music)
    np.testing.assert_allclose(measured, asked[:, 0], atol=0.1)


def test_silent_noise_adds_nothing(music):
    np.testing.assert_array_equal(degrade.add_noise(music, 0 * music, snr_db=0.0), music)


@pytest.mark.parametrize("gain_db", [-20.0, 0.0, 6.0])
def test_gain_changes_the_level_by_what_was_asked(gain_db, music):
    got = np.asarray(degrade.gain(music, gain_db=gain_db))
    np.testing.assert_allclose(level_db(got) - level_db(music), gain_db, atol=1e-3)


def test_clipping_cuts_the_peaks_and_nothing_else(music):
    got = np.asarray(degrade.clip(music, drive_db=12.0))
    peak, limit = np.abs(music).max(axis=1), np.abs(got).max(axis=1)
    np.testing.assert_allclose(20 * np.log10(peak / limit), 12.0, atol=1e-3)
    below = np.abs(music) < limit[:, None]
    np.testing.assert_array_equal(got[below], music[below])
    np.testing.assert_array_equal(degrade.clip(music, drive_db=0.0), music)


@pytest.mark.parametrize(("low_hz", "high_hz"), [(300.0, 3400.0), (50.0, 7000.0)])
def test_band_falls_by_3_db_at_its_edges(low_hz, high_hz):
    n_bins = FFT // 2 + 1
    response = 20 * np.log10(np.asarray(degrade.band_response(low_hz, high_hz, n_bins)))

    def at(hz):
        return response[round(hz / (SAMPLE_RATE / 2) * (n_bins - 1))]

    assert at(low_hz) == pytest.approx(-3.01, abs=0.1)
    assert at(high_hz) == pytest.approx(-3.01, abs=0.1)
    assert at((low_hz * high_hz) ** 0.5) == pytest.approx(0, abs=0.01)
    assert at(low_hz / 2) < -20
    assert at(min(2 * high_hz, 8000.0)) < at(high_hz)


def test_unit_impulse_is_a_room_that_changes_nothing(music):
    got = degrade.filtered(music, spectrum=spectrum(np.eye(1, 16000)[0]), fft_length=FFT)
    np.testing.assert_allclose(got, music, atol=1e-5)


def test_room_is_the_convolution_with_its_impulse_response(music):
    impulse = np.exp(-np.arange(4000) / 500.0) * np.random.default_rng(2).standard_normal(4000)
    got = degrade.filtered(music, spectrum=spectrum(impulse), fft_length=FFT)
    expected = scipy.signal.fftconvolve(music, impulse[None], axes=1)[:, :N]
    np.testing.assert_allclose(got, expected, atol=1e-4 * np.abs(expected).max())


def test_reading_at_whole_samples_gives_them(music):
    everywhere = np.tile(np.arange(N, dtype=np.float32), (2, 1))
    np.testing.assert_array_equal(degrade.read_at(music, everywhere), music)


def test_reading_between_samples_joins_them_by_a_line():
    ramp = np.arange(100, dtype=np.float32)[None] * 3
    at = np.array([[0.25, 41.5, 98.75, 99.0]], np.float32)
    np.testing.assert_allclose(degrade.read_at(ramp, at), 3 * at, rtol=1e-6)


def test_reading_outside_gives_the_outermost_sample():
    ramp = np.arange(100, dtype=np.float32)[None]
    at = np.array([[-7.5, -0.1, 99.1, 1e6]], np.float32)
    np.testing.assert_array_equal(degrade.read_at(ramp, at), [[0, 0, 99, 99]])
