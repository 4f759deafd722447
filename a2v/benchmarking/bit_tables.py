"""Markdown tables of what makes a good bit, from the rows of `bits.measure`."""

from a2v import metrics
from a2v.benchmarking import runner
from a2v.benchmarking.bits import PROBED
from a2v.benchmarking.tables import head, interval, line
from a2v.errors import A2VError

UNTRAINED, TRAINED = "untrained", "trained"
STATISTICS = {  # heading to key of `hashing.statistics` and digits
    "collisions, %": ("collision_rate", 100, 2),
    "entropy of a bit": ("mean_bit_entropy", 1, 3),
    "mean correlation": ("mean_bit_correlation", 1, 3),
    "largest correlation": ("max_bit_correlation", 1, 3),
    "degrees of freedom": ("degrees_of_freedom", 1, 1),
}
WORDS = {
    UNTRAINED: "**Map**: embeddings as they are, decorrelated (ZCA), or rotated towards their "
    "signs (PCA and ITQ), fitted to windows that are not in the catalogue. **Threshold**: 0, or "
    "each component's median over the catalogue. **Bits**: all count alone, the "
    f"{PROBED} least sure of each query window are tried both ways (the nearest of {2**PROBED} "
    "probes counts), or each is weighed by how sure it is. **Phases**: beginnings tried within "
    "one hop of the query.",
    TRAINED: "One short training each, the same windows in the same order; every other setting is "
    "that of the pipeline. Weights are those of the epoch of the least validation loss.",
}
TITLES = {UNTRAINED: "## On one encoder, without training", TRAINED: "## Trained anew"}


def page(rows):
    """All tables: Markdown.

    Args:
        rows: list of dicts of one run or two, each row with its `part`, `UNTRAINED` or `TRAINED`.

    Raises:
        A2VError: there are no answers.
    """
    blocks = ["# What makes a good bit without labels"]
    for part in (UNTRAINED, TRAINED):
        own = [row for row in rows if row["part"] == part]
        if own:
            blocks += [TITLES[part], WORDS[part], statement(own), *_tables(own, part)]
    if len(blocks) == 1:
        raise A2VError("no answers to make tables of; run the benchmark first")
    return "\n\n".join(block.rstrip("\n") for block in blocks) + "\n"


def statement(rows):
    """What the numbers of one part hold for: Markdown."""
    (run,) = (row for row in rows if row["kind"] == "run")
    asked = {(r["condition"], r["length_s"], r["query"]) for r in rows if r["kind"] == "answer"}
    cells = {cell[:2] for cell in asked}
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    return (
        f"{run['about']} Right track in % [95 % Wilson interval] of {len(asked) // len(cells)} "
        f"excerpts of tune tracks a cell, beginning off the grid, the same ones in every row; "
        f"`all` pools the conditions, which share their excerpts, so that its interval is narrower "
        f"than independent queries would make it. {runner.corpus(run)}; catalogue of "
        f"{run['tracks']} tracks, chance {100 / run['tracks']:.2f} %; {run['fitting']} tracks of "
        f"the train split are left out of it for fitting. Commit {run['commit']}; {versions}; "
        f"{run['machine']}."
    )


def hits(rows, columns, length_s):
    """Right tracks by condition, one row a system, for one clip length.

    Args:
        rows: list of dicts of one part.
        columns: dict of heading to key of the system's row, what tells systems apart.
        length_s: float, s.

    Returns:
        Markdown.
    """
    answers = metrics.select([r for r in rows if r["kind"] == "answer"], length_s=length_s)
    names = list(dict.fromkeys(row["condition"] for row in answers))
    by_system = {}
    for row in answers:
        by_system.setdefault(row["system"], []).append(row)
    lines = head(*columns, *names, "all", texts=len(columns))
    for about in _systems(rows):
        own = by_system[about["system"]]
        cells = [metrics.select(own, condition=name) for name in names] + [own]
        rates = (interval(int(metrics.hits(cell)["track"].sum()), len(cell)) for cell in cells)
        lines.append(line(*(str(about[key]) for key in columns.values()), *rates))
    return "\n".join(lines) + "\n"


def statistics(rows, columns):
    """How the catalogue's hashes use their bits, one row for each way of making them: Markdown."""
    lines = head(*columns, *STATISTICS, texts=len(columns))
    for about in _systems(rows):
        values = (f"{scale * about[key]:.{n}f}" for key, scale, n in STATISTICS.values())
        lines.append(line(*(str(about[key]) for key in columns.values()), *values))
    return "\n".join(dict.fromkeys(lines)) + "\n"


def _tables(rows, part):
    """Hits for each length, then statistics, of one part."""
    made = {"map": "map", "threshold": "threshold"}
    made = {"training": "training"} if part == TRAINED else made
    lengths = sorted({row["length_s"] for row in rows if row["kind"] == "answer"})
    blocks = []
    for length_s in lengths:
        asked = made | {"bits": "weights", "phases": "phases"}
        blocks += [f"### Clips of {length_s:g} s", hits(rows, asked, length_s)]
    return [*blocks, "### The bits", statistics(rows, made)]


def _systems(rows):
    return [row for row in rows if row["kind"] == "system"]
