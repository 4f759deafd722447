"""Libraries that several processes change and ask at once, or that are killed at their work."""

import os
import random
import subprocess
import sys
import time
from multiprocessing import get_context

import numpy as np
import pytest

from a2v import adding
from a2v.library import Library
from a2v.listening import Heard

RATE = 16000


@pytest.fixture
def path(melody, write_wav, encoder_path, tmp_path):
    """A library of three tunes of 12 s."""
    found = tmp_path / "music.a2v"
    with Library.create(found, encoder_path) as opened:
        for seed in range(3):
            opened.add(write_wav(tmp_path / f"{seed}.wav", melody(seed, 12)))
    return found


def test_what_another_process_adds_is_found_as_soon_as_it_is_reported(
    path, melody, write_wav, command, tmp_path
):
    names = [f"new-{number}.wav" for number in range(12)]
    new = {name: melody(300 + number, 6) for number, name in enumerate(names)}
    for name, tune in new.items():
        write_wav(tmp_path / "new" / name, tune)
    arguments = command("index", path, "add", tmp_path / "new")
    with Library.open(path) as opened:
        opened.identify(new[names[0]])
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as adding:
            found = []
            for line in adding.stdout:
                name = line.split("  ")[1]
                found.append(opened.identify(new[name])[0].track == name)
                assert opened.identify(melody(1, 12))[0].track == "1.wav"
        assert adding.returncode == 0
        assert found == [True] * len(new)
        assert opened.verify() == []


def test_two_processes_add_while_two_ask(path, melody, write_wav, command, tmp_path):
    clip = write_wav(tmp_path / "clip.wav", melody(2, 12)[5 * RATE : 10 * RATE])
    running = []
    for side in range(2):
        for number in range(8):
            tune = melody(400 + 100 * side + number, 3)
            write_wav(tmp_path / str(side) / f"{side}-{number}.wav", tune)
        arguments = command("index", path, "add", tmp_path / str(side))
        running.append(subprocess.Popen(arguments, stdout=subprocess.DEVNULL))
        running.append(
            subprocess.Popen(
                command("identify", path, *[clip] * 20, "--json"),
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    answers = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0] * 4
    for lines in (answers[1].splitlines(), answers[3].splitlines()):
        assert len(lines) == 20 and all('"track": "2.wav"' in line for line in lines)
    with Library.open(path) as opened:
        assert len(opened) == 3 + 16 and opened.verify() == []


def _run_and_say(path, verb, arguments, writing):
    from a2v.cli import index

    sys.stdout = os.fdopen(writing, "w")
    sys.stderr = open(os.devnull, "w")
    index.main([str(path), verb, *map(str, arguments)])


def killed(path, verb, arguments, *, after_reports, after_s):
    """Kills a command so long after so many reports: all it reported, and whether it ended."""
    reading, writing = os.pipe()
    process = get_context("fork").Process(
        target=_run_and_say, args=(path, verb, arguments, writing)
    )
    process.start()
    os.close(writing)
    with os.fdopen(reading) as reports:
        lines = [reports.readline() for _ in range(after_reports)]
        time.sleep(after_s)
        process.kill()
        lines += reports.readlines()
    process.join()
    whole = [line for line in lines if line.endswith("\n")]
    return [line.rstrip("\n").split("  ")[1] for line in whole], process.exitcode == 0


@pytest.mark.slow
def test_a_hundred_kills_lose_nothing_reported_and_bring_nothing_back(
    melody, write_wav, encoder_path, tmp_path
):
    draw = random.Random(0)
    names = [f"{number:02}.wav" for number in range(24)]
    for number, name in enumerate(names):
        write_wav(tmp_path / name, melody(number, 2.5))
    path = tmp_path / "l.a2v"
    with Library.create(path, encoder_path) as opened:
        for name in names[:12]:
            opened.add(tmp_path / name)
    there, amid = set(names[:12]), {"add": 0, "remove": 0}
    for _ in range(100):
        absent = [name for name in names if name not in there]
        verb = "add" if draw.random() < len(absent) / len(names) else "remove"
        asked = absent if verb == "add" else sorted(there)
        draw.shuffle(asked)
        arguments = [tmp_path / name for name in asked] if verb == "add" else asked
        if verb == "add":
            arguments += ["--jobs", 2 if draw.random() < 0.1 else 1]
        # By its reports, as a track is removed in a millisecond on one machine and ten on another.
        after_reports = draw.randrange(len(asked))
        after_s = draw.random() * (0.05 if verb == "add" else 0.001)
        reported, ended = killed(
            path, verb, arguments, after_reports=after_reports, after_s=after_s
        )
        amid[verb] += not ended and len(reported) < len(asked)
        assert reported == asked[: len(reported)]
        with Library.open(path) as opened:
            now = {entry.track for entry in opened.tracks()}
            assert opened.verify() == []
        # What was reported is done; what was under way is done, or has not begun.
        possible = [set(asked[: len(reported) + more]) for more in (0, 1)]
        assert now in [there | done if verb == "add" else there - done for done in possible]
        there = now
    assert min(amid.values()) >= 10, "too few were killed amid their work to show anything"


@pytest.mark.slow
def test_adding_takes_as_many_steps_however_many_tracks_there_are(
    encoder_path, tmp_path, monkeypatch
):
    def invented(encoder, path, *, excerpts):
        draw = np.random.default_rng(int(path.name))
        codes = draw.integers(0, 256, (12, encoder.n_bits // 8), np.uint8)
        codes[:4] = 7  # all begin alike, as with silence or a jingle
        weights = draw.integers(1, 16, (12, encoder.n_bits), np.uint8)
        return Heard(3.75, codes, 0, [(0.0, [(0.0, codes, weights)])] if excerpts else [])

    monkeypatch.setattr(adding, "listen", invented)
    steps, taken = [0], []

    def count():
        steps[0] += 1

    with Library.create(tmp_path / "l.a2v", encoder_path) as opened:
        opened._db.execute("PRAGMA synchronous = OFF")  # steps are counted here, not the disk's
        opened._db.set_progress_handler(count, 1)
        for number in range(10_000):
            file = tmp_path / f"{number}"
            file.write_text(f"{number}")
            opened.add(file)
            if number % 1000 == 999:
                taken.append(steps[0])
                steps[0] = 0
        opened._db.set_progress_handler(None, 1)
        assert len(opened) == 10_000 and opened.verify() == []
    assert max(taken[1:]) < 1.2 * min(taken[1:])
