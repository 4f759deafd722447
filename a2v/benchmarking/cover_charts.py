"""The figure of the covers suite, drawn with matplotlib."""

from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from a2v.benchmarking.style import FAINT, INK, band, drawing, looks, single


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
            right = [_right(mine, length_s) for length_s in lengths]
            label = {"label": system}
            band(axis, lengths, right, look | (label if any(right) else {}))
            band(axis, [whole], [_right(mine, None)], look | ({} if any(right) else label))
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


def _right(clips, length_s):
    """Of the clips of a length, which have the right answer: list of bool."""
    return [row["answer"] == row["truth"] for row in clips if row["length_s"] == length_s]
