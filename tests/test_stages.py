import pytest

from a2v.benchmarking import stage_process
from a2v.library import Library


@pytest.fixture
def recordings(melody, write_wav, tmp_path):
    return [str(write_wav(tmp_path / f"{k}.wav", melody(k, 8.0))) for k in range(3)]


def test_every_stage_tells_what_it_costs(recordings, encoder_path, tmp_path):
    library = tmp_path / "l.a2v"
    with Library.create(library, encoder_path) as opened:
        opened.add(recordings[0])
    asked = {
        "index": {"library": library, "paths": recordings[1:]},
        "query": {"library": library, "path": recordings[0]},
        "duplicates": {"library": library},
        "preprocess": {"paths": recordings, "seconds": [8.0] * 3, "hours": 40 / 3600},
    }
    for stage, given in asked.items():
        found = getattr(stage_process, stage)(**given)
        assert found["processor_s"] > 0 and found["bytes"] > 0, stage
        if stage == "preprocess":
            assert found["windows"] == 5 * (1 + 7 * 4)  # of 8 s each, one each 0.25 s
    with Library.open(library) as opened:
        assert len(opened) == 3
