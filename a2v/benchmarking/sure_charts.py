"""Figures of sure answers: what was stated beside what was seen."""

import numpy as np

from a2v import intervals
from a2v.benchmarking.style import drawing, looks, single
from a2v.figures import GREY


def stated_and_seen(rates, stated):
    """False accepts, each model and clip length a line.

    Args:
        rates: dict of (system, length_s) to float `[n]`, what answers to unknown tracks stated.
        stated: floats, the rates to show.

    Returns:
        Figure.
    """
    with drawing():
        figure, axis = single(6.4, 4.2)
        drawn = looks(list(dict.fromkeys(system for system, _ in rates)))
        lengths = sorted({length_s for _, length_s in rates})
        ends, limits = np.array([min(stated), max(stated)]), np.array(stated)
        for factor in (0.5, 1.0, 2.0):
            style = "-" if factor == 1 else ":"
            axis.plot(ends, factor * ends, color=GREY, linewidth=0.8, linestyle=style)
        for (system, length_s), own in rates.items():
            seen = np.array([np.mean(own <= limit) for limit in limits])
            size, label = 3 + lengths.index(length_s), f"{system}, {length_s:g} s"
            shown = seen > 0
            axis.plot(limits[shown], seen[shown], **drawn[system], markersize=size, label=label)
        axis.set(xscale="log", yscale="log", xlabel="stated", ylabel="seen")
        axis.set_title("False accepts")
        axis.legend(fontsize=7)
    return figure


def reliability(judged, bins):
    """Share of right answers in each bin of stated probability.

    Args:
        judged: dict of system to {known: (probabilities `[n]`, right `[n]`)}.
        bins: float `[m]`, their edges.

    Returns:
        Figure.
    """
    with drawing():
        figure, axis = single(6.4, 4.2)
        drawn = looks(list(judged))
        axis.plot([0, 1], [0, 1], color=GREY, linewidth=0.8)
        for system, answers in judged.items():
            places, middle, low, high = _binned(answers, bins)
            axis.fill_between(places, low, high, color=drawn[system]["color"], alpha=0.15)
            axis.plot(places, middle, **drawn[system], label=system)
        axis.set(
            xlim=(0, 1), ylim=(0, 1), xlabel="stated probability", ylabel="share that is right"
        )
        axis.set_title("Are probabilities what they say?")
        axis.legend(loc="upper left")
    return figure


def _binned(answers, bins):
    """Of each bin mean probability, share right and its interval: float `[4, m]`."""
    # Known queries are fewer: each counts as often as makes both alike.
    share = len(answers[False][0]) / max(1, len(answers[True][0]))
    found = []
    for low, high in zip(bins[:-1], bins[1:], strict=True):
        counts = np.zeros(3)
        for known, weight in ((False, 1.0), (True, share)):
            stated, right = answers[known]
            inside = (stated >= low) & ((stated < high) | (high == 1))
            counts += weight * np.array([inside.sum(), stated[inside].sum(), right[inside].sum()])
        if counts[0] >= 1:
            n, total, right = counts
            found.append((total / n, right / n, *intervals.wilson(right, n)))
    return np.array(found).T.reshape(4, -1)
