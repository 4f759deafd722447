import gzip
import json
import shutil
from pathlib import Path

import pytest

from a2v.benchmarking import suites
from a2v.cli import benchmark
from a2v.errors import A2VError

ROOT = Path(__file__).resolve().parent.parent
SMALL = ("--queries", 10, "--lengths", 2, "--conditions", "clean", "10 dB", "--jobs", 1)


@pytest.fixture(scope="module")
def listed(corpus):
    """The manifest of a composed corpus."""
    return Path(corpus[0].path).parent.parent / "manifest.csv"


@pytest.fixture(scope="module")
def finished(call, listed, tmp_path_factory):
    """What a run of the retrieval suite said, and its folder."""
    out = tmp_path_factory.mktemp("benchmark") / "out"
    words = ("retrieval", "wang", "chance", "--corpus", listed, "--out", out, *SMALL)
    return call("benchmark", *words), out


def rows(out):
    return [json.loads(line) for line in (out / "answers.jsonl").read_text().splitlines()]


def test_the_command_knows_every_suite():
    assert benchmark.SUITES == suites.NAMES


def test_a_run_leaves_answers_tables_figures_and_a_page(finished):
    done, out = finished
    assert done.returncode == 0, done.stderr
    written = [Path(line) for line in done.stdout.splitlines()]
    assert {file.name for file in written} >= {"tables.md", "length.svg", "report.html"}
    assert all(file.stat().st_size for file in written)
    answers = [row for row in rows(out) if row["kind"] == "answer" and row["split"] == "test"]
    assert len(answers) == 2 * 2 * 10
    assert "| clean | wang |" in (out / "tables.md").read_text(encoding="utf-8")


def test_the_report_is_made_again_from_the_answers_alone(finished, call):
    _, out = finished
    before = (out / "tables.md").read_bytes(), (out / "length.svg").read_bytes()
    for name in ("tables.md", "length.svg", "report.html"):
        (out / name).unlink()
    assert call("benchmark", "retrieval", "--out", out, "--report").returncode == 0
    assert ((out / "tables.md").read_bytes(), (out / "length.svg").read_bytes()) == before


def test_a_whole_corpus_may_be_the_catalogue(call, listed, tmp_path):
    words = ("--corpus", listed, "--out", tmp_path / "out", "--whole", *SMALL)
    assert call("benchmark", "retrieval", "chance", *words).returncode == 0
    run, *answers = rows(tmp_path / "out")
    tracks = listed.read_text(encoding="utf-8").splitlines()[1:]
    assert (run["tracks"], run["unknown"]) == (len(tracks), 0)
    assert all(row["known"] and row["split"] == "test" for row in answers if "known" in row)
    page = (tmp_path / "out/tables.md").read_text(encoding="utf-8")
    assert "false accepts;" not in page and "Thresholds" not in page
    assert not (tmp_path / "out/thresholds.svg").exists()


def test_systems_are_added_to_a_finished_run(finished, call, listed, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(finished[1], out)
    before = rows(out)
    packed = gzip.compress((out / "answers.jsonl").read_bytes())
    (out / "answers.jsonl").unlink()
    (out / "answers.jsonl.gz").write_bytes(packed)
    words = ("--corpus", listed, "--out", out, *SMALL)
    done = call("benchmark", "retrieval", "haitsma_kalker", *words, "--add")
    assert done.returncode == 0, done.stderr
    after = rows(out)
    assert [r for r in after if r.get("system") == "wang"] == [
        r for r in before if r.get("system") == "wang"
    ]
    assert "| clean | haitsma_kalker |" in (out / "tables.md").read_text(encoding="utf-8")
    assert not (out / "added").exists() and not (out / "answers.jsonl.gz").exists()
    other = call("benchmark", "retrieval", "chance", *words, "--seed", 1, "--add")
    assert other.returncode == 2 and "seed was 0 in the finished run and is 1" in other.stderr
    assert rows(out) == after


def test_there_is_nothing_to_add_to_where_no_run_was_finished(call, listed, tmp_path):
    words = ("--corpus", listed, "--out", tmp_path / "out", "--add")
    done = call("benchmark", "retrieval", "chance", *words)
    assert done.returncode == 2 and "holds no finished run to add to" in done.stderr


def test_a_finished_run_and_foreign_folders_are_left_alone(finished, call, listed, tmp_path):
    _, out = finished
    again = call("benchmark", "retrieval", "chance", "--corpus", listed, "--out", out)
    assert again.returncode == 2
    assert "holds a finished run; use --report, --add or --overwrite" in again.stderr
    (tmp_path / "mine.txt").write_text("mine")
    words = ("benchmark", "retrieval", "chance", "--out", tmp_path, "--overwrite")
    done = call(*words)
    assert done.returncode == 2
    assert "holds something else than a benchmark" in done.stderr
    assert (tmp_path / "mine.txt").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('suit = "covers"', "no setting 'suit'; did you mean 'suite'?"),
        ("seed = 1", "names no suite; there are: "),
        ('suite = "cover"', "no suite 'cover'; did you mean 'covers'?"),
        ("suite =", "cannot be read"),
    ],
)
def test_a_suites_file_is_read_strictly(text, said, call, tmp_path):
    (tmp_path / "mine.toml").write_text(text)
    done = call("benchmark", tmp_path / "mine.toml", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert said in done.stderr


def test_a_suites_file_names_places_from_where_it_lies(call, corpus, listed, tmp_path):
    suite = listed.parent / "mine.toml"
    suite.write_text('suite = "covers"\nsystems = ["lstm128"]\ncorpus = ["manifest.csv"]\n')
    done = call("benchmark", suite, "--out", tmp_path / "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    table = (tmp_path / "out" / "tables.md").read_text(encoding="utf-8")
    assert "| lstm128 |" in table and "| 10.42 |" in table
    kinds = {row["kind"] for row in rows(tmp_path / "out")}
    assert kinds == {"run", "clip", "ranking", "aligned"}


@pytest.mark.parametrize("entry", ["$A2V_NOWHERE/music.csv", "missing-*.csv"])
def test_a_suites_file_names_what_is_not_there(entry, call, tmp_path):
    (tmp_path / "mine.toml").write_text(f'suite = "covers"\ncorpus = ["{entry}"]\n')
    done = call("benchmark", tmp_path / "mine.toml", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert f"mine.toml: {entry}: no" in done.stderr


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks" / "suites").glob("*.toml")))
def test_ready_suites_are_whole(path, tmp_path, monkeypatch):
    monkeypatch.setenv("A2V_AUDIO", str(tmp_path))
    (tmp_path / "music.csv").touch()
    for name in ("noise/008-a", "noise/009-b", "noise/010-c", "rir/notthetup-a.flac"):
        (tmp_path / name).mkdir(parents=True)
    chosen = benchmark.read(path)
    kinds_of_retrieval = {"whole", "distractors", "variants"}
    suite = "retrieval" if path.stem in kinds_of_retrieval else path.stem
    assert chosen["suite"] == suite
    assert chosen["corpus"] == [str(tmp_path / "music.csv")]
    assert len(chosen.get("noise", "abc")) == 3


@pytest.mark.slow
def test_a_ready_suite_runs_on_the_recordings(call, recordings, tmp_path, monkeypatch):
    monkeypatch.setenv("A2V_AUDIO", str(recordings))
    suite, out = ROOT / "benchmarks" / "suites" / "covers.toml", tmp_path / "out"
    done = call("benchmark", suite, "lstm128", "--out", out, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "| lstm128 |" in (out / "tables.md").read_text(encoding="utf-8")


def test_an_absent_program_is_left_out_with_a_sentence(call, listed, tmp_path):
    program = 'name = "gone"\nindex = "no-such-program"\nquery = "no-such-program"\nanswer = "x"\n'
    (tmp_path / "gone.toml").write_text(program)
    words = ("retrieval", "chance", tmp_path / "gone.toml", "--corpus", listed, *SMALL)
    done = call("benchmark", *words, "--out", tmp_path / "out")
    assert done.returncode == 3, done.stderr
    assert "no-such-program: no such program here" in done.stderr
    alone = call("benchmark", "retrieval", tmp_path / "gone.toml", "--out", tmp_path / "alone")
    assert alone.returncode == 2 and "no system is left to measure" in alone.stderr
    assert {row["system"] for row in rows(tmp_path / "out") if "system" in row} == {"chance"}


def test_answers_that_were_packed_are_read_all_the_same(finished, call, tmp_path):
    done, out = finished
    packed = tmp_path / "answers.jsonl.gz"
    packed.write_bytes(gzip.compress((out / "answers.jsonl").read_bytes(), mtime=0))
    assert call("benchmark", "retrieval", "--out", tmp_path, "--report").returncode == 0
    assert (tmp_path / "tables.md").read_bytes() == (out / "tables.md").read_bytes()
    for broken in (packed.read_bytes()[:200], gzip.compress(b""), gzip.compress(b"{}\n"), b"PK"):
        packed.write_bytes(broken)
        again = call("benchmark", "retrieval", "--out", tmp_path, "--report")
        assert again.returncode == 2 and "run the suite" in again.stderr, again.stderr


@pytest.mark.slow
def test_the_hash_suite_runs_on_a_corpus(call, listed, tmp_path):
    words = ("benchmark", "hashes", "lstm128", "--corpus", listed, "--out", tmp_path / "out")
    done = call(*words, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "lstm128" in (tmp_path / "out" / "tables.md").read_text(encoding="utf-8")


def test_a_log_is_told_now_and_then_how_far_it_is(monkeypatch, capsys):
    def run(*, out, progress, **_):
        for done in range(1, 4):
            progress(done, 3)

    monkeypatch.setattr(suites, "run", run)
    for every_s, lines in ((1e9, 0), (-1.0, 3)):
        monkeypatch.setattr(benchmark, "SAID_EVERY_S", every_s)
        benchmark._run({"suite": "retrieval"}, None, add=False)
        said = capsys.readouterr().err
        assert said.count("a2v-benchmark: ") == lines
    assert "a2v-benchmark: 3 of 3 parts" in said


@pytest.mark.parametrize(("suite", "name"), [("cost", "sizes"), ("growth", "lengths_s")])
def test_settings_of_other_suites_are_refused(suite, name, tmp_path):
    with pytest.raises(A2VError, match=f"suite {suite}: has no setting {name}"):
        suites.run(suite, tmp_path, systems=["conv128"], **{name: [1]})
