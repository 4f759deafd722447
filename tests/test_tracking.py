import numpy as np
import pytest
import soxr

from a2v import hashing, passages, queries, search, tracking
from a2v.errors import A2VError
from a2v.library import Library
from a2v.runtime import Encoder

RATE = 16000
# Where a passage begins and ends is known to a part of a window.
NEAR_S = 1.0


@pytest.fixture(scope="module")
def tunes(melody):
    """Tracks by name: tunes, one whose beginning comes again, two that share a loop."""
    made = {name: melody(seed, 40 - seed) for seed, name in enumerate("abcd", 1)}
    again, loop = melody(20, 12), melody(21, 12)
    made["rondo"] = np.concatenate([again, melody(22, 12), again])
    made["one"] = np.concatenate([loop, melody(23, 8)])
    made["two"] = np.concatenate([melody(24, 8), loop])
    return made


@pytest.fixture(scope="module")
def template(tunes, write_wav, encoder_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tracking")
    with Library.create(folder / "music.a2v", encoder_path) as library:
        for name, tune in tunes.items():
            file = write_wav(folder / f"{name}.wav", tune)
            library.add(file, name=name, copies="allow")  # of two, most is in one, too
    return folder / "music.a2v"


@pytest.fixture
def path(template, tmp_path):
    copy = tmp_path / "music.a2v"
    copy.write_bytes(template.read_bytes())
    return copy


@pytest.fixture
def library(path):
    with Library.open(path) as opened:
        yield opened


@pytest.fixture(scope="module")
def encoder(encoder_path):
    return Encoder(encoder_path)


def cut(tune, begin_s, end_s):
    return tune[round(begin_s * RATE) : round(end_s * RATE)]


def mixed(*parts):
    """Parts one after the other, and where each begins and ends, s."""
    edges = np.cumsum([0, *map(len, parts)]) / RATE
    return np.concatenate(parts), list(zip(edges[:-1], edges[1:], strict=True))


def assert_is(found, track, query_s, reference_s):
    assert found.track == track
    assert found.query_s == pytest.approx(query_s, abs=NEAR_S)
    assert found.reference_s == pytest.approx(reference_s, abs=NEAR_S)
    assert found.false_accepts < 1e-3 and found.bit_error_rate < 0.25


def test_medley_is_listed_part_by_part(library, tunes, melody):
    query, edges = mixed(
        melody(90, 11),
        cut(tunes["a"], 5.03, 25.1),
        cut(tunes["b"], 3.33, 18.4),
        melody(91, 13),
        tunes["c"],
    )
    found = library.identify_all(query)
    assert len(found) == 3
    assert_is(found[0], "a", edges[1], (5.03, 25.1))
    assert_is(found[1], "b", edges[2], (3.33, 18.4))
    assert_is(found[2], "c", edges[4], (0, 37))
    assert not any(passage.alternative for passage in found)
    assert found[2].drift == pytest.approx(1, abs=0.004)


def test_whole_track_is_found_whole(library, tunes):
    (found,) = library.identify_all(tunes["b"])
    assert found.reference_s == (0, 38)
    assert found.query_s == pytest.approx((0, 38), abs=0.1)
    assert found.drift == pytest.approx(1, abs=0.004)


def test_what_comes_before_moves_nothing_but_the_query_range(library, tunes, melody):
    (plain,) = library.identify_all(cut(tunes["a"], 4, 30))
    (later,) = library.identify_all(np.concatenate([melody(92, 15), cut(tunes["a"], 4, 30)]))
    assert later.reference_s == pytest.approx(plain.reference_s, abs=NEAR_S)
    assert later.query_s == pytest.approx([s + 15 for s in plain.query_s], abs=NEAR_S)


@pytest.mark.parametrize("speed", [0.98, 1.02])
def test_drift_is_the_speed_of_playing(library, tunes, speed):
    played = soxr.resample(tunes["a"], RATE, RATE / speed).astype(np.float32)
    (found,) = library.identify_all(played)
    assert found.drift == pytest.approx(speed, abs=0.006)
    assert_is(found, "a", (0, 39 / speed), (0, 39))


def test_part_that_is_played_twice_is_two_passages(library, tunes, melody):
    part = cut(tunes["a"], 5, 20)
    query, edges = mixed(part, melody(93, 18), part)
    first, second = library.identify_all(query)
    assert_is(first, "a", edges[0], (5, 20))
    assert_is(second, "a", edges[2], (5, 20))
    assert not first.alternative and not second.alternative


def test_passage_that_its_track_has_twice_is_an_alternative(library, tunes):
    found = library.identify_all(tunes["rondo"][12 * RATE :])
    (main,) = [passage for passage in found if not passage.alternative]
    assert_is(main, "rondo", (0, 24), (12, 36))
    (other,) = [passage for passage in found if passage.alternative]
    assert_is(other, "rondo", (12, 24), (0, 12))


def test_loop_of_two_tracks_is_listed_for_both(library, tunes):
    found = library.identify_all(tunes["one"][: 12 * RATE])
    assert sorted(passage.track for passage in found) == ["one", "two"]
    assert sorted(passage.alternative for passage in found) == [False, True]
    for passage in found:
        begin_s = 0 if passage.track == "one" else 8
        assert_is(passage, passage.track, (0, 12), (begin_s, begin_s + 12))


def test_interruption_ends_no_passage(library, tunes):
    query = tunes["a"].copy()
    query[15 * RATE : 18 * RATE] = np.random.default_rng(0).normal(0, 0.2, 3 * RATE)
    (found,) = library.identify_all(query)
    assert_is(found, "a", (0, 39), (0, 39))


def test_moment_of_a_track_begins_no_passage(library, tunes, melody):
    query = np.concatenate([melody(94, 14), cut(tunes["a"], 8, 9.5), melody(95, 14)])
    assert list(library.follow([query])) == []


def test_strangers_and_silence_hold_nothing(library, melody):
    assert library.identify_all(melody(96, 40)) == []
    assert library.identify_all(np.zeros(20 * RATE, np.float32)) == []


def test_silence_between_parts_of_a_track_is_bridged(library, tunes):
    query = tunes["a"].copy()
    query[16 * RATE : 20 * RATE] = 0
    (found,) = library.identify_all(query)
    assert_is(found, "a", (0, 39), (0, 39))


def test_short_clip_is_one_passage_of_the_track_that_identify_names(library, tunes):
    clip = cut(tunes["c"], 10, 14)
    (found,) = library.identify_all(clip)
    (match,) = library.identify(clip)
    assert found.track == match.track == "c"
    assert found.query_s == pytest.approx((0, 4), abs=0.3)
    assert found.reference_s == pytest.approx((10, 14), abs=0.3)
    assert found.drift is None


def test_clip_below_a_window_is_refused(library, tunes):
    with pytest.raises(A2VError, match=r"0\.50 s of audio, tiny needs at least 1\.00 s"):
        library.identify_all(tunes["a"][:8000])


def test_recording_may_be_a_path(library, template, tunes):
    found = library.identify_all(template.parent / "c.wav")
    assert [(passage.track, passage.reference_s) for passage in found] == [("c", (0, 37))]


def test_live_events_pair_and_tell_what_the_list_tells(library, tunes, melody):
    query, _ = mixed(melody(90, 8), cut(tunes["a"], 2, 20), melody(91, 14), cut(tunes["b"], 0, 17))
    pieces = np.array_split(query, 97)
    events = list(library.follow(pieces, live=True))
    assert [(event.kind, event.passage.number) for event in events] == [
        *(("began", 1), ("ended", 1)),
        *(("began", 2), ("ended", 2)),
    ]
    began, ended = events[:2]
    assert began.passage.query_s[0] == pytest.approx(ended.passage.query_s[0], abs=NEAR_S)
    assert began.passage.query_s[1] < ended.passage.query_s[1]
    live, listed = tracking.listed(events), library.identify_all(query)
    for one, other in zip(live, listed, strict=True):
        assert one.track == other.track
        assert one.query_s == pytest.approx(other.query_s, abs=0.3)
        assert one.reference_s == pytest.approx(other.reference_s, abs=0.3)


def test_event_comes_before_the_query_has_ended(library, tunes):
    played = 0

    def blocks():
        nonlocal played
        for second in range(39):
            played += 1
            yield cut(tunes["a"], second, second + 1)

    kinds = [(event.kind, played) for event in library.follow(blocks(), live=True)]
    assert kinds[0][0] == "began" and kinds[0][1] <= 9
    assert kinds[1:] == [("ended", 39)]


def test_track_that_is_added_meanwhile_is_found(library, path, melody, write_wav, tmp_path):
    tune = melody(70, 20)
    file = write_wav(tmp_path / "new.wav", tune)

    def blocks():
        yield melody(97, 10)
        with Library.open(path) as other:
            other.add(file)
        yield tune

    tracks = [event.passage.track for event in library.follow(blocks(), live=True)]
    assert tracks == ["new.wav", "new.wav"]


def test_track_that_is_removed_meanwhile_stops_nothing(library, path, tunes):
    def blocks():
        yield cut(tunes["a"], 0, 15)
        with Library.open(path) as other:
            other.remove("a")
        yield cut(tunes["a"], 15, 39)
        yield cut(tunes["b"], 0, 20)

    found = tracking.listed(library.follow(blocks(), live=True))
    assert [passage.track for passage in found] == ["a", "b"]


def test_empty_library_holds_nothing(encoder_path, tunes, tmp_path):
    with Library.create(tmp_path / "l.a2v", encoder_path) as library:
        assert library.identify_all(tunes["a"]) == []


def test_hashes_of_a_track_are_those_that_were_added(library, template, encoder, tunes):
    np.testing.assert_array_equal(
        library.hashes("b"), encoder.hash(np.round(tunes["b"] * 32767) / np.float32(32768))
    )
    with pytest.raises(A2VError, match="no track 'x'"):
        library.hashes("x")


@pytest.mark.parametrize("rows", [None, 10])
def test_embeddings_are_those_of_the_whole(encoder, tunes, rows):
    tune = tunes["d"][: round(20.37 * RATE)].copy()
    tune[5 * RATE : 7 * RATE] = 0
    made = np.concatenate(list(queries.embeddings(encoder, [tune], rows=rows)))
    begun = encoder.beginnings(tune, phases=4)
    assert len(made) == len(begun[0][1])
    for phase, (_, whole, audible) in enumerate(begun):
        assert 0 < np.count_nonzero(~audible) < 10
        expected = whole * audible[:, None]
        np.testing.assert_allclose(made[: len(whole), phase], expected, atol=1e-3)
        assert not made[len(whole) :, phase].any()


def test_embeddings_do_not_depend_on_the_cut(encoder, tunes):
    tune = tunes["d"][: 15 * RATE]
    whole = list(queries.embeddings(encoder, [tune], rows=10))
    pieces = list(queries.embeddings(encoder, np.array_split(tune, 41), rows=10))
    for one, other in zip(whole, pieces, strict=True):
        np.testing.assert_array_equal(one, other)


def test_recent_windows_are_asked_as_the_clip_alone_would_be(encoder, tunes):
    tune = tunes["d"][: 12 * RATE].copy()
    tune[4 * RATE : 6 * RATE] = 0
    recent = queries.Recent(encoder, phases=1, rows=100)
    for embeddings in queries.embeddings(encoder, [tune], phases=1, rows=5):
        recent.keep(embeddings)
        for begin in (max(0, recent.end - 9), 0):
            ((codes, weights),) = recent.queries(begin)
            clip = tune[begin * RATE // 4 : (recent.end + 3) * RATE // 4]
            ((_, own, reliable),) = encoder.fingerprint(clip)
            heard = reliable.any(axis=1)
            # Rounding in another place of a block may turn a bit that lies on its threshold.
            assert np.unpackbits(codes[heard] ^ own[heard]).mean() < 0.01
            apart = np.abs(weights.astype(int) - reliable)
            assert apart.max() <= 1 and apart.mean() < 0.1
    assert recent.end == encoder.windows(len(tune)) and not heard.all()


@pytest.mark.parametrize("phase", range(4))
def test_recent_hashes_equal_themselves_along_their_line(encoder, phase):
    generator = np.random.default_rng(phase)
    made = generator.standard_normal((60, 4, encoder.n_bits)).astype(np.float32)
    codes, weights = hashing.pack(hashing.binarize(made)), hashing.reliability(made[20:])
    recent = queries.Recent(encoder, phases=4, rows=40)
    for first in range(0, 60, 7):
        recent.keep(made[first : first + 7])
    assert (recent.first, recent.end) == (20, 60)
    # The track begins with the query's row 25.
    line = queries.Line(query_s=25 * 0.25 + phase * 0.0625, place_s=0.0, speed=1.0)
    compared = recent.compare(codes[25:, phase], 20, 60, line)
    np.testing.assert_array_equal(compared.places, np.arange(35))
    assert not compared.distance.any()
    np.testing.assert_array_equal(compared.weight, weights[5:, phase].sum(axis=1))
    aside = recent.compare(codes[25:, phase], 20, 60, line._replace(place_s=0.5))
    assert 0.45 < aside.distance.sum() / aside.weight.sum() < 0.55
    nowhere = recent.compare(codes[25:, phase], 20, 60, line._replace(place_s=999.0))
    assert len(nowhere.places) == 0


def test_what_tells_less_than_nothing_lies_no_deeper_than_chance():
    null = search.Hits(
        position=np.zeros(1, np.int64),
        distance=np.array([64.0]),
        windows=8,
        mean=64.0,
        deviation=5.0,
        positions=1000,
        weight=128.0,
        squares=128.0,
    )
    for weights in ([-97], [0], [40, -41]):
        weight = np.array(weights, np.int32)
        compared = queries.Compared(np.arange(len(weight)), weight // 2, weight, 500)
        assert compared.depth(null, 4) == 0.0


def test_memory_of_a_tracker_is_bounded(library, melody):
    tracker = tracking.Tracker(library.encoder, library._searchable, library.hashes)
    made = list(queries.embeddings(library.encoder, [melody(98, 60)]))
    for _ in range(5):
        for embeddings in made:
            list(tracker.add(embeddings))
            assert tracker._recent.end - tracker._recent.first <= 137
            assert len(tracker._trails) <= tracking.TRAILS
    assert tracker._recent.end > 5 * 230


def test_listed_leaves_out_what_chance_has_too_often():
    def event(number, rate):
        passage = passages.Passage(
            number=number,
            track="t",
            path="/t",
            query_s=(10.0 * number, 10.0 * number + 9),
            reference_s=(0, 9),
            drift=None,
            probability=0.9,
            false_accepts=rate,
            bit_error_rate=0.2,
            score=3,
        )
        return tracking.Event("ended", passage)

    events = [event(1, 5e-4), event(2, 5e-6)]
    assert [p.number for p in tracking.listed(events, max_false_accepts=1e-5)] == [2]
    assert [p.number for p in tracking.listed(events[::-1])] == [1, 2]
