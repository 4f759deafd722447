"""Recordings of an hour, with a model that ships."""

import json
import os
import subprocess

import numpy as np
import pytest
import soxr

from a2v import audio, corpora, resources
from a2v.library import Library

pytestmark = pytest.mark.slow
RATE = audio.SAMPLE_RATE
SPEEDS = (1.0, 1.02, 0.98)
PASSAGE_S = 60
MODEL = resources.DEFAULT_MODEL


def played(waveform, speed):
    """A recording played so many times as fast."""
    return soxr.resample(waveform, speed * RATE, RATE).astype(np.float32)


@pytest.fixture(scope="module")
def music(recordings):
    """Long recordings that no model was trained on: (to be indexed, to be unknown)."""
    found = corpora.tracks([recordings / "music.csv"])
    by_work = {track.work: track for track in found if track.split != "train"}
    loaded = [(track, audio.load(track.path)) for track in by_work.values()]
    long = [(track, heard) for track, heard in loaded if len(heard) > (PASSAGE_S + 10) * RATE]
    assert len(long) > 30
    return long[::2], long[1::2]


@pytest.fixture(scope="module")
def library(music, tmp_path_factory):
    path = tmp_path_factory.mktemp("broadcast") / "music.a2v"
    with Library.create(path, resources.saved_model(MODEL)) as made:
        for track, _ in music[0]:
            made.add(track.path, name=track.track)
    return path


@pytest.fixture(scope="module")
def hour(music):
    """A noisy mix of what is indexed and what is not, and its passages.

    Each passage is (track or `None`, speed, begin, end in the mix, begin in the track), seconds.
    """
    generator = np.random.default_rng(0)
    pieces, passages, at = [], [], 0.0
    for k, pair in enumerate(zip(*music, strict=False)):
        for (track, heard), known in zip(pair, (True, False), strict=True):
            speed = SPEEDS[k % len(SPEEDS)] if known else 1.0
            begin = int(generator.integers(len(heard) - PASSAGE_S * RATE))
            piece = played(heard[begin : begin + PASSAGE_S * RATE], speed)
            piece /= np.sqrt(np.mean(np.square(piece))) + 1e-9
            pieces.append(0.05 * piece)
            name, end = track.track if known else None, at + len(piece) / RATE
            passages.append((name, speed, at, end, begin / RATE))
            at = end
    mix = np.concatenate(pieces)
    noise = 0.05 * 10 ** (-15 / 20) * generator.standard_normal(len(mix))
    return np.clip(mix + noise, -1, 1).astype(np.float32), passages


def test_an_hour_gives_its_passages_and_nothing_else(library, hour):
    mix, passages = hour
    with Library.open(library) as opened:
        found = [match for match in opened.identify_all(mix) if not match.alternative]
    missed, right = [], set()
    for name, speed, begin, end, at in passages:
        own = [
            (k, match)
            for k, match in enumerate(found)
            if match.track == name
            and min(end, match.query_s[1]) - max(begin, match.query_s[0]) > 0.8 * (end - begin)
        ]
        right |= {k for k, _ in own}
        if name is None:
            continue
        if len(own) != 1:
            missed.append((name, speed, begin, [m for m in found if m.track == name]))
            continue
        ((_, match),) = own
        assert match.drift == pytest.approx(speed, abs=0.002)
        expected = at + speed * (match.query_s[0] - begin)
        assert match.reference_s[0] == pytest.approx(expected, abs=1.0)
    assert len(missed) <= 0.05 * len(passages), missed
    assert len(mix) / RATE > 1800
    wrong = [match for k, match in enumerate(found) if k not in right]
    assert not wrong


def test_monitoring_takes_as_much_memory_however_long_it_goes_on(library, hour, command, tmp_path):
    mix, _ = hour
    samples = (32767 * mix[: 300 * RATE]).astype("<i2").tobytes()
    peaks = []
    for times in (1, 8):
        listening = command(
            "monitor", library, "-", "--raw", "s16le", "--rate", RATE, "--channels", 1, "--json"
        )
        with (tmp_path / "events").open("w+") as events:
            process = subprocess.Popen(listening, stdin=subprocess.PIPE, stdout=events)
            for _ in range(times):
                process.stdin.write(samples)
            process.stdin.close()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            events.seek(0)
            told = [json.loads(line) for line in events]
        assert process.returncode == 0
        assert sum(event["event"] == "began" for event in told) >= 2 * times
        peaks.append(usage.ru_maxrss)
    assert peaks[1] < peaks[0] + 20_000, peaks  # kB
