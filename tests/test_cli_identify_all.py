import json

import numpy as np
import pytest

from a2v.cli.identify import LONG_S
from a2v.library import Library

RATE = 16000
KEYS = "track path query_s reference_s drift probability false_accepts".split()
KEYS += ["bit_error_rate", "alternative"]


@pytest.fixture(scope="module")
def library(melody, write_wav, encoder_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("all")
    with Library.create(folder / "music.a2v", encoder_path) as made:
        for seed in range(4):
            made.add(write_wav(folder / f"{seed}.wav", melody(seed, 30)))
    return folder / "music.a2v"


@pytest.fixture(scope="module")
def mix(melody, write_wav, tmp_path_factory):
    """More than a minute: 20 s of each of two tracks with something unknown around them."""
    parts = [melody(80, 13), melody(2, 30)[: 20 * RATE], melody(81, 14)]
    parts += [melody(0, 30)[6 * RATE : 26 * RATE], melody(82, 8)]
    path = tmp_path_factory.mktemp("mix") / "mix.wav"
    assert sum(map(len, parts)) > LONG_S * RATE
    return write_wav(path, np.concatenate(parts))


def test_long_recording_lists_all_that_it_holds(library, mix, call):
    ran = call("identify", library, mix, "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    answer = json.loads(ran.stdout)
    assert list(answer) == ["query", "seconds", "ms", "matches"]
    assert answer["seconds"] == 75
    first, second = answer["matches"]
    assert list(first) == list(second) == KEYS
    assert (first["track"], second["track"]) == ("2.wav", "0.wav")
    assert first["query_s"] == pytest.approx([13, 33], abs=1)
    assert first["reference_s"] == pytest.approx([0, 20], abs=1)
    assert second["query_s"] == pytest.approx([47, 67], abs=1)
    assert second["reference_s"] == pytest.approx([6, 26], abs=1)
    assert first["drift"] == pytest.approx(1, abs=0.01)


def test_lines_of_a_long_recording_show_ranges(library, mix, call):
    first, second = call("identify", library, mix).stdout.splitlines()
    assert "mix.wav" in first and "mix.wav" not in second
    assert first.endswith("  2.wav") and second.endswith("  0.wav")
    assert "%" in first and " is " in first and " x " in first


def test_top_of_a_long_recording_is_the_best(library, mix, call):
    everything = json.loads(call("identify", library, mix, "--json").stdout)["matches"]
    (best,) = json.loads(call("identify", library, mix, "--json", "--top", 1).stdout)["matches"]
    assert best in everything


def test_short_clip_has_ranges_only_where_all_is_asked(library, melody, write_wav, call, tmp_path):
    clip = write_wav(tmp_path / "clip.wav", melody(3, 30)[7 * RATE : 15 * RATE])
    (match,) = json.loads(call("identify", library, clip, "--json").stdout)["matches"]
    (found,) = json.loads(call("identify", library, clip, "--json", "--all").stdout)["matches"]
    assert (match["track"], match["offset_s"]) == ("3.wav", 7)
    assert list(found) == KEYS and found["track"] == "3.wav"
    assert found["query_s"] == pytest.approx([0, 8], abs=0.3)
    assert found["reference_s"] == pytest.approx([7, 15], abs=0.3)


def test_long_stranger_and_silence_have_no_match(library, melody, write_wav, call, tmp_path):
    stranger = write_wav(tmp_path / "stranger.wav", melody(83, 64))
    silence = write_wav(tmp_path / "silence.wav", np.zeros(64 * RATE))
    ran = call("identify", library, stranger, silence, "--json")
    assert ran.returncode == 1
    assert [json.loads(line)["matches"] for line in ran.stdout.splitlines()] == [[], []]
    assert f"{silence}: silent, -inf dBFS" in ran.stderr


def test_too_short_a_clip_is_named_with_all_as_without(library, melody, write_wav, call, tmp_path):
    clip = write_wav(tmp_path / "short.wav", melody(3, 0.5))
    ran = call("identify", library, clip, "--all")
    assert ran.returncode == 2
    assert f"{clip}: 0.50 s of audio, tiny needs at least 1.00 s" in ran.stderr
