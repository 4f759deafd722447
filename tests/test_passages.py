import numpy as np
import pytest

from a2v import passages


def passage(number, query_s, score=5.0, **changes):
    values = {"track": "t", "path": "/t", "reference_s": query_s, "drift": None}
    values |= {"probability": 0.9, "false_accepts": 1e-4, "bit_error_rate": 0.1, **changes}
    return passages.Passage(number=number, query_s=query_s, score=score, **values)


@pytest.mark.parametrize("speed", [0.95, 1.0, 1.03])
def test_drift_is_the_slope_whatever_outliers_say(speed):
    generator = np.random.default_rng(0)
    query = np.arange(0, 60, 2.5)
    reference = 7 + speed * query + generator.uniform(-0.03, 0.03, len(query))
    reference[[3, 11, 20]] += [5.0, -9.0, 2.0]
    points = np.stack([query, reference], axis=1)
    assert passages.drift(points) == pytest.approx(speed, abs=0.002)
    assert passages.origin(points, speed) == pytest.approx(7, abs=0.03)


def test_drift_of_a_short_passage_is_unknown():
    points = [(0.0, 1.0), (2.5, 3.5), (passages.DRIFT_S - 0.1, 10.9)]
    assert passages.drift(points) is None
    assert passages.drift(points[:1]) is None
    assert passages.origin(points[:1], 1.0) == 1


def test_drift_and_origin_do_not_depend_on_where_the_query_begins():
    points = np.array([(0, 5), (4, 9.1), (9, 14.2), (13, 18.2), (20, 25.4)], float)
    speed = passages.drift(points)
    moved = points + [100.0, 0.0]
    assert passages.drift(moved) == pytest.approx(speed)
    here, there = passages.origin(points, speed), passages.origin(moved, speed)
    assert there == pytest.approx(here - 100 * speed)


@pytest.mark.parametrize("seed", range(20))
def test_stretch_has_the_greatest_sum_of_all(seed):
    gain = np.random.default_rng(seed).integers(-5, 5, 30).astype(float)
    first, last = passages.stretch(gain)
    sums = [gain[i : j + 1].sum() for i in range(30) for j in range(i, 30)]
    assert gain[first : last + 1].sum() == max(sums)


def test_stretch_ends_where_gains_change_sign():
    gain = np.concatenate([np.full(9, -1.0), np.full(12, 1.0), [-1.0], np.full(5, 1.0)])
    assert passages.stretch(np.append(gain, np.full(7, -1.0))) == (9, 26)
    assert passages.stretch(np.array([-1.0, 0, 0, 2, 0, 0])) == (3, 3)


def test_the_better_of_overlapping_passages_is_no_alternative():
    long, loop = passage(1, (0.0, 60.0), 20.0), passage(2, (20.0, 28.0), 6.0)
    both = [long, loop]
    assert [passages.is_alternative(p, both) for p in both] == [False, True]


def test_of_equals_the_first_is_no_alternative():
    both = [passage(1, (3.0, 9.0)), passage(2, (3.0, 9.0))]
    assert [passages.is_alternative(p, both) for p in both] == [False, True]
    assert [passages.is_alternative(p, both[::-1]) for p in both] == [False, True]


def test_passages_one_after_the_other_are_no_alternatives():
    medley = [passage(1, (0.0, 20.5), 9.0), passage(2, (20.0, 40.0)), passage(3, (39.0, 50.0))]
    assert not any(passages.is_alternative(p, medley) for p in medley)


def test_described_is_rounded_and_complete():
    described = passage(4, (1.23456, 9.87654), drift=1.012345).described()
    assert described["query_s"] == [1.23, 9.88] and described["drift"] == 1.0123
    assert list(described) == [
        *("track", "path", "query_s", "reference_s", "drift", "probability", "false_accepts"),
        *("bit_error_rate", "alternative"),
    ]
