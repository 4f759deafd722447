import numpy as np
import pytest

from a2v import alignment, audio, matching
from a2v.benchmarking import cover_alignment, cover_tables, covers, report, suites
from a2v.corpora import Track, synthetic, tracks
from a2v.errors import A2VError

RUN = {"kind": "run", "corpus": "tunes", "corpus_sha256": "f" * 64, "seed": 0, "tracks": 3}
RUN |= {"commit": "c0", "machine": "m"}


class Coded:
    """An encoder whose hashes are written in the recordings' names."""

    name, downmix, n_bits, hop_s, window_s = "coded", "first", 16, 0.25, 1.0
    sample_rate = 16000
    turns_with_key = False

    def __init__(self, codes):
        self.codes = codes

    def hash(self, name):
        return self.codes[name]

    def audible(self, name):
        return np.ones(len(self.codes[name]), bool)


class Keyed(Coded):
    """One whose bits turn with the key."""

    turns_with_key = True


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
    return [RUN, *covers.answers(Coded(codes), covers.versions(tracks), jobs=1)]


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
    rows = covers.answers(Coded(codes), covers.versions(tracks), jobs=1)
    assert {row["answer"] for row in rows if row["kind"] == "clip"} == {None}


def test_table_counts_right_clips_and_shows_what_was_published(made):
    table = cover_tables.table(made)
    line = next(line for line in table.splitlines() if line.startswith("| coded"))
    clips = [row for row in made if row["kind"] == "clip" and row["length_s"] == 1.0]
    right = 100 * sum(row["answer"] == row["truth"] for row in clips) / len(clips)
    assert f"| {right:.1f} [" in line
    assert "| 10.42 |  | 20.28 |" in table
    assert "3 originals, 2 covers, chance 33.3 %" in cover_tables.statement(made)


def test_page_has_a_figure_with_every_rate(made):
    (picture,) = [part for part in covers.parts(made) if isinstance(part, report.Picture)]
    axis = picture.draw().axes[0]
    drawn = {line.get_label(): line for line in axis.get_lines()}
    assert list(drawn["published"].get_ydata()) == [10.42, 20.28]
    for length_s, rate in zip(*drawn["coded"].get_data(), strict=True):
        clips = [row for row in made if row.get("length_s") == length_s]
        right = sum(row["answer"] == row["truth"] for row in clips)
        assert rate == pytest.approx(100 * right / len(clips))


def test_answers_of_before_alignment_still_make_a_page(made):
    before = [row for row in made if row["kind"] != "aligned"]
    assert "aligned" in cover_tables.table(made) and "Aligned: " in "".join(text(made))
    assert "ligned" not in cover_tables.table(before) + "".join(text(before))
    head, *lines = (line.split("|") for line in cover_tables.table(made).splitlines())
    assert head[-3:-1] == [" MAP aligned ", " MR1 aligned "]
    assert cover_tables.table(before).splitlines() == [
        "|".join([*c[:-3], ""]) for c in (head, *lines)
    ]


def text(rows):
    return [part for part in covers.parts(rows) if isinstance(part, str)]


def aligned(encoder, works, monkeypatch):
    """Rankings with alignment by query; works of tracks by name, which is what is heard, too."""
    monkeypatch.setattr(covers.audio, "load", lambda path, downmix: path)
    versions = covers.versions([Track(name, name, work=work) for name, work in works.items()])
    rows = covers.answers(encoder, versions, jobs=1)
    return {row["query"]: row["relevant"] for row in rows if row["kind"] == "aligned"}


def test_alignment_finds_covers_of_another_tempo_and_order(monkeypatch):
    generator = np.random.default_rng(0)
    codes = {name: generator.integers(0, 256, (100, 16), np.uint8) for name in "acd"}
    slower = codes["a"][np.arange(0, 100, 0.8).astype(int)]
    codes["b"] = np.concatenate([generator.integers(0, 256, (40, 16), np.uint8), slower])
    works = {"c": "two", "a": "one", "b": "one", "d": "three"}
    coded = Coded(codes)
    coded.n_bits = 128
    found = aligned(coded, works, monkeypatch)
    assert found == {"a": [True, False, False], "b": [True, False, False]}


@pytest.mark.parametrize(("kind", "first"), [(Keyed, True), (Coded, False)])
def test_alignment_transposes_the_codes_of_models_that_say_so(kind, first, monkeypatch):
    nothing = matching.Match("b", "", 0.0, 0.0, 1.0, 0.5, 0.0)  # clips are not asked about here
    monkeypatch.setattr(covers.versions_, "identify", lambda *_, top: [nothing])
    generator = np.random.default_rng(0)

    def drawn():
        return np.packbits(generator.random((90, 24)) < likely, axis=1)

    likely = generator.random(24)  # the pitch classes differ

    codes = {name: drawn() for name in "abcdefgh"}
    codes["h"] = alignment.transpose(codes["a"], 5)
    works = {name: name for name in "bcdefg"} | {"a": "one", "h": "one"}
    found = aligned(kind(codes), works, monkeypatch)
    assert [ranking[0] for ranking in found.values()] == [first, first]


def test_alignment_leaves_silence_out(monkeypatch):
    generator = np.random.default_rng(0)
    codes = {name: generator.integers(0, 256, (60, 2), np.uint8) for name in "abc"}
    codes["b"][:40] = codes["a"][:40]
    for name in "ac":  # longer than what the versions share
        codes[name] = np.concatenate([codes[name], np.zeros((90, 2), np.uint8)])
    works = {"c": "two", "a": "one", "b": "one"}
    coded = Coded(codes)
    found = aligned(coded, works, monkeypatch)
    assert not found["a"][0]  # what follows is no matter of course
    coded.audible = lambda name: codes[name].any(axis=1)
    assert aligned(coded, works, monkeypatch) == {"a": [True, False], "b": [True, False]}


@pytest.fixture(scope="module")
def composed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("composed")
    synthetic.compose(folder, works=6, covers=1, seconds=20.0, seed=3)
    return tracks([folder / "manifest.csv"])


def test_baseline_finds_covers_in_other_keys_and_tempos(composed):
    done = []
    found = covers.versions(composed)
    rows = covers.baseline(found, progress=lambda *counts: done.append(counts))
    assert {row["kind"] for row in rows} == {"clip", "aligned"}
    rankings = [row["relevant"] for row in rows if row["kind"] == "aligned"]
    assert len(rankings) == 12 and {len(ranking) for ranking in rankings} == {11}
    # By chance one in eleven ranks its version first, six or more of twelve do in 0.04 % of runs.
    assert sum(ranking[0] for ranking in rankings) >= 6
    whole = [row for row in rows if row["kind"] == "clip"]
    assert len(whole) == 6 and {row["length_s"] for row in whole} == {None}
    assert sum(row["answer"] == row["truth"] for row in whole) >= 4
    assert done == [(k, 24) for k in range(1, 25)]
    page = cover_tables.table([RUN, *rows])
    assert "| qmax |" in page and "whole | MAP | MR1 | MAP aligned | MR1 aligned |" in page
    assert "6 covers" in cover_tables.statement([RUN, *rows])
    assert all(part.draw() for part in covers.parts([RUN, *rows]) if not isinstance(part, str))


def test_baseline_knows_a_track_in_another_key_and_tempo(composed):
    waveform = audio.load(composed[0].path)
    frames = cover_alignment.chroma(waveform)
    assert frames.shape == (1 + (len(waveform) - 9888) // 8000, 12)
    np.testing.assert_allclose(frames.max(axis=1), 1)
    silent = np.concatenate([waveform, np.zeros(80_000, np.float32)])
    # The tone that ends in silence is heard in one frame more.
    assert len(frames) <= len(cover_alignment.chroma(silent)) <= len(frames) + 1
    assert cover_alignment.chroma(waveform[:9887]).shape == (0, 12)
    faster = np.interp(
        np.arange(0, len(waveform), 2 ** (2 / 12)), np.arange(len(waveform)), waveform
    )
    heard = [frames, cover_alignment.chroma(faster.astype(np.float32))]
    heard += [cover_alignment.chroma(audio.load(track.path)) for track in composed[2:6]]
    apart = cover_alignment.distances(heard, hop_s=0.5, transposable=True)
    assert apart[0, 1] < 0.7 * apart[0, 2:].min()


def test_distances_are_the_published_ones():
    codes = [
        np.random.default_rng(k).integers(0, 256, (n, 16), np.uint8) for k, n in ((0, 70), (1, 90))
    ]
    codes += [codes[0][:9], codes[0][:8]]  # 8 hops of 0.25 s: what a stack needs beyond one
    apart = cover_alignment.distances(codes, hop_s=0.25, transposable=False)
    score = alignment.align(codes[0], codes[1], m=5, tau=2).score
    assert apart[0, 1] == pytest.approx(np.sqrt(90 - 8) / score)
    assert apart[1, 0] == pytest.approx(np.sqrt(70 - 8) / score)
    assert apart[0, 2] == 1
    assert np.isinf(apart[3, :3]).all() and np.isinf(apart[:3, 3]).all()
    assert (np.diag(apart) == 0).all()


def test_the_baseline_is_asked_by_its_name(composed, tmp_path):
    assert suites.default_systems("covers")[-1] == "qmax"
    corpus = [tmp_path / "mine.csv"]
    lines = ["path,track,work,split"]
    lines += [f"{track.path},{track.track},{track.work},test" for track in composed[:4]]
    corpus[0].write_text("\n".join(lines))
    rows = suites.run("covers", tmp_path / "out", systems=["qmax"], corpus=corpus)
    assert {row["system"] for row in rows[1:]} == {"qmax"}
    suites.publish(tmp_path / "out")
    table = (tmp_path / "out" / "tables.md").read_text(encoding="utf-8")
    assert "| qmax |" in table and "2 originals, 2 covers" in table


def test_a_corpus_without_covers_is_refused():
    tracks = [Track("a", "a", work="one", split="test"), Track("b", "b", work="one", split="train")]
    with pytest.raises(A2VError, match="no work of the splits tune, test has two tracks"):
        covers.versions(tracks, splits=("tune", "test"))


def test_clips_of_silence_are_answered_by_nothing():
    class Deaf(Keyed):
        sample_rate = 16000

    encoder = Deaf({})
    encoder.windows, encoder.calibration = lambda samples: 0, None
    search = covers._search([np.zeros((9, 2), np.uint8)], [0])
    codes = np.zeros((3, 2), np.uint8)
    asked = covers._clip(np.zeros(48000, np.float32), 0, codes, search, ["one"], encoder)
    assert (asked["answer"], asked["distance"]) == (None, None)
