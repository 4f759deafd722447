import numpy as np
import pytest

from a2v import chance


@pytest.mark.parametrize("n", [2, 10, 1000, 100_000])
def test_expected_maximum_agrees_with_simulation(n):
    draws = np.random.default_rng(0).standard_normal((max(200, 20_000 // n), n)).max(axis=1)
    assert chance.expected_maximum(n) == pytest.approx(draws.mean(), abs=0.2)


def test_expected_maximum_grows_from_zero():
    values = [chance.expected_maximum(n) for n in (0, 1, 2, 3, 5, 10, 100, 10**7)]
    assert values[:2] == [0, 0]
    assert values == sorted(values)


def test_fit_tail_recovers_a_gumbel_distribution():
    draws = np.random.default_rng(0).gumbel(0.7, 1.4, 50_000)
    location, scale = chance.fit_tail(draws)
    assert location == pytest.approx(0.7, abs=0.15) and scale == pytest.approx(1.4, rel=0.07)
    fitted = chance.THEORY | {"location": [location, 0, 0], "scale": [scale, 0, 0]}
    for rate in (0.1, 0.01, 0.001):
        seen = np.mean([chance.false_accepts(draw, 1.0, 9, fitted) <= rate for draw in draws])
        assert seen == pytest.approx(rate, rel=0.35)


@pytest.mark.parametrize("scores", [[], [1.0], [2.0, 2.0]])
def test_fit_tail_wants_scores_that_differ(scores):
    with pytest.raises(ValueError, match=f"{len(scores)} scores, of which two"):
        chance.fit_tail(scores)


@pytest.mark.parametrize("place", [0, 1])
def test_false_accepts_change_with_length_and_tracks_as_far_as_was_tried(place):
    tails = {"lengths_s": [1.0, 10.0], "tracks": [10, 200], "location": [0.0, 1.0, 0.5]}
    tails |= {"scale": [1.0, 0.1, 0.1]}
    about = [[1.0, 10], [0.1, 1]], [[10.0, 200], [600.0, 10**6]], [[3.0, 50]] * 2
    (least, below), (largest, above), (middle, _) = about
    at = [[least[k] if k != place else each[k] for k in (0, 1)] for each in (below, least)]
    at += [[least[k] if k != place else each[k] for k in (0, 1)] for each in (middle, largest)]
    at += [[least[k] if k != place else each[k] for k in (0, 1)] for each in (above,)]
    rates = [chance.false_accepts(4.0, *each, tails) for each in at]
    assert rates == sorted(rates)
    assert rates[0] == rates[1] < rates[2] < rates[3] == rates[4]


def test_fit_probability_recovers_a_logistic():
    generator = np.random.default_rng(1)
    rates = np.exp(-generator.uniform(0, 20, 50_000))
    truth = {"slope": 1.3, "intercept": -8.1}
    chances = [chance.probability(rate, truth) for rate in rates]
    fitted = chance.fit_probability(rates, generator.random(50_000) < chances)
    assert fitted["slope"] == pytest.approx(1.3, rel=0.05)
    assert fitted["intercept"] == pytest.approx(-8.1, rel=0.05)


def test_fit_probability_stays_finite_when_separable():
    fitted = chance.fit_probability([0.9, 0.5, 1e-6, 0.0], [False, False, True, True])
    assert 0 < fitted["slope"] < 100
    assert chance.probability(0.0, fitted) > 0.5 > chance.probability(0.5, fitted)


def test_fit_probability_is_calibrated_on_its_own_data():
    generator = np.random.default_rng(2)
    rates = np.concatenate([generator.random(300), 10.0 ** -generator.uniform(1, 30, 900)])
    correct = np.arange(1200) >= 300
    fitted = chance.fit_probability(rates, correct)
    mean = np.mean([chance.probability(rate, fitted) for rate in rates])
    assert mean == pytest.approx(correct.mean(), abs=0.01)


def test_fit_probability_wants_both_kinds():
    with pytest.raises(ValueError, match="2 right and 0 wrong"):
        chance.fit_probability([0.1, 0.2], [True, True])


@pytest.mark.parametrize("score", [-1e6, -5.0, 0.0, 5.0, 1e6])
def test_what_extreme_scores_are_worth_is_finite(score):
    rate = chance.false_accepts(score, 3.0, 7, chance.THEORY)
    assert 0 <= rate <= 1 and np.isfinite(chance.evidence(rate))
    assert 0 <= chance.probability(rate, chance.THEORY) <= 1
    assert (rate < 1e-9) == (score == 1e6)
