"""Figure of the suite `growth`: time by size of the catalogue."""

import numpy as np

from a2v import resources
from a2v.benchmarking.style import drawing, looks, single

LABEL = "a2v"  # drawn as its default model is elsewhere, among engines without a look

# Small catalogues cost what a call costs; the power of growth is that of the largest so many.
LARGEST = 3


def times(series, length_s):
    """Time of a query by hours in the catalogue, an engine a line.

    Args:
        series: dict of label to (hours `[n]`, milliseconds `[n]`).
        length_s: float, s, of the queries.

    Returns:
        Figure.
    """
    with drawing():
        figure, axis = single(6.4, 4.2)
        drawn = looks([label for label in series if label != LABEL])
        (ours,) = looks([resources.DEFAULT_MODEL]).values()
        drawn[LABEL] = ours | {"linewidth": 2.2, "zorder": 3}
        for label, (hours, milliseconds) in series.items():
            power = exponent(hours, milliseconds)
            text = label if power is None else f"{label}: size$^{{{power:.2f}}}$"
            axis.plot(hours, milliseconds, **drawn[label], label=text)
        axis.set(xscale="log", yscale="log", xlabel="hours in the catalogue", ylabel="ms")
        axis.set_title(f"A query of {length_s:g} s")
        axis.legend(fontsize=8)
    return figure


def exponent(sizes, costs):
    """The power of its size that a cost grows with, by least squares over the largest sizes.

    Args:
        sizes, costs: float `[n]`, above 0.

    Returns:
        float; `None` where there are fewer than two sizes.
    """
    order = np.argsort(sizes)[-LARGEST:]
    if len(order) < 2:
        return None
    return float(
        np.polyfit(np.log(np.asarray(sizes)[order]), np.log(np.asarray(costs)[order]), 1)[0]
    )
