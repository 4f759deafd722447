import io

import pytest

from a2v.corpora import Track, manifest, tracks
from a2v.errors import A2VError


def written(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_manifest_round_trip(tmp_path):
    made = [
        Track(str(tmp_path / "a b/ü.wav"), "one, two", "work", 'the "band"', "folk", "train"),
        Track("/far/away.flac", "three"),
    ]
    manifest.write(tmp_path / "manifest.csv", made)
    assert manifest.read(tmp_path / "manifest.csv") == made
    assert "\na b/ü.wav," in (tmp_path / "manifest.csv").read_text(encoding="utf-8")


def test_manifest_ignores_other_columns_and_a_byte_order_mark(tmp_path):
    path = written(tmp_path / "m.csv", "\ufefftrack, year ,path\r\none,1999,x.wav\r\n")
    assert manifest.read(path) == [Track(str(tmp_path / "x.wav"), "one", "one")]


def test_manifest_read_does_not_look_for_the_files(tmp_path):
    path = written(tmp_path / "m.csv", "path,track\nnowhere.wav,one\n")
    assert manifest.read(path)[0].path == str(tmp_path / "nowhere.wav")


@pytest.mark.parametrize(
    ("text", "sentence"),
    (
        ("path,name\nx.wav,one\n", "no column 'track' in the first row, only path, name; a manif"),
        ("", "no column 'path' in the first row, only nothing"),
        ("path,track\n", "no rows below the first"),
        ("path,track\nx.wav,one\ny.wav,\n", "row 3: no track; fill it in"),
        ("path,track\n,one\n", "row 2: no path; fill it in"),
        ("path,track\nx.wav,one\ny.wav,two\nz.wav,one\n", "row 4: track 'one' is already in row 2"),
    ),
)
def test_manifest_names_the_row_that_is_wrong(tmp_path, text, sentence):
    path = written(tmp_path / "m.csv", text)
    with pytest.raises(A2VError, match=sentence) as caught:
        manifest.read(path)
    assert str(path) in str(caught.value)


def test_manifest_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(A2VError, match=r"none.csv: cannot read this manifest \(No such file"):
        tracks([tmp_path / "none.csv"])
    (tmp_path / "latin.csv").write_bytes(b"path,track\n\xe4.wav,one\n")
    with pytest.raises(A2VError, match="latin.csv: byte 11 is not UTF-8"):
        tracks([tmp_path / "latin.csv"])


@pytest.fixture
def music(tmp_path):
    """A folder of two recordings, one in a folder below, and a text file."""
    for name in ("b.wav", "sub/a.flac", "notes.txt"):
        path = tmp_path / "music" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "music"


def test_tracks_of_a_folder_are_named_by_their_place_in_it(music):
    assert tracks([music]) == [
        Track(str(music / "b.wav"), "b.wav"),
        Track(str(music / "sub/a.flac"), "sub/a.flac"),
    ]


def test_tracks_of_files_are_named_by_the_file(music):
    assert tracks([music / "sub/a.flac"]) == [Track(str(music / "sub/a.flac"), "a.flac")]


def test_tracks_mixes_folders_and_manifests(music):
    listed = written(music.parent / "m.csv", "path,track,split\nmusic/b.wav,two,test\n")
    assert [track.track for track in tracks([listed, music])] == ["two", "b.wav", "sub/a.flac"]


def test_tracks_takes_a_file_given_twice_once(music):
    assert len(tracks([music, music / "b.wav"])) == 2


def test_tracks_names_two_files_of_one_name(music):
    (music / "sub/b.wav").touch()
    with pytest.raises(A2VError, match=r"sub/b.wav: its name 'b.wav' is taken by .*music/b.wav"):
        tracks([music, music / "sub/b.wav"])


def test_tracks_reads_a_list_from_a_file_or_standard_input(music, monkeypatch):
    text = f"{music / 'sub' / 'a.flac'}\n\n{music / 'gone.wav'}\n"
    expected = [Track(line, line) for line in text.split()]
    assert tracks([], from_list=written(music.parent / "list.txt", text)) == expected
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert tracks([], from_list="-") == expected


def test_tracks_reads_folders_and_manifests_named_in_a_list(music):
    listed = written(music.parent / "m.csv", "path,track\nx.wav,one\n")
    paths = written(music.parent / "list.txt", f"{music}\n{listed}")
    found = tracks([music / "b.wav"], from_list=paths)
    assert [track.track for track in found] == ["b.wav", "sub/a.flac", "one"]


def test_tracks_names_what_it_cannot_find(music, monkeypatch):
    with pytest.raises(A2VError, match="gone.wav: no such file or folder"):
        tracks([music / "gone.wav"])
    (music.parent / "empty").mkdir()
    with pytest.raises(A2VError, match="empty: no audio in this folder"):
        tracks([music.parent / "empty"])
    with pytest.raises(A2VError, match="no recordings given"):
        tracks([])
    with pytest.raises(A2VError, match=r"list.txt: cannot read this list of paths \(No such"):
        tracks([], from_list=music / "list.txt")
    monkeypatch.setattr("sys.stdin", io.StringIO("\n \n"))
    with pytest.raises(A2VError, match="standard input: no paths"):
        tracks([], from_list="-")
