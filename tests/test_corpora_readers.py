import csv
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile

from a2v import audio
from a2v.corpora import READERS, covers80, fma, gtzan, splits, tracks
from a2v.errors import A2VError, A2VWarning

# Some columns of the real file, a broken line in one: [track_id, title, split, subset, genre,
# artist, biography]. 98565 is a clip that is too short, 54 is of a larger subset than `small`.
FMA_HEADER = (
    ["", "album", "set", "set", "track", "artist", "artist"],
    ["", "title", "split", "subset", "genre_top", "name", "bio"],
    ["track_id", "", "", "", "", "", ""],
)
FMA_ROWS = (
    ["2", "AWOL", "training", "small", "Hip-Hop", "AWOL", "<p>born,\nlong ago</p>"],
    ["10", "Constant Hitmaker", "validation", "small", "Pop", "Kurt Vile", ""],
    ["54", "Amoebiasis", "test", "medium", "", "Amoebiasis", ""],
    ["1040", "Some", "test", "small", "Rock", "Ä, B", ""],
    ["98565", "Blackout", "training", "small", "Hip-Hop", "Blackout", ""],
)
COVERS = {
    "list1.list": ("Abracadabra/steve_miller_band+Live+09-Abracadabra", "Cathy/everly+Best+02-C"),
    "list2.list": ("Abracadabra/sugar_ray+14_59+04-Abracadabra", "Cathy/dave_edmunds+D_E+01-C"),
}


def touched(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\0")
    return path


def write_fma_rows(folder, rows=FMA_ROWS, header=FMA_HEADER):
    path = folder / "fma_metadata" / "tracks.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([*header, *rows])
    return path


def made_fma(folder, subset="small"):
    write_fma_rows(folder)
    for row in FMA_ROWS:
        if subset != "small" or row[3] == "small":
            touched(folder / f"fma_{subset}" / f"{int(row[0]):06d}"[:3] / f"{int(row[0]):06d}.mp3")
    for name in ("checksums", "README.txt", "000/._000002.mp3"):
        touched(folder / f"fma_{subset}" / name)
    return folder


def made_gtzan(folder, *, place="genres_original", suffix=".wav"):
    for genre in gtzan.GENRES:
        for number in (0, 38, 54):
            touched(folder / place / genre / f"{genre}.{number:05d}{suffix}")
        touched(folder / place / genre / f"._{genre}.00000{suffix}")
    touched(folder / "features_30_sec.csv")
    return folder


def made_covers80(folder):
    home = folder / "coversongs" / "covers32k"
    for name, entries in COVERS.items():
        for entry in entries:
            touched(home / f"{entry}.mp3")
        (home / name).write_text("".join(f"{entry} \n" for entry in entries), encoding="utf-8")
    touched(home / "Cathy" / "left_out+X+01-C.mp3")
    touched(folder / "coversongs" / "README.txt")
    return folder


MAKERS = {fma: made_fma, gtzan: made_gtzan, covers80: made_covers80}


@pytest.fixture(params=READERS, ids=lambda reader: reader.__name__.split(".")[-1])
def corpus(request, tmp_path):
    """A reader and the miniature of its corpus; each reader in the registry must have one."""
    return request.param, MAKERS[request.param](tmp_path / "corpus")


def test_readers_recognise_their_own_corpus_alone(corpus):
    reader, folder = corpus
    assert [other for other in READERS if other.recognises(folder)] == [reader]
    assert [other for other in READERS if other.recognises(str(folder))] == [reader]


def test_no_reader_recognises_a_plain_folder(tmp_path):
    plain = ("a.wav", "rock/a.wav", "rock/00001.wav", "genres/rock/one.mp3", "list1.list")
    files = [touched(tmp_path / name) for name in plain]
    for path in (tmp_path, tmp_path / "rock", tmp_path / "none", *files):
        assert not [reader for reader in READERS if reader.recognises(path)]
    assert [track.track for track in tracks([tmp_path])] == sorted(plain[:-1])


def test_tracks_have_names_of_their_own_and_files_that_are_there(corpus):
    reader, folder = corpus
    found = tracks([folder])
    assert found == reader.read(folder) == reader.read(str(folder))
    assert len({track.track for track in found}) == len({track.path for track in found})
    assert len({track.track for track in found}) == len(found) > 2
    for track in found:
        assert Path(track.path).is_file()
        # As a folder search in the folder of audio would name it.
        assert Path(track.path).as_posix().endswith(f"/{track.track}")


def test_reading_leaves_the_folder_as_it_was(corpus):
    reader, folder = corpus
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    reader.read(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_corpora_mix_with_each_other_and_with_folders(tmp_path):
    folders = [maker(tmp_path / maker.__name__) for maker in MAKERS.values()]
    touched(tmp_path / "own" / "song.wav")
    found = tracks([*folders, tmp_path / "own"])
    assert len(found) == sum(len(tracks([folder])) for folder in folders) + 1
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(map(str, folders)), encoding="utf-8")
    assert tracks([tmp_path / "own"], from_list=listed) == [found[-1], *found[:-1]]


def test_corpora_decode_like_any_other_recording(tmp_path):
    folder = made_gtzan(tmp_path, place="genres", suffix=".au")
    tone = np.sin(np.arange(22050) / 9).astype(np.float32) / 2
    track = tracks([folder])[0]
    soundfile.write(track.path, tone, 22050, "PCM_16", format="AU")
    assert abs(len(audio.load(track.path)) - audio.SAMPLE_RATE) <= 1


def test_fma_keeps_its_splits_and_leaves_out_short_clips(tmp_path):
    found = tracks([made_fma(tmp_path)])
    assert [(track.track, track.artist, track.genre, track.split) for track in found] == [
        ("000/000002.mp3", "AWOL", "Hip-Hop", "train"),
        ("000/000010.mp3", "Kurt Vile", "Pop", "tune"),
        ("001/001040.mp3", "Ä, B", "Rock", "test"),
    ]
    assert splits.assign(found) == found


@pytest.mark.parametrize(("subset", "count"), (("medium", 4), ("large", 4), ("full", 5)))
def test_fma_subsets_hold_smaller_ones_and_full_tracks_are_whole(tmp_path, subset, count):
    found = tracks([made_fma(tmp_path, subset)])
    assert len(found) == count
    assert ("098/098565.mp3" in [track.track for track in found]) == (subset == "full")
    assert found[2].genre == ""


def test_fma_is_read_from_the_folder_of_one_subset_as_well(tmp_path, monkeypatch):
    made_fma(made_fma(tmp_path), "large")
    with pytest.raises(A2VError, match="holds the same music as fma_small, fma_large; give one"):
        tracks([tmp_path])
    assert len(tracks([tmp_path / "fma_small"])) == 3
    assert len(tracks([tmp_path / "fma_large"])) == 4
    monkeypatch.chdir(tmp_path / "fma_small")
    assert [Path(track.path).is_file() for track in tracks(["."])] == [True] * 3


def test_fma_names_clips_that_are_not_there(tmp_path):
    os.remove(made_fma(tmp_path) / "fma_small" / "000" / "000010.mp3")
    with pytest.warns(A2VWarning, match=r"fma_small: 1 of 3 clips are not there, .* 000/000010"):
        assert len(tracks([tmp_path])) == 2
    os.remove(tmp_path / "fma_small" / "098" / "098565.mp3")
    touched(tmp_path / "fma_small" / "000" / "000010.mp3")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(tracks([tmp_path])) == 3


def test_fma_without_audio_or_metadata_says_what_to_unpack(tmp_path):
    path = write_fma_rows(tmp_path)
    with pytest.raises(A2VError, match=r"tracks.csv: no audio beside it; unpack one of fma_small"):
        tracks([tmp_path])
    (tmp_path / "fma_small").mkdir()
    with pytest.raises(A2VError, match="fma_small: no clips such as .*; unpack fma_small.zip"):
        tracks([tmp_path])
    touched(tmp_path / "fma_small" / "000" / "000007.mp3")
    with pytest.raises(A2VError, match="no row of track 7, which is .*000007.mp3; unpack metadata"):
        tracks([tmp_path])
    path.unlink()
    for folder in (tmp_path, tmp_path / "fma_small"):
        with pytest.raises(A2VError, match="tracks.csv: no such file, .* unpack fma_metadata.zip"):
            tracks([folder])


@pytest.mark.parametrize(
    ("row", "sentence"),
    (
        (["11", "x", "training"], "row 6: 3 columns, 6 or more are needed"),
        (["two", *FMA_ROWS[0][1:]], "row 7: track_id 'two' is no number"),
        (["11", "x", "train", "small", "", "", ""], "row 6: split 'train' is none of training, v"),
        (["11", "x", "test", "tiny", "", "", ""], "row 6: subset 'tiny' is none of small, medium"),
        (FMA_ROWS[0], "row 7: track 2 is already in row 5"),
    ),
)
def test_fma_names_the_row_that_is_wrong(tmp_path, row, sentence):
    path = write_fma_rows(made_fma(tmp_path), [FMA_ROWS[0], row])
    with pytest.raises(A2VError, match=f"{sentence}.*; unpack fma_metadata.zip again") as caught:
        tracks([tmp_path])
    assert str(path) in str(caught.value)


def test_fma_names_what_its_header_lacks(tmp_path):
    made_fma(tmp_path)
    path = write_fma_rows(tmp_path, header=FMA_HEADER[:2])
    with pytest.raises(A2VError, match="row 3: begins with '2' instead of 'track_id'; unpack"):
        tracks([tmp_path])
    write_fma_rows(tmp_path, header=[row[:3] + row[4:] for row in FMA_HEADER])
    with pytest.raises(A2VError, match="row 1 and 2: no column set/subset in these; unpack"):
        tracks([tmp_path])
    path.write_bytes(path.read_bytes() + b"\xff")
    with pytest.raises(A2VError, match="tracks.csv: row .* is no CSV in UTF-8"):
        tracks([tmp_path])


def test_fma_takes_long_fields_and_leaves_the_limit_of_csv_alone(tmp_path):
    limit = csv.field_size_limit()
    write_fma_rows(made_fma(tmp_path), [[*FMA_ROWS[0][:-1], "x" * (limit + 1)], *FMA_ROWS[1:]])
    assert len(tracks([tmp_path])) == 3
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize("place", (".", "genres_original", "genres", "Data/genres_original"))
def test_gtzan_leaves_out_faulty_excerpts(tmp_path, place):
    found = tracks([made_gtzan(tmp_path, place=place)])
    names = {track.track for track in found}
    expected = {f"{genre}/{genre}.{n}.wav" for genre in gtzan.GENRES for n in ("00000", "00038")}
    expected |= {f"{genre}/{genre}.00054.wav" for genre in gtzan.GENRES}
    left_out = {"disco/disco.00038.wav", "jazz/jazz.00038.wav"}
    assert names == expected - left_out - {"jazz/jazz.00054.wav", "pop/pop.00054.wav"}
    assert all(track.genre == track.track.split("/")[0] for track in found)


def test_gtzan_of_the_whole_size_is_the_fault_filtered_partition(tmp_path):
    for genre in gtzan.GENRES:
        for number in range(100):
            touched(tmp_path / genre / f"{genre}.{number:05d}.au")
    found = tracks([tmp_path])
    assert len(found) == 443 + 197 + 290
    assert "jazz/jazz.00054.au" in {track.track for track in found}


def test_gtzan_names_files_that_are_none_of_its_own(tmp_path):
    folder = made_gtzan(tmp_path)
    strange = touched(folder / "genres_original" / "rock" / "pop.00001.wav")
    with pytest.raises(A2VError, match=r"rock.pop.00001.wav: not named .* rock.00000.wav; move"):
        tracks([folder])
    strange.unlink()
    touched(folder / "genres_original" / "rock" / "rock.00000.au")
    with pytest.raises(A2VError, match=r"rock.00000.wav: is there as rock.00000.au, too; keep one"):
        tracks([folder])


def test_gtzan_says_what_it_looks_for(tmp_path):
    with pytest.raises(A2VError, match="no excerpts such as genres/blues/blues.00000.wav"):
        gtzan.read(tmp_path)


@pytest.mark.parametrize("place", (".", "coversongs", "coversongs/covers32k"))
def test_covers80_pairs_versions_by_folder_and_reads_artists(tmp_path, place):
    found = tracks([made_covers80(tmp_path) / place])
    assert [(track.work, track.artist) for track in found] == [
        ("Abracadabra", "steve miller band"),
        ("Cathy", "everly"),
        ("Abracadabra", "sugar ray"),
        ("Cathy", "dave edmunds"),
    ]
    assert [track.track for track in found] == [
        f"{entry}.mp3" for entries in COVERS.values() for entry in entries
    ]


def test_covers80_names_what_a_list_lacks(tmp_path):
    home = made_covers80(tmp_path) / "coversongs" / "covers32k"
    for text, sentence in (
        ("\nAbracadabra\n", "row 2: 'Abracadabra' is not WORK/artist"),
        ("A/b/c\n", "row 1: 'A/b/c' is not WORK/artist"),
        ("Cathy/none+X+01-C\n", "row 1: .*none.X.01-C.mp3 is not there"),
        (f"{COVERS['list1.list'][0]}\n", "row 1: .* is listed twice"),
        (" \n", "names no versions"),
    ):
        (home / "list2.list").write_text(text, encoding="utf-8")
        with pytest.raises(A2VError, match=f"list2.list: {sentence}.*; unpack covers80.tgz again"):
            tracks([tmp_path])
    (home / "list2.list").unlink()
    with pytest.raises(A2VError, match=r"list2.list: cannot be read \(No such file.*; unpack cov"):
        tracks([tmp_path])
    with pytest.raises(A2VError, match="no covers32k in this folder; unpack covers80.tgz there"):
        covers80.read(tmp_path / "coversongs" / "covers32k" / "Cathy")
