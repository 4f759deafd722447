import contextlib
import json
import random
import resource
import sqlite3
import subprocess
import sys
import time

import pytest

from a2v.library import Library


@pytest.fixture(scope="module")
def music(melody, write_wav, tmp_path_factory):
    folder = tmp_path_factory.mktemp("music")
    for seed in range(4):
        write_wav(folder / "album" / f"{seed}.wav", melody(seed, 12))
    return folder


@pytest.fixture(scope="module")
def clips(melody, write_wav, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    write_wav(folder / "known.wav", melody(2, 12)[int(3.25 * 16000) :][: 5 * 16000])
    write_wav(folder / "unknown.wav", melody(77, 5))
    write_wav(folder / "short.wav", melody(2, 12)[:8000])
    write_wav(folder / "silent.wav", 0 * melody(2, 3))
    (folder / "text.wav").write_text("not audio")
    return folder


@pytest.fixture(scope="module")
def library(music, encoder_path, tmp_path_factory, call):
    path = tmp_path_factory.mktemp("library") / "music.a2v"
    ran = call("index", path, "add", music, "--model", encoder_path)
    assert ran.returncode == 0, ran.stderr
    return path


def test_add_reports_each_track(library, music, call, encoder_path, tmp_path):
    ran = call("index", tmp_path / "l.a2v", "add", music, "--model", encoder_path)
    assert ran.returncode == 0
    assert ran.stdout.splitlines() == [f"added  album/{i}.wav  12.0 s  45 hashes" for i in range(4)]
    (summary,) = ran.stderr.splitlines()
    assert summary.startswith("a2v-index: 4 added, 0 failed; 0.8 min of audio in ")


def test_add_goes_on_after_bad_inputs(music, clips, call, encoder_path, tmp_path):
    library, missing = tmp_path / "l.a2v", tmp_path / "missing.wav"
    inputs = [missing, clips, music / "album" / "1.wav"]
    ran = call("index", library, "add", *inputs, "--model", encoder_path)
    assert ran.returncode == 3
    assert [line.split("  ")[1] for line in ran.stdout.splitlines()] == [
        *("known.wav", "unknown.wav"),
        "1.wav",
    ]
    for bad in (missing, clips / "short.wav", clips / "silent.wav", clips / "text.wav"):
        assert f"a2v-index: {bad}: " in ran.stderr
    assert "Traceback" not in ran.stderr and "3 added, 4 failed" in ran.stderr


def test_add_takes_manifests_and_corpora_by_their_own_names(
    melody, write_wav, call, encoder_path, tmp_path
):
    for place in ("gtzan/genres/jazz/jazz.00000.wav", "gtzan/genres/jazz/jazz.00033.wav", "b.wav"):
        write_wav(tmp_path / place, melody(len(place), 3))
    manifest = tmp_path / "some.csv"
    manifest.write_text("path,track\nb.wav,own name\ngone.wav,gone\n", encoding="utf-8")
    inputs = [tmp_path / "gtzan", manifest]
    ran = call("index", tmp_path / "l.a2v", "add", *inputs, "--model", encoder_path)
    added = [line.split("  ")[1] for line in ran.stdout.splitlines()]
    # The excerpt 33 is a known replica.
    assert (ran.returncode, added) == (3, ["jazz/jazz.00000.wav", "own name"])
    assert f"a2v-index: {tmp_path / 'gone.wav'}: " in ran.stderr


def test_add_of_what_is_there_is_refused(library, music, call):
    ran = call("index", library, "add", music)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "has a track 'album/0.wav' already; remove it first" in ran.stderr
    ran = call("index", library, "add", music / "album" / "3.wav")
    assert ran.returncode == 2
    assert "the same bytes are in" in ran.stderr and "'album/3.wav'" in ran.stderr


def test_add_without_any_input_makes_no_library(call, encoder_path, tmp_path):
    library = tmp_path / "l.a2v"
    ran = call("index", library, "add", tmp_path / "missing", "--model", encoder_path)
    assert ran.returncode == 2 and not library.exists()


def test_add_with_another_model_is_refused(library, music, call, exported, tmp_path):
    other = tmp_path / "other.tflite"
    other.write_bytes(exported(model_id="beef"))
    ran = call("index", library, "add", music, "--model", other)
    assert ran.returncode == 2
    assert "tiny (7a31), not with tiny (beef)" in ran.stderr


def test_add_below_a_file_is_refused(music, call, encoder_path, tmp_path):
    (tmp_path / "file").write_text("")
    ran = call("index", tmp_path / "file" / "l.a2v", "add", music, "--model", encoder_path)
    assert ran.returncode == 2
    assert "cannot be written (Not a directory)" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_add_on_full_disk_keeps_what_it_reported(
    melody, write_wav, call, command, encoder_path, tmp_path
):
    library = tmp_path / "l.a2v"
    for seed in range(12):
        write_wav(tmp_path / "music" / f"{seed:02}.wav", melody(seed, 3))
    first = tmp_path / "music" / "00.wav"
    call("index", library, "add", first, "--model", encoder_path)
    limit = max(library.stat().st_size, 100_000)  # what the log may grow to, too

    def bounded():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    more = sorted((tmp_path / "music").iterdir())[1:]
    ran = call("index", library, "add", *more, preexec_fn=bounded)
    assert ran.returncode == 3
    reported = [line.split("  ")[1] for line in ran.stdout.splitlines()]
    assert 0 < len(reported) < len(more)
    assert "what was reported as added is safe" in ran.stderr
    assert "stopped; not added" in ran.stderr and "Traceback" not in ran.stderr
    with Library.open(library) as opened:
        assert [entry.track for entry in opened.tracks()] == ["00.wav", *reported]
        assert opened.verify() == []


def test_remove_list_verify(library, call, tmp_path):
    copy = tmp_path / "copy.a2v"
    copy.write_bytes(library.read_bytes())
    ran = call("index", copy, "remove", "album/1.wav", "nothing")
    assert (ran.returncode, ran.stdout) == (3, "removed  album/1.wav\n")
    assert "no track 'nothing'" in ran.stderr
    listed = call("index", copy, "list").stdout.splitlines()
    assert listed == [f"     12.0 s       45 hashes  album/{i}.wav" for i in (0, 2, 3)]
    objects = [
        json.loads(line) for line in call("index", copy, "list", "--json").stdout.split("\n")[:-1]
    ]
    assert [o["track"] for o in objects] == ["album/0.wav", "album/2.wav", "album/3.wav"]
    assert objects[0].keys() == {"track", "path", "seconds", "hashes", "sha256", "files"}
    assert call("index", copy, "verify").returncode == 0
    with Library.open(copy) as opened:
        opened._db.execute("UPDATE hashes SET crc32 = 1")
    ran = call("index", copy, "verify")
    assert ran.returncode == 1 and len(ran.stdout.splitlines()) == 3


def test_identify_json_is_one_object_a_clip(library, clips, music, call):
    ran = call("identify", library, clips / "known.wav", clips / "unknown.wav", "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    known, unknown = map(json.loads, ran.stdout.splitlines())
    assert list(known) == ["query", "seconds", "ms", "matches"]
    assert known["query"] == str(clips / "known.wav") and known["seconds"] == 5.0
    (match,) = known["matches"]
    assert list(match) == "track path offset_s probability false_accepts bit_error_rate".split()
    assert (match["track"], match["offset_s"]) == ("album/2.wav", 3.25)
    assert match["path"] == str((music / "album" / "2.wav").resolve())
    assert match["false_accepts"] < 1e-3 and match["bit_error_rate"] < 0.05
    assert unknown["matches"] == []


def test_identify_prints_aligned_lines(library, clips, call):
    ran = call("identify", library, "known.wav", "unknown.wav", cwd=clips)
    known, unknown = ran.stdout.splitlines()
    assert known.split()[0] == "known.wav" and known.endswith("%     0:03.25  album/2.wav")
    assert unknown == "unknown.wav  no match"


def test_identify_top_and_any_false_accepts_show_guesses(library, clips, call):
    options = ["--top", 3, "--max-false-accepts", 1, "--json"]
    ran = call("identify", library, clips / "unknown.wav", *options)
    assert ran.returncode == 0
    probabilities = [m["probability"] for m in json.loads(ran.stdout)["matches"]]
    assert len(probabilities) == 3 and probabilities == sorted(probabilities, reverse=True)


def test_identify_without_match_says_no(library, clips, call):
    ran = call("identify", library, clips / "unknown.wav")
    assert (ran.returncode, ran.stderr) == (1, "")


def test_identify_of_silence_names_file_and_level(library, clips, call):
    ran = call("identify", library, clips / "silent.wav", "--json", "--max-false-accepts", 1)
    assert ran.returncode == 1
    assert json.loads(ran.stdout)["matches"] == []
    assert f"{clips / 'silent.wav'}: silent, -inf dBFS" in ran.stderr


def test_identify_of_short_clip_names_length_and_minimum(library, clips, call):
    ran = call("identify", library, clips / "short.wav")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert f"{clips / 'short.wav'}: 0.50 s of audio, tiny needs at least 1.00 s" in ran.stderr


def test_identify_goes_on_after_bad_clips(library, clips, call):
    bad = [clips / "text.wav", clips / "missing.wav"]
    ran = call("identify", library, *bad, clips / "known.wav", "--json")
    assert ran.returncode == 3 and len(ran.stdout.splitlines()) == 1
    assert all(str(clip) in ran.stderr for clip in bad) and len(ran.stderr.splitlines()) == 2
    assert call("identify", library, *bad).returncode == 2


def test_identify_stops_where_the_library_is_at_fault(library, clips, call, tmp_path):
    broken = tmp_path / "broken.a2v"
    broken.write_bytes(library.read_bytes())
    with contextlib.closing(sqlite3.connect(broken)) as connection, connection:
        connection.execute("UPDATE hashes SET codes = zeroblob(length(codes))")
    for options in ([], ["--all"]):
        ran = call("identify", broken, clips / "known.wav", clips / "unknown.wav", *options)
        assert (ran.returncode, ran.stdout) == (2, "")
        assert len(ran.stderr.splitlines()) == 1 and "known.wav" not in ran.stderr
        assert f"{broken}: the hashes of track 'album/0.wav' are damaged" in ran.stderr
    ran = call("identify", library, clips / "known.wav", clips / "unknown.wav", "--engine", "ball")
    assert ran.returncode == 2 and len(ran.stderr.splitlines()) == 1
    assert "engine ball takes those of 32" in ran.stderr


def test_identify_reads_standard_input(library, clips, call):
    data = (clips / "known.wav").read_bytes()
    ran = call("identify", library, "-", "--json", input=data, text=False)
    answer = json.loads(ran.stdout)
    assert answer["query"] == "-" and answer["matches"][0]["track"] == "album/2.wav"
    ran = call("identify", library, "-", input=b"", text=False)
    assert ran.returncode == 2 and b"standard input" in ran.stderr


@pytest.mark.parametrize(
    "options", [["--top", 0], ["--top", "x"], ["--max-false-accepts", 1.5], ["--phases", -1]]
)
def test_identify_refuses_wrong_usage(library, clips, call, options):
    ran = call("identify", library, clips / "known.wav", *options)
    assert ran.returncode == 2 and "give " in ran.stderr


def test_text_as_library_is_refused(clips, call):
    for arguments in (["identify", clips / "text.wav", clips / "known.wav"],):
        ran = call(*arguments)
        assert ran.returncode == 2 and "not an a2v library" in ran.stderr
    ran = call("index", clips / "text.wav", "add", clips / "known.wav")
    assert ran.returncode == 2 and "not an a2v library" in ran.stderr
    assert (clips / "text.wav").read_text() == "not audio"


@pytest.mark.parametrize("verb", ["index", "identify"])
def test_process_imports_nothing_heavy(verb, library, clips, music, encoder_path, tmp_path):
    arguments = {
        "index": [tmp_path / "l.a2v", "add", music, "--model", encoder_path],
        "identify": [library, clips / "known.wav"],
    }[verb]
    program = (
        f"import sys; from a2v.cli import run; run({verb!r});"
        "print(sorted({m.split('.')[0] for m in sys.modules}), file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True
    )
    loaded = set(eval(ran.stderr.splitlines()[-1]))
    assert "ai_edge_litert" in loaded
    assert not loaded & {"tensorflow", "keras", "scipy", "matplotlib", "librosa", "tqdm"}


def test_two_processes_add_at_once(melody, write_wav, command, encoder_path, tmp_path):
    library = tmp_path / "l.a2v"
    running = []
    for side in range(2):
        for number in range(8):
            tune = melody(100 * side + number, 3)
            write_wav(tmp_path / str(side) / f"{side}-{number}.wav", tune)
    for side in range(2):
        arguments = command("index", library, "add", tmp_path / str(side), "--model", encoder_path)
        running.append(subprocess.Popen(arguments, stdout=subprocess.DEVNULL))
    assert [process.wait(timeout=60) for process in running] == [0, 0]
    with Library.open(library) as opened:
        assert len(opened) == 16
        assert opened.verify() == []


def test_killed_add_loses_no_reported_track(melody, write_wav, command, encoder_path, tmp_path):
    rounds, per_round = 30, 10
    draw = random.Random(0)
    names = [f"{n:03}.wav" for n in range(rounds * per_round)]
    for seed, name in enumerate(names):
        write_wav(tmp_path / name, melody(seed, 2.5))
    library = tmp_path / "library" / "l.a2v"
    library.parent.mkdir()
    reported, amid = set(), 0
    duration = 0.6
    for start in range(0, len(names), per_round):
        files = [tmp_path / name for name in names[start : start + per_round]]
        arguments = command("index", library, "add", *files, "--model", encoder_path)
        began = time.monotonic()
        process = subprocess.Popen(
            arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        lines = [process.stdout.readline()] if draw.random() < 0.8 else []
        time.sleep(draw.uniform(0, duration / 6 if lines else duration))
        process.kill()
        lines += process.stdout.read().splitlines(keepends=True)
        process.wait()
        duration = max(duration, time.monotonic() - began)
        new = {line.split("  ")[1] for line in lines if line.endswith("\n")}
        amid += process.returncode == -9 and 0 < len(new) < per_round
        reported |= new
        if library.exists():
            with Library.open(library) as opened:
                there = {entry.track for entry in opened.tracks()}
                assert reported <= there
                assert len(there - reported) <= start // per_round + 1
                assert opened.verify() == []
    assert amid >= rounds / 3, "too few rounds were killed between two tracks to show anything"
