"""What `conv128` was aimed at, what it reaches, and what others reach, cell by cell.

Run it as `python benchmarks/aims.py`: it reads the answers of `benchmarks/suites/whole.toml` and
puts the table into `benchmarks/aims.md`.
"""

from pathlib import Path

from a2v import metrics
from a2v.benchmarking import markup, runner, tables

HERE = Path(__file__).resolve().parent
PAGE, WHOLE = HERE / "aims.md", HERE / "results" / "whole-recorded"
BLOCK, MODEL = "aims", "conv128"
LENGTHS_S = (1.0, 3.0, 10.0)
# Right track in % of clips of 1, 3 and 10 s, by condition.
AIMS = {
    "clean": (99, 100, 100),
    "MP3 64k": (99, 100, 100),
    "Opus 16k": (99, 100, 100),
    "tempo +5 %": (99, 100, 100),
    "10 dB": (97, 99.5, 100),
    "5 dB": (95, 99, 100),
    "0 dB": (86, 97, 99.5),
    "-3 dB": (72, 92, 98),
    "telephone": (95, 99, 100),
    "room": (96, 99, 100),
    "room + 5 dB": (88, 97, 99.5),
    "speed -2 %": (98, 99.5, 100),
    "speed +2 %": (98, 99.5, 100),
    "speed -5 %": (97, 99, 100),
    "speed +5 %": (97, 99, 100),
    "pitch -1": (92, 99, 99.5),
    "pitch +1": (92, 99, 99.5),
}


def rates(rows):
    """Right track in %: dict of (condition, length in s) to a dict of system to float."""
    _, systems, answers = tables.parts(rows)
    cells = {}
    for condition in AIMS:
        for length_s in LENGTHS_S:
            asked = metrics.select(answers, condition=condition, length_s=length_s, known=True)
            cells[condition, length_s] = {
                system: 100 * float(metrics.hits(mine)["track"].mean())
                for system in systems
                if (mine := metrics.select(asked, system=system))
            }
    return cells


def table(rows):
    """The Markdown of the table, and how many cells were reached."""
    cells, reached, best = rates(rows), 0, 0
    lines = [
        tables.line("condition", *(f"{length_s:g} s" for length_s in LENGTHS_S)),
        tables.rule(1, len(LENGTHS_S)),
    ]
    for condition, aims in AIMS.items():
        texts = []
        for length_s, aim in zip(LENGTHS_S, aims, strict=True):
            others = dict(cells[condition, length_s])
            own = others.pop(MODEL)
            ahead = [f"`{name}` {rate:g}" for name, rate in others.items() if rate > own]
            reached, best = reached + (own >= aim), best + (not ahead)
            text = f"{own:g} of {aim:g}" if own >= aim else f"**{own:g}** of {aim:g}"
            texts.append("; ".join([text, *ahead]))
        lines.append(tables.line(condition, *texts))
    count = len(AIMS) * len(LENGTHS_S)
    return "\n".join(
        [
            *lines,
            "",
            f"{reached} of {count} cells are reached, the others **bold**; in {best} no other "
            "system of the suite is above it, those that are stand beside it. "
            f"{tables.statement(rows)}",
        ]
    )


def filled(text):
    """The page with the table that the answers give."""
    made = table(runner.read(WHOLE / runner.ANSWERS))
    return markup.with_block(text, BLOCK, made, where=PAGE.name)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
