import tracemalloc

import numpy as np
import pytest

from a2v import search
from a2v.hashing import unpack


def catalogue(generator, lengths, n_bytes=8):
    codes = generator.integers(0, 256, (sum(lengths), n_bytes), dtype=np.uint8)
    return codes, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def brute_force(codes, starts, query, weights):
    """Distances by position for every track, window by window."""
    bits = 8 * codes.shape[1]
    weights = np.broadcast_to(np.asarray(weights, int).T, (bits, len(query))).T
    tables = []
    for start, end in zip(starts[:-1], starts[1:], strict=True):
        track = codes[start:end]
        covered = (min(len(query), len(track)) + 1) // 2
        distances = {}
        for position in range(covered - len(query), len(track) - covered + 1):
            total = 0.0
            for index, weight in enumerate(weights):
                if 0 <= position + index < len(track):
                    total += weight @ (unpack(query[index]) != unpack(track[position + index]))
                else:
                    total += weight.sum() / 2
            distances[position] = total
        tables.append(distances)
    return tables


def assert_equal(hits, tables, audible):
    for track, distances in enumerate(tables):
        least = min(distances.values())
        assert hits.distance[track] == least
        assert hits.position[track] == min(p for p, d in distances.items() if d == least)
    everything = [d for distances in tables for d in distances.values()]
    assert hits.positions == len(everything)
    assert hits.windows == np.count_nonzero(np.reshape(audible, (len(audible), -1)).any(axis=1))
    assert hits.mean == pytest.approx(np.mean(everything))
    assert hits.deviation == pytest.approx(np.std(everything), abs=1e-6)


LENGTHS = {
    "longer than the query": [30, 41, 25],
    "shorter than the query": [3, 1, 7],
    "mixed": [60, 1, 12, 2, 13, 200, 11, 5],
    "one track": [40],
    "one track of one hash": [1],
}


@pytest.mark.parametrize("chunk", [5, 17, 4096])
@pytest.mark.parametrize("n", [1, 2, 12, 13])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_search_equals_brute_force(monkeypatch, lengths, n, chunk):
    monkeypatch.setattr(search, "_POSITIONS", chunk)
    monkeypatch.setattr(search, "_QUERY_ROWS", 5)
    generator = np.random.default_rng(n * 1000 + chunk)
    codes, starts = catalogue(generator, lengths)
    query = generator.integers(0, 256, (n, 8), dtype=np.uint8)
    audible = np.ones(n, bool)
    (hits,) = search.ExactSearch(codes, starts).search([(query, audible)])
    assert_equal(hits, brute_force(codes, starts, query, audible), audible)


@pytest.mark.parametrize("seed", range(40))
def test_search_equals_brute_force_on_random_cases(monkeypatch, seed):
    generator = np.random.default_rng(seed)
    monkeypatch.setattr(search, "_POSITIONS", int(generator.integers(1, 60)))
    monkeypatch.setattr(search, "_QUERY_ROWS", int(generator.integers(1, 20)))
    lengths = generator.integers(1, 50, generator.integers(1, 9)).tolist()
    # Few bits make ties, which the first position has to win.
    codes, starts = catalogue(generator, lengths, n_bytes=int(generator.integers(1, 4)))
    queries = []
    for n in generator.integers(1, 40, generator.integers(1, 5)):
        query = generator.integers(0, 256, (n, codes.shape[1]), dtype=np.uint8)
        audible = generator.random(n) > 0.3
        weights = generator.integers(0, 16, (n, 8 * codes.shape[1]), dtype=np.uint8)
        queries.append((query, audible if generator.random() < 0.5 else weights * audible[:, None]))
    engine = search.ExactSearch(codes, starts)
    for (query, weights), hits in zip(queries, engine.search(queries), strict=True):
        assert_equal(hits, brute_force(codes, starts, query, weights), weights)


def test_search_finds_identity_and_shift():
    codes, starts = catalogue(np.random.default_rng(1), [50, 300, 80], n_bytes=16)
    engine = search.ExactSearch(codes, starts)
    for shift in (0, 1, 37, 263):
        query = codes[50 + shift : 50 + shift + 37]
        (hits,) = engine.search([(query, np.ones(37, bool))])
        assert hits.distance.argmin() == 1
        assert (hits.position[1], hits.distance[1]) == (shift, 0)


@pytest.mark.parametrize("overhang", [1, 9, 18])
def test_search_finds_query_over_either_end(overhang):
    generator = np.random.default_rng(2)
    codes, starts = catalogue(generator, [100, 120], n_bytes=16)
    noise = generator.integers(0, 256, (overhang, 16), dtype=np.uint8)
    before = np.concatenate([noise, codes[100 : 137 - overhang]])
    after = np.concatenate([codes[220 - 37 + overhang :], noise])
    engine = search.ExactSearch(codes, starts)
    first, last = engine.search([(query, np.ones(37, bool)) for query in (before, after)])
    # What overhangs counts as half its bits.
    assert (first.position[1], first.distance[1]) == (-overhang, 64 * overhang)
    assert (last.position[1], last.distance[1]) == (120 - 37 + overhang, 64 * overhang)


def test_search_ignores_inaudible_windows():
    codes, starts = catalogue(np.random.default_rng(3), [100, 120], n_bytes=16)
    query, audible = codes[20:57].copy(), np.ones(37, bool)
    query[10:25], audible[10:25] = 0, False
    (hits,) = search.ExactSearch(codes, starts).search([(query, audible)])
    assert (hits.position[0], hits.distance[0], hits.windows) == (20, 0, 22)


def test_search_does_not_depend_on_order_of_tracks():
    generator = np.random.default_rng(4)
    tracks = [generator.integers(0, 256, (n, 16), dtype=np.uint8) for n in (40, 3, 77, 20)]
    query = (tracks[2][5:30], np.ones(25, bool))

    def found(order):
        codes = np.concatenate([tracks[index] for index in order])
        starts = np.concatenate([[0], np.cumsum([len(tracks[index]) for index in order])])
        (hits,) = search.ExactSearch(codes, starts).search([query])
        by_track = {t: (hits.position[i], hits.distance[i]) for i, t in enumerate(order)}
        return by_track, hits.mean, hits.deviation, hits.positions

    assert found([0, 1, 2, 3]) == found([3, 1, 0, 2])


def test_search_of_many_equals_search_of_each():
    generator = np.random.default_rng(5)
    engine = search.ExactSearch(*catalogue(generator, [90, 14, 33]))
    queries = [
        (generator.integers(0, 256, (n, 8), dtype=np.uint8), generator.random(n) > 0.2)
        for n in (37, 36, 5, 60)
    ]
    for query, together in zip(queries, engine.search(queries), strict=True):
        (alone,) = engine.search([query])
        np.testing.assert_array_equal(together.position, alone.position)
        np.testing.assert_array_equal(together.distance, alone.distance)
        assert together.mean == pytest.approx(alone.mean)
        assert together.deviation == pytest.approx(alone.deviation)


def test_search_of_nothing_gives_nothing():
    empty = search.ExactSearch(np.zeros((0, 16), np.uint8), [0])
    (hits,) = empty.search([(np.zeros((3, 16), np.uint8), np.ones(3, bool))])
    assert len(hits.position) == hits.positions == 0
    engine = search.ExactSearch(*catalogue(np.random.default_rng(6), [9]))
    assert engine.search([]) == []
    (hits,) = engine.search([(np.zeros((3, 8), np.uint8), np.zeros(3, bool))])
    assert hits.windows == 0


def test_search_is_bounded_in_memory():
    generator = np.random.default_rng(7)
    codes, starts = catalogue(generator, [500] * 600, n_bytes=16)
    engine = search.ExactSearch(codes, starts)
    query = (generator.integers(0, 256, (37, 16), dtype=np.uint8), np.ones(37, bool))
    tracemalloc.start()
    engine.search([query] * 4)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The catalogue as floating point numbers would take 154 MB, all products 178 MB.
    assert peak < 20e6


def test_starts_have_to_cover_the_codes():
    codes = np.zeros((10, 16), np.uint8)
    with pytest.raises(ValueError, match="cover"):
        search.ExactSearch(codes, [0, 9])
    with pytest.raises(ValueError, match="no codes"):
        search.ExactSearch(codes, [0, 4, 4, 10])
