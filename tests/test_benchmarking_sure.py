import numpy as np
import pytest

from a2v import audio, resources, runtime
from a2v.benchmarking import report, sure, sure_charts, sure_tables
from a2v.corpora import Track

RUN = {"kind": "run", "suite": "sure", "corpus": "c", "corpus_sha256": "0" * 64, "seed": 0}


@pytest.fixture(scope="module")
def rows(corpus):
    encoder = runtime.Encoder(resources.saved_model(resources.DEFAULT_MODEL))
    return sure.measure([encoder], corpus[:6], seed=0, noises=[], queries=4)


def answers(rates, **changes):
    n = len(rates)
    row = {"kind": "answers", "system": "x", "length_s": 3.0, "condition": "clean", "known": False}
    row["track"] = "t"
    return row | {"rates": rates, "probabilities": [0.5] * n, "right": [False] * n} | changes


def test_every_length_condition_and_kind_is_asked(rows):
    found = {(r["length_s"], r["condition"], r["known"]) for r in rows if r["kind"] == "answers"}
    lengths = [s for s in sure.LENGTHS_S if s < 10]  # the corpus is of shorter tracks
    assert found == {(s, n, k) for s in lengths for n in sure.NAMES for k in (False, True)}
    for row in rows:
        if row["kind"] == "answers":
            assert len(row["rates"]) == len(row["probabilities"]) == len(row["right"]) > 0
            assert all(0 <= rate <= 1 for rate in row["rates"])
            assert row["known"] or not any(row["right"])


def test_known_clips_are_surer_than_unknown_ones(rows):
    clean = {"condition": "clean", "length_s": 5.0}
    known, unknown = (
        sure_tables.pooled(rows, resources.DEFAULT_MODEL, "rates", known=known, **clean)
        for known in (True, False)
    )
    assert np.median(known) < 1e-3 < np.median(unknown)


def test_same_seed_gives_the_same_rows(rows, corpus, monkeypatch):
    noise = {"white noise": sure.SOUNDS["white noise"]}  # seeds are a sound's own
    monkeypatch.setattr(sure, "SOUNDS", noise)
    encoder = runtime.Encoder(resources.saved_model(resources.DEFAULT_MODEL))
    again = sure.measure([encoder], corpus[:6], seed=0, noises=[], queries=4)
    assert again == [row for row in rows if row.get("sound", "white noise") == "white noise"]


def test_sounds_that_are_no_music_are_no_match(rows):
    found = {row["sound"]: row["rates"] for row in rows if row["kind"] == "sounds"}
    assert list(found) == ["silence", "tone", "mains hum", "white noise"]
    assert found["silence"] == []
    assert all(rate > 1e-3 for rates in found.values() for rate in rates)


def test_false_accepts_count_what_is_stated_at_most():
    given = [answers([0.05, 0.2, 0.01, 1.0]), answers([0.0], known=True)]
    (row,) = [r for r in sure_tables.false_accepts(given, ["x"]).splitlines() if "3 s" in r]
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells[:3] == ["x", "3 s", "4"]
    assert [cell.split()[0] for cell in cells[3:-1]] == ["50", "25", "25", "0", "0"]
    assert cells[-1] == "0 of 0"
    given += [answers([1e-4, 1e-3, 0.3]), answers([1e-4]) | {"track": "another"}]
    (row,) = [r for r in sure_tables.false_accepts(given, ["x"]).splitlines() if "3 s" in r]
    assert row.endswith("| 2 of 3 |")


def test_recall_counts_answers_that_are_right_and_sure():
    given = answers([1e-4, 1e-4, 0.5], known=True, right=[True, False, True])
    text = sure_tables.recall([given], ["x"])
    assert "| 33 [" in text.splitlines()[-1]


def test_reliability_of_calibrated_answers_lies_on_the_diagonal():
    draw = np.random.default_rng(0)
    stated = draw.random(20_000)
    right = draw.random(20_000) < stated
    judged = {"x": {True: (stated[::2], right[::2]), False: (stated[1::2], right[1::2])}}
    figure = sure_charts.reliability(judged, sure_tables.BINS)
    (line,) = [line for line in figure.axes[0].lines if line.get_label() == "x"]
    assert np.abs(line.get_ydata() - line.get_xdata()).max() < 0.05


def test_page_has_all_tables_and_figures(rows, tmp_path):
    run = RUN | {"commit": "c", "machine": "m", "versions": {}, "date": "d"}
    parts = sure_tables.parts([run, *rows])
    names = [part.name for part in parts if isinstance(part, report.Picture)]
    assert names == ["false_accepts", "reliability"]


def test_tracks_of_other_splits_are_not_asked(corpus, monkeypatch):
    monkeypatch.setattr(sure, "SOUNDS", {})
    encoder = runtime.Encoder(resources.saved_model(resources.DEFAULT_MODEL))
    splits = zip(corpus[:3], ("test", "train", "train"), strict=True)
    asked = [Track(**{**vars(track), "split": split}) for track, split in splits]
    rows = sure.measure([encoder], asked, seed=0, noises=[], queries=4)
    seconds = len(audio.load(asked[0].path)) / audio.SAMPLE_RATE
    most = 4 * (1 if seconds > 3 else 0)
    assert {r["track"] for r in rows if r["kind"] == "answers"} <= {asked[0].track}
    counts = [len(r["rates"]) for r in rows if r["kind"] == "answers" and not r["known"]]
    assert max(counts) == most
