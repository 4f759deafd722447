"""What each step from the published autoencoder to the default model buys.

Run it as `python benchmarks/steps.py`: it reads the answers of `benchmarks/suites/whole.toml`, the
cards of `saved_models` and the pipelines, and puts the table into `benchmarks/steps.md`.
"""

import math
from pathlib import Path

import numpy as np

from a2v import cards, metrics, settings
from a2v.benchmarking import markup, runner, tables

HERE = Path(__file__).resolve().parent
PAGE, WHOLE = HERE / "steps.md", HERE / "results" / "whole-recorded"
BLOCK = "steps"
# A model, the one that it departs from, and what is different.
STEPS = (
    ("lstm128", None, "as published"),
    ("lstm_deep", "lstm128", "two layers, 256 bits"),
    ("lstm_denoising", "lstm128", "a degraded window in, the clean one out"),
    ("samaf", "lstm128", "a window and its degraded copy are pulled to one code"),
    ("semantic32", "lstm128", "dense layers, 32 bits, noise before the threshold"),
    ("bilstm_chroma", "lstm128", "chroma, in both directions, another decoder"),
    (
        "conv_lstm128",
        "samaf",
        "copies are told from other windows, nothing is written out; log-mel, two convolutions "
        "below the LSTM, ten times the weights, more reverberation among the degradations",
    ),
    (
        "conv128",
        "conv_lstm128",
        "convolutions in place of the LSTM; more kinds of noise, and more music: at other speeds, "
        "two at once, with gaps; asked with windows that hang over, bits weighed by each other",
    ),
)
LENGTH_S = 3.0
CONDITIONS = ("clean", "10 dB", "0 dB", "room", "room + 5 dB", "telephone")
CONDITIONS += ("speed +5 %", "pitch +1")


def asked(rows):
    """What each model was asked: dict of (system, condition) to a list of answer rows.

    Rows are in one order for all systems.

    Raises:
        ValueError: two systems were asked other queries.
    """
    answers = metrics.select(tables.parts(rows)[2], length_s=LENGTH_S, known=True)
    found, places = {}, {}
    for model, _, _ in STEPS:
        for condition in CONDITIONS:
            own = metrics.select(answers, system=model, condition=condition)
            own.sort(key=lambda row: row["query"])
            place = [(row["query"], row["truth"], row["start_s"]) for row in own]
            if places.setdefault(condition, place) != place:
                raise ValueError(f"{model}, {condition}: other queries than those of {STEPS[0][0]}")
            found[model, condition] = own
    return found


def cell(own, before):
    """A rate in %, and by how much it differs from another one's on the same queries.

    ± half of the 95 % interval of the difference, by a jackknife over tracks; without where no
    query differs.
    """
    right = metrics.hits(own)["track"]
    rate = f"{100 * right.mean():g}"
    if before is None:
        return rate
    change = 100.0 * (right.astype(int) - metrics.hits(before)["track"])
    if not change.any():
        return f"{rate} (0)"
    _, track = np.unique([row["truth"] for row in own], return_inverse=True)
    n = track.max() + 1
    without = [change[track != k].mean() for k in range(n)]
    half = 1.96 * math.sqrt((n - 1) * np.var(without))
    return f"{rate} ({change.mean():+.0f} ± {half:.0f})"


def heard(model):
    """Windows that a shipped model was trained with, in millions, repeats counted: str."""
    (card,) = (card for card in cards.read(HERE.parent / "saved_models") if card["name"] == model)
    hours = card["data"]["splits"]["train"]["hours"]
    hop_s = settings.read(model)["dataset"]["hop_s"]
    millions = len(card["training"]["history"]) * 3600 * hours / hop_s / 1e6
    return f"{millions:.1f}" + (" and runs before" if card["training"].get("initial") else "")


def table(rows):
    """The Markdown of the table."""
    answers = asked(rows)
    names = "model", "what is different", *CONDITIONS, "windows heard, millions"
    lines = tables.head(*names, texts=2)
    for model, origin, change in STEPS:
        name = f"`{model}`" + (f", of `{origin}`" if origin else "")
        cells = [
            cell(answers[model, condition], answers[origin, condition] if origin else None)
            for condition in CONDITIONS
        ]
        lines.append(tables.line(name, change, *cells, heard(model)))
    models = {model for model, _, _ in STEPS}
    said = tables.statement([row for row in rows if row.get("system", STEPS[0][0]) in models])
    return "\n".join([*lines, "", said])


def filled(text):
    """The page with the table that the answers give."""
    made = table(runner.read(WHOLE / runner.ANSWERS))
    return markup.with_block(text, BLOCK, made, where=PAGE.name)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
