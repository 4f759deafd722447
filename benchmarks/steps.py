"""What each step from the published autoencoder to the default model buys.

Run it as `python benchmarks/steps.py`: it reads the answers of `benchmarks/suites/whole.toml` and
puts the table into `benchmarks/steps.md`.
"""

import math
from pathlib import Path

import numpy as np

from a2v import metrics
from a2v.benchmarking import markup, runner, tables

HERE = Path(__file__).resolve().parent
PAGE, WHOLE = HERE / "steps.md", HERE / "results" / "whole-recorded"
BLOCK = "steps"
# A model, the one that it departs from, and what is different.
STEPS = (
    ("lstm128", None, "as published"),
    ("lstm_deep", "lstm128", "two layers, 256 bits"),
    ("lstm_denoising", "lstm128", "a degraded window in, the clean one out"),
    ("samaf", "lstm128", "a window and its copy are pulled to one code"),
    ("semantic32", "lstm128", "dense layers, 32 bits, noise before the threshold"),
    ("bilstm_chroma", "lstm128", "chroma, in both directions, another decoder"),
    ("conv_lstm128", "samaf", "log-mel, copies told from other windows, nothing written out"),
    ("conv128", "conv_lstm128", "convolutions alone; trained for longer, beside more noise"),
)
LENGTH_S = 3.0
CONDITIONS = (
    "clean",
    "10 dB",
    "0 dB",
    "room",
    "room + 5 dB",
    "telephone",
    "speed +5 %",
    "pitch +1",
)


def right(rows):
    """Whether each answer named the right track: dict of (system, condition) to bool `[queries]`.

    Queries are in one order for all systems.
    """
    asked = metrics.select(tables.parts(rows)[2], length_s=LENGTH_S, known=True)
    found = {}
    for model, _, _ in STEPS:
        for condition in CONDITIONS:
            own = metrics.select(asked, system=model, condition=condition)
            own = sorted(own, key=lambda row: (row["truth"], row["start_s"]))
            found[model, condition] = metrics.hits(own)["track"]
    return found


def cell(own, before):
    """A rate in %, and by how much it differs from another one's on the same queries."""
    rate = f"{100 * own.mean():g}"
    if before is None:
        return rate
    gained, lost = np.sum(own & ~before), np.sum(before & ~own)
    n = len(own)
    half = 1.96 * math.sqrt(gained + lost - (gained - lost) ** 2 / n) / n
    return f"{rate} ({100 * (gained - lost) / n:+.0f} ± {100 * half:.0f})"


def table(rows):
    """The Markdown of the table."""
    found = right(rows)
    lines = [
        tables.line("model", "what is different", *CONDITIONS),
        tables.rule(2, len(CONDITIONS)),
    ]
    for model, origin, change in STEPS:
        name = f"`{model}`" + (f", of `{origin}`" if origin else "")
        cells = [
            cell(found[model, condition], found[origin, condition] if origin else None)
            for condition in CONDITIONS
        ]
        lines.append(tables.line(name, change, *cells))
    return "\n".join([*lines, "", tables.statement(rows)])


def filled(text):
    """The page with the table that the answers give."""
    made = table(runner.read(WHOLE / runner.ANSWERS))
    return markup.with_block(text, BLOCK, made, where=PAGE.name)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
