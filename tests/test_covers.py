import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest

from a2v import chance, covers, hashing, matching
from a2v.errors import A2VError
from a2v.library import Library
from a2v.search import ExactSearch

TRACKS = [(f"{name}.wav", f"music/{name}.wav") for name in "abcd"]


class Keyed:
    """An encoder whose bits turn with the key; a waveform's samples are places in a table."""

    name, downmix, n_bits, hop_s, window_s, sample_rate = "keyed", "first", 128, 0.25, 1.0, 16000
    turns_with_key = True
    calibration = chance.THEORY

    def __init__(self, table):
        self.table = table

    def hash(self, waveform):
        if not waveform.any():
            return np.zeros((1, 16), np.uint8)
        return self.table[waveform[:: round(self.hop_s * self.sample_rate)].astype(int) - 1]

    def audible(self, waveform):
        return np.ones(len(self.hash(waveform)), bool)


def transposed(codes, semitones):
    return hashing.pack(hashing.transpose(hashing.unpack(codes), semitones))


def slower(codes, ratio):
    return codes[np.arange(0, len(codes), ratio).astype(int)]


@pytest.fixture(scope="module")
def table():
    return np.random.default_rng(0).integers(0, 256, (240, 16), np.uint8)


@pytest.fixture(scope="module")
def engine(table):
    """A track, a slower version five semitones up within other music, and two strangers."""
    generator = np.random.default_rng(1)
    strange = [generator.integers(0, 256, (n, 16), np.uint8) for n in (40, 200, 180)]
    version = np.concatenate([strange[0], transposed(slower(table, 0.8), 5)])
    members = [table, version, *strange[1:]]
    return ExactSearch(np.concatenate(members), np.cumsum([0, *map(len, members)]))


def test_a_version_of_another_key_and_tempo_comes_first(engine, table):
    found = covers.find(Keyed(table), engine, TRACKS, "a.wav")
    assert found[0].track == "b.wav" and found[0].path == "music/b.wav"
    assert found[0].transposition == -5
    assert found[0].begin_s == pytest.approx(10, abs=3)
    assert found[0].query_begin_s == pytest.approx(0, abs=3)
    assert "a.wav" not in {each.track for each in found}
    distances = [each.distance for each in found]
    assert distances == sorted(distances) and distances[0] < 0.5 * distances[1]


def test_the_track_it_is_a_version_of_comes_first_in_turn(engine, table):
    found = covers.find(Keyed(table), engine, TRACKS, "b.wav")
    assert (found[0].track, found[0].transposition) == ("a.wav", 5)
    assert found[0].query_begin_s == pytest.approx(10, abs=3)


def test_a_long_recording_is_aligned_like_a_track_and_not_left_out(engine, table):
    waveform = np.repeat(np.arange(1, 241), 4000).astype(np.float32)
    found = covers.find(Keyed(table), engine, TRACKS, waveform)
    assert [each.track for each in found[:2]] == ["a.wav", "b.wav"]
    assert (found[0].transposition, found[0].begin_s, found[0].query_begin_s) == (0, 0, 0)
    assert found[1:] == covers.find(Keyed(table), engine, TRACKS, "a.wav")


def test_a_clip_is_asked_in_all_keys(engine, table, monkeypatch):
    asked = []

    def identify(encoder, search, tracks, waveform):
        asked.append(len(waveform))
        return [matching.Match("c.wav", "music/c.wav", 3.5, 0.9, 1e-4, 0.21, 4.0)] * 3

    monkeypatch.setattr(covers.versions, "identify", identify)
    found = covers.find(Keyed(table), engine, TRACKS, np.ones(30 * 16000, np.float32), top=2)
    assert found == [covers.Cover("c.wav", "music/c.wav", 0.21, 3.5, 0.0, None)] * 2
    assert asked == [30 * 16000]


def test_top_takes_the_nearest(engine, table):
    every = covers.find(Keyed(table), engine, TRACKS, "a.wav")
    assert len(every) == 3
    assert covers.find(Keyed(table), engine, TRACKS, "a.wav", top=1) == every[:1]
    with pytest.raises(A2VError, match="top 0"):
        covers.find(Keyed(table), engine, TRACKS, "a.wav", top=0)
    with pytest.raises(A2VError, match="top 0"):
        covers.find(Keyed(table), engine, TRACKS, np.ones(16000, np.float32), top=0)


@pytest.mark.parametrize("semitones", range(12))
def test_transpositions_are_told_by_the_shorter_way(table, semitones):
    up = transposed(table, semitones)
    engine = ExactSearch(np.concatenate([table, up]), [0, len(table), 2 * len(table)])
    (found,) = covers.find(Keyed(table), engine, TRACKS[:2], "a.wav")
    assert (found.transposition + semitones) % 12 == 0 and -5 <= found.transposition <= 6


def test_stacks_are_what_alignment_makes_of_frames(table):
    m, tau = covers.stacking(0.25).values()
    assert (m, tau) == (5, 2)
    assert [covers.stacks(n, 0.25) for n in (1, 8, 9, 100)] == [0, 0, 1, 92]


def test_other_encoders_are_refused_with_the_remedy(engine, table):
    plain = SimpleNamespace(name="conv128", turns_with_key=False)
    with pytest.raises(A2VError, match="made with conv128, .* --model cover128"):
        covers.find(plain, engine, TRACKS, "a.wav")


def test_a_library_of_another_encoder_is_refused(encoder_path, tmp_path):
    with Library.create(tmp_path / "l.a2v", encoder_path) as library:
        with pytest.raises(A2VError, match="made with tiny, .* --model cover128"):
            library.covers("a.wav")


def test_a_clip_in_a_library_that_turns_with_the_key_is_found(
    exported, melody, write_wav, tmp_path
):
    (tmp_path / "keyed.tflite").write_bytes(exported(turns_with_key=True))
    with Library.create(tmp_path / "l.a2v", tmp_path / "keyed.tflite") as library:
        for seed in range(3):
            library.add(write_wav(tmp_path / f"{seed}.wav", melody(seed, 12)))
        clip = write_wav(tmp_path / "clip.wav", melody(1, 12)[4 * 16000 : 10 * 16000])
        found = library.covers(str(clip))
        assert (found[0].track, found[0].begin_s) == ("1.wav", 4)
        assert len(found) == 3 and found[0].distance < 0.1 < found[1].distance
        with pytest.raises(A2VError, match="missing.wav"):
            library.covers(str(tmp_path / "missing.wav"))
        with pytest.raises(A2VError, match=r"shape \(2, 9\)"):
            library.covers(np.zeros((2, 9), np.float32))
    # Candidates are those of one sound from several beginnings, not of twelve keys.
    if importlib.util.find_spec("faiss"):
        with Library.open(tmp_path / "l.a2v", engine="faiss") as library:
            assert library.covers(str(clip)) == found
