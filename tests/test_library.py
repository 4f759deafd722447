import multiprocessing
import os
import sqlite3
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from a2v.errors import A2VError
from a2v.library import Library
from a2v.store import SCHEMA, LibraryError

SECONDS = {0: 12, 1: 15, 2: 9, 3: 20}


@pytest.fixture(scope="module")
def tunes(melody):
    return {seed: melody(seed, seconds) for seed, seconds in SECONDS.items()}


@pytest.fixture(scope="module")
def files(tunes, write_wav, tmp_path_factory):
    folder = tmp_path_factory.mktemp("music")
    return {seed: write_wav(folder / f"{seed}.wav", tune) for seed, tune in tunes.items()}


@pytest.fixture(scope="module")
def template(files, encoder_path, tmp_path_factory):
    """A library of all files, closed; tests that change it work on a copy."""
    path = tmp_path_factory.mktemp("library") / "music.a2v"
    with Library.create(path, encoder_path) as library:
        for file in files.values():
            library.add(file)
    return path


@pytest.fixture
def path(template, tmp_path):
    copy = tmp_path / "music.a2v"
    copy.write_bytes(template.read_bytes())
    return copy


@pytest.fixture
def library(path):
    with Library.open(path) as opened:
        yield opened


def excerpt(tune, start_s, seconds):
    return tune[round(start_s * 16000) : round((start_s + seconds) * 16000)]


def test_identity_query_is_top_at_offset_zero(library, tunes):
    for seed, tune in tunes.items():
        (match,) = library.identify(tune)
        assert (match.track, match.offset_s) == (f"{seed}.wav", 0)
        assert match.probability > 0.99 and match.bit_error_rate < 0.01


@pytest.mark.parametrize("hops", [1, 2, 7, 20])
def test_shift_by_hops_shifts_offset(library, tunes, hops):
    (match,) = library.identify(excerpt(tunes[1], 0.25 * hops, 5))
    assert (match.track, match.offset_s) == ("1.wav", 0.25 * hops)


@pytest.mark.parametrize("start_s", [0.11, 3.237, 6.3333])
def test_offset_between_hops_is_found_within_half_a_phase(library, tunes, start_s):
    (match,) = library.identify(excerpt(tunes[3], start_s, 5))
    assert match.track == "3.wav"
    assert match.offset_s == pytest.approx(start_s, abs=0.0625 / 2 + 0.001)


def test_phases_lower_the_bit_error_rate(library, tunes):
    clip = excerpt(tunes[3], 4.125, 5)
    rates = [
        library.identify(clip, phases=n, max_false_accepts=1)[0].bit_error_rate for n in (1, 4)
    ]
    assert rates[1] < rates[0]


def test_stranger_is_no_match(library, melody):
    assert library.identify(melody(99, 6)) == []
    guesses = library.identify(melody(99, 6), top=10, max_false_accepts=1)
    assert len(guesses) == len(SECONDS)
    assert [g.probability for g in guesses] == sorted(g.probability for g in guesses)[::-1]


def test_silence_is_no_match(library):
    assert library.identify(np.zeros(80_000, np.float32), max_false_accepts=1) == []


def test_clip_may_be_a_path(library, files, tunes):
    assert library.identify(files[2]) == library.identify(np.round(tunes[2] * 32767) / 32768)


@pytest.mark.parametrize(
    ("clip", "words"),
    [
        (np.zeros((2, 32000), np.float32), r"shape \(2, 32000\) and type float32; give a waveform"),
        (np.zeros(32000, np.complex64), "type complex64"),
        (np.array(["a"] * 32000), "type <U1"),
        (np.where(np.arange(32000) == 8000, np.nan, 0.1), r"sample 8000 \(0\.50 s\) is nan"),
        (np.where(np.arange(32000) == 16000, -np.inf, 0.1), r"sample 16000 \(1\.00 s\) is -inf"),
    ],
)
def test_arrays_that_are_no_waveform_are_refused(library, clip, words):
    for ask in (library.identify, library.identify_all):
        with pytest.raises(A2VError, match=words):
            ask(clip)


def test_asking_for_nothing_is_refused(library, tunes):
    for ask, values in ((library.identify, {"top": 0}), (library.identify, {"phases": 0})):
        with pytest.raises(A2VError, match=r"(top|phases) 0: use 1 or more"):
            ask(tunes[0], **values)
    with pytest.raises(A2VError, match="phases -1: use 1 or more"):
        library.identify_all(tunes[0], phases=-1)


def test_whole_numbers_are_a_waveform_too(library, tunes):
    whole = np.round(tunes[2] * 32767).astype(np.int16)
    (match,) = library.identify(whole)
    assert (match.track, match.offset_s) == ("2.wav", 0)


def test_another_thread_is_told_to_open_the_library_itself(path, tunes):
    with Library.open(path) as library, ThreadPoolExecutor(1) as pool:
        with pytest.raises(LibraryError, match="each thread opens the library for itself"):
            pool.submit(library.identify, tunes[0]).result()
        assert library.identify(tunes[0])
    with pytest.raises(LibraryError, match="each thread opens the library for itself, and asks"):
        library.identify(tunes[0])


def test_short_clip_is_refused(library, tunes):
    with pytest.raises(A2VError, match=r"0\.90 s of audio, tiny needs at least 1\.00 s"):
        library.identify(tunes[0][: round(0.9 * 16000)])


def test_order_of_adding_changes_nothing(files, tunes, encoder_path, tmp_path, library):
    with Library.create(tmp_path / "other.a2v", encoder_path) as other:
        for seed in reversed(files):
            other.add(files[seed])
        assert other.tracks() == library.tracks()
        for tune in tunes.values():
            clip = excerpt(tune, 2.1, 3)
            answers = [x.identify(clip, top=9, max_false_accepts=1) for x in (library, other)]
            assert answers[0] == answers[1]


def test_reload_equals_original(files, tunes, encoder_path, tmp_path):
    with Library.create(tmp_path / "l.a2v", encoder_path) as library:
        entries = [library.add(file) for file in files.values()]
        before = library.identify(excerpt(tunes[0], 1.3, 4), top=9, max_false_accepts=1)
    with Library.open(tmp_path / "l.a2v") as library:
        assert library.tracks() == sorted(entries, key=lambda entry: entry.track)
        assert library.identify(excerpt(tunes[0], 1.3, 4), top=9, max_false_accepts=1) == before
        assert library.encoder.data == encoder_path.read_bytes()
        assert library.verify() == []


def test_entry_describes_the_file(library, files):
    entry = library.tracks()[0]
    assert (entry.track, entry.path) == ("0.wav", str(files[0].resolve()))
    assert (entry.seconds, entry.hashes) == (12, 45)
    assert len(library) == len(SECONDS)


def test_single_short_track_works(encoder_path, files, melody, tunes, tmp_path):
    with Library.create(tmp_path / "l.a2v", encoder_path) as library:
        library.add(files[2])
        # A single track tells little of chance: an answer is less sure than in larger libraries.
        allowed = {"max_false_accepts": 0.05}
        assert library.identify(excerpt(tunes[2], 3.1, 3), **allowed)[0].track == "2.wav"
        assert library.identify(melody(98, 3), **allowed) == []


def test_query_longer_than_track_is_found(library, tunes, melody):
    (match,) = library.identify(np.concatenate([melody(97, 6), tunes[2], melody(96, 5)]))
    assert (match.track, match.offset_s) == ("2.wav", -6)


def test_removed_track_is_gone_and_can_come_back(library, files, tunes):
    library.identify(tunes[1])
    library.remove("1.wav")
    assert library.identify(tunes[1]) == []
    assert library.verify() == []
    library.add(files[1])
    assert library.identify(tunes[1])[0].track == "1.wav"


def test_changes_of_another_process_are_seen(library, path, tunes):
    library.identify(tunes[1])
    with Library.open(path) as other:
        other.remove("1.wav")
    assert library.identify(tunes[1]) == []


def test_unknown_track_cannot_be_removed(library):
    with pytest.raises(A2VError, match="no track 'x.wav'"):
        library.remove("x.wav")


def test_same_name_is_refused(library, files):
    with pytest.raises(A2VError, match="has a track '2.wav' already; remove it first"):
        library.add(files[3], name="2.wav")
    assert len(library) == len(SECONDS)


def test_same_bytes_are_refused(library, files):
    with pytest.raises(A2VError, match="same bytes are in .* as track '2.wav'"):
        library.add(files[2], name="another")
    assert len(library) == len(SECONDS)


def test_unusable_recordings_are_refused(library, tmp_path, write_wav, tunes):
    def refused(path, words):
        with pytest.raises(A2VError, match=words) as caught:
            library.add(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert f"{path}: {path}" not in str(caught.value)
        assert not isinstance(caught.value, LibraryError)

    text = tmp_path / "text.wav"
    text.write_text("no audio")
    refused(tmp_path / "missing.wav", "cannot be read")
    refused(text, "cannot be decoded")
    refused(write_wav(tmp_path / "short.wav", tunes[0][:8000]), "at least 1.00 s")
    refused(write_wav(tmp_path / "silent.wav", 1e-4 * tunes[0]), "silent throughout")
    assert len(library) == len(SECONDS)


def test_name_that_is_no_utf8_is_refused(library, files):
    with tempfile.TemporaryDirectory() as folder:
        odd = Path(os.fsdecode(os.fsencode(folder) + b"/\xff.wav"))
        try:
            odd.write_bytes(files[0].read_bytes())
        except OSError:
            pytest.skip("the file system takes no such name")
        with pytest.raises(A2VError, match="not valid UTF-8; rename it"):
            library.add(odd)


def test_long_file_is_read_in_blocks(library, write_wav, melody, tmp_path, monkeypatch):
    from a2v import audio

    longest = []
    blocks = audio.blocks

    def watched(*args, **options):
        for block in blocks(*args, **options):
            longest.append(len(block))
            yield block

    monkeypatch.setattr(audio, "blocks", watched)
    tune = melody(50, 100)
    entry = library.add(write_wav(tmp_path / "long.wav", tune))
    assert max(longest) <= 30 * 16000
    assert entry.hashes == 397
    assert library.identify(excerpt(tune, 70.5, 5))[0].offset_s == 70.5


def test_create_spares_what_is_there(path, encoder_path, tmp_path):
    before = path.read_bytes()
    with pytest.raises(A2VError, match="exists already"):
        Library.create(path, encoder_path)
    assert path.read_bytes() == before
    with Library.create(path, encoder_path, overwrite=True) as library:
        assert len(library) == 0
    song = tmp_path / "song.wav"
    song.write_bytes(b"RIFF")
    with pytest.raises(A2VError, match="not a library, will not be overwritten"):
        Library.create(song, encoder_path, overwrite=True)
    assert song.read_bytes() == b"RIFF"
    with pytest.raises(A2VError, match="is a folder"):
        Library.create(tmp_path, encoder_path, overwrite=True)


def test_create_leaves_nothing_but_the_library(encoder_path, tmp_path):
    Library.create(tmp_path / "l.a2v", encoder_path).close()
    assert [file.name for file in tmp_path.iterdir()] == ["l.a2v"]


def test_create_where_nothing_can_be_written_is_refused(encoder_path, tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "l.a2v", tmp_path / "missing" / "l.a2v"):
        with pytest.raises(LibraryError, match="cannot be written") as caught:
            Library.create(place, encoder_path)
        assert str(place) in str(caught.value)


def test_create_with_foreign_encoder_makes_nothing(tiny_graph, tmp_path):
    (tmp_path / "graph.tflite").write_bytes(tiny_graph)
    with pytest.raises(A2VError, match="not exported by a2v-export"):
        Library.create(tmp_path / "l.a2v", tmp_path / "graph.tflite")
    assert not (tmp_path / "l.a2v").exists()


def test_open_refuses_what_is_no_library(tmp_path):
    text, database = tmp_path / "text.a2v", tmp_path / "other.sqlite"
    text.write_text("not a library at all, but some text")
    connection = sqlite3.connect(database)
    connection.execute("CREATE TABLE meta (key, value)")
    connection.commit()
    connection.close()
    for place, words in [
        (tmp_path / "missing.a2v", "no such library"),
        (text, "not an a2v library"),
        (tmp_path, "not an a2v library"),
        (database, "no a2v library"),
    ]:
        with pytest.raises(A2VError, match=words) as caught:
            Library.open(place)
        assert str(place) in str(caught.value)


@pytest.mark.parametrize(
    ("schema", "remedy"), [(SCHEMA + 1, "update a2v"), (SCHEMA - 1, "index the recordings anew")]
)
def test_open_refuses_other_schema(schema, remedy, path):
    change(path, f"UPDATE meta SET value = {schema} WHERE key = 'schema'")
    change(path, "UPDATE meta SET value = 'a2v 9.1' WHERE key = 'created_by'")
    words = rf"schema {schema}, made by a2v 9\.1; a2v .* reads {SCHEMA}: {remedy}"
    with pytest.raises(A2VError, match=words):
        Library.open(path)


def test_open_refuses_wrong_model_and_names_both(path, exported, tmp_path):
    other, same = tmp_path / "other.tflite", tmp_path / "same.tflite"
    other.write_bytes(exported(model_id="beef", name="huge"))
    same.write_bytes(exported(quantised=True))
    with pytest.raises(A2VError, match=r"made with tiny \(7a31\), not with huge \(beef\)"):
        Library.open(path, encoder_path=other)
    Library.open(path, encoder_path=same).close()


def change(path, statement):
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE hashes SET codes = zeroblob(length(codes)) WHERE track = 2", "checksum"),
        ("UPDATE hashes SET codes = substr(codes, 9) WHERE track = 2", "bytes for"),
        ("UPDATE tracks SET seconds = 99 WHERE id = 2", "expected 393"),
        ("DELETE FROM hashes WHERE track = 2", "has no hashes"),
        ("DELETE FROM tracks WHERE id = 2", "track number 2, which is not there"),
        ("UPDATE meta SET value = 'beef' WHERE key = 'model_id'", "meta says model beef"),
        ("DELETE FROM sketches WHERE track = 2", "1.wav: its sketch is not that of its hashes"),
        ("UPDATE sketches SET track = 9 WHERE track = 2", "a sketch of track number 9"),
        ("INSERT INTO files VALUES (9, 'x', 'y', 0)", "a linked file of track number 9"),
    ],
)
def test_verify_names_each_damage(path, statement, words):
    change(path, statement)
    with Library.open(path) as library:
        assert any(words in problem for problem in library.verify())


@pytest.mark.parametrize("codes", ["substr(codes, 2)", "zeroblob(length(codes))", "zeroblob(0)"])
def test_damaged_hashes_are_an_error_not_an_answer(path, tunes, codes):
    change(path, f"UPDATE hashes SET codes = {codes} WHERE track = 2")
    with Library.open(path) as library:
        for ask in (library.identify, library.identify_all):
            with pytest.raises(LibraryError, match="'1.wav' are damaged"):
                ask(tunes[0])
        with pytest.raises(LibraryError, match="'1.wav' are damaged"):
            library.hashes("1.wav")
        assert len(library.hashes("0.wav")) == 45


def test_hashes_without_a_track_are_an_error_not_an_answer(path, tunes):
    change(path, "DELETE FROM tracks WHERE id = 2")
    with Library.open(path) as library, pytest.raises(LibraryError, match="not the .* it counts"):
        library.identify(tunes[0])


def test_damaged_encoder_names_the_library(path):
    change(path, "UPDATE meta SET value = substr(value, 1, 2000) WHERE key = 'encoder'")
    with pytest.raises(A2VError, match=r"music\.a2v: its encoder: a TFLite file that was not"):
        Library.open(path)


def test_damaged_pages_are_reported(path, melody, write_wav, tmp_path):
    with Library.open(path) as library:
        library.add(write_wav(tmp_path / "last.wav", melody(71, 400)))
    data = bytearray(path.read_bytes())
    data[-2 * 4096 :] = b"\xaa" * (2 * 4096)
    path.write_bytes(data)
    with Library.open(path) as library:
        assert library.verify()


def test_damaged_beginning_is_a_sentence(path):
    data = bytearray(path.read_bytes())
    data[4096 : 8 * 4096] = b"\xaa" * (7 * 4096)
    path.write_bytes(data)
    with pytest.raises(LibraryError, match="damaged"):
        Library.open(path)


def test_full_disk_loses_nothing(path, files, tunes, melody, write_wav, tmp_path):
    more = write_wav(tmp_path / "more.wav", melody(70, 200))
    with Library.open(path) as library:
        pages = library._db.execute("PRAGMA page_count").fetchone()[0]
        library._db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(LibraryError, match="full; free some space"):
            library.add(more)
        assert len(library) == len(SECONDS)
        assert library.verify() == []
        library._db.execute(f"PRAGMA max_page_count = {pages + 100}")
        library.add(more)
    with Library.open(path) as library:
        assert len(library) == len(SECONDS) + 1


def ask_as_nobody(path, tune, answers):
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    with Library.open(path) as library:
        answers.put(library.identify(tune)[0].track)
        try:
            library.remove("0.wav")
        except LibraryError as error:
            answers.put(str(error))


def test_library_in_read_only_place_can_be_asked(template, tunes, library):
    library.identify(tunes[1])  # the child may not be allowed to read what is imported late
    fork = multiprocessing.get_context("fork")
    answers = fork.SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "music.a2v"
        path.write_bytes(template.read_bytes())
        path.chmod(0o444)
        Path(folder).chmod(0o555)
        child = fork.Process(target=ask_as_nobody, args=(path, tunes[1], answers))
        child.start()
        child.join(timeout=60)
        Path(folder).chmod(0o755)
        assert child.exitcode == 0
        assert [file.name for file in Path(folder).iterdir()] == ["music.a2v"]
    assert answers.get() == "1.wav"
    assert "may be read but not written" in answers.get()
