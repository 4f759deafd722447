"""The figure of the covers suite, drawn with matplotlib."""

from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from a2v import metrics
from a2v.benchmarking.charts import FAINT, INK, drawing, looks, single


def accuracy(clips, *, chance, published):
    """Originals found from clips of their covers, against the length of the clip.

    Args:
        clips: list of dicts, the rows of kind `clip`; those of whole covers stand at the right.
        chance: float, %.
        published: dict of clip length in seconds to %.

    Returns:
        Figure.
    """
    lengths = sorted({row["length_s"] for row in clips if row["length_s"]} | set(published))
    whole = 2.0 * lengths[-1]
    with drawing():
        figure, axis = single(6.4, 3.4)
        for system, look in looks(list(dict.fromkeys(row["system"] for row in clips))).items():
            mine = [row for row in clips if row["system"] == system]
            places = [(s, [r for r in mine if r["length_s"] == s]) for s in lengths]
            _line(axis, [place for place in places if place[1]], look, label=system)
            at_end = [r for r in mine if r["length_s"] is None]
            _line(axis, [(whole, at_end)] if at_end else [], look)
        axis.axhline(chance, color=INK, linewidth=0.7, linestyle=":")
        theirs = {"marker": "X", "markersize": 8, "linestyle": "", "color": INK}
        axis.plot(list(published), list(published.values()), label="published", **theirs)
        axis.axvline((whole * lengths[-1]) ** 0.5, color=FAINT, linewidth=0.8)
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(FixedLocator([*lengths, whole]))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_major_formatter(
            FuncFormatter(lambda value, _: "whole" if value == whole else f"{value:g}")
        )
        axis.set(xlim=(lengths[0] / 1.15, whole * 1.25), xlabel="clip, seconds", ylim=(0, None))
        axis.set_ylabel("original found, %")
        axis.set_title("Covers")
        figure.legend(loc="outside right center")
    return figure


def _line(axis, places, look, *, label=None):
    """A line with its 95 % band; a lone point gets a bar."""
    if not places:
        return
    rates, lows, highs = [], [], []
    for _, rows in places:
        right = sum(row["answer"] == row["truth"] for row in rows)
        low, high = metrics.wilson(right, len(rows))
        rates.append(100 * right / len(rows))
        lows.append(100 * low)
        highs.append(100 * high)
    at = [place for place, _ in places]
    axis.plot(at, rates, label=label, markersize=4, **look)
    if len(at) == 1:
        axis.vlines(at, lows, highs, color=look["color"], linewidth=1)
    else:
        axis.fill_between(at, lows, highs, color=look["color"], alpha=0.15, linewidth=0)
