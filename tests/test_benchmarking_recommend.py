import json
from itertools import permutations

import numpy as np
import pytest
import soundfile
from made_up import text
from matplotlib.figure import Figure

from a2v import hashing, runtime
from a2v.benchmarking import duplicates, neighbours, recommend, refusals, suites
from a2v.benchmarking.report import Picture
from a2v.corpora import Track, manifest
from a2v.errors import A2VError
from a2v.search import ExactSearch


@pytest.fixture(scope="module")
def encoder(encoder_path):
    return runtime.Encoder(encoder_path)


@pytest.fixture(scope="module")
def tracks(melody, write_wav, tmp_path_factory):
    """Four tunes to ask for, of two artists and one genre, and three of the tune split."""
    folder = tmp_path_factory.mktemp("tunes")
    return [
        Track(
            str(write_wav(folder / f"{k}.wav", melody(k, 9.0 + k / 3))),
            f"{k}.wav",
            artist=f"a{k % 2}",
            genre="waltz",
            split="test" if k < 4 else "tune",
        )
        for k in range(7)
    ]


@pytest.fixture(scope="module")
def rows(encoder, tracks):
    return json.loads(json.dumps(recommend.measure([encoder], tracks, seed=3)))


def labelled(labels, **others):
    """Tracks of different works with these labels for artist and genre, no artist known twice."""
    return [
        Track(
            "", f"{k}", **{"artist": label, "genre": label} | {n: v[k] for n, v in others.items()}
        )
        for k, label in enumerate(labels)
    ]


def table(text, number=0):
    blocks = [block for block in text.split("\n\n") if block.startswith("|")]
    lines = blocks[number].splitlines()
    head, _, *body = ([cell.strip() for cell in line[1:-1].split("|")] for line in lines)
    return [dict(zip(head, row, strict=True)) for row in body]


def overall(found):
    return np.mean([neighbours.scores(row) for row in found], axis=0)


@pytest.mark.parametrize("task", neighbours.TASKS)
def test_perfect_vectors_score_one(task):
    labels = [f"l{k % 3}" for k in range(36)]
    artists = {"artist": [f"a{k}" for k in range(36)]} if task == "genre" else {}
    values = np.eye(3)[np.arange(36) % 3] + 0.01 * np.random.default_rng(0).normal(size=(36, 3))
    found = neighbours.rankings(values, labelled(labels, **artists), task)
    assert len(found) == 36
    np.testing.assert_array_equal(overall(found), 1)
    np.testing.assert_array_equal([neighbours.best(row) for row in found], 1)


def test_permuted_labels_score_chance():
    generator = np.random.default_rng(1)
    values = np.repeat(np.eye(4), 12, axis=0) + 0.01 * generator.normal(size=(48, 4))
    means, expected = [], []
    for _ in range(60):
        labels = [f"l{k}" for k in generator.permutation(48) % 6]
        found = neighbours.rankings(values, labelled(labels), "artist")
        means.append(overall(found))
        expected.append(np.mean([neighbours.chance(row) for row in found], axis=0))
    error = np.std(means, axis=0) / len(means) ** 0.5
    assert (np.abs(np.mean(means, axis=0) - np.mean(expected, axis=0)) < 4 * error).all()
    assert (error < 0.01).all()


@pytest.mark.parametrize(("candidates", "relevant"), [(1, 1), (4, 1), (6, 3), (5, 5)])
def test_chance_is_the_mean_over_all_orders(candidates, relevant):
    orders = set(permutations([True] * relevant + [False] * (candidates - relevant)))
    rankings = [
        {"candidates": candidates, "places": (np.flatnonzero(order) + 1).tolist()}
        for order in orders
    ]
    np.testing.assert_allclose(neighbours.chance(rankings[0]), overall(rankings))


def test_chance_of_precision_is_the_share_of_the_relevant():
    ranking = {"candidates": 80, "places": list(range(1, 21))}
    assert neighbours.chance(ranking)[0] == 0.25
    assert neighbours.scores(ranking) == (1.0, 1.0)


def test_rankings_do_not_depend_on_the_order_of_tracks():
    generator = np.random.default_rng(2)
    given = labelled([f"l{k % 4}" for k in range(30)])
    values = generator.integers(0, 3, (30, 2)).astype(float)  # with many ties
    expected = {row["query"]: row for row in neighbours.rankings(values, given, "artist")}
    order = generator.permutation(30)
    found = neighbours.rankings(values[order], [given[k] for k in order], "artist")
    assert {row["query"]: row for row in found} == expected


def test_ties_are_no_credit():
    found = neighbours.rankings(np.zeros((6, 3)), labelled("aabbcc"), "artist")
    assert all(row["places"] == [5] and row["candidates"] == 5 for row in found)


def test_neither_the_query_nor_its_versions_are_recommended():
    works = ["w", "w", "x", "y"]
    values = np.array([[0.0], [0.1], [5.0], [1.0]])
    found = neighbours.rankings(values, labelled("aaab", work=works), "artist")
    by_query = {row["query"]: row for row in found}
    assert by_query["0"] == {"query": "0", "candidates": 2, "places": [2]}
    assert by_query["2"] == {"query": "2", "candidates": 3, "places": [2, 3]}
    assert "3" not in by_query  # nobody else is by its artist


def test_genre_filters_artists_that_are_known():
    genres = ["g", "g", "g", "h", ""]
    values = np.arange(5.0)[:, None]
    found = neighbours.rankings(values, labelled("ppqqr", genre=genres), "genre")
    assert [row["query"] for row in found] == ["0", "1", "2"]
    assert [row["candidates"] for row in found] == [2, 2, 2]
    unknown = neighbours.rankings(values, labelled([""] * 5, genre=genres), "genre")
    assert [row["candidates"] for row in unknown] == [3, 3, 3]


def test_vectors_pool_audible_windows_alone():
    embedded = np.array([[3.0, 0.0], [0.0, 2.0], [-7.0, -7.0]])
    found = neighbours.pooled(embedded, np.array([True, True, False]))
    np.testing.assert_allclose(found["embedding"], [0.5**0.5, 0.5**0.5])
    np.testing.assert_array_equal(found["bits"], [0, 0])  # signs + - and - +
    alone = neighbours.pooled(embedded, np.array([False, True, False]))
    np.testing.assert_allclose(alone["bits"], [-(0.5**0.5), 0.5**0.5])
    louder = neighbours.pooled(embedded * [[9.0], [0.1], [1]], np.array([True, True, False]))
    np.testing.assert_allclose(louder["embedding"], found["embedding"])


def test_error_rates_are_those_of_the_overlap():
    generator = np.random.default_rng(4)
    codes = generator.integers(0, 256, (40, 8), dtype=np.uint8)
    turned = hashing.pack(hashing.unpack(codes) ^ (generator.random((40, 64)) < 0.1))
    inside, other = turned[5:33], generator.integers(0, 256, (40, 8), dtype=np.uint8)
    around = np.concatenate([other[:7], turned])
    members = [codes, inside, around, other]
    search = ExactSearch(np.concatenate(members), np.cumsum([0, *map(len, members)]))
    audible = np.arange(40) % 5 > 0
    found = duplicates.error_rates(search, codes, audible)
    errors = hashing.hamming(codes, turned) / 64
    expected = [0, errors[5:33][audible[5:33]].mean(), errors[audible].mean()]
    np.testing.assert_allclose(found[:3], expected)
    assert found[3] > 0.4


def test_a_track_without_audible_counterpart_is_no_duplicate():
    codes = np.zeros((8, 1), np.uint8)
    search = ExactSearch(codes[:4], [0, 4])
    audible = np.arange(8) == 7
    # Wherever the last window is covered it fits; else nothing is heard.
    assert duplicates.error_rates(search, codes, audible)[0] == 0
    opposite = ExactSearch(~codes[:4], [0, 4])
    assert duplicates.error_rates(opposite, codes, audible)[0] == 0.5


def test_the_threshold_parts_what_can_be_parted():
    assert duplicates.threshold([0.1, 0.0], [0.4, 0.5]) == pytest.approx(0.25)
    mixed = duplicates.threshold([0.0, 0.1, 0.2, 0.45], [0.3, 0.35, 0.4, 0.42, 0.5])
    assert mixed == pytest.approx(0.25)


def test_copies_are_as_long_and_as_loud_as_they_say(melody):
    waveform = melody(0, 3.0)
    made = duplicates.copies(waveform, np.random.default_rng(0))
    assert tuple(made) == (duplicates.ORIGINAL, *duplicates.COPIES)
    begin = len(waveform) - 4800 - len(made["trimmed"])
    assert 4800 <= begin < 4800 + 4000
    np.testing.assert_array_equal(made["trimmed"], waveform[begin:-4800])
    change_db = 20 * np.log10(np.std(made["-6 dB"]) / np.std(waveform))
    assert change_db == pytest.approx(-6, abs=0.01)
    before, after = duplicates.SILENCE
    assert before % duplicates.HOP and not made["silence around"][:before].any()
    np.testing.assert_array_equal(made["silence around"][before:-after], waveform)
    for name in ("MP3 64k", "Opus 16k"):
        assert len(made[name]) == len(waveform)
        assert 0.9 < np.corrcoef(made[name], waveform)[0, 1] < 0.99999


def test_copies_are_found_and_unrelated_tracks_are_not(rows):
    same, versions, different = duplicates.pairs(rows, "tiny", tune=False)
    assert same["-6 dB"].max() < 0.01 and same["trimmed"].max() < 0.25
    assert not len(versions)
    assert len(different) == 4 * 3 * len(duplicates.COPIES) + 4 * 3 // 2
    assert different.min() > 0.3
    row = table(duplicates.section(rows))[0]
    assert 0 < float(row["threshold"]) < 0.4
    assert row["all copies"].startswith("100.0 [") and row["precision"].startswith("100.0 [")


def test_what_the_command_reports_is_no_stranger(rows):
    found = [row for row in rows if row["kind"] == "reported"]
    assert [row["tune"] for row in found] == [False, True]
    for row, tracks in zip(found, (4, 3), strict=True):
        assert all(len({k for k, _ in group}) == 1 for group in row["groups"])
        together = [dict.fromkeys(name for _, name in group) for group in row["groups"]]
        assert sum({duplicates.ORIGINAL, "-6 dB"} <= names.keys() for names in together) == tracks
    cells = table(duplicates.section(rows), 1)[0]
    assert cells["precision"].startswith("100.0 [") and cells["versions reported"] == "0"


def test_copies_are_known_at_the_door_and_strangers_are_not(rows):
    names = next(row for row in rows if row["kind"] == "tracks")["track"]
    given = {
        (names[row["query"]], row["copy"]): row["linked"] for row in rows if row["kind"] == "door"
    }
    held = {f"{k}.wav": [(f"{k}.wav", copy) for copy in duplicates.COPIES] for k in range(4)}
    strangers = [(f"{k}.wav", duplicates.ORIGINAL) for k in range(4, 7)]
    assert given.keys() == {*strangers, *(key for own in held.values() for key in own)}
    assert all(given[key] is None for key in strangers)
    assert all(given[key] in (None, name) for name, own in held.items() for key in own)
    assert all(given[name, duplicates.QUIETER] == name for name in held)
    cells = table(refusals.section(rows))[0]
    known = sum(
        given[key] is not None for own in held.values() for key in own if key[1] == "MP3 64k"
    )
    assert cells["MP3 64k"].startswith(f"{100 * known / 4:.1f} ")
    assert cells["known as another track's"] == "0 of 20"
    assert cells["strangers known"] == "0 of 3"
    wrong = [row | {"linked": "6.wav"} if row["kind"] == "door" else row for row in rows]
    cells = table(refusals.section(wrong))[0]
    assert cells["known as another track's"] == "20 of 20"
    assert cells["strangers known"] == "3 of 3"
    assert refusals.section([row for row in rows if row["kind"] != "door"]) == ""


def test_reported_pairs_are_counted_within_groups(rows):
    others = [row for row in rows if row["kind"] != "reported"]
    groups = [[[0, "original"], [0, "trimmed"], [1, "original"]], [[2, "-6 dB"], [2, "trimmed"]]]
    row = {"kind": "reported", "system": "tiny", "tune": False, "groups": groups}
    cells = table(duplicates.section([*others, row]), 1)[0]
    assert cells["recall"].startswith("3.3 [") and cells["precision"].startswith("50.0 [")
    assert "As `a2v-duplicates`" not in duplicates.section(others)


def test_originals_are_at_no_distance_from_themselves(rows):
    for row in rows:
        if row["kind"] == "aligned" and row["copy"] == duplicates.ORIGINAL:
            assert row["rates"][row["query"]] == 0


def test_the_threshold_is_that_of_the_tune_split_alone(rows):
    before = table(duplicates.section(rows))[0]
    spoiled = [
        row | {"rates": [0.5] * len(row["rates"])}
        if row["kind"] == "aligned" and not row["tune"]
        else row
        for row in rows
    ]
    after = table(duplicates.section(spoiled))[0]
    assert after["threshold"] == before["threshold"]
    assert after["all copies"].startswith("0.0 [") and after["precision"] == "–"


def test_versions_count_neither_as_right_nor_as_wrong(rows):
    works = [
        row | {"work": ["w", "w", *row["work"][2:]]} for row in rows if row["kind"] == "tracks"
    ]
    others = [row for row in rows if row["kind"] != "tracks"]
    _, versions, different = duplicates.pairs(works + others, "tiny", tune=False)
    assert len(versions) == 2 * len(duplicates.COPIES) + 1
    assert len(different) == (12 - 2) * len(duplicates.COPIES) + (6 - 1)


def test_rows_do_not_depend_on_the_order_of_tracks(rows, encoder, tracks):
    again = recommend.measure([encoder], tracks[::-1], seed=3)
    assert json.loads(json.dumps(again)) == rows


def test_tracks_of_the_tune_split_are_not_recommended(rows):
    found = [row for row in rows if row["kind"] == "ranking"]
    assert {row["query"] for row in found} == {f"{k}.wav" for k in range(4)}
    assert {(row["task"], row["candidates"]) for row in found} == {("artist", 3), ("genre", 2)}


def test_the_page_says_what_was_left_out(rows):
    said = text(recommend.parts(rows))
    assert "4 queries among 4 tracks whose artist is known" in said
    assert len(table(neighbours.section(rows, "genre"))) == 4
    bare = [
        row | {"artist": [""] * 7, "tune": [True] * 7} if row["kind"] == "tracks" else row
        for row in rows
        if row.get("task") != "artist"
    ]
    assert "Left out: no track's artist is known." in text(recommend.parts(bare))
    alone = [row for row in rows if row.get("task") != "genre"]
    assert "of 4 tracks whose genre is known, none shares it" in text(recommend.parts(alone))
    assert "Left out: the tracks asked for had 0 works" in text(recommend.parts(bare))


def test_parts_hold_a_figure_for_each_model(rows):
    figures = [part for part in recommend.parts(rows) if isinstance(part, Picture)]
    assert len(figures) == 1 and isinstance(figures[0].draw(), Figure)


def test_silent_and_short_tracks_are_left_out(encoder, tracks, melody, tmp_path):
    sounds = {"silent.wav": np.zeros(48000, np.float32), "short.wav": melody(9, 1.2)}
    for name, waveform in sounds.items():
        soundfile.write(tmp_path / name, waveform, 16000)
    more = [Track(str(tmp_path / name), name, split="test") for name in sounds]
    told = []
    made = recommend.measure(
        [encoder], [*tracks[:2], *more], seed=3, progress=lambda *parts: told.append(parts)
    )
    assert made[0]["track"] == ["0.wav", "1.wav"] and made[0]["left_out"] == 2
    assert told[-1][0] <= told[-1][1] == 8
    with pytest.raises(A2VError, match="1 tracks that are not silent; give two or more"):
        recommend.measure([encoder], [tracks[0], *more], seed=3)


def test_models_of_one_name_are_refused(encoder, tracks):
    with pytest.raises(A2VError, match="of different names"):
        recommend.measure([encoder, encoder], tracks, seed=3)


def test_a_run_asks_for_the_test_split_and_leaves_a_page(encoder_path, tracks, tmp_path):
    chosen = [tracks[0], tracks[2], *tracks[4:6]]
    given = [*chosen, Track(tracks[1].path, "1.wav", split="train")]
    manifest.write(tmp_path / "some.csv", given)
    out = tmp_path / "out"
    made = suites.run(
        "recommend", out, systems=[str(encoder_path)], corpus=[tmp_path / "some.csv"], seed=3
    )
    assert made[0]["suite"] == "recommend" and made[0]["tracks"] == 4
    assert made[1]["track"] == [track.track for track in chosen]
    tables, *_, page = suites.publish(out)
    assert "some.csv" in tables.read_text(encoding="utf-8") and page.stat().st_size > 5000
