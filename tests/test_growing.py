import doctest
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from a2v import library, resources
from a2v.corpora import synthetic
from a2v.errors import A2VError
from a2v.library import Library

RATE = 16000
SECONDS = {0: 12, 1: 15, 2: 9, 3: 20}


@pytest.fixture(scope="module")
def tunes(melody):
    return {seed: melody(seed, seconds) for seed, seconds in SECONDS.items()}


@pytest.fixture(scope="module")
def files(tunes, write_wav, tmp_path_factory):
    folder = tmp_path_factory.mktemp("music")
    return {seed: write_wav(folder / f"{seed}.wav", tune) for seed, tune in tunes.items()}


def made(path, encoder_path, files, **options):
    """Makes a library of files."""
    with Library.create(path, encoder_path) as opened:
        for file in files:
            opened.add(file, **options)
    return path


@pytest.fixture(scope="module")
def template(files, encoder_path, tmp_path_factory):
    path = tmp_path_factory.mktemp("library") / "music.a2v"
    return made(path, encoder_path, files.values())


@pytest.fixture
def path(template, tmp_path):
    copy = tmp_path / "music.a2v"
    copy.write_bytes(template.read_bytes())
    return copy


@pytest.fixture
def opened(path):
    with Library.open(path) as found:
        yield found


def copies(tune, folder):
    """The same recording in other bytes: dict of file to where it begins in the original, s."""
    found = {}
    for name, waveform, start_s in (
        ("quieter.wav", 0.5 * tune, 0.0),
        ("lossless.flac", tune, 0.0),
        ("trimmed.wav", tune[RATE : -2 * RATE], 1.0),
        ("trimmed between hops.wav", tune[round(1.11 * RATE) :], 1.11),
        ("after silence.wav", np.concatenate([np.zeros(3 * RATE, np.float32), tune]), -3.0),
    ):
        soundfile.write(folder / name, waveform, RATE, subtype="PCM_16")
        found[folder / name] = start_s
    return found


@pytest.mark.parametrize("seed", [1, 3])
def test_copies_are_refused_and_say_where_they_belong(opened, tunes, seed, tmp_path):
    for file, start_s in copies(tunes[seed], tmp_path).items():
        with pytest.raises(
            A2VError, match="the same recording is in .*music.a2v already"
        ) as caught:
            opened.add(file)
        said = str(caught.value)
        assert said.startswith(f"{file}: ") and f"of track '{seed}.wav' and shares" in said
        begins = float(said.split("begins at ")[1].split(" s")[0])
        assert begins == pytest.approx(start_s, abs=0.15)
    assert len(opened) == len(SECONDS)
    assert opened.verify() == []


def test_copies_may_be_allowed_but_never_the_same_bytes(opened, tunes, files, tmp_path):
    file = next(iter(copies(tunes[1], tmp_path)))
    assert opened.add(file, copies="allow").track == "quieter.wav"
    with pytest.raises(A2VError, match="same bytes"):
        opened.add(files[1], name="other", copies="allow")
    assert len(opened) == len(SECONDS) + 1


def test_linked_copies_are_files_of_the_track(opened, tunes, files, tmp_path):
    places = copies(tunes[3], tmp_path)
    for file in places:
        assert opened.add(file, copies="link").track == "3.wav"
    again = tmp_path / "again.wav"
    again.write_bytes(files[3].read_bytes())
    entry = opened.add(again, copies="link")
    assert entry.track == "3.wav"
    assert {file.path for file in entry.files} == {str(p.resolve()) for p in [*places, again]}
    for file in entry.files:
        expected = next((s for p, s in places.items() if str(p.resolve()) == file.path), 0.0)
        assert file.offset_s == pytest.approx(expected, abs=0.15)
    assert entry == opened.tracks("3.wav")[0] and len(opened) == len(SECONDS)
    assert opened.stats()["files"] == len(entry.files)
    for file in (*places, again):
        with pytest.raises(A2VError, match="is a file of track '3.wav' of .* already"):
            opened.add(file, copies="link")
        with pytest.raises(A2VError, match="the same bytes are in .* as track '3.wav'"):
            opened.add(file, name="another")
    assert opened.verify() == []
    opened.remove("3.wav")
    assert opened.stats()["files"] == 0 and opened.verify() == []


def test_what_is_new_is_added_where_copies_are_linked(opened, melody, write_wav, tmp_path):
    entry = opened.add(write_wav(tmp_path / "new.wav", melody(60, 8)), copies="link")
    assert (entry.track, entry.files) == ("new.wav", ())


def test_less_than_half_in_common_is_no_copy(opened, tunes, melody, write_wav, tmp_path):
    medley = np.concatenate([melody(61, 6), tunes[0][: 5 * RATE], melody(62, 6)])
    opened.add(write_wav(tmp_path / "medley.wav", medley))
    assert len(opened) == len(SECONDS) + 1


@pytest.mark.parametrize("copies", ["refused", "", None])
def test_unknown_way_with_copies_is_a_mistake(opened, files, copies):
    with pytest.raises(ValueError, match="use one of refuse, allow, link"):
        opened.add(files[0], copies=copies)


def test_shipped_model_knows_lossy_copies_and_takes_the_rest(tmp_path):
    tracks = synthetic.compose(tmp_path / "music", works=3, covers=1, seconds=30, seed=1)
    with Library.create(tmp_path / "l.a2v", resources.saved_model("conv128")) as opened:
        for track in tracks:
            opened.add(track.path, name=track.track)
        for track in tracks:
            waveform, rate = soundfile.read(track.path, dtype="float32")
            for name, kind in (
                ("copy.mp3", {"format": "MP3"}),
                ("copy.opus", {"format": "OGG", "subtype": "OPUS"}),
                ("copy.wav", {}),
            ):
                kept = waveform[round(3.1 * rate) : -3 * rate] if name == "copy.wav" else waveform
                soundfile.write(tmp_path / name, 0.5 * kept, rate, **kind)
                with pytest.raises(A2VError, match="the same recording is in") as caught:
                    opened.add(tmp_path / name)
                assert f"of track {track.track!r}" in str(caught.value)


def test_replaced_track_answers_as_if_the_old_one_had_never_been(
    path, files, tunes, encoder_path, melody, write_wav, tmp_path
):
    new = write_wav(tmp_path / "new.wav", melody(63, 11))
    with Library.open(path) as opened:
        assert opened.replace("1.wav", new).track == "1.wav"
        assert opened.identify(tunes[1]) == []
        assert opened.identify(melody(63, 11))[0].track == "1.wav"
        assert opened.verify() == []
        replaced = opened.tracks()
    others = made(tmp_path / "other.a2v", encoder_path, [files[k] for k in (0, 2, 3)])
    with Library.open(others) as other:
        other.add(new, name="1.wav")
        assert other.tracks() == replaced


def test_a_track_may_be_replaced_by_its_own_copy_but_not_by_that_of_another(
    opened, tunes, files, tmp_path
):
    quieter = next(iter(copies(tunes[1], tmp_path)))
    with pytest.raises(A2VError, match="the same recording is in .* of track '1.wav'"):
        opened.replace("2.wav", quieter)
    assert opened.identify(tunes[2])[0].track == "2.wav"
    assert opened.replace("1.wav", quieter).path == str(quieter.resolve())
    with pytest.raises(A2VError, match="same bytes .* as track '1.wav'"):
        opened.replace("2.wav", quieter)
    assert opened.add(files[1], copies="link").track == "1.wav"
    for own in (files[1], quieter):  # a linked file of the track, and its own bytes
        if own == quieter:
            opened.add(own, copies="link")
        entry = opened.replace("1.wav", own)
        assert (entry.path, entry.files) == (str(own.resolve()), ())
    with pytest.raises(A2VError, match="no track 'x'"):
        opened.replace("x", files[1])
    assert len(opened) == len(SECONDS) and opened.verify() == []


def test_renaming_changes_the_name_alone(opened, tunes):
    before = {entry.track: entry for entry in opened.tracks()}
    opened.identify(tunes[2])
    opened.rename("2.wav", "Ein Lied")
    after = {entry.track: entry for entry in opened.tracks()}
    assert vars(after.pop("Ein Lied")) == vars(before.pop("2.wav")) | {"track": "Ein Lied"}
    assert after == before
    assert opened.identify(tunes[2])[0].track == "Ein Lied"
    for old, new, words in (
        ("2.wav", "y", "no track '2.wav'"),
        ("1.wav", "3.wav", "has a track '3.wav' already"),
        ("1.wav", "\udcff", "not valid UTF-8"),
    ):
        with pytest.raises(A2VError, match=words):
            opened.rename(old, new)


def test_names_are_searched_by_part_and_by_glob(opened):
    for old, new in (("0.wav", "Café [1]/a.wav"), ("1.wav", "cafe\u0301 2/B.wav")):
        opened.rename(old, new)
    for pattern, count in (
        *(("CAFÉ", 2), ("é [1]", 1), ("[1]", 1), ("*/b.WAV", 1), ("?.wav", 2), ("*", 4)),
        *(("b.wav", 1), ("*.flac", 0), ("nothing", 0), ("", 4)),
    ):
        assert len(opened.tracks(pattern)) == count, pattern


def test_stats_count_what_is_there(opened, path, melody, write_wav, tmp_path, files):
    stats = opened.stats()
    assert (stats["tracks"], stats["files"], stats["seconds"]) == (4, 0, sum(SECONDS.values()))
    assert stats["hashes"] == sum(entry.hashes for entry in opened.tracks())
    assert stats["bytes"] >= path.stat().st_size > 0 and stats["silent_share"] == 0
    assert (stats["encoder"]["name"], stats["encoder"]["n_bits"]) == ("tiny", 64)
    # 3 s of silence have 9 windows that lie in it whole.
    pause = np.concatenate([melody(64, 4), np.zeros(3 * RATE, np.float32), melody(65, 4)])
    windows = opened.add(write_wav(tmp_path / "pause.wav", pause)).hashes
    assert opened.stats()["silent_share"] == pytest.approx(9 / (stats["hashes"] + windows))


def parted(folder, encoder_path, files):
    """Two libraries that share no recording."""
    a = made(folder / "a.a2v", encoder_path, [files[0], files[1]])
    b = made(folder / "b.a2v", encoder_path, [files[2], files[3]])
    return a, b


def test_merged_libraries_are_one_in_either_order(files, encoder_path, template, tunes, tmp_path):
    first, second = parted(tmp_path, encoder_path, files)
    before = second.read_bytes()
    with Library.open(first) as opened:
        added, refused = opened.merge(second)
        assert ([entry.track for entry in added], refused) == (["2.wav", "3.wav"], [])
    assert second.read_bytes() == before
    other_first, other_second = parted(tmp_path_of(tmp_path, "other"), encoder_path, files)
    with Library.open(other_second) as opened:
        opened.merge(other_first)
    for number, source in enumerate((first, other_second, template)):
        with Library.open(source) as opened:
            assert opened.verify() == []
            assert opened.identify(tunes[3][4 * RATE :])[0].track == "3.wav"
            opened.export(tmp_path / f"{number}.npz")
    exports = {(tmp_path / f"{number}.npz").read_bytes() for number in range(3)}
    assert len(exports) == 1


def tmp_path_of(folder, name):
    (folder / name).mkdir()
    return folder / name


def test_merging_leaves_out_names_bytes_and_damage_by_name(
    path, files, encoder_path, melody, write_wav, tmp_path
):
    other = tmp_path / "other.a2v"
    names = {"1.wav": melody(66, 5), "new.wav": melody(67, 5), "hurt.wav": melody(68, 5)}
    for name, tune in names.items():
        write_wav(tmp_path / "other" / name, tune)
    with Library.create(other, encoder_path) as opened:
        for name in names:
            opened.add(tmp_path / "other" / name)
        opened.add(files[2], name="bytes of another")
        opened._db.execute(
            "UPDATE hashes SET codes = zeroblob(length(codes))"
            " WHERE track = (SELECT id FROM tracks WHERE name = 'hurt.wav')"
        )
    with Library.open(path) as opened:
        added, refused = opened.merge(other)
        assert [entry.track for entry in added] == ["new.wav"]
        for sentence, track, words in zip(
            refused,
            ("1.wav", "bytes of another", "hurt.wav"),
            ("has a track '1.wav' already", "same bytes are in", "its hashes are damaged"),
            strict=True,
        ):
            assert sentence.startswith(f"{other}: track {track!r}: ") and words in sentence
        assert len(opened) == len(SECONDS) + 1 and opened.verify() == []


def test_merging_with_itself_or_another_model_is_refused(path, exported, tmp_path):
    (tmp_path / "huge.tflite").write_bytes(exported(model_id="beef", name="huge"))
    Library.create(tmp_path / "huge.a2v", tmp_path / "huge.tflite").close()
    with Library.open(path) as opened:
        with pytest.raises(A2VError, match="is this library itself"):
            opened.merge(path)
        with pytest.raises(A2VError, match=r"huge \(beef\), .* with tiny \(7a31\)"):
            opened.merge(tmp_path / "huge.a2v")
        with pytest.raises(A2VError, match="no such library"):
            opened.merge(tmp_path / "missing.a2v")
        assert len(opened) == len(SECONDS)


def test_examples_in_docstrings_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testmod(library)
    assert failed == 0 and tried > 0


def test_library_at_the_top_costs_no_tensorflow_and_only_when_asked_for():
    program = (
        "import sys, a2v; early = 'a2v.library' in sys.modules; from a2v import Library;"
        "print(early, Library.__name__, {'tensorflow', 'keras'} & sys.modules.keys())"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (ran.stdout, ran.returncode) == ("False Library set()\n", 0), ran.stderr


@pytest.mark.parametrize("jobs", [1, 2])
def test_many_are_added_as_one_after_the_other_would_be(
    jobs, files, encoder_path, template, tunes, write_wav, tmp_path
):
    bad = tmp_path / "bad.wav"
    bad.write_text("no audio")
    louder = write_wav(tmp_path / "louder.wav", 0.5 * tunes[1])
    asked = [(files[0], "0"), (bad, "bad"), (files[1], "1"), (tmp_path / "none.wav", "none")]
    asked += [(files[1], "again"), (louder, "louder"), (files[2], "2"), (files[3], "0")]
    with Library.create(tmp_path / "l.a2v", encoder_path) as opened:
        found = list(opened.add_all(iter(asked), jobs=jobs))
        assert [path for path, _ in found] == [path for path, _ in asked]
        said = {name: entry for (_, name), (_, entry) in zip(asked, found, strict=True)}
        assert [str(said[k].track) for k in ("1", "2")] == ["1", "2"]
        for name, sentence in (
            ("bad", "bad.wav: "),
            ("none", "none.wav: cannot be read"),
            ("again", "the same bytes"),
            ("louder", "the same recording is in"),
            ("0", "0"),
        ):
            assert isinstance(said[name], A2VError) and sentence in str(said[name]), name
        assert [entry.track for entry in opened.tracks()] == ["0", "1", "2"]
        assert opened.verify() == []
        with Library.open(template) as alone:
            codes = [library.entries.rows(each._db) for each in (opened, alone)]
            rows = [{row.entry.sha256: row.codes for row in each} for each in codes]
        assert rows[0].items() <= rows[1].items()


def test_many_are_linked_as_one_after_the_other_would_be(
    opened, files, melody, write_wav, tmp_path
):
    new = write_wav(tmp_path / "new.wav", melody(77, 11))
    twin = tmp_path / "twin.wav"
    twin.write_bytes(new.read_bytes())
    copy = tmp_path / "copy.wav"
    copy.write_bytes(files[0].read_bytes())
    asked = [(copy, "copy"), (new, "new"), (twin, "twin")]
    found = [entry for _, entry in opened.add_all(asked, copies="link", jobs=2)]
    assert [entry.track for entry in found] == ["0.wav", "new", "new"]
    assert [len(entry.files) for entry in found] == [1, 0, 1]
