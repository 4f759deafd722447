"""Music in a bucket, datasets in a bucket: fsspec's file system in memory stands for it."""

import json

import numpy as np
import pytest

from a2v import audio, places, runs, training
from a2v.corpora import tracks
from a2v.errors import A2VError
from a2v.library import Library
from a2v.preprocessing import preprocess
from a2v.records import Dataset

upath = pytest.importorskip("upath")
MUSIC, OUT = "memory://bucket/music", "memory://bucket/dataset"


@pytest.fixture
def bucket(melody, write_wav, tmp_path):
    """Two tunes and what is none in a bucket, and on disk."""
    root = upath.UPath("memory://bucket")
    if root.exists():
        root.rmdir(recursive=True)
    for name in ("a.wav", "b/c.wav"):
        local = write_wav(tmp_path / "music" / name, melody(len(name), 12.0))
        remote = upath.UPath(f"{MUSIC}/{name}")
        remote.parent.mkdir(parents=True, exist_ok=True)
        remote.write_bytes(local.read_bytes())
    upath.UPath(f"{MUSIC}/broken.wav").write_bytes(b"no audio")
    (tmp_path / "music" / "broken.wav").write_bytes(b"no audio")
    return tmp_path / "music"


def test_recordings_are_found_and_decoded(bucket):
    found = tracks([MUSIC])
    assert [track.track for track in found] == [track.track for track in tracks([bucket])]
    for track in found[:1]:
        np.testing.assert_array_equal(audio.load(track.path), audio.load(bucket / track.track))
    with pytest.raises(A2VError, match="memory://bucket/music/no.wav: no such file"):
        audio.load(f"{MUSIC}/no.wav")
    with pytest.raises(A2VError, match="is a folder"):
        audio.load(MUSIC)


def test_a_manifest_may_name_urls(bucket, tmp_path):
    manifest = tmp_path / "music.csv"
    manifest.write_text(f"path,track\n{MUSIC}/a.wav,a\nmusic/b/c.wav,c\n")
    assert [track.path for track in tracks([manifest])] == [
        f"{MUSIC}/a.wav",
        str(tmp_path / "music" / "b" / "c.wav"),
    ]


def test_a_list_and_a_manifest_in_a_bucket(bucket, tmp_path):
    listed = tmp_path / "list.txt"
    listed.write_text(f"{MUSIC}/a.wav\n{MUSIC}/b/c.wav\n")
    assert [track.track for track in tracks([], from_list=listed)] == [
        f"{MUSIC}/a.wav",
        f"{MUSIC}/b/c.wav",
    ]
    upath.UPath(f"{MUSIC}/music.csv").write_text("path,track\nb/c.wav,c\n")
    (found,) = tracks([f"{MUSIC}/music.csv"])
    np.testing.assert_array_equal(audio.load(found.path), audio.load(bucket / "b" / "c.wav"))


@pytest.mark.parametrize("jobs", [1, 2])
def test_urls_are_heard_by_several_processes(jobs, bucket, encoder_path, tmp_path):
    files = [(track.path, track.track) for track in tracks([bucket.as_uri()])]
    assert all(path.startswith("file://") for path, _ in files) and len(files) == 3
    with Library.create(tmp_path / "l.a2v", encoder_path) as library:
        found = [entry for _, entry in library.add_all(files, jobs=jobs)]
        assert [isinstance(entry, A2VError) for entry in found] == [False, False, True]


def test_a_library_indexes_what_is_in_a_bucket(bucket, encoder_path, tmp_path):
    with Library.create(tmp_path / "l.a2v", encoder_path) as library:
        files = [(track.path, track.track) for track in tracks([MUSIC])]
        found = dict(library.add_all(files, jobs=1))
        assert sum(isinstance(entry, A2VError) for entry in found.values()) == 1
        clip = audio.load(bucket / "b" / "c.wav")[32000:96000]
        best = library.identify(clip)[0]
        assert (best.track, best.path) == ("b/c.wav", f"{MUSIC}/b/c.wav")
        assert library.verify() == []


@pytest.mark.parametrize("killed_after", [None, 1])
def test_a_dataset_in_a_bucket_is_that_on_disk(bucket, killed_after, tmp_path):
    asked = {"shards": 2, "splits": (1.0, 0.0, 0.0), "feature_names": ("mfcc",)}
    if killed_after is not None:
        counted = []

        def killed(*done):
            counted.append(done)
            if len(counted) > killed_after:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            preprocess(tracks([MUSIC]), OUT, progress=killed, **asked)
    there = preprocess(tracks([MUSIC]), OUT, resume=killed_after is not None, **asked)
    here = preprocess(tracks([bucket]), tmp_path / "dataset", **asked)
    assert [shard["checksum"] for shard in there["shards"]] == [
        shard["checksum"] for shard in here["shards"]
    ]
    assert len(there["rejected"]) == 1
    names = sorted(path.name for path in upath.UPath(OUT).iterdir())
    assert names == sorted(path.name for path in (tmp_path / "dataset").iterdir())
    assert json.loads((upath.UPath(OUT) / "dataset.json").read_text()) == there
    windows = [
        [record["mfcc"].numpy() for record in Dataset(path).read("train", ["mfcc"])]
        for path in (OUT, tmp_path / "dataset")
    ]
    np.testing.assert_array_equal(*windows)
    with pytest.raises(A2VError, match="exists; use --resume"):
        preprocess(tracks([MUSIC]), OUT, **asked)


def test_a_model_is_trained_from_a_bucket(bucket, tmp_path):
    from a2v.holdout import Holdout

    asked = {"shards": 2, "splits": (0.5, 0.5, 0.0), "feature_names": ("mfcc",)}
    preprocess(tracks([MUSIC]), OUT, downmix="mean", overwrite=True, **asked)
    small = {"model": "lstm128", "model_options": {"units": 8}, "epochs": 1, "batch_size": 8}
    training.train(OUT, tmp_path / "run", **small)
    settings = runs.read_settings(tmp_path / "run")
    assert settings["dataset"] == OUT
    assert {track["path"] for track in Holdout(OUT, "mean").tracks} == {
        f"{MUSIC}/a.wav",
        f"{MUSIC}/b/c.wav",
    }


def test_a_draft_is_all_or_nothing(tmp_path):
    for place in (places.place(tmp_path / "x"), places.place("memory://bucket/x")):
        place.parent.mkdir(parents=True, exist_ok=True)
        with pytest.raises(ZeroDivisionError), places.draft(place) as draft:
            draft.write_text("half")
            raise ZeroDivisionError
        assert not place.exists() and not list(tmp_path.glob("*.tmp"))
        with places.draft(place) as draft:
            draft.write_text("whole")
            assert not place.exists()
        assert place.read_text() == "whole"


def test_urls_that_cannot_be_read_are_named_with_the_remedy(monkeypatch):
    with pytest.raises(A2VError, match="nothere://x: .*a URL that fsspec knows"):
        audio.load("nothere://x")
    monkeypatch.setitem(__import__("sys").modules, "upath", None)
    with pytest.raises(A2VError, match=r"memory://x: is a URL.*pip install 'a2v\[remote\]'"):
        audio.load("memory://x")


def test_write_whole_leaves_the_old_file_on_failure(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    places.write_whole(path, "old")

    def fail(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(places.os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        places.write_whole(path, "new")
    assert path.read_text() == "old"
