"""Model cards: what a saved model is, from what and how it was made, and what it measured."""

import json
from pathlib import Path

from a2v.resources import DEFAULT_MODEL

CARD = "card.json"


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
    losses = ", ".join(f"{k} {v:.4f}" for k, v in last.items() if k != "epoch")
    trained = f"{len(card['training']['history'])} epochs; at the end {losses}."
    if not last:
        trained = "Measured on the train split in one pass; nothing is learnt by gradients."
    tracks = ", ".join(
        f"{split} {n['tracks']} tracks / {n['hours']:.2f} h"
        for split, n in card["data"]["splits"].items()
    )
    hashes = "\n".join(f"| {name} | {value:.4f} |" for name, value in card["hashes"].items())
    parity = "\n".join(
        f"| `{name}` | {p['windows']:,} | {p['bits_flipped']:.3f} | {p['largest_difference']:.2g} |"
        for name, p in card["parity"].items()
    )
    settings = {k: v for k, v in card["training"].items() if k != "history"}
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

One window takes {card["speed"]["ms_per_window"]:.2f} ms on one thread, front end included
({card["speed"]["x_real_time"]:,.0f} times real time).

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

The probability of a match is {asked}.
"""


def _degraded(training):
    """What a model that degrades its input took for it."""
    said = [
        f"{kind.capitalize()}: {', '.join(training[kind]) or 'simulated'}."
        for kind in ("noise", "rooms")
        if kind in training
    ]
    return "".join(f"\n{line}" for line in said)


def table(folder):
    """The table of all models saved below a folder.

    Args:
        folder: path that holds one folder a model, each with its `card.json`.

    Returns:
        str, Markdown.
    """
    cards = [
        json.loads(p.read_text(encoding="utf-8")) for p in sorted(Path(folder).glob(f"*/{CARD}"))
    ]
    rows = "\n".join(
        f"| [`{c['name']}`]({c['name']}/README.md) | {c['feature']} | {c['n_bits']} "
        f"| {c['files']['model.tflite'] / 1000:,.0f} kB "
        f"| {c['files']['model.int8.tflite'] / 1000:,.0f} kB "
        f"| {c['speed']['ms_per_window']:.2f} | {100 * c['hashes']['collision_rate']:.2f} % |"
        for c in cards
    )
    return f"""# Saved models

Each folder holds `model.keras`, `saved_model/` (signatures `hash`, `embed`, `features`),
`model.tflite` (float32), `model.int8.tflite` (dynamic range) and its card. The default is
`{DEFAULT_MODEL}`. This table is made by `a2v-export --table saved_models`.

| model | feature | bits | TFLite | dynamic range | ms per window | collisions |
|---|---|---|---|---|---|---|
{rows}
"""
