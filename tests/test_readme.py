import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from a2v import cards, resources
from a2v.benchmarking import markup, report, runner, shipped, suites
from a2v.cli import VERBS

ROOT = Path(__file__).resolve().parent.parent
RESULTS = sorted(path.parent for path in (ROOT / "benchmarks" / "results").glob("*/tables.md"))
# Those that keep what they measured, and make a table of it.
SCRIPTS = [p for p in (ROOT / "benchmarks").glob("*.py") if "\nRESULTS" in p.read_text("utf-8")]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_readme_python_prints_what_it_says(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    said = re.search(r"prints `(.*?)`", README)[1]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == said
    assert len(code.strip().splitlines()) <= 11  # ten lines and a blank


def test_readme_tables_are_those_of_the_raw_answers():
    script = runpy.run_path(str(ROOT / "benchmarks" / "readme.py"))
    assert script["filled"](README) == README


@pytest.mark.parametrize("folder", RESULTS, ids=lambda folder: folder.name)
def test_result_tables_are_those_of_the_raw_answers(folder):
    rows = runner.read(folder / runner.ANSWERS)
    parts = suites.MODULES[rows[0]["suite"]].parts(rows)
    assert (folder / "tables.md").read_text(encoding="utf-8") == report.markdown(parts)
    figures = {f"{part.name}.svg" for part in parts if isinstance(part, report.Picture)}
    assert figures == {file.name for file in folder.glob("*.svg")}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_tables_of_scripts_are_those_of_their_results(script):
    made = runpy.run_path(str(script))
    if not made["RESULTS"].exists():
        pytest.skip(f"{script.name} has not been run")
    table = made["table"](json.loads(made["RESULTS"].read_text(encoding="utf-8")))
    if "BLOCK" in made:
        page = made["PAGE"].read_text(encoding="utf-8")
        assert markup.with_block(page, made["BLOCK"], table, where=script.name) == page
    else:
        assert made["TABLE"].read_text(encoding="utf-8") == table


def test_steps_are_differences_of_the_raw_answers():
    script = runpy.run_path(str(ROOT / "benchmarks" / "steps.py"))
    page = script["PAGE"].read_text(encoding="utf-8")
    assert script["filled"](page) == page
    rows = runner.read(script["WHOLE"] / runner.ANSWERS)
    place = {"system": "samaf", "condition": "room", "length_s": script["LENGTH_S"], "query": 5}
    rows = [row for row in rows if not place.items() <= row.items()]
    with pytest.raises(ValueError, match="samaf, room: other queries"):
        script["asked"](rows)


@pytest.mark.parametrize(
    ("own", "before", "said"),
    [
        ([1, 1, 0, 0], None, "50"),
        ([1, 1, 0, 0], [1, 1, 0, 0], "50 (0)"),
        ([1, 1, 1, 0], [0, 0, 1, 0], "75 (+50 ± 57)"),
        ([1, 0, 1, 0], [0, 0, 1, 1], "50 (+0 ± 80)"),
    ],
)
def test_step_counts_the_queries_that_differ(own, before, said):
    script = runpy.run_path(str(ROOT / "benchmarks" / "steps.py"))

    def rows(right):
        """An answer for a query of each of some tracks."""
        place = {"known": True, "start_s": 0.0, "offset_s": 0.0}
        return [place | {"truth": k, "answer": k if hit else None} for k, hit in enumerate(right)]

    assert script["cell"](rows(own), before and rows(before)) == said


def test_aims_stand_beside_what_the_raw_answers_give():
    script = runpy.run_path(str(ROOT / "benchmarks" / "aims.py"))
    page = script["PAGE"].read_text(encoding="utf-8")
    assert script["filled"](page) == page
    cells = script["rates"](runner.read(script["WHOLE"] / runner.ANSWERS))
    aims = {
        (condition, length_s): aim
        for condition, of_it in script["AIMS"].items()
        for length_s, aim in zip(script["LENGTHS_S"], of_it, strict=True)
    }
    assert cells.keys() == aims.keys()
    reached = sum(rates["conv128"] >= aims[cell] for cell, rates in cells.items())
    ahead = sum(rate > rates["conv128"] for rates in cells.values() for rate in rates.values())
    table, said = page.split("aims -->")[1].split("\n\n")
    assert said.startswith(f"{reached} of {len(aims)} cells are reached")
    assert table.count("**") == 2 * (len(aims) - reached)
    assert table.count("`") == 2 * ahead
    more = script["rates"](runner.read(script["AMONG"] / runner.ANSWERS))
    lost = {cell: rates["conv128"] - more[cell]["conv128"] for cell, rates in cells.items()}
    kept = sum(points <= {1: 3, 3: 1, 10: 1}[length_s] for (_, length_s), points in lost.items())
    table, said = page.split("among -->")[1].split("\n\n")
    assert said.startswith(f"{kept} of {len(aims)} cells lose no more points")
    assert table.count("**") == 2 * (len(aims) - kept)


def test_readme_commands_exist():
    used = set(re.findall(r"^a2v-(\w+)", README, re.MULTILINE))
    assert used and used <= VERBS.keys()


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)\)", README))
def test_readme_links_lead_somewhere(target):
    assert (ROOT / target).exists()


def test_saved_models_table_is_that_of_the_cards():
    folder, results = ROOT / "saved_models", ROOT / "benchmarks" / "results"
    table = shipped.table(folder, [results / "whole-recorded", results / "hashes-recorded"])
    assert (folder / "README.md").read_text(encoding="utf-8") == table
    assert resources.DEFAULT_MODEL in resources.saved_models()


@pytest.mark.parametrize("name", resources.saved_models())
def test_readmes_of_saved_models_are_those_of_their_cards(name):
    folder = ROOT / "saved_models" / name
    card = json.loads((folder / cards.CARD).read_text(encoding="utf-8"))
    assert (folder / "README.md").read_text(encoding="utf-8") == cards.markdown(card)
