import json
import shutil

import pytest

from a2v.cli import demo
from a2v.errors import A2VError


@pytest.mark.slow
def test_shipped_model_finds_the_demos_clips_and_knows_what_it_has_not_heard(call, tmp_path):
    done = call("demo", "--out", tmp_path / "demo", "--epochs", 1, timeout=900)
    assert done.returncode == 0, done.stderr
    said = json.loads((tmp_path / "demo" / "answers.json").read_text(encoding="utf-8"))
    clips = said["clips"]["shipped"]
    known = [clip["accepted"] and clip["right"] for clip in clips if clip["known"]]
    unknown = [not clip["accepted"] for clip in clips if not clip["known"]]
    assert (len(known), len(unknown)) == (demo.N_KNOWN, demo.N_UNKNOWN)
    assert sum(known) >= 0.95 * len(known)
    assert sum(unknown) >= 0.9 * len(unknown)
    assert (tmp_path / "demo" / "demo.png").stat().st_size > 20_000
    assert "known-00.wav" in done.stdout and "Figure: " in done.stdout


def test_own_music_is_taken_from_all_over_within_the_time_there_is(melody, write_wav, tmp_path):
    waveform = melody(0, 60.0)
    for k in range(30):
        write_wav(tmp_path / "music" / f"{k:02}.wav", waveform[k:])
    (tmp_path / "music" / "broken.wav").write_text("no audio")
    (tmp_path / "out").mkdir()
    listed = demo._some(tmp_path / "music", tmp_path / "out")
    rows = listed.read_text(encoding="utf-8").splitlines()[1:]
    assert len(rows) == demo.MUSIC_S // 60
    assert not any("broken" in row for row in rows)
    shutil.rmtree(tmp_path / "music")
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "broken.wav").write_text("no audio")
    with pytest.raises(A2VError, match="none of its 1 files can be read"):
        demo._some(tmp_path / "music", tmp_path / "out")
