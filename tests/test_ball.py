import numpy as np
import pytest

from a2v import hashing
from a2v.engines import ball
from a2v.errors import A2VError
from a2v.search import ExactSearch


@pytest.fixture(scope="module")
def codes():
    return np.random.default_rng(0).integers(0, 256, (4000, 4), dtype=np.uint8)


def engine_over(codes, tracks=40):
    return ball.BallSearch(codes, np.linspace(0, len(codes), tracks + 1).astype(int))


@pytest.mark.parametrize("varied", [10, 16, 32])
def test_nearest_are_the_smallest_ball_of_enough_hashes(codes, varied):
    codes = codes & np.array([(1 << varied) - 1], ">u4").view(np.uint8)  # fewer bits, fuller balls
    rows, places, same = engine_over(codes).nearest(codes[:6], None)
    for row, code in enumerate(codes[:6]):
        apart = hashing.hamming(np.broadcast_to(code, codes.shape), codes)
        enough = (np.sort(apart)[ball.NEIGHBOURS - 1], ball.RADIUS)
        found = places[rows == row].tolist()
        assert sorted(found) == np.flatnonzero(apart <= min(enough)).tolist()
        np.testing.assert_array_equal(same[rows == row], 32 - 2 * apart[places[rows == row]])


def test_equal_hashes_are_all_found(codes):
    repeated = np.concatenate([codes, codes[:1], codes[:1]])
    _, places, _ = engine_over(repeated).nearest(codes[:1], None)
    assert {0, 4000, 4001} <= set(places.tolist())


def test_noisy_copies_are_found_where_exact_search_finds_them(codes):
    generator = np.random.default_rng(1)
    engine = engine_over(codes)
    exact = ExactSearch(codes, engine.starts)
    same = 0
    for _ in range(40):
        begin = 100 * generator.integers(40) + generator.integers(80)
        flips = np.packbits(generator.random((20, 32)) < 0.1, axis=1)
        query = codes[begin : begin + 20] ^ flips
        weights = generator.integers(1, 16, (20, 32), dtype=np.uint8)
        (ours,), (oracle,) = (each.search([(query, weights)]) for each in (engine, exact))
        track = oracle.distance.argmin()
        same += (ours.distance.argmin(), ours.position[track]) == (track, oracle.position[track])
        assert ours.distance[track] >= oracle.distance[track]
    assert same >= 39


def test_a_code_without_neighbours_has_no_candidate():
    engine = engine_over(np.zeros((8, 4), np.uint8), tracks=2)
    rows, places, _ = engine.nearest(np.full((1, 4), 255, np.uint8), None)
    assert (len(rows), len(places)) == (0, 0)
    query = np.full((3, 4), 255, np.uint8), np.ones(3, bool)
    (hits,) = engine.search([query])
    assert np.array_equal(hits.distance, [hits.mean] * 2)


def test_hashes_of_other_widths_are_refused(encoder_path, melody, write_wav, tmp_path):
    from a2v.library import Library

    with Library.create(tmp_path / "l.a2v", encoder_path) as library:
        library.add(write_wav(tmp_path / "a.wav", melody(0, 5)))
    with (
        Library.open(tmp_path / "l.a2v", engine="ball") as library,
        pytest.raises(A2VError, match="l.a2v: hashes of 64 bits; engine ball takes"),
    ):
        library.identify(melody(0, 5))
