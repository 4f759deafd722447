"""Figures, drawn with matplotlib."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from a2v import audio, filterbanks, hashing
from a2v.chance import MAX_FALSE_ACCEPTS
from a2v.library import Library

BLUE, ORANGE, GREY = "#2f6f9f", "#d9772b", "#9a9a9a"
# What is rarer stands here.
LEAST_SHOWN = 1e-9
STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
}


def draw_demo(path, judged, clip, library):
    """Draws how a noisy clip is found, and how sure the answers to all clips are.

    Args:
        path: where to write the PNG.
        judged: dict of model to list of dicts with `known`, `right`, `false_accepts`.
        clip: `(file, (track, start_s))`, one that is in the library.
        library: path of the library.

    Returns:
        path.
    """
    file, (track, start_s) = clip
    noisy = audio.load(file)
    with Library.open(library) as opened:
        encoder = opened.encoder
        source = next(entry.path for entry in opened.tracks() if entry.track == track)
    reference = audio.load(source)
    start = round(start_s * audio.SAMPLE_RATE)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplot_mosaic(
            [["clean", "noisy"], ["search", "search"], ["sure", "sure"]],
            figsize=(9, 8.5),
            height_ratios=[2, 1.6, 1.8],
            layout="constrained",
        )
        passage = reference[start : start + len(noisy)]
        _draw_spectrogram(axes["clean"], passage, f"In the library, at {start_s:.2f} s")
        _draw_spectrogram(axes["noisy"], noisy, "The clip, noisy")
        _draw_search(axes["search"], encoder, noisy, reference, start_s, track)
        _draw_certainty(axes["sure"], judged)
        figure.savefig(path, dpi=130)
        plt.close(figure)
    return path


def _draw_spectrogram(axis, waveform, title):
    frames = np.lib.stride_tricks.sliding_window_view(waveform, 400)[::160] * filterbanks.hann(400)
    power = np.abs(np.fft.rfft(frames, 512)) ** 2
    bands = 10 * np.log10(power @ filterbanks.mel(64, 512, 100, 7000) + 1e-9)
    axis.imshow(
        bands.T,
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=bands.max() - 70,
        extent=(0, len(waveform) / audio.SAMPLE_RATE, 0, 64),
    )
    axis.set(title=title, xlabel="seconds", ylabel="mel band")


def _draw_search(axis, encoder, noisy, reference, start_s, track):
    """Bit error rate of the clip at every position of the track that it comes from."""
    codes, queries = encoder.hash(reference), encoder.hash(noisy)
    n = len(codes) - len(queries) + 1
    errors = np.array(
        [hashing.hamming(codes[i : i + len(queries)], queries).mean() for i in range(n)]
    )
    errors = 100 * errors / encoder.n_bits
    seconds = np.arange(n) * encoder.hop_s
    axis.plot(seconds, errors, color=BLUE, linewidth=1)
    best = int(np.argmin(errors))
    axis.plot(seconds[best], errors[best], "o", color=ORANGE)
    axis.annotate(
        f"{errors[best]:.0f} % of the bits differ at {seconds[best]:.2f} s",
        (seconds[best], errors[best]),
        xytext=(-8 if best > n / 2 else 8, 0),
        textcoords="offset points",
        ha="right" if best > n / 2 else "left",
        va="center",
        color=ORANGE,
    )
    axis.axhline(50, color=GREY, linewidth=0.8, linestyle=":")
    axis.set(
        title=f"The clip against every position of {track}",
        xlabel="seconds into the track",
        ylabel="bits that differ, %",
        ylim=(0, 65),
        xlim=(0, max(seconds[-1], 1)),
    )


def _draw_certainty(axis, judged):
    """Every clip as a dot: how often chance answers as well, in and out of the library."""
    generator = np.random.default_rng(0)
    rows = []
    for name, answers in judged.items():
        for known in (True, False):
            rows.append((f"{name}\n{'known' if known else 'unknown'}", answers, known))
    for place, (_, answers, known) in enumerate(rows):
        mine = [a for a in answers if a["known"] == known]
        spread = place + generator.uniform(-0.22, 0.22, len(mine))
        colours = [BLUE if a["right"] else ORANGE for a in mine]
        rates = [max(a["false_accepts"], LEAST_SHOWN) for a in mine]
        axis.scatter(rates, spread, c=colours, s=14, alpha=0.8)
    axis.axvline(MAX_FALSE_ACCEPTS, color=GREY, linewidth=0.8, linestyle=":")
    axis.text(MAX_FALSE_ACCEPTS, 1.5, " a match from here on", color=GREY, va="center")
    axis.set_yticks(range(len(rows)), [label for label, _, _ in rows])
    axis.invert_yaxis()
    axis.set(
        title="How sure the best answer to each clip is (blue: right track and place)",
        xlabel="share of strangers with an answer as good",
        xscale="log",
        xlim=(1.6, LEAST_SHOWN / 1.6),  # surer to the right
    )
