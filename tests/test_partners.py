import shutil

import numpy as np
import pytest

from a2v import audio, preprocessing, records
from a2v.corpora import Track, beats
from a2v.errors import A2VError
from a2v.partners import Partners
from a2v.windowing import Windower

RATE = audio.SAMPLE_RATE
SECONDS = {"a": 8.0, "b": 7.0, "c": 9.0}


def sweep(path, seconds, write_wav):
    """A tone whose pitch tells the beat: one octave in 16 beats, over all of the recording."""
    t = np.arange(round(seconds * RATE)) / RATE
    hz = 300 * 2 ** (t / seconds)
    write_wav(path, 0.3 * np.sin(2 * np.pi * np.cumsum(hz) / RATE))
    beats.write(path, np.arange(17), np.linspace(0, seconds, 17))


def pitch(waveform):
    fine = 1 << 20
    power = np.abs(np.fft.rfft(waveform * np.hanning(waveform.size), fine)) ** 2
    return np.argmax(power) * RATE / fine


@pytest.fixture(scope="module")
def versions(write_wav, melody, tmp_path_factory):
    folder = tmp_path_factory.mktemp("versions")
    for name, seconds in SECONDS.items():
        sweep(folder / f"{name}.wav", seconds, write_wav)
    write_wav(folder / "alone.wav", melody(1, 6.0))
    tracks = [Track(str(folder / f"{n}.wav"), n, work="w", split="train") for n in "abc"]
    return [*tracks, Track(str(folder / "alone.wav"), "alone", split="train")]


@pytest.fixture(scope="module")
def found(versions, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "data"
    preprocessing.preprocess(
        versions, out, feature_names=["waveform"], margin_s=0.1, hop_s=0.5, partners=True, shards=2
    )
    read = records.Dataset(out).read("train", ["waveform", "partner"])
    rows = {}
    for row in read.as_numpy_iterator():
        rows.setdefault(row["track"].decode(), []).append(row)
    return rows


def test_partner_is_the_same_passage_of_another_version_as_fast(found):
    for track, others in (("a", "bc"), ("b", "ac"), ("c", "ab")):
        faster = {round(12 * np.log2(SECONDS[other] / SECONDS[track])) for other in others}
        heard = set()
        for row in found[track][1:-1]:
            own, other = pitch(row["waveform"]), pitch(row["partner"])
            semitones = 12 * np.log2(other / own)
            assert semitones == pytest.approx(round(semitones), abs=0.1)
            heard.add(round(semitones))
            rises = [
                np.log2(pitch(waveform[RATE // 2 :]) / pitch(waveform[: -RATE // 2]))
                for waveform in (row["waveform"], row["partner"])
            ]
            assert rises[1] == pytest.approx(rises[0], rel=0.05)
        assert heard == faster  # both others, of two tempi, in turn


def test_order_of_the_recordings_changes_no_partner(versions, tmp_path):
    options = {"feature_names": ["waveform"], "partners": True, "hop_s": 1.0, "shards": 1}
    first = preprocessing.preprocess(versions, tmp_path / "a", **options)
    assert preprocessing.preprocess(versions[::-1], tmp_path / "b", **options) == first


def test_windows_keep_their_places(found):
    for track in "abc":
        starts = [float(row["start_s"]) for row in found[track]]
        assert np.allclose(np.diff(starts), 0.5) and starts[0] == 0.0


def test_passages_of_too_different_a_tempo_are_no_partners(write_wav, tmp_path):
    for name, seconds in (("a", 8.0), ("b", 6.0)):  # 5 semitones of a tape apart
        sweep(tmp_path / f"{name}.wav", seconds, write_wav)
    entries = [{"work": "w", "split": "train", "path": tmp_path / f"{n}.wav"} for n in "ab"]
    found = Partners(entries, Windower(["waveform"]), "first")
    windows = {"waveform": np.ones((4, 16864), np.float32)}
    for entry in entries:
        kept, _ = found.beside(entry, 4, windows)
        assert len(kept) == 0


def test_track_without_another_version_is_its_own_partner(found):
    for row in found["alone"]:
        np.testing.assert_array_equal(row["partner"], row["waveform"])


def test_windows_without_a_counterpart_are_left_out(versions, tmp_path):
    # The second half of `a` alone is in the others.
    path = beats.file_of(versions[0].path)
    before = path.read_text(encoding="utf-8")
    beats.write(versions[0].path, np.arange(-8, 9), np.linspace(0, 8, 17))
    try:
        manifest = preprocessing.preprocess(
            versions, tmp_path / "x", feature_names=["waveform"], partners=True, shards=1
        )
    finally:
        path.write_text(before, encoding="utf-8")
    starts = [
        float(row["start_s"])
        for row in records.Dataset(tmp_path / "x").read("train", []).as_numpy_iterator()
        if row["track"] == b"a"
    ]
    (count,) = {t["windows"] for t in manifest["tracks"] if t["track"] == "a"}
    assert len(starts) == count
    assert 3.0 < min(starts) < 4.5 and np.allclose(np.diff(starts), 0.25)


def test_a_damaged_version_is_nobodys_partner(versions, write_wav, tmp_path):
    for track in versions[:3]:
        shutil.copy(track.path, tmp_path)
        shutil.copy(beats.file_of(track.path), tmp_path)
    bad = tmp_path / "b.wav"
    bad.write_bytes(b"RIFF" + bad.read_bytes()[4:1000].replace(b"data", b"atad"))
    tracks = [Track(str(tmp_path / f"{n}.wav"), n, work="w", split="train") for n in "abc"]
    tracks.append(versions[-1])
    chosen = {"feature_names": ["waveform"], "partners": True, "shards": 1}
    entries = [{"work": "w", "split": "train", "path": track.path} for track in tracks[:2]]
    windows = {"waveform": np.ones((4, 16864), np.float32)}
    kept, found = Partners(entries, Windower(["waveform"]), "first").beside(entries[0], 0, windows)
    assert len(kept) == 0 and found["partner"].shape == (0, 16864)
    manifest = preprocessing.preprocess(tracks, tmp_path / "out", **chosen)
    assert [gone["track"] for gone in manifest["rejected"]] == ["b"]
    assert {track["track"] for track in manifest["tracks"]} == {"a", "c", "alone"}


@pytest.mark.parametrize("split", ["train", "tune"])
def test_no_partner_at_all_is_an_error(split, versions, tmp_path):
    # Of the one version the list of beats is gone, or it lies in another split.
    for track in versions[:2]:
        shutil.copy(track.path, tmp_path)
    shutil.copy(beats.file_of(versions[0].path), tmp_path)
    if split == "tune":
        shutil.copy(beats.file_of(versions[1].path), tmp_path)
    tracks = [
        Track(str(tmp_path / "a.wav"), "a", work="w", split="train"),
        Track(str(tmp_path / "b.wav"), "b", work="w", split=split),
    ]
    options = {"feature_names": ["waveform"], "partners": True}
    with pytest.raises(A2VError, match="no work to train on has two .* compose some"):
        preprocessing.preprocess(tracks, tmp_path / "x", **options)
    assert not (tmp_path / "x").exists()


def test_partners_want_waveforms(versions, tmp_path):
    with pytest.raises(A2VError, match="ask for the feature waveform"):
        preprocessing.preprocess(versions, tmp_path / "x", feature_names=["mfcc"], partners=True)
