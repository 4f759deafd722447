import importlib

import numpy as np
import pytest
from test_search import brute_force

from a2v import candidates, engines, hashing, search
from a2v.library import Library

pytest.importorskip("faiss")
from a2v.engines import faiss  # noqa: E402

BYTES = 16


def catalogue(seed, lengths):
    generator = np.random.default_rng(seed)
    codes = generator.integers(0, 256, (sum(lengths), BYTES), dtype=np.uint8)
    return codes, np.concatenate([[0], np.cumsum(lengths)])


def noisy(codes, rate, generator):
    flips = generator.random((len(codes), 8 * BYTES)) < rate
    return codes ^ np.packbits(flips, axis=1)


def test_a_query_takes_one_thread():
    package = importlib.import_module("faiss")
    package.omp_set_num_threads(2)
    faiss.FaissSearch(*catalogue(0, [10]))
    assert package.omp_get_max_threads() == 1


def test_large_libraries_are_searched_through_faiss(
    melody, write_wav, encoder_path, tmp_path, monkeypatch
):
    with Library.create(tmp_path / "l.a2v", encoder_path) as made:
        made.add(write_wav(tmp_path / "0.wav", melody(0, 10)))
        count = made.stats()["hashes"]
    for most, engine in ((count, search.ExactSearch), (count - 1, faiss.FaissSearch)):
        monkeypatch.setattr(engines, "EXACT_UP_TO", most)
        with Library.open(tmp_path / "l.a2v") as opened:
            assert type(opened._searchable()[1]) is engine


@pytest.fixture(scope="module")
def large():
    """60,000 hashes of 300 tracks."""
    return catalogue(0, [200] * 300)


@pytest.fixture(scope="module")
def engine(large):
    return faiss.FaissSearch(*large)


@pytest.mark.parametrize("rows", [1, 2, 9, 37, 400])
def test_windows_that_count_are_looked_up_once_and_evenly(rows):
    codes, counts = catalogue(0, [rows])[0], np.arange(rows) % 5 != 4
    queries = [(codes, counts), (codes[1:], counts[1:])][: min(rows, 2)]
    chosen = candidates.spread(queries)
    assert len(set(chosen)) == len(chosen)
    assert all(queries[k][1][row] for k, row in chosen)
    for k, (_, counting) in enumerate(queries):
        own, there = sorted(row for query, row in chosen if query == k), np.flatnonzero(counting)
        assert len(own) >= min(len(there), candidates.SCANS // 2)
        gaps = np.diff(np.searchsorted(there, [there[0], *own, there[-1]]))
        assert gaps.max() <= 2 * len(there) / len(own) + 1


def test_light_windows_are_not_looked_up():
    codes = catalogue(0, [9])[0]
    weights = np.full((9, 8 * BYTES), 8, np.uint8)
    weights[[0, 1, 7]] = 3
    assert {row for _, row in candidates.spread([(codes, weights)])} == {2, 3, 4, 5, 6, 8}
    weights[:] = 3
    assert len(candidates.spread([(codes, weights)])) == 9


@pytest.mark.parametrize("n", [1, 5, 17, 37])
def test_noisy_copies_are_found_where_exact_search_finds_them(n, large, engine):
    codes, starts = large
    exact, generator = search.ExactSearch(codes, starts), np.random.default_rng(n)
    same, asked = 0, 40
    for _ in range(asked):
        begin = 200 * generator.integers(300) + generator.integers(200 - n)
        query = noisy(codes[begin : begin + n], 0.25, generator)
        weights = generator.integers(1, 16, (n, 8 * BYTES), dtype=np.uint8)
        (ours,), (oracle,) = engine.search([(query, weights)]), exact.search([(query, weights)])
        track = oracle.distance.argmin()
        same += (ours.distance.argmin(), ours.position[track]) == (track, oracle.position[track])
        assert ours.distance[track] >= oracle.distance[track]
    assert same >= asked - 1 - (n == 1)


def test_phases_of_a_query_share_their_candidates(large, engine):
    codes, _ = large
    generator = np.random.default_rng(1)
    other = generator.integers(0, 256, (17, BYTES), dtype=np.uint8)
    queries = [(other, np.ones(17, bool)), (codes[230:247], np.ones(17, bool))]
    for order, place in ((queries, 1), (queries[::-1], 0)):
        found = engine.search(order)[place]
        assert (found.distance[1], found.position[1]) == (0, 30)


@pytest.mark.parametrize("seed", range(30))
def test_what_is_reported_is_true(seed):
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, 50, generator.integers(1, 12)).tolist()
    codes, starts = catalogue(seed, lengths)
    n = int(generator.integers(1, 40))
    query = generator.integers(0, 256, (n, BYTES), dtype=np.uint8)
    weights = generator.integers(0, 16, (n, 8 * BYTES), dtype=np.uint8)
    weights[generator.random(n) < 0.2] = 0
    (hits,) = faiss.FaissSearch(codes, starts).search([(query, weights)])
    tables = brute_force(codes, starts, query, weights)
    for position, distance, table in zip(hits.position, hits.distance, tables, strict=True):
        assert distance == pytest.approx(hits.mean) or distance == table[position]
    assert hits.positions == sum(map(len, tables))
    assert hits.weight == weights.sum()
    assert hits.squares == np.square(weights.astype(float)).sum()
    assert hits.windows == np.count_nonzero(weights.any(axis=1))


@pytest.mark.parametrize("overhang", [1, 9, 18])
def test_a_query_over_either_end_is_found(overhang):
    codes, starts = catalogue(2, [100, 120])
    generator = np.random.default_rng(2)
    noise = generator.integers(0, 256, (overhang, BYTES), dtype=np.uint8)
    engine = faiss.FaissSearch(codes, starts)
    for query, position in (
        (np.concatenate([noise, codes[100 : 137 - overhang]]), -overhang),
        (np.concatenate([codes[220 - 37 + overhang :], noise]), 120 - 37 + overhang),
    ):
        (hits,) = engine.search([(query, np.ones(37, bool))])
        assert (hits.position[1], hits.distance[1]) == (position, 64 * overhang)


@pytest.mark.parametrize("rows", [17, 77, 157, 237])
def test_chance_is_that_of_the_whole_catalogue(large, engine, rows):
    codes, starts = large
    query = np.random.default_rng(3).integers(0, 256, (rows, BYTES), np.uint8), np.ones(rows, bool)
    (ours,), (exact,) = engine.search([query]), search.ExactSearch(codes, starts).search([query])
    assert ours.positions == exact.positions
    assert ours.mean == pytest.approx(exact.mean, abs=0.1 * exact.deviation)
    assert ours.deviation == pytest.approx(exact.deviation, rel=0.1)
    # A stranger's best is about as good by candidates as it is anywhere.
    assert ours.distance.min() < exact.mean - 2 * exact.deviation


def test_silence_finds_nothing(engine):
    (hits,) = engine.search([(np.zeros((5, BYTES), np.uint8), np.zeros(5, bool))])
    assert hits.windows == 0
    assert engine.search([]) == []
    empty = faiss.FaissSearch(np.zeros((0, BYTES), np.uint8), [0])
    (hits,) = empty.search([(np.zeros((3, BYTES), np.uint8), np.ones(3, bool))])
    assert len(hits.position) == hits.positions == 0


@pytest.mark.parametrize("width", [4, 16, 32, 125])
@pytest.mark.parametrize("hashes", [1, 31, 33, 5000])
def test_looked_up_are_the_largest_products(width, hashes, monkeypatch):
    monkeypatch.setattr(faiss, "SCANNED", 20)
    generator = np.random.default_rng([width, hashes])
    codes = generator.integers(0, 256, (hashes, width), dtype=np.uint8)
    weighed = generator.integers(-15, 16, (3, 8 * width)).astype(np.float32)
    asked = np.zeros((3, width), np.uint8)  # of no consequence
    rows, places, products = faiss.FaissSearch(codes, [0, hashes]).nearest(asked, weighed)
    exact = weighed @ hashing.signs(codes).T
    # Tables of what four bits give are rounded to a byte.
    rounding = 2 * width * np.abs(weighed).reshape(3, -1, 4).sum(axis=-1).max() / 255
    for row, own in enumerate(exact):
        found = places[rows == row]
        assert len(set(found.tolist())) == len(found) == min(20, hashes)
        assert own[found].min() >= np.sort(own)[-len(found)] - rounding
        np.testing.assert_allclose(products[rows == row], own[found], atol=rounding)


def test_what_is_as_unlike_as_can_be_is_not_named():
    codes = np.zeros((3, 1), np.uint8)
    codes[1] = 255
    engine = faiss.FaissSearch(codes, [0, 3])
    rows, places, products = engine.nearest(np.zeros((1, 1), np.uint8), np.ones((1, 8), np.float32))
    assert set(places.tolist()) <= {0, 1, 2} and 1 in places
    assert len(rows) == len(places) == len(products)


def test_places_that_more_look_ups_speak_for_are_compared_first(large, engine, monkeypatch):
    codes, _ = large
    monkeypatch.setattr(candidates, "COMPARED", 37)
    monkeypatch.setattr(candidates, "PLACES", 1)
    query = (codes[430:467], np.ones(37, bool))
    (hits,) = engine.search([query])
    assert (hits.position[2], hits.distance[2]) == (30, 0)
    assert np.count_nonzero(hits.distance != hits.mean) == 1
