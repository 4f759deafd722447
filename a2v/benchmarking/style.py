"""How figures look: colours, markers and lines of systems, and what several figures share.

A system has the same colour, marker and dash in all figures; the colours stay apart under the
common colour-vision deficiencies. There are fewer such colours than models: relatives share one,
and differ in marker and dash, so that curves without markers and marks without a line tell them
apart, too.
"""

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from a2v import intervals
from a2v.figures import BLUE, GREY, ORANGE, STYLE

INK, FAINT = "#24292f", "#d5d8dc"
CHANCE = "chance"
SOLID, DASHED, DOT_DASHED, DOTTED = "-", (0, (5, 1.5)), (0, (4, 1, 1, 1)), (0, (1, 1.1))
# Colour, marker, dash. A system of a name that is not here takes the next of SPARE.
LOOKS = {
    "conv128": (BLUE, "o", SOLID),
    "lstm128": (ORANGE, "s", DASHED),
    "bilstm_chroma": ("#9a7fd6", "^", DOT_DASHED),
    "wang": ("#0a8f6c", "D", SOLID),
    "haitsma_kalker": ("#8f1d4f", "v", DASHED),
    "fpcalc": ("#7d6420", "P", DOT_DASHED),
    "conv_lstm128": (BLUE, "X", DASHED),
    "lstm_deep": (ORANGE, ">", SOLID),
    "lstm_denoising": (ORANGE, "<", DOT_DASHED),
    "samaf": (ORANGE, "*", DOTTED),
    "semantic32": ("#7800ff", "h", SOLID),
    "cover128": ("#1a1aa0", "p", DOT_DASHED),
    "audio_words": (INK, "d", DASHED),
    CHANCE: (GREY, "", ":"),
}
COLOURS = {name: colour for name, (colour, _, _) in LOOKS.items()}
SPARE = ("#4db1e0", "#c2a400", "#64748b", "#8a4b2a")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "h", "<", ">")
HOUSE = STYLE | {
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.7,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "svg.hashsalt": "a2v",
}


def drawing():
    """The context in which figures are drawn and saved: house style, repeatable SVG names."""
    return matplotlib.rc_context(HOUSE)


def looks(systems):
    """How each system is drawn, in every figure.

    Args:
        systems: list of str, all systems of the run.

    Returns:
        dict of system to keyword arguments of a line: `color`, `marker`, `linestyle`.
    """
    chosen = dict(LOOKS)
    for number, name in enumerate(name for name in systems if name not in LOOKS):
        # Counts that share no factor: 132 systems pass before two look alike.
        dash = (DASHED, DOT_DASHED, SOLID)[number % 3]
        chosen[name] = SPARE[number % 4], MARKERS[(number - 4) % 11], dash
    keys = "color", "marker", "linestyle"
    return {name: dict(zip(keys, chosen[name], strict=True)) for name in systems}


def single(width_in, height_in, *, grid=True):
    """A figure of one axis, with horizontal grid lines: (Figure, Axes)."""
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    axis = figure.add_subplot()
    axis.grid(grid, axis="y")
    return figure, axis


def band(axis, places, found, look):
    """Rates as a line and their 95 % Wilson intervals as a band; a lone one gets a bar.

    Args:
        axis: matplotlib Axes.
        places: list of float, where the rates stand.
        found: list of bool `[n]`, for each place; nothing is drawn where n is 0.
        look: dict of keyword arguments of a line, see `looks`.
    """
    points = [(place, row) for place, row in zip(places, found, strict=True) if len(row)]
    if not points:
        return
    x = [place for place, _ in points]
    rates = [100 * np.mean(row) for _, row in points]
    bounds = 100 * np.array([intervals.wilson(np.sum(row), len(row)) for _, row in points])
    axis.plot(x, rates, markersize=4.2, linewidth=1.4, clip_on=False, zorder=3, **look)
    if len(points) > 1:
        axis.fill_between(x, *bounds.T, color=look["color"], alpha=0.11, linewidth=0)
    else:
        axis.vlines(x, *bounds.T, color=look["color"], alpha=0.45, linewidth=1.6)
