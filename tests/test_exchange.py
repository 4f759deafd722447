import json
import random
import re
import zipfile

import numpy as np
import pytest

from a2v import exchange
from a2v.errors import A2VError
from a2v.library import Library
from a2v.store import LibraryError


@pytest.fixture(scope="module")
def template(melody, write_wav, encoder_path, tmp_path_factory):
    """A library of three tracks, one of which has a linked file."""
    folder = tmp_path_factory.mktemp("library")
    with Library.create(folder / "music.a2v", encoder_path) as opened:
        for seed in range(3):
            opened.add(write_wav(folder / f"{seed} ü.wav", melody(seed, 9 + seed)))
        again = folder / "again.wav"
        again.write_bytes((folder / "1 ü.wav").read_bytes())
        opened.add(again, copies="link")
    return folder / "music.a2v"


@pytest.fixture
def path(template, tmp_path):
    copy = tmp_path / "music.a2v"
    copy.write_bytes(template.read_bytes())
    return copy


@pytest.fixture(scope="module")
def export(template, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "music.npz"
    with Library.open(template) as opened:
        assert opened.export(path) == 3
    return path


def rewritten(source, path, **changed):
    """An archive with other members in the place of some; checksums of the ZIP are right."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            data = changed.get(name.split(".")[0], old.read(name))
            if data is not None:
                new.writestr(name, data)
    return path


def test_export_and_import_are_inverse(template, export, encoder_path, melody, tmp_path):
    with Library.create(tmp_path / "new.a2v", encoder_path) as new, Library.open(template) as old:
        added, refused = new.import_from(export)
        assert (added, refused) == (old.tracks(), [])
        assert new.tracks() == old.tracks() and new.verify() == []
        assert len(new.tracks("1")[0].files) == 1
        assert {**new.stats(), "bytes": 0} == {**old.stats(), "bytes": 0}
        clip = melody(2, 11)[40_000:]
        answers = [each.identify(clip, top=9, max_false_accepts=1) for each in (new, old)]
        assert answers[0] == answers[1]
        new.export(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == export.read_bytes()


def test_numpy_opens_an_export(template, export):
    with np.load(export) as arrays, Library.open(template) as opened:
        codes = arrays["codes"]
        about = json.loads(arrays["about.json"])
        lines = arrays["tracks.jsonl"].decode().splitlines()
        assert arrays["encoder.tflite"] == opened.encoder.data
        rows = list(opened._rows())
    assert codes.dtype == np.uint8 and codes.shape == (about["hashes"], 8)
    assert codes.tobytes() == b"".join(row.codes for row in rows)
    assert [json.loads(line)["track"] for line in lines] == [row.entry.track for row in rows]
    assert (about["format"], about["tracks"], about["model_id"]) == (1, 3, "7a31")


def test_import_names_what_clashes_and_adds_the_rest(path, export):
    with Library.open(path) as opened:
        opened.remove("1 ü.wav")
        opened.rename("2 ü.wav", "another name")
        added, refused = opened.import_from(export)
        assert [entry.track for entry in added] == ["1 ü.wav"]
        assert [sentence.split(": ")[1] for sentence in refused] == [
            "track '0 ü.wav'",
            "track '2 ü.wav'",
        ]
        assert "has a track" in refused[0] and "same bytes" in refused[1]
        assert len(opened) == 3 and opened.verify() == []


def test_a_damaged_byte_is_refused_or_changes_nothing(export, tmp_path):
    draw = random.Random(0)
    data, whole = export.read_bytes(), exchange.read(export)
    places = [draw.randrange(len(data)) for _ in range(150)]
    # The end holds what zipfile finds the members by.
    places += [draw.randrange(len(data) - 600, len(data)) for _ in range(150)]
    refused = 0
    for place in places:
        hurt = bytearray(data)
        hurt[place] ^= 1 << draw.randrange(8)
        file = tmp_path / "hurt.npz"
        file.write_bytes(hurt)
        try:
            assert exchange.read(file) == whole
        except A2VError as error:
            assert str(error).startswith(f"{file}: ")
            refused += 1
    assert refused > 150


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99])
def test_a_truncated_import_leaves_the_library_as_it_was(path, export, tmp_path, share):
    file = tmp_path / "short.npz"
    file.write_bytes(export.read_bytes()[: round(share * export.stat().st_size)])
    with Library.open(path) as opened:
        opened.remove("1 ü.wav")
        before = opened.tracks()
        with pytest.raises(A2VError, match="no export of a library, or damaged .* nothing of it"):
            opened.import_from(file)
        assert opened.tracks() == before


def test_members_that_are_not_those_written_are_refused(export, tmp_path):
    with zipfile.ZipFile(export) as archive:
        about = json.loads(archive.read("about.json"))
        lines = archive.read("tracks.jsonl")
    for changed in (
        {"codes": None},
        {"tracks": lines.replace(b"9.0", b"8.0", 1)},
        {"tracks": re.sub(rb'"silent": \d+', b'"silent": null', lines, count=1)},
        {"encoder": b"no encoder"},
        {"about": b"[]"},
        {"about": b"{}"},
        {"about": json.dumps(about | {"hashes": 1}).encode()},
        {"about": json.dumps(about | {"model_id": "beef"}).encode()},
    ):
        with pytest.raises(A2VError, match="no export of a library, or damaged"):
            exchange.read(rewritten(export, tmp_path / "changed.npz", **changed))
    assert exchange.read(rewritten(export, tmp_path / "same.npz")) == exchange.read(export)


def test_newer_format_names_the_remedy(export, tmp_path):
    about = json.dumps({"format": 9, "created_by": "a2v 7.0"}).encode()
    newer = rewritten(export, tmp_path / "newer.npz", about=about)
    with pytest.raises(A2VError, match=r"format 9, made by a2v 7\.0; this a2v .* update a2v"):
        exchange.read(newer)


def test_import_of_another_model_or_of_nothing_is_refused(path, exported, export, tmp_path):
    (tmp_path / "huge.tflite").write_bytes(exported(model_id="beef", name="huge"))
    with Library.create(tmp_path / "huge.a2v", tmp_path / "huge.tflite") as huge:
        with pytest.raises(A2VError, match=r"tiny \(7a31\), .* with huge \(beef\)"):
            huge.import_from(export)
        assert len(huge) == 0
    with Library.open(path) as opened:
        for file in (tmp_path / "missing.npz", tmp_path):
            with pytest.raises(A2VError, match="cannot be read"):
                opened.import_from(file)
        with pytest.raises(A2VError, match="no export of a library"):
            opened.import_from(path)


def test_export_spares_what_is_there_and_appears_whole_or_not_at_all(path, tmp_path):
    with Library.open(path) as opened:
        (tmp_path / "there").write_text("kept")
        with pytest.raises(A2VError, match="exists already"):
            opened.export(tmp_path / "there")
        assert (tmp_path / "there").read_text() == "kept"
        with pytest.raises(LibraryError, match="cannot be written"):
            opened.export(tmp_path / "missing" / "music.npz")
        opened._db.execute("UPDATE hashes SET crc32 = 1 WHERE track = 2")
        with pytest.raises(LibraryError, match="the hashes of track '1 ü.wav' are damaged"):
            opened.export(tmp_path / "hurt.npz")
        assert not opened._db.in_transaction
    assert sorted(file.name for file in tmp_path.iterdir()) == ["music.a2v", "there"]


def test_an_empty_library_can_be_handed_on(encoder_path, tmp_path):
    with Library.create(tmp_path / "empty.a2v", encoder_path) as opened:
        assert opened.export(tmp_path / "empty.npz") == 0
        assert opened.import_from(tmp_path / "empty.npz") == ([], [])
        assert opened.stats()["silent_share"] is None
