import numpy as np
import pytest

from a2v import surroundings


@pytest.mark.parametrize(
    "make",
    [
        surroundings.simulated_noises,
        surroundings.coloured_noises,
        surroundings.pitched_noises,
        surroundings.rough_noises,
    ],
)
def test_made_up_noises_have_one_level(make):
    noises = make(np.random.default_rng(0), count=8)
    assert noises.shape == (8, surroundings.NOISE_SAMPLES)
    np.testing.assert_allclose(np.square(noises).mean(axis=1), 1, rtol=1e-3)


def test_pitched_noises_have_partials():
    def flatness(noises):  # of 25 ms frames: about 0.5 where all bins are alike
        frames = noises.reshape(len(noises), -1, 400) * np.hanning(400)
        power = np.abs(np.fft.rfft(frames)) ** 2 + 1e-12
        flat = np.exp(np.log(power).mean(axis=-1)) / power.mean(axis=-1)
        return np.median(flat, axis=-1)

    pitched = surroundings.pitched_noises(np.random.default_rng(0), count=32)
    white = surroundings.coloured_noises(np.random.default_rng(0), count=2)[:1]
    assert np.mean(flatness(pitched) < flatness(white) / 3) > 0.8
    again = surroundings.pitched_noises(np.random.default_rng(0), count=32)
    np.testing.assert_array_equal(pitched, again)


def test_rough_noises_are_steady_pulse_or_crackle_and_have_no_partials():
    def unlike_neighbours(noises):  # of the long-term spectrum, in dB
        frames = noises.reshape(len(noises), -1, 800) * np.hanning(800)
        power = (np.abs(np.fft.rfft(frames)) ** 2).mean(axis=1)[:, 4:-4]
        return np.abs(np.diff(10 * np.log10(power))).max(axis=1)

    rough = surroundings.rough_noises(np.random.default_rng(0), count=64)
    pitched = surroundings.pitched_noises(np.random.default_rng(0), count=64)
    assert np.median(unlike_neighbours(rough)) < np.median(unlike_neighbours(pitched)) / 2
    levels = np.sqrt(np.square(rough.reshape(64, -1, 80)).mean(axis=2))  # of 5 ms each
    spread = levels.std(axis=1) / levels.mean(axis=1)
    assert 0.15 < np.mean(spread < 0.25) < 0.55
    assert 0.15 < np.mean(spread > 0.6)
    again = surroundings.rough_noises(np.random.default_rng(0), count=64)
    np.testing.assert_array_equal(rough, again)


def test_varied_noises_are_the_noises_and_others():
    tone = np.sin(2 * np.pi * 1000 * np.arange(surroundings.NOISE_SAMPLES) / 16000) * np.sqrt(2)
    noises = surroundings.varied(tone[None].astype(np.float32), np.random.default_rng(0), copies=8)
    assert noises.shape == (9, surroundings.NOISE_SAMPLES)
    np.testing.assert_allclose(noises[0], tone, atol=1e-6)
    np.testing.assert_allclose(np.square(noises).mean(axis=1), 1, rtol=1e-3)
    hz = np.abs(np.fft.rfft(noises)).argmax(axis=1) * 16000 / surroundings.NOISE_SAMPLES
    assert 500 <= hz.min() < 900 < 1400 < hz.max() <= 2000


def test_made_up_rooms_begin_with_the_direct_sound():
    rooms = surroundings.simulated_rooms(np.random.default_rng(0), count=8)
    assert rooms.shape == (8, surroundings.ROOM_SAMPLES)
    np.testing.assert_array_equal(np.abs(rooms).argmax(axis=1), 0)
    np.testing.assert_array_equal(rooms[:, 0], 1)


def test_recorded_rooms_begin_with_the_direct_sound(write_wav, tmp_path):
    impulse = np.zeros(3000, np.float32)
    impulse[500], impulse[600] = -0.8, 0.4
    (room,) = surroundings.recorded_rooms([write_wav(tmp_path / "room.wav", impulse)])
    assert room[0] == 1
    assert room[100] == pytest.approx(-0.5, abs=1e-3)
    assert len(room) == surroundings.ROOM_SAMPLES
