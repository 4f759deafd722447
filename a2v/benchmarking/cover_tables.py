"""Tables, figures and sentences from the answers of the covers suite."""

from collections import Counter
from functools import partial

from a2v import alignment, metrics
from a2v import covers as covers_
from a2v.benchmarking import cover_charts, runner, tables
from a2v.benchmarking.report import Picture

PUBLISHED = {1.0: 10.42, 3.0: 20.28}  # %, 20 originals, 60 covers
PUBLISHED_BY = "Shah, Sitonic 2017"
ALIGNED = (
    "Aligned: whole tracks ranked by Qmax (Serra, Serra, Andrzejak 2009) on each model's codes, "
    f"stacked over {covers_.STACKED * covers_.FRAME_S:g} s; in the {alignment.TRIED} likeliest "
    "transpositions where a model's codes can be transposed. `qmax`: the same on chroma, whole "
    "tracks only.\n"
)

# Whole tracks ranked, by the kind of their rows: the columns.
RANKINGS = {"ranking": ("MAP", "MR1"), "aligned": ("MAP aligned", "MR1 aligned")}


def parts(rows):
    """All tables and figures of a run.

    Args:
        rows: list of dicts: the run's row and those of `answers`.

    Returns:
        list of str (Markdown) and `report.Picture`.
    """
    clips = [row for row in rows if row["kind"] == "clip"]
    return [
        "# Covers against clip length",
        "Clips of covers, and whole ones, whose original is the nearest in % [95 % Wilson "
        "interval], ties counted as wrong; mean average precision and mean rank of the first "
        "version among all other tracks for whole tracks; definitions as in P2 of "
        "benchmarks/README.md.",
        table(rows),
        statement(rows),
        *([ALIGNED] if any(row["kind"] == "aligned" for row in rows) else []),
        Picture(
            "covers",
            partial(
                cover_charts.accuracy, clips, chance=100 / rows[0]["tracks"], published=PUBLISHED
            ),
            "Original found from a clip of its cover. Bands are 95 % Wilson intervals, the dotted "
            "line is chance, crosses are what Shah and Sitonic (2017) published for 20 originals "
            "and 60 covers of their own.",
        ),
    ]


def table(rows):
    """Accuracy against clip length, MAP and MR1, and those with alignment where asked: Markdown."""
    clips = [row for row in rows if row["kind"] == "clip"]
    lengths = sorted({row["length_s"] for row in clips if row["length_s"]})
    head = ["system", *(f"{length_s:g} s" for length_s in lengths), "whole"]
    kinds = [kind for kind in RANKINGS if kind == "ranking" or _relevant(rows, kind)]
    head += [column for kind in kinds for column in RANKINGS[kind]]
    lines = tables.head(*head)
    for system in dict.fromkeys(row["system"] for row in clips):
        mine = [row for row in rows if row.get("system") == system]
        asked = [row for row in mine if row["kind"] == "clip"]
        cells = [_rate([r for r in asked if r["length_s"] == s]) for s in (*lengths, None)]
        cells += [cell for kind in kinds for cell in _ranks(_relevant(mine, kind))]
        lines.append(tables.line(system, *cells))
    theirs = [f"{PUBLISHED[s]:.2f}" if s in PUBLISHED else "" for s in lengths]
    theirs += [""] * (len(head) - 1 - len(lengths))
    lines.append(tables.line(PUBLISHED_BY, *theirs))
    return "\n".join(lines) + "\n"


def statement(rows):
    """What the numbers hold for, in a plain sentence: Markdown."""
    run, clips = rows[0], [row for row in rows if row["kind"] == "clip"]
    asked = Counter((row["system"], row["length_s"]) for row in clips if row["length_s"])
    counts = sorted({min(asked.values()), max(asked.values())}) if asked else [0]
    covers = len({row["query"] for row in clips})
    return (
        f"{runner.corpus(run)}; "
        f"{run['tracks']} originals, {covers} covers, chance {100 / run['tracks']:.1f} %; "
        f"{' to '.join(map(str, counts))} clips a cell. "
        f"{PUBLISHED_BY}: 20 originals, 60 covers of their own. Measured by "
        f"{runner.provenance(run)}.\n"
    )


def _relevant(rows, kind):
    return [row["relevant"] for row in rows if row["kind"] == kind]


def _ranks(rankings):
    """MAP and MR1 as cells."""
    if not rankings:
        return ["–", "–"]
    mean = metrics.mean_average_precision(rankings)
    return [f"{mean:.3f}", f"{metrics.mr1(rankings):.1f} of {len(rankings[0])}"]


def _rate(clips):
    if not clips:
        return "–"
    right = sum(row["answer"] == row["truth"] for row in clips)
    return tables.interval(right, len(clips))
