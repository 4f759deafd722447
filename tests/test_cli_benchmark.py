import json
from pathlib import Path

import pytest

from a2v.benchmarking import suites
from a2v.cli import benchmark

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


def test_a_finished_run_and_foreign_folders_are_left_alone(finished, call, listed, tmp_path):
    _, out = finished
    again = call("benchmark", "retrieval", "chance", "--corpus", listed, "--out", out)
    assert again.returncode == 2
    assert "holds a finished run; use --report or --overwrite" in again.stderr
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
    assert kinds == {"run", "clip", "ranking"}


@pytest.mark.slow
def test_the_hash_suite_runs_on_a_corpus(call, listed, tmp_path):
    words = ("benchmark", "hashes", "lstm128", "--corpus", listed, "--out", tmp_path / "out")
    done = call(*words, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "lstm128" in (tmp_path / "out" / "tables.md").read_text(encoding="utf-8")
