"""Puts the tables that raw answers give between their marks in the README.

Run it as `python benchmarks/readme.py`.
"""

from pathlib import Path

from a2v.benchmarking import cover_tables, growth_tables, markup, runner, tables

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
COVERS = ("conv128", "lstm128", "cover128", "qmax")


def retrieval(folder):
    """Accuracy against clip length, and what it holds for."""
    rows = runner.read(folder / runner.ANSWERS)
    return f"{tables.accuracy(rows)}\n{tables.statement(rows)}\n"


def covers_table(folder):
    """Covers against clip length, of a few systems, and what it holds for."""
    rows = runner.read(folder / runner.ANSWERS)
    rows = [row for row in rows if row.get("system") in (None, *COVERS)]
    return f"{cover_tables.table(rows)}\n{cover_tables.statement(rows)}"


def sizing(folder):
    """What large catalogues need, and where that was measured."""
    rows = runner.read(folder / runner.ANSWERS)
    return f"{growth_tables.sizing(rows)}\n\n{growth_tables.statement(rows)}"


# What stands between the marks `<!-- NAME -->` and `<!-- /NAME -->`, and the run it is made from.
BLOCKS = {
    "retrieval": (retrieval, "retrieval-recorded"),
    "sizing": (sizing, "growth-recorded"),
    "covers": (covers_table, "covers-composed"),
    "versions": (covers_table, "covers-recorded"),
}


def filled(text):
    """A README whose marked blocks hold what the answers give."""
    for name, (made, folder) in BLOCKS.items():
        text = markup.with_block(text, name, made(HERE / "results" / folder), where="README.md")
    return text


if __name__ == "__main__":
    README.write_text(filled(README.read_text(encoding="utf-8")), encoding="utf-8")
