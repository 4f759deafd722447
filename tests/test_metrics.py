import math

import numpy as np
import pytest

from a2v import intervals, metrics
from a2v.errors import A2VError


def row(**changes):
    values = {
        "system": "a",
        "condition": "clean",
        "length_s": 3.0,
        "truth": "t",
        "known": True,
        "start_s": 7.3,
        "answer": "t",
        "offset_s": 7.3,
        "score": 1.0,
        "rank": 1,
        "ms": 10.0,
    }
    return values | changes


NOTHING = {"answer": None, "offset_s": None, "score": None, "rank": None}


def drawn(seed, n=200):
    """Rows of plausible answers, right and wrong, placed well and badly."""
    generator = np.random.default_rng(seed)
    rows = []
    for k in range(n):
        rank = [1, 1, 1, 2, 5, None][generator.integers(6)]
        rows.append(
            row(
                system="ab"[k % 2],
                condition=["clean", "0 dB"][k // 2 % 2],
                length_s=[1.0, 3.0][k // 4 % 2],
                known=bool(generator.random() < 0.7),
                answer="t" if rank == 1 else "other",
                rank=rank,
                offset_s=7.3 + generator.normal(0, 0.4),
                score=float(generator.normal(3 if rank == 1 else 0)),
                ms=float(generator.gamma(3, 10)),
            )
        )
        if generator.random() < 0.1:
            rows[-1] |= NOTHING
    return rows


@pytest.mark.parametrize("n", [1, 2, 10, 997])
def test_wilson_contains_the_rate(n):
    for right in range(n + 1):
        low, high = intervals.wilson(right, n)
        assert 0 <= low <= right / n <= high <= 1
        assert low < high


@pytest.mark.parametrize("share", [0, 0.25, 0.5, 1])
def test_wilson_shrinks_with_n(share):
    widths = [np.diff(intervals.wilson(share * n, n))[0] for n in (4, 40, 400, 4000)]
    assert np.all(np.diff(widths) < 0)


def test_wilson_is_symmetric_and_wider_with_z():
    low, high = intervals.wilson(3, 20)
    assert intervals.wilson(17, 20) == pytest.approx((1 - high, 1 - low))
    wide = intervals.wilson(3, 20, z=3)
    assert wide[0] < low and high < wide[1]


def test_wilson_solves_its_equation():
    # Wilson's bounds are the rates from which the observed one lies z standard errors away.
    for bound in intervals.wilson(7, 30, z=1.5):
        assert abs(7 / 30 - bound) == pytest.approx(1.5 * math.sqrt(bound * (1 - bound) / 30))


@pytest.mark.parametrize(("right", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_wilson_of_no_rate_is_an_error(right, n):
    with pytest.raises(A2VError, match=f"{right} right of {n}"):
        intervals.wilson(right, n)


def test_perfect_answers_give_one():
    rows = [row(start_s=s, offset_s=s) for s in (0.0, 1.11, 60.3)]
    rows += [row(known=False, **NOTHING)]
    assert metrics.hit_rates(rows) == {"track": 1, "near": 1, "exact": 1}
    assert metrics.mrr(rows) == 1
    assert metrics.false_accepts(rows, 0.5) == metrics.false_rejects(rows, 0.5) == 0


def test_no_answers_give_none():
    rows = [row(**NOTHING), row(known=False, **NOTHING)]
    assert metrics.hit_rates(rows) == {"track": 0, "near": 0, "exact": 0}
    assert metrics.mrr(rows) == 0
    assert metrics.false_accepts(rows, -math.inf) == 0
    assert metrics.false_rejects(rows, -math.inf) == 1


@pytest.mark.parametrize("seed", range(5))
def test_rates_do_not_depend_on_order(seed):
    rows = drawn(seed)
    shuffled = [rows[i] for i in np.random.default_rng(seed).permutation(len(rows))]
    assert metrics.hit_rates(shuffled) == metrics.hit_rates(rows)
    assert metrics.mrr(shuffled) == pytest.approx(metrics.mrr(rows))
    assert metrics.percentiles(shuffled) == metrics.percentiles(rows)
    for threshold in (-1, 1, 2):
        for rate in (metrics.false_accepts, metrics.false_rejects):
            assert rate(shuffled, threshold) == rate(rows, threshold)


@pytest.mark.parametrize("seed", range(5))
def test_hits_are_nested_and_mrr_lies_above(seed):
    rows = drawn(seed)
    found = metrics.hits(rows)
    assert np.all(found["exact"] <= found["near"]) and np.all(found["near"] <= found["track"])
    rates = metrics.hit_rates(rows)
    assert 0 < rates["exact"] < rates["near"] < rates["track"] < metrics.mrr(rows) < 1


def test_hit_rates_do_not_see_unknown_queries():
    rows = drawn(1)
    known = [r for r in rows if r["known"]]
    assert metrics.hit_rates(rows) == metrics.hit_rates(known)
    assert metrics.mrr(rows) == metrics.mrr(known)
    assert len(metrics.hits(rows)["track"]) == len(known) < len(rows)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(
    ("error_s", "near", "exact"),
    [(0.125, 1, 1), (0.126, 1, 0), (0.5, 1, 0), (0.501, 0, 0)],
)
@pytest.mark.parametrize("start_s", [1.1, 7.3, 123.456])
def test_hit_is_near_and_exact_up_to_its_tolerance(start_s, sign, error_s, near, exact):
    rates = metrics.hit_rates([row(start_s=start_s, offset_s=start_s + sign * error_s)])
    assert rates == {"track": 1, "near": near, "exact": exact}


def test_hit_needs_the_right_track_and_near_ones_an_offset():
    assert metrics.hit_rates([row(answer="other", rank=2)])["near"] == 0
    assert metrics.hit_rates([row(offset_s=None)]) == {"track": 1, "near": 0, "exact": 0}


def test_mrr_is_the_mean_of_reciprocals():
    rows = [row(rank=rank) for rank in (1, 2, 4, None)]
    assert metrics.mrr(rows) == pytest.approx((1 + 1 / 2 + 1 / 4) / 4)


def average_precision(ranking):
    """By its definition, place by place."""
    precisions = [np.mean(ranking[: k + 1]) for k in range(len(ranking)) if ranking[k]]
    return sum(precisions) / len(precisions)


@pytest.mark.parametrize("seed", range(20))
def test_map_and_mr1_equal_brute_force(seed):
    generator = np.random.default_rng(seed)
    rankings = [generator.random(30) < 0.2 for _ in range(8)]
    rankings = [ranking for ranking in rankings if ranking.any()]
    expected = np.mean([average_precision(ranking) for ranking in rankings])
    assert metrics.mean_average_precision(rankings) == pytest.approx(expected)
    firsts = [list(ranking).index(True) + 1 for ranking in rankings]
    assert metrics.mr1(rankings) == pytest.approx(np.mean(firsts))


def test_map_of_best_and_worst_rankings():
    best, worst = [True, True, False, False], [False, False, True, True]
    assert metrics.mean_average_precision([best]) == metrics.mr1([best]) == 1
    assert metrics.mean_average_precision([worst]) == pytest.approx((1 / 3 + 2 / 4) / 2)
    assert metrics.mr1([worst]) == 3


def test_map_gains_when_a_relevant_track_moves_up():
    generator = np.random.default_rng(4)
    for _ in range(50):
        ranking = generator.random(12) < 0.4
        for k in np.flatnonzero(ranking[1:] & ~ranking[:-1]):
            better = ranking.copy()
            better[k : k + 2] = True, False
            a, b = ([x] for x in (ranking, better))
            assert metrics.mean_average_precision(b) > metrics.mean_average_precision(a)


def test_accepts_fall_and_rejects_rise_with_the_threshold():
    rows = drawn(3)
    thresholds = np.linspace(-4, 7, 60)
    accepts = [metrics.false_accepts(rows, t) for t in thresholds]
    rejects = [metrics.false_rejects(rows, t) for t in thresholds]
    assert np.all(np.diff(accepts) <= 0) and accepts[0] > 0.5 and accepts[-1] == 0
    assert np.all(np.diff(rejects) >= 0) and rejects[0] < 0.5 and rejects[-1] == 1


def test_an_answer_counts_from_the_threshold_on():
    rows = [row(known=False, score=2.0), row(score=2.0)]
    above = np.nextafter(2.0, 3)
    assert (metrics.false_accepts(rows, 2.0), metrics.false_accepts(rows, above)) == (1, 0)
    assert (metrics.false_rejects(rows, 2.0), metrics.false_rejects(rows, above)) == (0, 1)


@pytest.mark.parametrize("rate", [0, 0.01, 0.05, 0.29, 0.5, 0.999])
@pytest.mark.parametrize("n", [1, 7, 100])
def test_threshold_is_the_smallest_that_keeps_the_rate(rate, n):
    for spread in (1000, 3):  # the second with many ties
        unknown = np.random.default_rng(n).integers(0, spread, n).astype(float)
        threshold = metrics.threshold_at(unknown, rate)
        assert np.mean(unknown >= threshold) <= rate
        assert np.mean(unknown >= np.nextafter(threshold, -math.inf)) > rate


def test_threshold_lets_pass_what_the_rate_allows():
    unknown = np.arange(100.0)
    for percent in range(100):
        accepted = np.sum(unknown >= metrics.threshold_at(unknown, percent / 100))
        assert accepted == percent


def test_threshold_is_none_where_every_answer_may_pass():
    assert metrics.threshold_at([1.0, 2.0], 1.0) == -math.inf
    assert metrics.threshold_at([-math.inf, -math.inf, 2.0], 0.4) == -math.inf


@pytest.mark.parametrize("seed", range(5))
def test_det_curve_is_monotone_and_equals_the_rates_there(seed):
    generator = np.random.default_rng(seed)
    right = generator.random(80) < 0.6
    scores = np.round(generator.normal(2.0 * right), 1)
    scores[generator.random(80) < 0.1] = -math.inf
    accept, reject, thresholds = metrics.det_curve(scores, right)
    assert np.all(np.diff(accept) <= 0) and np.all(np.diff(reject) >= 0)
    assert np.all(np.diff(thresholds) > 0)
    assert (accept[-1], reject[-1]) == (0, 1)
    for k, threshold in enumerate(thresholds):
        assert accept[k] == pytest.approx(np.mean(scores[~right] >= threshold))
        assert reject[k] == pytest.approx(np.mean(scores[right] < threshold))


def test_det_curve_of_separable_scores_touches_the_corner():
    accept, reject, _ = metrics.det_curve([1.0, 2.0, 3.0, 4.0], [False, False, True, True])
    assert np.any((accept == 0) & (reject == 0))


def test_det_curve_keeps_its_shape_under_a_rising_map():
    generator = np.random.default_rng(0)
    right = generator.random(50) < 0.5
    scores = generator.normal(right.astype(float))
    for a, b in zip(
        metrics.det_curve(scores, right)[:2],
        metrics.det_curve(np.exp(3 * scores), right)[:2],
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_percentiles_are_those_of_the_ms():
    rows = [row(ms=float(ms)) for ms in range(101)]
    assert metrics.percentiles(rows) == [50, 95]
    assert metrics.percentiles(rows, ranks=(0, 100)) == [0, 100]


def test_select_parts_the_rows():
    rows = drawn(2)
    parts = [
        metrics.select(rows, system=system, condition=condition, length_s=length_s)
        for system in "ab"
        for condition in ("clean", "0 dB")
        for length_s in (1.0, 3.0)
    ]
    assert sum(map(len, parts)) == len(rows) and all(parts)
    assert metrics.select(rows) == rows
    assert {r["known"] for r in metrics.select(rows, known=False)} == {False}


@pytest.mark.parametrize(
    "call",
    [
        lambda: metrics.hit_rates([row(known=False)]),
        lambda: metrics.mrr([]),
        lambda: metrics.false_accepts([row()], 0),
        lambda: metrics.false_rejects([], 0),
        lambda: metrics.percentiles([]),
        lambda: metrics.threshold_at([], 0.1),
        lambda: metrics.mean_average_precision([]),
        lambda: metrics.mr1([[True], [False]]),
        lambda: metrics.det_curve([1.0], [True]),
    ],
)
def test_rates_of_nothing_are_errors(call):
    with pytest.raises(A2VError, match="nothing to rate"):
        call()


def test_scores_that_are_no_number_are_errors():
    with pytest.raises(A2VError, match="NaN"):
        metrics.threshold_at([math.nan], 0.1)
    with pytest.raises(A2VError, match="from 0 to 1"):
        metrics.threshold_at([1.0], 1.5)
    with pytest.raises(A2VError, match="one number for each"):
        metrics.det_curve([1.0, math.nan], [True, False])


def test_clustered_interval_is_wilsons_of_as_many_as_tell_as_much():
    assert intervals.clustered([0, 0], [20, 20]) == intervals.wilson(0, 40)
    with pytest.raises(A2VError, match="n at least 1"):
        intervals.clustered([], [])
    draw = np.random.default_rng(0)
    spread = draw.binomial(20, 0.3, 50)
    low, high = intervals.clustered(spread, [20] * 50)
    independent = intervals.wilson(spread.sum(), 1000)
    assert high - low == pytest.approx(independent[1] - independent[0], rel=0.3)
    # All answers of a cluster alike: as many as there are clusters.
    alike = 20 * draw.binomial(1, 0.3, 50)
    low, high = intervals.clustered(alike, [20] * 50)
    one = intervals.wilson(alike.sum() / 20, 50)
    assert (low, high) == pytest.approx(one, abs=0.02)


def test_clustered_intervals_hold_the_truth_as_often_as_they_say():
    draw, held = np.random.default_rng(1), 0
    for _ in range(300):
        rates = draw.beta(0.5, 9.5, 40)  # 5 % on average, a few tracks make most of it
        low, high = intervals.clustered(draw.binomial(80, rates), [80] * 40)
        held += low <= 0.05 <= high
    assert held / 300 > 0.9
