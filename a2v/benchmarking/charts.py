"""Figures of the answers of a benchmark, one function each, drawn with matplotlib.

Every function returns a `matplotlib.figure.Figure`, drawn as `style` says.
"""

import math
import re

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from a2v import metrics
from a2v.benchmarking import tables
from a2v.benchmarking.style import CHANCE, FAINT, INK, band, drawing, looks

TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
SNR = re.compile(r"(-?\d+(?:\.\d+)?) dB")
PANEL_IN = 2.35, 2.1
RING = {"marker": "o", "markersize": 7, "markerfacecolor": "none", "markeredgewidth": 1.6}
RING |= {"linestyle": "", "color": INK, "label": "shipped threshold"}


def accuracy_against_length(rows, *, shown=tables.MAIN):
    """Track hits against clip length, one panel per condition, with 95 % Wilson bands.

    Args:
        rows: list of dicts, see `runner.read`.
        shown: list of conditions, see `tables.chosen`; `None` for all.

    Returns:
        Figure.
    """
    names = tables.chosen(rows, shown)
    lengths = tables.lengths_s(rows)
    _, systems, answers = tables.parts(rows)
    with drawing():
        figure, axes, free = _panels(len(names), 3 if len(names) < 10 else 5)
        for axis, name in zip(axes, names, strict=True):
            axis.set_title(_signed(name))
            for system, look in _measured(systems):
                mine = metrics.select(answers, system=system, condition=name)
                _band(axis, lengths, [metrics.select(mine, length_s=s) for s in lengths], look)
            axis.set_xscale("log")
            axis.xaxis.set_major_locator(FixedLocator(lengths))
            axis.xaxis.set_minor_locator(NullLocator())
            axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        _rates(axes, rows)
        _label(axes, "clip length, s", "right track, %")
        _frame(figure, free, systems, "Right track against clip length")
    return figure


def accuracy_against_snr(rows, *, shown=None):
    """Track hits against the noise's level, one panel per clip length, with 95 % Wilson bands.

    Args:
        rows: list of dicts, see `runner.read`.
        shown: clip lengths, s; `None` for all.

    Returns:
        Figure. Clean excerpts stand apart at the right.
    """
    levels = {c: float(SNR.fullmatch(c)[1]) for c in tables.conditions(rows) if SNR.fullmatch(c)}
    names = sorted(levels, key=levels.get)
    clean = max(levels.values(), default=0) + 7
    lengths = tables.lengths_s(rows) if shown is None else tuple(shown)
    _, systems, answers = tables.parts(rows)
    with drawing():
        figure, axes, free = _panels(len(lengths), 3)
        for axis, length_s in zip(axes, lengths, strict=True):
            axis.set_title(f"{length_s:g} s")
            drawn = _measured(systems)
            for number, (system, look) in enumerate(drawn):
                mine = metrics.select(answers, system=system, length_s=length_s)
                cells = [metrics.select(mine, condition=name) for name in names]
                _band(axis, [levels[name] for name in names], cells, look)
                # Side by side: there all of them are at 100 %.
                beside = clean + 0.9 * (number - (len(drawn) - 1) / 2)
                _band(axis, [beside], [metrics.select(mine, condition="clean")], look)
            axis.axvline(clean - 3.5, color=FAINT, linewidth=0.8)
            ticks = [*(levels[name] for name in names), clean]
            labels = [*(_signed(f"{levels[name]:g}") for name in names), "clean"]
            axis.set_xticks(ticks, labels)
        _rates(axes, rows)
        _label(axes, "signal-to-noise ratio, dB", "right track, %")
        _frame(figure, free, systems, "Right track against noise")
    return figure


def det(rows, *, lengths_s=(1.0, 3.0, 10.0), shown=tables.MAIN):
    """What every threshold costs: strangers answered against known queries left unanswered.

    A known query whose top answer is the wrong track counts as missed at every threshold, as in
    open-set identification: no threshold can turn it right.

    Args:
        rows: list of dicts, see `runner.read`.
        lengths_s: clip lengths, s, one panel each; all there are if none of these are.
        shown: list of conditions that are pooled, see `tables.chosen`; `None` for all.

    Returns:
        Figure. A ring marks the threshold that is shipped.
    """
    _, systems, answers = tables.parts(rows)
    pooled = tables.chosen(rows, shown)
    answers = [row for row in answers if row["condition"] in pooled]
    lengths = [s for s in lengths_s if s in tables.lengths_s(rows)] or tables.lengths_s(rows)
    limits = {system: tables.thresholds(rows, system) for system in systems}
    with drawing():
        figure, axes, free = _panels(len(lengths), 3, tall=1.15)
        for axis, length_s in zip(axes, lengths, strict=True):
            axis.set_title(f"{length_s:g} s")
            axis.grid(True, axis="x")
            asked = metrics.select(answers, length_s=length_s)
            for system, look in _measured(systems):
                mine = metrics.select(asked, system=system)
                _trade(axis, mine, limits[system].get(length_s), look)
        least = [_least(metrics.select(answers, known=known), lengths) for known in (False, True)]
        for axis in axes:
            axis.set(xscale="log", yscale="log", xlim=(least[0], 100), ylim=(least[1], 100))
            axis.set_box_aspect(1)
            for side, low in zip((axis.xaxis, axis.yaxis), least, strict=True):
                ticks = [low, *(tick for tick in TICKS if tick > 1.5 * low)]
                side.set_ticks(ticks, ["0", *(f"{tick:g}" for tick in ticks[1:])])
                side.set_minor_locator(NullLocator())
        _label(axes, "unknown queries answered, %", "known queries missed, %")
        _frame(figure, free, systems, "What every threshold costs", RING)
    return figure


def _least(rows, lengths):
    """Where an axis of errors begins, in %: at half a query of one system and length, for none."""
    counts = [
        len(metrics.select(rows, length_s=length_s, system=system))
        for length_s in lengths
        for system in {row["system"] for row in rows}
    ]
    return 50 / max(counts, default=50)


def _trade(axis, rows, threshold, look):
    """One DET curve, and a ring where the threshold is."""
    known = np.array([row["known"] for row in rows], dtype=bool)
    if known.all() or not known.any():
        return
    right = np.array([row["answer"] == row["truth"] for row in rows])
    given = np.where(known & ~right, -math.inf, metrics.scores(rows))
    accept, reject, at = metrics.det_curve(given, known)
    # A logarithmic axis has no 0; half a query stands for it.
    x, y = np.maximum(100 * accept, 50 / sum(~known)), np.maximum(100 * reject, 50 / sum(known))
    axis.plot(x, y, drawstyle="steps-post", linewidth=1.4, clip_on=False, **look | {"marker": ""})
    if threshold is not None:
        place = min(np.searchsorted(at, threshold), len(at) - 1)
        axis.plot(x[place], y[place], clip_on=False, zorder=4, **RING | {"color": look["color"]})


def _panels(count, columns, *, tall=1.0):
    """A figure with `count` axes, and what is left of the grid's last row."""
    columns = min(columns, count)
    lines = math.ceil(count / columns)
    width, height = PANEL_IN
    figure = Figure(
        figsize=(columns * width + 0.6, lines * height * tall + 0.8), layout="constrained"
    )
    grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axis in grid[count:]:
        axis.set_axis_off()
    for axis in grid[max(0, count - columns) : count]:
        axis.tick_params(labelbottom=True)
    for axis in grid[:count]:
        axis.grid(True, axis="y")
    return figure, list(grid[:count]), list(grid[count:])


def _band(axis, places, cells, look):
    """Rates of track hits among the known queries of each cell."""
    known = [metrics.select(cell, known=True) for cell in cells]
    band(axis, places, [metrics.hits(cell)["track"] if cell else [] for cell in known], look)


def _measured(systems):
    """Systems with their looks, without chance, which is a line of its own."""
    return [(system, look) for system, look in looks(systems).items() if system != CHANCE]


def _rates(axes, rows):
    """The common scale of accuracies, with the level of chance."""
    chance = 100 / tables.parts(rows)[0]["tracks"]
    for axis in axes:
        axis.set(ylim=(0, 100), yticks=range(0, 101, 20))
        axis.axhline(chance, linewidth=1, **looks([CHANCE])[CHANCE])


def _label(axes, below, beside):
    """Labels the panels that have no other below, or to the left of them."""
    columns = axes[0].get_subplotspec().get_gridspec().ncols
    for number, axis in enumerate(axes):
        if number + columns >= len(axes):
            axis.set_xlabel(below)
        if number % columns == 0:
            axis.set_ylabel(beside)


def _frame(figure, free, systems, title, *more):
    """Legend in a free cell, or below; title."""
    shown = dict(_measured(systems)) | ({} if more else looks([CHANCE]))
    lines = [Line2D([], [], label=name, markersize=4.5, **look) for name, look in shown.items()]
    lines += [Line2D([], [], **look) for look in more]
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    if free:
        free[0].legend(handles=lines, loc="center left", fontsize=9, labelspacing=0.7)
    else:
        _below(figure, lines)


def _below(figure, lines):
    """A legend below all panels, in as many columns as fit."""
    columns = figure.axes[0].get_subplotspec().get_gridspec().ncols
    for count in range(min(len(lines), 2 * columns), 0, -1):
        legend = figure.legend(handles=lines, loc="outside lower center", ncols=count)
        if count == 1 or legend.get_window_extent().width <= figure.bbox.width:
            break
        legend.remove()


def _signed(text):
    """With a true minus sign."""
    return re.sub(r"-(?=\d)", "−", text)
