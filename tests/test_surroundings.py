import numpy as np
import pytest

from a2v import surroundings


@pytest.mark.parametrize("make", [surroundings.simulated_noises, surroundings.coloured_noises])
def test_made_up_noises_have_one_level(make):
    noises = make(np.random.default_rng(0), count=8)
    assert noises.shape == (8, surroundings.NOISE_SAMPLES)
    np.testing.assert_allclose(np.square(noises).mean(axis=1), 1, rtol=1e-3)


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
