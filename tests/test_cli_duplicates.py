import json

import numpy as np
import pytest

from a2v.corpora import synthetic
from a2v.library import Library


@pytest.fixture(scope="module")
def library(melody, write_wav, encoder_path, tmp_path_factory):
    """Three tunes, a softer copy of one, and an excerpt of another."""
    folder = tmp_path_factory.mktemp("music")
    tunes = {f"{seed}.wav": melody(seed, 20) for seed in range(3)}
    tunes["softer.wav"] = 0.4 * tunes["0.wav"]
    tunes["excerpt.wav"] = tunes["1.wav"][6 * 16000 : 15 * 16000]
    with Library.create(folder / "l.a2v", encoder_path) as made:
        for name, tune in tunes.items():
            made.add(write_wav(folder / name, tune), copies="allow")
    return folder / "l.a2v"


@pytest.fixture(scope="module")
def alone(melody, write_wav, encoder_path, tmp_path_factory):
    """A library of one tune."""
    folder = tmp_path_factory.mktemp("alone")
    with Library.create(folder / "l.a2v", encoder_path) as made:
        made.add(write_wav(folder / "one.wav", melody(5, 12)))
    return folder / "l.a2v"


def objects(ran):
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


def test_duplicates_gives_groups_and_excerpts_as_objects(library, call):
    ran = call("duplicates", library, "--json")
    group, *excerpts = objects(ran)
    assert group == {"kind": "group", "tracks": ["0.wav", "softer.wav"]}
    kinds = {(each["first"], each["second"]): each["kind"] for each in excerpts}
    expected = {("0.wav", "softer.wav"): "duplicate", ("excerpt.wav", "1.wav"): "contained"}
    assert kinds == expected
    contained = next(each for each in excerpts if each["kind"] == "contained")
    assert contained["first_s"] == pytest.approx([0, 9], abs=0.5)
    assert contained["second_s"] == pytest.approx([6, 15], abs=0.5)
    assert 0 <= contained["bit_error_rate"] < 0.05
    said = "a2v-duplicates: 1 groups of one recording, 2 excerpts in common\n"
    assert ran.stderr == said


def test_duplicates_gives_lines_to_people(library, call):
    ran = call("duplicates", library)
    assert ran.returncode == 0
    lines = ran.stdout.splitlines()
    assert lines[:2] == ["group 1  0.wav", "group 1  softer.wav"]
    assert any(line.startswith("contained  ") and "1.wav" in line for line in lines[2:])


def test_no_duplicates_is_the_answer_no(alone, call):
    for options in ([], ["--json"]):
        ran = call("duplicates", alone, *options)
        assert (ran.returncode, ran.stdout) == (1, "")


def test_similar_gives_the_track_and_its_neighbours(library, call):
    found = objects(call("similar", library, "0.wav", "--json"))
    assert [each["track"] for each in found[:2]] == ["0.wav", "softer.wav"]
    assert [each["relation"] for each in found[:2]] == ["itself", "duplicate"]
    assert len(found) == 5 and {each["relation"] for each in found[2:]} == {None}
    values = [each["similarity"] for each in found]
    assert values[0] == 1 and values == sorted(values, reverse=True)
    lines = call("similar", library, "0.wav", "--top", 1).stdout.splitlines()
    assert lines[0].split() == ["1.000", "itself", "0.wav"]
    assert lines[1].split()[1:] == ["duplicate", "softer.wav"] and len(lines) == 2


def test_similar_names_what_it_does_not_know(library, alone, call):
    ran = call("similar", library, "x.wav")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert f"a2v-similar: {library}: no track 'x.wav' among the 5" in ran.stderr
    ran = call("similar", library, "0.wav", "--top", 0)
    assert ran.returncode == 2 and "ask for 1 or more" in ran.stderr
    assert call("similar", alone, "one.wav").returncode == 1


def test_covers_names_the_model_to_take(library, call):
    ran = call("covers", library, "0.wav")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert f"a2v-covers: {library}: made with tiny, " in ran.stderr
    assert "--model cover128" in ran.stderr and len(ran.stderr.splitlines()) == 1


def test_covers_takes_tracks_and_files(exported, melody, write_wav, call, tmp_path):
    (tmp_path / "keyed.tflite").write_bytes(exported(turns_with_key=True))
    with Library.create(tmp_path / "l.a2v", tmp_path / "keyed.tflite") as made:
        tunes = [melody(seed, 20) for seed in range(3)]
        tunes.append(np.concatenate([melody(9, 5), 0.5 * tunes[0]]))
        for number, tune in enumerate(tunes):
            made.add(write_wav(tmp_path / f"{number}.wav", tune), copies="allow")
    clip = write_wav(tmp_path / "clip.wav", tunes[1][4 * 16000 : 10 * 16000])
    found = objects(call("covers", tmp_path / "l.a2v", "0.wav", "--json", "--top", 2))
    assert (found[0]["track"], found[0]["transposition"]) == ("3.wav", 0)
    assert found[0]["begin_s"] - found[0]["query_begin_s"] == pytest.approx(5, abs=0.5)
    assert len(found) <= 2
    found = objects(call("covers", tmp_path / "l.a2v", clip, "--json"))
    assert (found[0]["track"], found[0]["begin_s"]) == ("1.wav", 4)
    line = call("covers", tmp_path / "l.a2v", clip, "--top", 1).stdout.splitlines()
    assert len(line) == 1 and line[0].endswith("4.00 s  1.wav")
    ran = call("covers", tmp_path / "l.a2v", tmp_path / "missing.wav")
    assert ran.returncode == 2 and "missing.wav" in ran.stderr
    short = write_wav(tmp_path / "short.wav", tunes[1][:8000])
    ran = call("covers", tmp_path / "l.a2v", short)
    assert ran.returncode == 2 and f"{short}: 0.50 s of audio" in ran.stderr


@pytest.mark.slow
def test_the_model_for_covers_finds_those_of_composed_works(call, tmp_path):
    tracks = synthetic.compose(tmp_path / "music", works=5, covers=1, seconds=40, seed=77)
    library = tmp_path / "l.a2v"
    done = call("index", library, "add", tmp_path / "music", "--model", "cover128")
    assert done.returncode == 0, done.stderr
    right = 0
    for track in tracks:
        ran = call("covers", library, f"{track.track}.wav", "--json", "--top", 1)
        (nearest,) = objects(ran)
        right += nearest["track"].split("/")[0] == track.work
    assert right >= 8  # of 10, by chance 1


@pytest.mark.parametrize("verb", ["duplicates", "similar", "covers"])
def test_what_is_no_library_is_refused(verb, call, tmp_path):
    more = [] if verb == "duplicates" else ["0.wav"]
    ran = call(verb, tmp_path / "none.a2v", *more)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "none.a2v: no such library" in ran.stderr and len(ran.stderr.splitlines()) == 1
