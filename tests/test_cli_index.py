import json

import pytest

from a2v.library import Library


@pytest.fixture
def library(melody, write_wav, encoder_path, tmp_path):
    path = tmp_path / "music.a2v"
    with Library.create(path, encoder_path) as opened:
        for seed in range(3):
            opened.add(write_wav(tmp_path / "music" / f"{seed}.wav", melody(seed, 9)))
    return path


@pytest.fixture
def quieter(melody, write_wav, tmp_path):
    return write_wav(tmp_path / "quieter" / "song.wav", 0.5 * melody(1, 9))


def names(path):
    with Library.open(path) as opened:
        assert opened.verify() == []
        return [entry.track for entry in opened.tracks()]


def test_copies_are_refused_linked_or_allowed(library, quieter, call):
    ran = call("index", library, "add", quieter)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert f"a2v-index: {quieter}: the same recording is in" in ran.stderr
    assert "of track '1.wav'" in ran.stderr
    ran = call("index", library, "add", quieter, "--link")
    assert (ran.returncode, ran.stdout) == (0, f"linked  {quieter}  to 1.wav\n")
    (line,) = call("index", library, "list", "1.w", "--json").stdout.splitlines()
    (file,) = json.loads(line)["files"]
    assert file["path"] == str(quieter.resolve()) and abs(file["offset_s"]) < 0.15
    assert names(library) == ["0.wav", "1.wav", "2.wav"]
    assert call("index", library, "add", quieter, "--link", "--allow-copies").returncode == 2


def test_allowed_copy_is_a_track(library, quieter, call):
    ran = call("index", library, "add", quieter, "--allow-copies")
    assert (ran.returncode, ran.stdout) == (0, "added  song.wav  9.0 s  33 hashes\n")
    assert names(library) == ["0.wav", "1.wav", "2.wav", "song.wav"]


def test_replace_rename_and_search(library, call, melody, write_wav, tmp_path):
    new = write_wav(tmp_path / "new.wav", melody(9, 5))
    ran = call("index", library, "replace", "2.wav", new)
    assert (ran.returncode, ran.stdout) == (0, "replaced  2.wav  5.0 s  17 hashes\n")
    ran = call("index", library, "rename", "2.wav", "Lied")
    assert (ran.returncode, ran.stdout) == (0, "renamed  2.wav  to Lied\n")
    assert "Lied" in call("index", library, "list", "lie").stdout
    assert len(call("index", library, "list", "*.wav").stdout.splitlines()) == 2
    ran = call("index", library, "list", "nothing")
    assert (ran.returncode, ran.stdout, ran.stderr) == (1, "", "")
    for arguments in (("rename", "x", "y"), ("replace", "x", new), ("rename", "0.wav", "Lied")):
        ran = call("index", library, *arguments)
        assert ran.returncode == 2 and len(ran.stderr.splitlines()) == 1


def test_stats_are_lines_or_one_object(library, call):
    ran = call("index", library, "stats")
    assert ran.returncode == 0 and ran.stdout.startswith("3 tracks, 0 linked files\n27.0 s, 99 ")
    assert "silent windows: 0.0 %" in ran.stdout
    stats = json.loads(call("index", library, "stats", "--json").stdout)
    assert (stats["tracks"], stats["hashes"], stats["encoder"]["name"]) == (3, 99, "tiny")


def test_merge_export_and_import(library, call, melody, write_wav, encoder_path, tmp_path):
    write_wav(tmp_path / "more" / "1.wav", melody(11, 5))
    write_wav(tmp_path / "more" / "3.wav", melody(12, 5))
    other, export = tmp_path / "other.a2v", tmp_path / "other.npz"
    call("index", other, "add", tmp_path / "more", "--model", encoder_path)
    ran = call("index", other, "export", export)
    assert (ran.returncode, ran.stdout) == (0, f"exported  {export}  2 tracks\n")
    for verb, file in (("merge", other), ("import", export)):
        copy = tmp_path / f"{verb}.a2v"
        copy.write_bytes(library.read_bytes())
        ran = call("index", copy, verb, file)
        assert (ran.returncode, ran.stdout) == (3, "added  3.wav  5.0 s  17 hashes\n")
        assert f"a2v-index: {file}: track '1.wav': {copy} has a track '1.wav'" in ran.stderr
        assert names(copy) == ["0.wav", "1.wav", "2.wav", "3.wav"]
    ran = call("index", tmp_path / "new.a2v", "import", export)
    assert ran.returncode == 0 and names(tmp_path / "new.a2v") == ["1.wav", "3.wav"]


def test_damaged_import_makes_no_library(library, call, tmp_path):
    export = tmp_path / "music.npz"
    call("index", library, "export", export)
    export.write_bytes(export.read_bytes()[:-100])
    ran = call("index", tmp_path / "new.a2v", "import", export)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "or damaged" in ran.stderr and len(ran.stderr.splitlines()) == 1
    assert not (tmp_path / "new.a2v").exists()
