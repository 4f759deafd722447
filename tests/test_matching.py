import numpy as np
import pytest

from a2v import chance, matching
from a2v.search import ExactSearch, Hits

CALIBRATION = chance.THEORY


def hits(position, distance, **changes):
    values = {"windows": 10, "mean": 640.0, "deviation": 30.0, "positions": 100_000}
    values |= {"weight": 1280.0, "squares": 1280.0, **changes}
    return Hits(np.array(position), np.array(distance, float), **values)


def matched(per_phase, phases_s, **changes):
    tracks = [(f"t{i}", f"/music/t{i}") for i in range(len(per_phase[0].position))]
    options = {"hop_s": 0.25, "overlap": 4, "calibration": CALIBRATION, **changes}
    return matching.match(per_phase, phases_s, tracks, **options)


def test_match_is_one_per_track_best_first():
    found = matched([hits([8, 3, 5], [500, 100, 640])], [0.0])
    assert [m.track for m in found] == ["t1", "t0", "t2"]
    assert found[0].path == "/music/t1"
    assert found[0].offset_s == 0.75
    assert found[0].bit_error_rate == pytest.approx(100 / 1280)
    assert found[0].score > found[1].score > found[2].score


@pytest.mark.parametrize("top", [1, 2, 3, 40, 200])
def test_so_many_matches_are_the_first_of_all(top):
    draw = np.random.default_rng(0)
    distances = draw.choice([100, 400, 401, 600, 640], (2, 100))  # so that many are equal
    phases = [hits(draw.integers(50, size=100), own) for own in distances]
    given = {"phases_s": [0.0, 0.125]}
    assert matched(phases, **given, top=top) == matched(phases, **given)[:top]


def test_match_takes_best_phase_and_corrects_offset():
    phases = [hits([10, 4], [300, 600]), hits([11, 4], [150, 630]), hits([11, 5], [250, 620])]
    found = matched(phases, [0.0, 0.0625, 0.125])
    assert found[0].offset_s == pytest.approx(11 * 0.25 - 0.0625)
    assert found[1].offset_s == pytest.approx(4 * 0.25)


def test_match_lies_before_the_track_where_the_query_does():
    (found,) = matched([hits([-3], [100])], [0.0625])
    assert found.offset_s == pytest.approx(-0.8125)


def test_match_of_silence_is_none():
    assert matched([hits([0], [0], windows=0)], [0.0]) == []
    audible = matched([hits([0], [0], windows=0), hits([2], [9])], [0.0, 0.125])
    assert audible[0].offset_s == pytest.approx(0.375)


def test_match_in_empty_catalogue_is_none():
    assert matched([hits([], [], positions=0)], [0.0]) == []


def test_score_shifts_and_scales_with_null_of_the_query():
    many = 10**8  # so that nothing but the query's own statistics counts
    (a,) = matched([hits([0], [400], positions=many)], [0.0])
    (b,) = matched([hits([0], [450], positions=many, mean=690.0)], [0.0])
    assert b.score == pytest.approx(a.score, abs=0.001)
    (c,) = matched([hits([0], [160], positions=many, deviation=60.0)], [0.0])
    assert c.score == pytest.approx(a.score, abs=0.001)


def test_score_falls_with_size_of_catalogue():
    scores = [matched([hits([0], [400], positions=n)], [0.0])[0].score for n in (10**5, 10**8)]
    assert scores[0] > scores[1]


def test_probability_falls_with_distance():
    found = matched([hits([0] * 64, [0, *np.linspace(520, 620, 63)])], [0.0])
    probabilities = [m.probability for m in found]
    assert probabilities == sorted(probabilities, reverse=True)
    assert 0 <= probabilities[-1] < 0.002 and 0.999 < probabilities[0] <= 1
    rates = [m.false_accepts for m in found]
    assert rates == sorted(rates) and 0 <= rates[0] < 1e-6 and 0.5 < rates[-1] <= 1


def by_chance(tracks, places, count, seed):
    """Best matches of queries that no track holds, by normal distances."""
    generator = np.random.default_rng(seed)
    for _ in range(count):
        distance = 640 - 30 * generator.standard_normal((tracks, places)).max(axis=1)
        yield matched([hits([0] * tracks, distance, positions=tracks * places)], [0.0], top=1)[0]


@pytest.mark.parametrize("tracks", [1, 3, 4, 8, 11, 12, 200])
def test_score_of_chance_alone_is_near_zero_in_any_catalogue(tracks):
    places = 500
    scores = [match.score for match in by_chance(tracks, places, 300, tracks)]
    # In a small catalogue the expected, wider spread of unrelated hashes makes it careful.
    assert -0.5 - 8000 / (tracks * places) < np.mean(scores) < 0.25


@pytest.mark.parametrize("tracks", [1, 5, 20, 60, 200])
def test_theory_states_false_accepts_with_care(tracks):
    found = [match.false_accepts for match in by_chance(tracks, 100, 2000, tracks)]
    for rate in (0.1, 0.03, 0.01):
        assert np.mean(np.array(found) <= rate) < rate


@pytest.mark.parametrize("windows", [1, 4, 40])
def test_weights_that_allow_for_dependence_are_expected_to_spread_less(windows):
    few, many = (
        hits([0], [500], windows=windows, positions=positions, deviation=20.0)
        for positions in (100, 10**8)
    )
    small = [matching.deviations(few, 4, allowed=allowed)[0] for allowed in (False, True)]
    large = [matching.deviations(many, 4, allowed=allowed)[0] for allowed in (False, True)]
    assert small[0] < small[1] < large[1]
    assert large[1] == pytest.approx(large[0], rel=1e-3) == pytest.approx(140 / 20, rel=1e-3)


def test_copies_of_the_answer_take_little_from_it():
    strangers = list(np.linspace(500, 560, 40))
    alone = matched([hits([0] * 41, [200, *strangers])], [0.0])[0]
    copied = matched([hits([0] * 43, [200, 201, 202, *strangers])], [0.0])[0]
    assert copied.track == "t0"
    assert copied.score > 0.7 * alone.score


def test_distances_that_end_at_zero_do_not_hide_an_answer():
    # Ten degrees of freedom: no unrelated window comes below 4 sigma, an equal one has 3.5.
    strangers = list(640 - 180 * np.linspace(1.5, 2.2, 60))
    found = matched([hits([0] * 61, [20, *strangers], deviation=180.0, positions=10**6)], [0.0])
    assert found[0].score > 0.5
    assert (640 - 20) / 180 < chance.expected_maximum(10**6)


@pytest.mark.parametrize("windows", [5, 37])
def test_single_short_track_is_found_and_strangers_are_not(windows):
    generator = np.random.default_rng(windows)
    codes = generator.integers(0, 256, (37, 16), dtype=np.uint8)
    engine = ExactSearch(codes, [0, 37])
    flips = np.packbits(generator.random((37, 128)) < 0.1, axis=1)
    audible = np.ones(windows, bool)
    own = engine.search([((codes ^ flips)[:windows], audible)])
    stranger = generator.integers(0, 256, (windows, 16), dtype=np.uint8)
    assert matched(own, [0.0])[0].false_accepts < 0.01
    assert matched(engine.search([(stranger, audible)]), [0.0])[0].false_accepts > 0.1
