import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from a2v import cards, resources
from a2v.cli import VERBS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_readme_python_prints_what_it_says(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    said = re.search(r"prints `(.*?)`", README)[1]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == said
    assert len(code.strip().splitlines()) <= 11  # ten lines and a blank


def test_readme_table_is_that_of_the_raw_answers():
    script = runpy.run_path(str(ROOT / "benchmarks" / "clip_length.py"))
    table = script["table"](script["RAW"])
    assert (ROOT / "benchmarks" / "clip_length.md").read_text(encoding="utf-8") == table
    shown = re.search(r"<!-- clip_length -->\n(.*?)<!-- /clip_length -->", README, re.DOTALL)[1]
    assert shown == script["main_table"](table)


def test_readme_commands_exist():
    used = set(re.findall(r"^a2v-(\w+)", README, re.MULTILINE))
    assert used and used <= VERBS.keys()


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#]+)\)", README))
def test_readme_links_lead_somewhere(target):
    assert (ROOT / target).exists()


def test_saved_models_table_is_that_of_the_cards():
    folder = ROOT / "saved_models"
    assert (folder / "README.md").read_text(encoding="utf-8") == cards.table(folder)
    assert resources.DEFAULT_MODEL in resources.saved_models()
