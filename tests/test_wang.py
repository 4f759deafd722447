import numpy as np
import pytest

from a2v.audio import SAMPLE_RATE
from a2v.classics import Answer
from a2v.classics.wang import Wang
from a2v.corpora import synthetic
from a2v.errors import A2VError

STEP_S = 256 / SAMPLE_RATE
SECONDS = 12.0


@pytest.fixture(scope="module")
def music():
    """Composed recordings by name."""
    return {f"work-{work}": synthetic.render(5, work, 0, seconds=SECONDS) for work in range(5)}


@pytest.fixture(scope="module")
def catalogue(music):
    return filled(music)


def filled(music, **settings):
    system = Wang(**settings)
    for track, waveform in music.items():
        system.add(track, waveform)
    return system


def cut(waveform, start_s, seconds):
    start = round(start_s * SAMPLE_RATE)
    return waveform[start : start + round(seconds * SAMPLE_RATE)]


def with_noise(waveform, snr_db, seed):
    noise = np.random.default_rng(seed).standard_normal(len(waveform))
    level = np.sqrt(np.mean(np.square(waveform)) * 10 ** (-snr_db / 10))
    return (waveform + level * noise).astype(np.float32)


def test_query_of_a_whole_track_is_that_track_at_offset_zero(music, catalogue):
    for track, waveform in music.items():
        answers = catalogue.query(waveform)
        assert answers[0].track == track
        assert abs(answers[0].offset_s) <= STEP_S
        assert all(answers[0].score > 5 * other.score for other in answers[1:])


@pytest.mark.parametrize("start_s", [0.5, 1.2345, 3.0071, 6.9])
def test_offset_moves_with_the_start_of_the_query(music, catalogue, start_s):
    for track, waveform in music.items():
        best = catalogue.query(cut(waveform, start_s, 3.0))[0]
        assert best.track == track
        assert best.offset_s == pytest.approx(start_s, abs=STEP_S)


def test_offset_is_negative_where_the_query_begins_before_the_track(music, catalogue):
    early = np.concatenate([np.zeros(2 * SAMPLE_RATE, np.float32), music["work-1"]])
    best = catalogue.query(early)[0]
    assert best.track == "work-1"
    assert best.offset_s == pytest.approx(-2.0, abs=STEP_S)


def test_order_of_adding_changes_nothing(music, catalogue):
    backwards = filled(dict(reversed(music.items())))
    for track, waveform in music.items():
        query = cut(waveform, 2.1, 2.0)
        assert catalogue.query(query) == backwards.query(query), track
    assert catalogue.n_bytes == backwards.n_bytes


def test_level_of_the_query_changes_nothing(music, catalogue):
    query = cut(music["work-2"], 4.4, 3.0)
    expected = catalogue.query(query)
    # A power of two changes no digit; other gains may exchange peaks that are equal to 7 digits.
    assert catalogue.query(query / 1024) == expected
    assert catalogue.query(query * 8) == expected
    quieter = catalogue.query(0.1 * query)[0]
    assert quieter.track == "work-2"
    assert quieter.offset_s == pytest.approx(expected[0].offset_s, abs=STEP_S)
    assert quieter.score == pytest.approx(expected[0].score, rel=0.02)


def test_unrelated_query_scores_far_below_a_related_one(music, catalogue):
    related = [catalogue.query(cut(waveform, 3.3, 5.0))[0].score for waveform in music.values()]
    unrelated = [
        answer.score
        for work in range(5, 8)
        for answer in catalogue.query(cut(synthetic.render(5, work, 0, seconds=9.0), 3.3, 5.0))
    ]
    noise = np.random.default_rng(0).standard_normal(5 * SAMPLE_RATE).astype(np.float32)
    unrelated += [answer.score for answer in catalogue.query(0.1 * noise)]
    assert unrelated
    assert min(related) > 4 * max(unrelated)


def test_query_under_noise_finds_its_track(music, catalogue):
    for seed, (track, waveform) in enumerate(music.items()):
        best = catalogue.query(with_noise(cut(waveform, 3.21, 5.0), 0.0, seed))[0]
        assert best.track == track
        assert best.offset_s == pytest.approx(3.21, abs=0.125)


def test_shifts_find_more_where_frames_lie_between_those_of_the_track(music):
    single, several = filled(music, shifts=1), filled(music, shifts=4)
    scores = np.array(
        [
            [
                system.query(cut(waveform, 2 + STEP_S / 2, 3.0))[0].score
                for waveform in music.values()
            ]
            for system in (single, several)
        ]
    )
    assert np.all(scores[1] > scores[0])


def test_score_counts_what_a_longer_query_adds(music, catalogue):
    for waveform in music.values():
        scores = [catalogue.query(cut(waveform, 1.7, seconds))[0].score for seconds in (1, 3, 9)]
        assert scores == sorted(set(scores))


def test_n_bytes_grows_in_proportion(music):
    system, sizes = Wang(), []
    for number in range(4):
        system.add(f"copy-{number}", music["work-0"])
        sizes.append(system.n_bytes)
    grown = np.diff(sizes)
    assert sizes[0] > 0
    assert np.all(grown == grown[0])
    assert grown[0] == pytest.approx(sizes[0], rel=0.01)
    system.query(music["work-0"])
    assert system.n_bytes == sizes[-1]


def test_index_stays_within_the_target_density(music):
    for peaks_per_s, targets in ((10, 3), (30, 5)):
        system = Wang(peaks_per_s=peaks_per_s, targets=targets)
        system.add("track", music["work-3"])
        least, most = (share * 8 * peaks_per_s * targets * SECONDS for share in (0.3, 1.3))
        assert least < system.n_bytes < most


@pytest.mark.parametrize("n", [0, 1, 2047, 2048, 2559])
def test_query_too_short_for_a_pair_is_not_found(music, catalogue, n):
    assert catalogue.query(music["work-0"][SAMPLE_RATE:][:n]) == []


@pytest.mark.parametrize("level", [0.0, 0.5])
def test_query_of_silence_is_not_found(catalogue, level):
    assert catalogue.query(np.full(5 * SAMPLE_RATE, level, np.float32)) == []


def test_query_of_an_empty_catalogue_finds_nothing(music):
    assert Wang().query(music["work-0"]) == []
    silent = filled({"silence": np.zeros(SAMPLE_RATE, np.float32), "nothing": np.zeros(0, "f4")})
    assert silent.query(music["work-0"]) == []


def test_track_added_after_a_query_is_found(music, catalogue):
    grown = Wang()
    for track, waveform in music.items():
        grown.add(track, waveform)
        assert grown.query(cut(waveform, 5.0, 2.0))[0].track == track
    query = cut(music["work-4"], 1.0, 4.0)
    assert grown.query(query) == catalogue.query(query)


def test_query_is_deterministic_and_leaves_its_waveform(music, catalogue):
    query = cut(music["work-3"], 2.5, 3.0).copy()
    before = query.copy()
    assert catalogue.query(query) == catalogue.query(query)
    assert np.array_equal(query, before)


def test_answers_are_one_per_track_best_first_and_few(music):
    copies = filled({f"copy-{number:02d}": music["work-0"] for number in reversed(range(12))})
    answers = copies.query(cut(music["work-0"], 3.0, 2.0))
    assert [answer.track for answer in answers] == [f"copy-{number:02d}" for number in range(10)]
    assert all(isinstance(answer, Answer) for answer in answers)
    assert len({(answer.offset_s, answer.score) for answer in answers}) == 1
    assert len(filled(music, top=2).query(music["work-0"])) <= 2


def test_track_is_added_once(music):
    system = filled({"song": music["work-0"]})
    with pytest.raises(A2VError, match="song"):
        system.add("song", music["work-1"])


@pytest.mark.parametrize(
    "settings",
    [
        {"low_hz": 0.0},
        {"low_hz": 4000.0, "high_hz": 300.0},
        {"high_hz": 9000.0},
        {"zone_start": 0},
        {"zone_frames": 1},
        {"shifts": 0},
        {"shifts": 300},
        {"zone_frames": 10_000, "zone_bins": 10_000},
    ],
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(A2VError):
        Wang(**settings)
