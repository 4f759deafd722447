import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

from a2v import audio, decoding, features, preprocessing, records
from a2v.corpora import Track
from a2v.errors import A2VError
from a2v.windowing import Windower


@pytest.fixture(scope="module")
def tracks(melody, write_wav, tmp_path_factory):
    """Nine short recordings, three of each work."""
    folder = tmp_path_factory.mktemp("music")
    found = []
    for i in range(9):
        path = write_wav(folder / f"{i}.wav", melody(i, 1.5 + 0.4 * i))
        found.append(Track(str(path), f"track {i}", work=f"work {i % 3}"))
    return found


def preprocess(tracks, out, **options):
    options = {"feature_names": ["waveform"], "shards": 2, "jobs": 1, **options}
    return preprocessing.preprocess(tracks, out, **options)


def contents(folder):
    """Every file below a folder, by name."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def rows(folder, names):
    """All records of a dataset by track, in the order of the shards."""
    data, found = records.Dataset(folder), {}
    for split in preprocessing.SPLITS:
        if data.count(split):
            for row in data.read(split, names).as_numpy_iterator():
                found.setdefault(row["track"].decode(), []).append(row)
    return found


@pytest.mark.parametrize(("names", "hop_s"), [(["mfcc"], 0.25), (["logmel", "waveform"], 1.0)])
def test_records_are_the_windows_of_each_track(names, hop_s, tracks, tmp_path):
    manifest = preprocess(tracks, tmp_path / "out", feature_names=names, hop_s=hop_s, margin_s=0.1)
    found = rows(tmp_path / "out", names)
    assert found.keys() == {track.track for track in tracks}
    windower = Windower(names, hop_s=hop_s, margin_s=0.1)
    for track in tracks:
        waveform = audio.load(track.path)
        count = 1 + (len(waveform) - 16000) // (4000 * round(hop_s / 0.25))
        mine = found[track.track]
        assert [float(row["start_s"]) for row in mine] == [hop_s * k for k in range(count)]
        expected = windower.windows(windower.segment(waveform).numpy())
        for name in names:
            np.testing.assert_allclose([r[name] for r in mine], expected[name], atol=1e-5)
    assert {t["track"]: t["windows"] for t in manifest["tracks"]} == {
        track: len(mine) for track, mine in found.items()
    }


def test_real_tracks_have_a_window_each_quarter_second(real_music, tmp_path):
    some = [Track(path, str(i)) for i, path in enumerate(real_music)]
    manifest = preprocess(some, tmp_path / "out", feature_names=["mfcc"], jobs=None)
    for track in manifest["tracks"]:
        n = len(audio.load(track["path"]))
        assert track["windows"] == 1 + (n - 16000) // 4000
    assert manifest["rejected"] == []


def test_manifest_is_whole_and_true(tracks, tmp_path):
    out = tmp_path / "out"
    manifest = preprocess(tracks, out, feature_names=["mfcc", "waveform"], margin_s=0.5)
    assert manifest == json.loads((out / records.MANIFEST).read_text())
    assert set(os.listdir(out)) == {records.MANIFEST, *(s["name"] for s in manifest["shards"])}
    for shard in manifest["shards"]:
        assert shard["checksum"] == records.checksum(out / shard["name"])
        assert len(records.salvage(out / shard["name"])) == shard["records"]
        mine = [t for t in manifest["tracks"] if t["shard"] == shard["name"]]
        assert {t["split"] for t in mine} == {shard["split"]}
        assert sum(t["windows"] for t in mine) == shard["records"]
    mfcc, waveform = manifest["features"]["mfcc"], manifest["features"]["waveform"]
    assert mfcc["digest"] == features.digest(features.build("mfcc").definition())
    span = features.build("logmel").span()
    assert (mfcc["shape"], waveform["shape"]) == ([100, 13], [span + 16000])
    assert (manifest["downmix"], manifest["hop_s"], manifest["window_s"]) == ("first", 0.25, 1.0)
    assert [t["seconds"] for t in manifest["tracks"] if t["track"] == "track 2"] == [2.3]


def test_works_are_never_divided(tracks, tmp_path):
    manifest = preprocess(tracks, tmp_path / "out")
    split_of = {}
    for track in manifest["tracks"]:
        assert split_of.setdefault(track["work"], track["split"]) == track["split"]
    assert set(split_of.values()) == set(preprocessing.SPLITS)


@pytest.mark.parametrize("shards", [1, 2, 50])
def test_shards_share_the_tracks(shards, tracks, tmp_path):
    some = [Track(t.path, t.track, split="train") for t in tracks]
    manifest = preprocess(some, tmp_path / "out", shards=shards)
    count = min(shards, len(tracks))
    names = [f"train-{i:05d}-of-{count:05d}.tfrecord" for i in range(count)]
    assert [shard["name"] for shard in manifest["shards"]] == names
    held = [sum(t["shard"] == name for t in manifest["tracks"]) for name in names]
    assert max(held) - min(held) <= 1 and sum(held) == len(tracks)
    assert len(rows(tmp_path / "out", ["waveform"])) == len(tracks)


def test_order_of_the_recordings_changes_no_byte(tracks, tmp_path):
    # So what lies together is not what was listed together, the versions of a work.
    split = [replace(t, split=preprocessing.SPLITS[i % 3]) for i, t in enumerate(tracks)]
    first = preprocess(split, tmp_path / "a")
    assert preprocess(split[::-1], tmp_path / "b") == first
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_jobs_change_no_byte(tracks, tmp_path):
    for jobs in (1, 2, 5):
        preprocess(tracks, tmp_path / str(jobs), feature_names=["mfcc", "waveform"], jobs=jobs)
    assert contents(tmp_path / "1") == contents(tmp_path / "2") == contents(tmp_path / "5")


def test_progress_ends_at_the_whole(tracks, tmp_path):
    told = []
    preprocess(tracks, tmp_path / "out", progress=lambda *args: told.append(args))
    done = [seconds for seconds, _ in told]
    assert len(told) == len(tracks) and done == sorted(done)
    assert done[-1] == pytest.approx(told[-1][1]) == pytest.approx(27.9)


@pytest.mark.parametrize("decoder", ["tensorflow-io", "libsndfile"])
def test_decoders_give_the_same_windows(decoder, tracks, tmp_path):
    preprocess(tracks, tmp_path / "fastest")
    preprocess(tracks, tmp_path / "out", decoder=decoder)
    expected = rows(tmp_path / "fastest", ["waveform"])
    for track, mine in rows(tmp_path / "out", ["waveform"]).items():
        got, wanted = ([r["waveform"] for r in some] for some in (mine, expected[track]))
        np.testing.assert_allclose(got, wanted, atol=1e-3)


def test_downmix_is_heard(write_wav, melody, tmp_path):
    import soundfile

    stereo = np.stack([melody(0, 2), melody(1, 2)], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, 16000)
    for downmix, expected in (("first", stereo[:, 0]), ("mean", stereo.mean(axis=1))):
        preprocess([Track(str(tmp_path / "a.wav"), "a")], tmp_path / downmix, downmix=downmix)
        first = rows(tmp_path / downmix, ["waveform"])["a"][0]["waveform"]
        np.testing.assert_allclose(first, expected[: len(first)], atol=1e-3)


@pytest.fixture(scope="module")
def bad_tracks(tracks, melody, write_wav, tmp_path_factory):
    """Recordings of no use, and the reason of each."""
    folder = tmp_path_factory.mktemp("bad")
    (folder / "text.wav").write_text("dear diary" * 100)
    (folder / "empty.wav").touch()
    write_wav(folder / "short.wav", melody(0, 0.9))
    write_wav(folder / "silent.wav", 0 * melody(0, 3))
    shutil.copy(tracks[4].path, folder / "copy.wav")
    reasons = {
        "text.wav": "cannot be decoded: damaged, or no audio at all",
        "empty.wav": "empty file (0 bytes)",
        "short.wav": "too short: 0.90 s, one window is 1.0 s",
        "silent.wav": "silent: -inf dBFS, below -60",
        "copy.wav": f"duplicate: the same bytes as {tracks[4].path}",
        "missing.wav": "no such file",
    }
    return {Track(str(folder / name), name): reason for name, reason in reasons.items()}


def test_tracks_of_no_use_are_named_and_the_rest_goes_on(tracks, bad_tracks, tmp_path):
    out = tmp_path / "out"
    manifest = preprocess([*tracks, *bad_tracks], out)
    expected = {(t.track, t.path, reason) for t, reason in bad_tracks.items()}
    assert {(r["track"], r["path"], r["reason"]) for r in manifest["rejected"]} == expected
    assert rows(out, ["waveform"]).keys() == {track.track for track in tracks}
    assert {t["track"] for t in manifest["tracks"]} == {track.track for track in tracks}


def test_nothing_usable_is_an_error(bad_tracks, tmp_path):
    bad = list(bad_tracks)
    out = tmp_path / "out"
    with pytest.raises(A2VError, match=r"no usable recording: .*text.wav: cannot be decoded: dam"):
        preprocess(bad[:3], out)
    assert not out.exists()
    with pytest.raises(A2VError, match=r"no usable recording: .*silent.wav: silent: -inf dBFS"):
        preprocess([t for t in bad if t.track == "silent.wav"], out)
    assert not (out / records.MANIFEST).exists()


def test_long_tracks_give_the_same_bytes(tracks, tmp_path, monkeypatch):
    options = {"decoder": "libsndfile", "margin_s": 0.7}
    preprocess(tracks, tmp_path / "whole", **options)
    monkeypatch.setattr(decoding, "LONG_S", 2.0)
    monkeypatch.setattr(decoding, "PIECE_WINDOWS", 3)
    preprocess(tracks, tmp_path / "pieces", **options)
    assert contents(tmp_path / "pieces") == contents(tmp_path / "whole")


def test_long_tracks_of_no_use_leave_no_record(tracks, write_wav, tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "LONG_S", 2.0)
    monkeypatch.setattr(decoding, "PIECE_WINDOWS", 3)
    silent = write_wav(tmp_path / "silent.wav", np.zeros(16000 * 5))
    some = [Track(t.path, t.track) for t in (*tracks[:2], Track(str(silent), "silent"), tracks[4])]
    preprocess([some[0], some[1], some[3]], tmp_path / "without", shards=1, splits=(1, 0, 0))
    manifest = preprocess(some, tmp_path / "with", shards=1, splits=(1, 0, 0))
    assert [r["track"] for r in manifest["rejected"]] == ["silent"]
    name = "train-00000-of-00001.tfrecord"
    assert (tmp_path / "with" / name).read_bytes() == (tmp_path / "without" / name).read_bytes()


def test_what_is_there_is_not_touched_unasked(tracks, tmp_path):
    out = tmp_path / "out"
    preprocess(tracks, out)
    before = contents(out)
    with pytest.raises(A2VError, match="exists; use --resume to go on or --overwrite to replace"):
        preprocess(tracks, out)
    for changed in ({"hop_s": 1.0}, {"shards": 3}, {"feature_names": ["mfcc"]}, {"margin_s": 1.0}):
        with pytest.raises(A2VError, match="was made from other files or settings; use --over"):
            preprocess(tracks, out, resume=True, **changed)
    with pytest.raises(A2VError, match="was made from other files or settings; use --over"):
        preprocess(tracks[1:], out, resume=True)
    assert {k: v for k, v in contents(out).items() if not k.startswith(".progress")} == before
    preprocess(tracks, out, resume=True)
    assert contents(out) == before


def test_overwrite_replaces_the_dataset_alone(tracks, tmp_path):
    out = tmp_path / "out"
    preprocess(tracks, out, shards=3)
    (out / "notes.txt").write_text("mine")
    preprocess(tracks, out, overwrite=True, hop_s=1.0)
    preprocess(tracks, tmp_path / "fresh", hop_s=1.0)
    assert contents(out) == contents(tmp_path / "fresh") | {"notes.txt": b"mine"}


def test_overwrite_without_usable_input_keeps_the_dataset(tracks, bad_tracks, tmp_path):
    out = tmp_path / "out"
    preprocess(tracks, out)
    before = contents(out)
    with pytest.raises(A2VError, match="no usable recording"):
        preprocess(list(bad_tracks)[:2], out, overwrite=True)
    assert contents(out) == before


@pytest.mark.parametrize("options", [{}, {"resume": True}, {"overwrite": True}])
def test_other_folders_are_not_touched(options, tracks, tmp_path):
    (tmp_path / "thesis.tmp").write_text("mine")
    with pytest.raises(A2VError, match="holds something else than a dataset; choose another"):
        preprocess(tracks, tmp_path, **options)
    assert contents(tmp_path) == {"thesis.tmp": b"mine"}


def test_places_that_cannot_be_written_are_refused(tracks, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(A2VError, match="file: is a file; choose another folder"):
        preprocess(tracks, tmp_path / "file")
    with pytest.raises(A2VError, match="out: cannot write to .*file; choose another folder"):
        preprocess(tracks, tmp_path / "file" / "out")
    with pytest.raises(A2VError, match="/proc/out: cannot write"):
        preprocess(tracks, "/proc/out")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"downmix": "left"}, "downmix 'left': use one of first, mean"),
        ({"decoder": "sox"}, "decoder 'sox': use one of fastest, tensorflow-io, libsndfile"),
        ({"shards": 0}, "shards 0: use 1 or more"),
        ({"hop_s": 0.3}, "hop_s = 0.3: use a multiple of 0.25"),
        ({"feature_names": ["mffc"]}, "feature 'mffc': use one of"),
        ({"splits": (0.5, 0.5)}, "give fractions of train, tune, test"),
    ],
)
def test_bad_arguments_are_refused(options, sentence, tracks, tmp_path):
    with pytest.raises(A2VError, match=sentence):
        preprocess(tracks, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


class Interrupted(BaseException):
    """Like a kill: nothing that a2v catches."""


class Interruption:
    """Interrupts at the n-th of the calls by which files come, last and go."""

    def __init__(self, monkeypatch):
        self.calls, self.at = 0, 0
        for name in ("replace", "fsync", "unlink"):
            monkeypatch.setattr(os, name, self.counting(getattr(os, name)))

    def counting(self, function):
        def call(*args, **kwargs):
            self.calls += 1
            if self.calls == self.at:
                raise Interrupted
            return function(*args, **kwargs)

        return call

    def set(self, at):
        self.calls, self.at = 0, at


@pytest.mark.parametrize("over", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_interrupted_anywhere_and_resumed_ends_in_the_same_bytes(
    over, tracks, tmp_path, monkeypatch
):
    some, old, whole = tracks[:2], tmp_path / "old", tmp_path / "whole"
    preprocess(some, old, shards=1, hop_s=0.5)
    preprocess(some, whole)
    interruption = Interruption(monkeypatch)
    for step in range(1, 100):
        out = tmp_path / str(step)
        if over:
            shutil.copytree(old, out)
        interruption.set(step)
        try:
            preprocess(some, out, overwrite=over)
            break
        except Interrupted:
            interruption.set(0)
        # As long as the old dataset is whole, there is nothing to resume.
        untouched = over and contents(out) == contents(old)
        preprocess(some, out, resume=not untouched, overwrite=untouched)
        assert contents(out) == contents(whole), f"step {step}"
    assert contents(out) == contents(whole) and 10 < step < 99


@pytest.mark.parametrize("harm", ["removed", "truncated", "flipped", "without progress"])
def test_resume_mends_a_dataset(harm, tracks, tmp_path):
    out = tmp_path / "out"
    manifest = preprocess(tracks, out)
    whole = contents(out)
    shard = out / manifest["shards"][1]["name"]
    data = bytearray(shard.read_bytes())
    if harm == "removed":
        shard.unlink()
    elif harm == "truncated":
        shard.write_bytes(data[:-100])
    elif harm == "flipped":
        data[len(data) // 2] ^= 1
        shard.write_bytes(data)
    else:  # killed while it tidied up
        (out / records.PROGRESS).mkdir()
        shard.unlink()
    preprocess(tracks, out, resume=True)
    assert contents(out) == whole


def test_resume_notices_changed_recordings(melody, write_wav, tmp_path):
    path = write_wav(tmp_path / "a.wav", melody(0, 2))
    preprocess([Track(str(path), "a")], tmp_path / "out")
    write_wav(path, melody(1, 2))
    with pytest.raises(A2VError, match="was made from other files"):
        preprocess([Track(str(path), "a")], tmp_path / "out", resume=True)


def test_names_that_are_no_utf8_go_through(melody, write_wav, tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xe9.wav")
    shutil.copy(write_wav(tmp_path / "a.wav", melody(0, 2)), path)
    preprocess([Track(path, os.path.basename(path))], tmp_path / "out", feature_names=["mfcc"])
    (row, *_) = records.Dataset(tmp_path / "out").read("train", ["mfcc"]).as_numpy_iterator()
    assert row["track"] == b"\xe9.wav"
