import numpy as np
import pytest

from a2v.benchmarking import covers, report
from a2v.corpora import Track
from a2v.errors import A2VError

RUN = {"kind": "run", "corpus": "tunes", "corpus_sha256": "f" * 64, "seed": 0, "tracks": 3}
RUN |= {"commit": "c0", "machine": "m"}


class Coded:
    """An encoder whose hashes are written in the recordings' names."""

    name, downmix, n_bits, hop_s, window_s = "coded", "first", 16, 0.25, 1.0

    def __init__(self, codes):
        self.codes = codes

    def hash(self, name):
        return self.codes[name]


@pytest.fixture
def made(monkeypatch):
    """Rows of two works with a cover each, one of them perfect, and one work without."""
    generator = np.random.default_rng(0)
    codes = {name: generator.integers(0, 256, (80, 2), np.uint8) for name in "acd"}
    codes["b"] = codes["a"][13:70]
    codes["e"] = generator.integers(0, 256, (80, 2), np.uint8)
    monkeypatch.setattr(covers.audio, "load", lambda path, downmix: path)
    works = {"a": "one", "b": "one", "c": "two", "d": "three", "e": "three"}
    tracks = [Track(name, name, work=work) for name, work in works.items()]
    return [RUN, *covers.answers(Coded(codes), covers.versions(tracks))]


def test_works_without_covers_are_originals_that_nobody_asks_for(made):
    assert {row["query"] for row in made if row["kind"] == "clip"} == {"b", "e"}
    rankings = [row for row in made if row["kind"] == "ranking"]
    assert {row["query"] for row in rankings} == {"a", "b", "d", "e"}
    assert {len(row["relevant"]) for row in rankings} == {4}


def test_a_cover_of_the_same_hashes_is_found_at_every_length(made):
    clips = [row for row in made if row["kind"] == "clip" and row["query"] == "b"]
    assert all(row["answer"] == "one" and row["distance"] == 0 for row in clips)
    assert {row["length_s"] for row in clips} == {1.0, 2.0, 3.0, 5.0, 10.0, None}
    # 57 hashes are 15 s: no clip of 30 s; ten of every other length, and the whole.
    assert len(clips) == 5 * covers.CLIPS + 1


def test_originals_that_tie_are_no_answer(monkeypatch):
    codes = dict.fromkeys("abc", np.zeros((20, 2), np.uint8))
    monkeypatch.setattr(covers.audio, "load", lambda path, downmix: path)
    tracks = [Track("a", "a", work="one"), Track("b", "b", work="one"), Track("c", "c", work="two")]
    rows = covers.answers(Coded(codes), covers.versions(tracks))
    assert {row["answer"] for row in rows if row["kind"] == "clip"} == {None}


def test_table_counts_right_clips_and_shows_what_was_published(made):
    table = covers.table(made)
    line = next(line for line in table.splitlines() if line.startswith("| coded"))
    clips = [row for row in made if row["kind"] == "clip" and row["length_s"] == 1.0]
    right = 100 * sum(row["answer"] == row["truth"] for row in clips) / len(clips)
    assert f"| {right:.1f} [" in line
    assert "| 10.42 |  | 20.28 |" in table
    assert "3 originals, 2 covers, chance 33.3 %" in covers.statement(made)


def test_page_has_a_figure_with_every_rate(made):
    (picture,) = [part for part in covers.parts(made) if isinstance(part, report.Picture)]
    axis = picture.draw().axes[0]
    drawn = {line.get_label(): line for line in axis.get_lines()}
    assert list(drawn["published"].get_ydata()) == [10.42, 20.28]
    for length_s, rate in zip(*drawn["coded"].get_data(), strict=True):
        clips = [row for row in made if row.get("length_s") == length_s]
        right = sum(row["answer"] == row["truth"] for row in clips)
        assert rate == pytest.approx(100 * right / len(clips))


def test_a_corpus_without_covers_is_refused():
    tracks = [Track("a", "a", work="one", split="test"), Track("b", "b", work="one", split="train")]
    with pytest.raises(A2VError, match="no work of the splits tune, test has two tracks"):
        covers.versions(tracks, splits=("tune", "test"))
