import json
import subprocess
import sys

import numpy as np
import pytest
from made_up import text

from a2v import runtime
from a2v.benchmarking import cost, cost_process, processes, suites
from a2v.corpora import Track
from a2v.errors import A2VError


@pytest.fixture(scope="module")
def encoder(encoder_path):
    return runtime.Encoder(encoder_path)


@pytest.fixture(scope="module")
def tracks(melody, write_wav, tmp_path_factory):
    """Three tunes, one of them twice, silence, and what is too short."""
    folder = tmp_path_factory.mktemp("tunes")
    tunes = [melody(0, 12.0), melody(1, 13.0), melody(2, 14.0), melody(1, 13.0)]
    tunes += [np.zeros(12 * 16000, np.float32), melody(3, 9.0)]
    return [
        Track(str(write_wav(folder / f"{k}.wav", tune)), f"{k}.wav") for k, tune in enumerate(tunes)
    ]


@pytest.fixture(scope="module")
def rows(encoder_path, tracks):
    counted = []
    made = cost.measure(
        [encoder_path],
        tracks,
        seed=3,
        repeats=1,
        progress=lambda *done: counted.append(done),
    )
    total = counted[-1][1]
    assert counted == [(k + 1, total) for k in range(total)]
    return made


def of(rows, kind):
    return [row for row in rows if row["kind"] == kind]


def tables(text):
    """Cells of every line of every table, by their heads."""
    found, head = [], None
    for line in text.splitlines():
        cells = [cell.strip() for cell in line[1:-1].split("|")] if line[:1] == "|" else None
        if cells and head and not set(line) <= set("|-:"):
            found.append(dict(zip(head, cells, strict=True)))
        head = cells if head is None or cells is None else head
    return found


def test_sides_are_measured_on_the_same_audio(rows, tracks, encoder):
    drawn = of(rows, "cost")[0]
    assert set(drawn["tracks"]) in ({"0.wav", "1.wav", "2.wav"}, {"0.wav", "2.wav", "3.wav"})
    assert drawn["audio_s"] == pytest.approx(39.0)
    hashed = of(rows, "hashing")
    assert [row["system"] for row in hashed][:3] == ["tiny", "wang", "haitsma_kalker"]
    assert {row["audio_s"] for row in hashed} == {drawn["audio_s"]}
    windows = sum(encoder.windows(seconds * 16000) for seconds in (12, 13, 14))
    assert hashed[0]["windows"] == windows
    assert hashed[0]["bytes"] == windows * encoder.n_bits // 8


def test_everything_measured_is_positive(rows):
    for row in of(rows, "hashing"):
        assert row["bytes"] > 0 and row["peak_bytes"] > 2**20, row["system"]
        for what in ("index", "stream", "lone"):
            if row[what] or row["system"] != "fpcalc":
                assert min(row[what].values()) > 0, (row["system"], what)


def test_memory_is_that_of_the_process_not_of_its_parent():
    held = np.ones(2**24)  # 128 MB
    ask = "from a2v.benchmarking import processes as p; print(p.peak_bytes())"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert 2**20 < int(done.stdout) < held.nbytes


def test_processes_have_one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    given = []

    def run(command, *, env, **_):
        given.append(env)
        return subprocess.CompletedProcess(command, 0, "{}\n", "")

    monkeypatch.setattr(processes.subprocess, "run", run)
    processes.ask(cost_process, "hashing")
    assert {given[0][f"{name}_NUM_THREADS"] for name in ("OMP", "OPENBLAS", "MKL")} == {"1"}


def test_what_stops_a_process_is_said(encoder_path, tmp_path):
    order = {"side": "model", "given": [str(encoder_path)], "paths": [str(tmp_path / "no.wav")]}
    with pytest.raises(A2VError, match=r"measuring hashing failed: .*no\.wav"):
        processes.ask(cost_process, "hashing", **order, window_s=1.0)


def test_rows_survive_json(rows):
    assert json.loads(json.dumps(rows)) == rows


def test_every_line_of_the_page_has_a_ratio(rows):
    lines = tables(text(cost.parts(rows)))
    assert len(lines) >= 4 * 3
    for line in lines:
        ratios = [cell for name, cell in line.items() if name.startswith("ratio")]
        assert any(float(cell.replace(",", "")) > 0 for cell in ratios if cell != "–"), line


def test_ratios_are_what_peers_cost_by_what_one_costs():
    def row(system, seconds, n_bytes):
        time = {"elapsed_s": 2 * seconds, "processor_s": seconds}
        about = {"kind": "hashing", "system": system, "audio_s": 100.0, "repeat": 0}
        about |= {"file": "model.tflite" if system == "mine" else None, "windows": 400}
        about |= {"index": time, "stream": time, "lone": time}
        return about | {"bytes": n_bytes, "peak_bytes": n_bytes}

    files = {"model.tflite": 4000, "model.int8.tflite": 1000}
    about = {"repeats": 1, "tracks": ["a"], "audio_s": 100.0, "processor": "cpu", "fpcalc": None}
    rows = [{"kind": "cost", **about}, {"kind": "model", "system": "mine", "files": files}]
    rows += [row("mine", s, 600) for s in (9.0, 2.0, 1.0)]
    rows += [row("wang", s, 1800) for s in (8.0, 8.0, 80.0)]
    files, stream, peer, *rest = tables(text(cost.parts(rows)))
    assert files["ratio"] == "4.0"
    assert (stream["ms per window"], stream["x real time"]) == ("5.00", "50.0")
    assert (stream["ratio to wang"], peer["ratio to wang"]) == ("4.0", "1.0")
    assert [line["ratio to wang"] for line in rest[-4::2]] == ["3.0", "3.0"]


def test_models_of_one_name_or_none_are_refused(encoder_path, tracks):
    for models in ([], [encoder_path, encoder_path]):
        with pytest.raises(A2VError, match="give some, of different names"):
            cost.measure(models, tracks, seed=0)


def test_audio_that_no_side_can_use_is_refused(encoder_path, tracks):
    with pytest.raises(A2VError, match="2 tracks, none of 11 s that is not silent"):
        cost.measure([encoder_path], tracks[4:], seed=0)


def test_the_suite_publishes_what_it_measured(rows, tmp_path):
    head = {"kind": "run", "suite": "cost", "corpus": "tunes", "corpus_sha256": "0" * 64}
    head |= {"seed": 3, "commit": "none", "machine": "one"}
    text = "".join(json.dumps(row) + "\n" for row in [head, *rows])
    (tmp_path / "answers.jsonl").write_text(text)
    written = {path.name: path.read_text(encoding="utf-8") for path in suites.publish(tmp_path)}
    assert "Corpus tunes (SHA-256 000000000000, seed 3)" in written["tables.md"]
    assert "Corpus tunes" in written["report.html"]
