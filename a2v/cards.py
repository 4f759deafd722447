"""Model cards: what a saved model is, from what and how it was made, and what it measured."""

import json
import os
from pathlib import Path

from a2v.resources import DEFAULT_MODEL

CARD = "card.json"
# Columns of the table that a card does not fill: what the weights reach on recordings.
MEASURED = ("10 dB, 1 s", "10 dB, 3 s", "collisions")
COLUMNS = ("model", "feature", "bits", "parameters", "TFLite", "dynamic range", "ms per window")
COLUMNS += (*MEASURED, "trained in", "on")
UNKNOWN = "–"


def markdown(card):
    """The card as a README.

    Args:
        card: dict, as `export.export` writes to `card.json`.

    Returns:
        str, Markdown.
    """
    files = "\n".join(
        f"| `{name}` | {size / 1000:,.0f} kB |" for name, size in card["files"].items()
    )
    last = card["training"]["history"][-1] if card["training"]["history"] else {}
    losses = ", ".join(f"{k} {v:.4f}" for k, v in last.items() if "loss" in k)
    epochs = f"{len(card['training']['history'])} epochs in {training_time(card)}"
    trained = f"{epochs}; at the end {losses}."
    if not last:
        spent = "" if training_time(card) == UNKNOWN else f", in {training_time(card)}"
        trained = f"Measured on the train split in one pass{spent}; nothing is learnt by gradients."
    if card["training"].get("initial"):
        trained = f"Begun with the weights `{card['training']['initial']}`. {trained}"
    tracks = ", ".join(
        f"{split} {n['tracks']} tracks / {n['hours']:.2f} h"
        for split, n in card["data"]["splits"].items()
    )
    hashes = "\n".join(f"| {name} | {value:.4f} |" for name, value in card["hashes"].items())
    parity = "\n".join(
        f"| `{name}` | {p['windows']:,} | {p['bits_flipped']:.3f} | {p['largest_difference']:.2g} |"
        for name, p in card["parity"].items()
    )
    told = "history", "adapting_s"
    settings = {k: v for k, v in card["training"].items() if k not in told}
    calibrated = card["calibration"]
    asked = (
        f"fitted on {calibrated['queries']} queries ({calibrated['right']} answered rightly) "
        "from the tune split"
        if "queries" in calibrated
        else "not fitted: the tune split was too small; probabilities are rough"
    )
    return f"""# {card["name"]}

{card["summary"]}

Waveform in ({card["sample_rate"]} Hz, mono, float32), one hash of {card["n_bits"]} bits every
{card["hop_s"]} s from windows of {card["window_s"]} s. Feature: {card["feature"]}
(definition `{card["digest"]}`). Weights `{card["model_id"]}`. Licence: {card["licence"]}.

| file | size |
|---|---|
{files}

The encoder has {card["parameters"]:,} parameters.
On one thread, front end included, a window of a recording takes
{card["speed"]["ms_per_window"]:.2f} ms ({card["speed"]["x_real_time"]:,.0f} times real time), one
alone {card["speed"]["ms_alone"]:.2f} ms. The TFLite files have a signature for either:
`hash`, {card["block_windows"]} windows at once, and `hash_window`; both take a `waveform` and give
`hash` and `embedding`.

## Data

{tracks}.{_degraded(card["training"])}

{card["data"]["note"]}

## Training

{trained} Settings:

```json
{json.dumps(settings, indent=1)}
```

## Hashes, measured on the {card["data"]["measured_on"]}

| statistic | value |
|---|---|
{hashes}

## Agreement with Keras, on the {card["data"]["measured_on"]}

| file | windows | bits flipped per hash | largest difference of the embedding |
|---|---|---|---|
{parity}

Operations: {", ".join(card["operations"])}.
{_asking(card)}
The probability of a match is {asked}.
"""


def _asking(card):
    """How clips are asked, for cards of models that do not ask windows and bits one by one."""
    said = []
    if length_s := card.get("overhang_s"):
        said += [
            f"Windows of a clip that is asked may hang over its ends by {length_s} s, heard in its",
            "mirror image there, and count for less.",
        ]
    if shrinkage := card.get("shrinkage"):
        said += [
            "Its bits are weighed by what tells its hashes from those of unrelated music, given",
            "how bits and windows depend on each other over the train split's music",
            f"(shrinkage {shrinkage}).",
        ]
    return "".join(f"\n{line}" for line in said) + "\n" * bool(said)


def _degraded(training):
    """What a model that degrades its input took for it."""
    said = [
        f"{kind.capitalize()}: {', '.join([*training[kind], 'simulated ones'])}."
        for kind in ("noise", "rooms")
        if kind in training
    ]
    return "".join(f"\n{line}" for line in said)


def read(folder):
    """The cards of all models saved below a folder: list of dicts, sorted by folder.

    Args:
        folder: path that holds one folder a model, each with its `card.json`.
    """
    return [
        json.loads(p.read_text(encoding="utf-8")) for p in sorted(Path(folder).glob(f"*/{CARD}"))
    ]


def training_time(card):
    """What adapting and all epochs took, in words; a dash where that was not noted."""
    training = card["training"]
    noted = [epoch.get("seconds") for epoch in training["history"]]
    if "adapting_s" in training:
        noted.append(training["adapting_s"])
    return duration(sum(noted)) if noted and None not in noted else UNKNOWN


def duration(seconds):
    """A length of time in words, in a unit that suits it."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 3600:.1f} h" if seconds >= 7200 else f"{seconds / 60:.1f} min"


def table(folder, *, measured=None, runs=()):
    """The table of all models saved below a folder.

    Args:
        folder: path that holds one folder a model, each with its `card.json`.
        measured: dict of model to dict of column, one of `MEASURED`, to str; what is not there is
            a dash.
        runs: list of paths, the finished runs of suites that this was measured in.

    Returns:
        str, Markdown.
    """
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * 2 + "---:|" * (len(COLUMNS) - 2)]
    for card in read(folder):
        cells = _cells(card) | (measured or {}).get(card["name"], {})
        lines.append("| " + " | ".join(cells[column] for column in COLUMNS) + " |")
    links = (
        f"[{Path(run).name}]({Path(os.path.relpath(run, folder), 'tables.md').as_posix()})"
        for run in runs
    )
    rows = "\n".join(lines)
    return f"""# Saved models

Each folder holds `model.keras`, `saved_model/` (signatures `hash`, `embed`, `features`),
`model.tflite` (float32) and `model.int8.tflite` (dynamic range), both with signatures `hash`, a
block of windows, and `hash_window`, one, and its card. The default is `{DEFAULT_MODEL}`. This table
is made by `a2v-export --table FOLDER --results RUN...`.

{rows}

Parameters are those of the encoder, without a decoder that only training needs. *10 dB*: right
track of clips of this length in noise, in % [95 % Wilson interval]; *collisions*: repeated hashes
in % of the audible windows [95 % Wilson interval]. Corpus, catalogue, number of queries and level
of chance stand where these were measured: {", ".join(links) or "nowhere yet"}.
*Ms per window* are of one thread where and when a model was exported; which is faster the suite
`cost` tells. *Trained in*: adapting, where noted, and validation included; *going on*: from the
weights of a run before, of which the model's pipeline tells; *on*: music of the train split. A
dash: not noted, or not measured with these weights.
"""


def _cells(card):
    """What the card itself tells in the table: dict of column to str."""
    sizes, train = card["files"], card["data"]["splits"].get("train")
    return {
        **dict.fromkeys(MEASURED, UNKNOWN),
        "model": f"[`{card['name']}`]({card['name']}/README.md)",
        "feature": card["feature"],
        "bits": str(card["n_bits"]),
        "parameters": f"{card['parameters']:,}" if "parameters" in card else UNKNOWN,
        "TFLite": f"{sizes['model.tflite'] / 1000:,.0f} kB",
        "dynamic range": f"{sizes['model.int8.tflite'] / 1000:,.0f} kB",
        "ms per window": f"{card['speed']['ms_per_window']:.2f}",
        "trained in": training_time(card) + ", going on" * bool(card["training"].get("initial")),
        "on": f"{train['tracks']} tracks, {train['hours']:.1f} h" if train else UNKNOWN,
    }
