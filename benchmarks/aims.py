"""What `conv128` was aimed at, what it reaches, and what others reach, cell by cell.

Run it as `python benchmarks/aims.py`: it reads the answers of `benchmarks/suites/whole.toml` and
`distractors.toml` and puts their tables into `benchmarks/aims.md`.
"""

from pathlib import Path

from a2v import metrics
from a2v.benchmarking import markup, runner, tables

HERE = Path(__file__).resolve().parent
PAGE, WHOLE = HERE / "aims.md", HERE / "results" / "whole-recorded"
AMONG = HERE / "results" / "distractors-recorded"
MODEL = "conv128"
LENGTHS_S = (1.0, 3.0, 10.0)
# Points that ten million hashes more may cost, by length.
LOSSES = {1.0: 3, 3.0: 1, 10.0: 1}
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
                system: round(100 * float(metrics.hits(mine)["track"].mean()), 6)
                for system in systems
                if (mine := metrics.select(asked, system=system))
            }
    return cells


def table(rows):
    """The Markdown of the table of what was aimed at and reached."""
    cells, reached, best = rates(rows), 0, 0
    lines = _head()
    for condition, aims in AIMS.items():
        texts = []
        for length_s, aim in zip(LENGTHS_S, aims, strict=True):
            others = dict(cells[condition, length_s])
            own = others.pop(MODEL)
            ahead = [f"`{name}` {rate:g}" for name, rate in others.items() if rate > own]
            reached, best = reached + (own >= aim), best + (not ahead)
            texts.append("; ".join([_cell(own, aim, fine=own >= aim), *ahead]))
        lines.append(tables.line(condition, *texts))
    said = (
        f"{reached} of {len(cells)} cells are reached, the others **bold**; in {best} no other "
        "system of the suite is above it, those that are stand beside it."
    )
    return "\n".join([*lines, "", f"{said} {tables.statement(rows)}"])


def among(rows, alone):
    """The Markdown of the table of what is found among the hashes of other music."""
    found, before, kept = rates(rows), rates(alone), 0
    lines = _head()
    for condition in AIMS:
        texts = []
        for length_s in LENGTHS_S:
            own, was = (of[condition, length_s][MODEL] for of in (found, before))
            fine = round(was - own, 6) <= LOSSES[length_s]
            kept += fine
            texts.append(_cell(own, was, fine=fine))
        lines.append(tables.line(condition, *texts))
    allowed = ", ".join(f"{points} at {length_s:g} s" for length_s, points in LOSSES.items())
    said = (
        f"{kept} of {len(found)} cells lose no more points than they may ({allowed}), the others "
        "are **bold**."
    )
    return "\n".join([*lines, "", f"{said} {tables.statement(rows)}"])


def _head():
    names = (f"{length_s:g} s" for length_s in LENGTHS_S)
    return tables.head("condition", *names)


def _cell(own, other, *, fine):
    return f"{own:g} of {other:g}" if fine else f"**{own:g}** of {other:g}"


def filled(text):
    """The page with the tables that the answers give."""
    whole, more = (runner.read(folder / runner.ANSWERS) for folder in (WHOLE, AMONG))
    text = markup.with_block(text, "aims", table(whole), where=PAGE.name)
    return markup.with_block(text, "among", among(more, whole), where=PAGE.name)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
