"""Figures of hashes and features, one function each; every one returns a matplotlib figure."""

import numpy as np

from a2v import hashing
from a2v.benchmarking.style import COLOURS, INK, MARKERS, SPARE, drawing, looks, single
from a2v.figures import BLUE, GREY, ORANGE

NUMBER = {"color": "white", "fontsize": 8, "fontweight": "bold", "ha": "center", "va": "center"}


def distances(same, different, *, n_bits):
    """Two histograms: Hamming distance of hashes of the same and of different audio.

    Args:
        same: int `[n]`, bits that differ between a window and its degraded copy.
        different: int `[m]`, bits that differ between windows of different tracks.
        n_bits: int, bits per hash.

    Returns:
        Figure.
    """
    with drawing():
        figure, axis = single(6.4, 3.0)
        edges = np.arange(0, n_bits + 3, 2) * 100 / n_bits
        pairs = (same, BLUE, "same audio, degraded"), (different, ORANGE, "different tracks")
        for given, colour, name in pairs:
            percent = 100 * np.asarray(given) / n_bits
            weights = np.full(len(percent), 100 / len(percent))
            heights, _, _ = axis.hist(percent, edges, weights=weights, color=colour, alpha=0.55)
            axis.stairs(heights, edges, color=colour, linewidth=1.2)
            axis.plot(percent.mean(), 0, "^", color=colour, markersize=7, clip_on=False, zorder=5)
            label = f"{name}\nmean {percent.mean():.1f} %, {len(percent):,} pairs"
            x, ha = (0.01, "left") if given is same else (0.99, "right")
            axis.text(x, 0.98, label, color=colour, ha=ha, va="top", transform=axis.transAxes)
        axis.margins(y=0.35)
        axis.set_ylim(0)
        axis.set(xlim=(0, 75), xlabel="bits that differ, %", ylabel="pairs, %")
        axis.set_title("Distance of two hashes")
    return figure


def bit_errors(names, systems):
    """Bits that differ between a window and its degraded copy, by degradation.

    Args:
        names: list of str, the degradations, from top to bottom.
        systems: dict of system to (rates, halves): float `[degradations]` each, %, and half the
            width of their 95 % intervals, NaN where there is none.

    Returns:
        Figure.
    """
    with drawing():
        # Room for all marks of a row.
        figure, axis = single(6.4, 0.8 + (0.14 + 0.03 * len(systems)) * len(names))
        drawn = looks(list(systems))
        for number, (system, (rates, halves)) in enumerate(systems.items()):
            # Side by side within a row, so that no mark hides another.
            shift = 0.7 * ((number + 0.5) / len(systems) - 0.5)
            bars = {"xerr": np.nan_to_num(halves), "elinewidth": 1, "label": system}
            look = {key: drawn[system][key] for key in ("color", "marker")}
            rows = np.arange(len(names)) + shift
            axis.errorbar(rates, rows, linestyle="", markersize=3.5, **bars, **look)
        axis.axvline(50, color=INK, linewidth=0.7, linestyle=":")
        axis.set(xlim=(0, 53), ylim=(len(names) - 0.5, -0.5), xlabel="bits that differ, %")
        axis.set_yticks(range(len(names)), [name.replace("-", "\u2212") for name in names])
        axis.tick_params(axis="y", length=0)
        figure.legend(loc="outside right center", handletextpad=0.2)
        axis.set_title("Bit errors; dotted: chance")
    return figure


def bit_balance(codes):
    """How often each bit of the hash is set.

    Args:
        codes: uint8 `[n, bytes]`, hashes of audible windows.

    Returns:
        Figure.
    """
    means = 100 * np.unpackbits(codes, axis=1).mean(axis=0)
    with drawing():
        figure, axis = single(6.4, 2.6)
        bits = np.arange(len(means))
        axis.bar(bits, means - 50, bottom=50, width=0.8, color=BLUE)
        axis.axhline(50, color=INK, linewidth=0.7)
        worst = int(np.argmax(np.abs(means - 50)))
        above = means[worst] > 50
        axis.annotate(
            f"bit {worst}: {means[worst]:.0f} %",
            (worst, means[worst]),
            xytext=(0, 3 if above else -3),
            textcoords="offset points",
            ha="left" if worst < len(means) / 2 else "right",
            va="bottom" if above else "top",
        )
        axis.set(
            xlim=(-1, len(means)), ylim=(0, 100), xlabel="bit", ylabel="windows that set it, %"
        )
        axis.set_xticks(range(0, len(means) + 1, 16))
        axis.set_title(f"Balance of {len(means)} bits over {len(codes):,} windows")
    return figure


def principal_components(values, originals):
    """Hashes or embeddings in the plane of their two largest variances, coloured by original.

    Args:
        values: uint8 `[n, bytes]`, hashes, or float `[n, d]`, embeddings.
        originals: list of str `[n]`, which original each window belongs to.

    Returns:
        Figure.

    Reference: Shah, Sitonic 2017, figure 4.1.
    """
    points, share = _plane(values)
    names, owners = sorted(set(originals)), np.array(originals)
    places = _apart([np.median(points[owners == name], axis=0) for name in names], points)
    colours = [c for c in dict.fromkeys((*COLOURS.values(), *SPARE)) if c not in (GREY, INK)]
    with drawing():
        figure, axis = single(7.0, 4.4, grid=False)
        for number, name in enumerate(names):
            look = {"color": colours[number % len(colours)], "linewidths": 0}
            look["marker"] = MARKERS[number // len(colours) % len(MARKERS)]
            axis.scatter(*points[owners == name].T, s=9, alpha=0.55, **look)
            label = f"{number + 1:>2}  ".replace(" ", "\u2007") + _short(name)
            axis.scatter([], [], s=26, label=label, **look)
            disc = {"boxstyle": "circle,pad=0.2", "color": look["color"], "linewidth": 0}
            axis.text(*places[number], str(number + 1), bbox=disc, zorder=5, **NUMBER)
        reach = 1.04 * np.abs(points).max()
        axis.set(xlim=(-reach, reach), ylim=(-reach, reach), box_aspect=1, anchor="W")
        axis.set_xlabel(f"first component ({share[0]:.0f} % of the variance)")
        axis.set_ylabel(f"second component ({share[1]:.0f} %)")
        kind = "Hashes" if values.dtype == np.uint8 else "Embeddings"
        axis.set_title(f"{kind} by original; numbers stand near the medians")
        beside = {"loc": "center left", "bbox_to_anchor": (1.02, 0.5)}
        axis.legend(fontsize=8, labelspacing=0.35, handletextpad=0.2, **beside)
    return figure


def mfcc(frames, *, step_s=0.01):
    """Mel-frequency cepstra of a sample: blue below 0, red above, white at 0.

    Args:
        frames: float `[frames, n_mfcc]`.
        step_s: float, s, from one frame to the next.

    Returns:
        Figure.

    Reference: Shah, Sitonic 2017, figure 3.3.
    """
    frames = np.asarray(frames)
    limit = float(np.percentile(np.abs(frames), 99)) or 1.0
    with drawing():
        figure, axis = single(6.4, 2.8, grid=False)
        image = axis.imshow(
            frames.T,
            origin="lower",
            aspect="auto",
            cmap="RdBu_r",
            vmin=-limit,
            vmax=limit,
            interpolation="nearest",
            extent=(0, len(frames) * step_s, -0.5, frames.shape[1] - 0.5),
        )
        axis.set(xlabel="seconds", ylabel="cepstrum", yticks=range(0, frames.shape[1], 2))
        axis.set_title("MFCC of a sample (0: log energy)")
        figure.colorbar(image, ax=axis, label="coefficient", extend="both", aspect=14, pad=0.015)
    return figure


def _plane(values):
    """Values as points `[n, 2]` on two principal components, and the variance of these in %."""
    if values.dtype == np.uint8:
        values = hashing.signs(values)
    values = values.astype(np.float64)
    left, spread, right = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    # The sign of a component is arbitrary: its largest loading points up.
    flips = np.sign(right[range(2), np.abs(right[:2]).argmax(axis=1)])
    return left[:, :2] * spread[:2] * flips, 100 * spread[:2] ** 2 / np.sum(spread**2)


def _apart(places, points, *, gap=0.055):
    """Moves numbers off each other, by `gap` of the points' extent."""
    places = np.array(places)
    least = gap * np.ptp(points, axis=0).max()
    for _ in range(200):
        between = places[:, None] - places[None]  # [n, n, 2]
        far = np.linalg.norm(between, axis=2) + 1e-9
        push = np.where(far < least, (least - far) / far, 0)
        np.fill_diagonal(push, 0)
        places = places + 0.25 * (push[..., None] * between).sum(axis=1)
    return places


def _short(name, *, most=28):
    half = (most - 1) // 2
    return name if len(name) <= most else f"{name[:half]}…{name[-half:]}"
