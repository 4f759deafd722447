"""Markdown tables of the suite `cost` (P6 of benchmarks/README.md), from its raw rows.

Every line holds a ratio: what the peer costs, divided by what the line's own system costs.
"""

from statistics import median

from a2v.benchmarking import runner
from a2v.benchmarking.cost_process import LONE
from a2v.benchmarking.tables import NONE, head, line
from a2v.errors import A2VError

PEERS = ("fpcalc", "wang", "haitsma_kalker")


def sections(rows):
    """All tables, with what they hold for.

    Args:
        rows: list of dicts: those of `cost.measure`, and the run's own where there is one.

    Returns:
        list of str, Markdown: files, hashing, a lone window, indexing, memory, bytes.

    Raises:
        A2VError: these are no rows of this suite.
    """
    if not {"cost", "model", "hashing"} <= {row["kind"] for row in rows}:
        raise A2VError("no costs in these rows; run the suite again")
    sides = _sides(rows)
    return [_head(rows) + _files(rows), *_hashing(sides), *_held(sides)]


def _sides(rows):
    """Rows of every side, by (system, file): dict of lists."""
    sides = {}
    for row in rows:
        if row["kind"] == "hashing":
            sides.setdefault((row["system"], row["file"]), []).append(row)
    return sides


def _head(rows):
    about = _of(rows, "cost")[0]
    run = (_of(rows, "run") or [{}])[0]
    corpus = ""
    if run:
        corpus = f" {runner.corpus(run)}; measured by {runner.provenance(run)}."
    return (
        "# Cost\n\nDefinitions as in P6 of benchmarks/README.md. Seconds are those of one core, "
        f"one thread per library, medians of {about['repeats']}; a ratio is what the peer costs, "
        "divided by what the line's own system costs: above 1 the line costs less. "
        f"{len(about['tracks'])} tracks, {about['audio_s']:.0f} s; {about['processor']}; "
        f"{about['fpcalc'] or 'fpcalc is not installed'}.{corpus} Elapsed time was "
        f"{_elapsed(rows):.2f} times that of the core at the median; where that is far above 1, "
        "other work was going on.\n\n"
    )


def _elapsed(rows):
    """Elapsed seconds per second of a core, the median of all that was measured."""
    measured = [row["stream"] for row in _of(rows, "hashing")]
    return median(row["elapsed_s"] / row["processor_s"] for row in measured)


def _files(rows):
    lines = []
    for row in _of(rows, "model"):
        whole, *small = row["files"].items()
        for name, size in small:
            cells = [f"{whole[1] / 1e3:,.0f}", f"{size / 1e3:,.0f}", ratio(whole[1] / size)]
            lines.append(line(row["system"], *cells, f"`{name}`"))
    if not lines:
        return ""
    names = ("model", "kB", "quantised kB", "ratio", "quantised file")
    return "\n".join(["## Files\n", *head(*names), *lines, ""])


def _hashing(sides):
    """Sections: a long stream, a lone window, indexing."""
    stream = {
        side: (
            median(r["stream"]["processor_s"] / r["audio_s"] for r in own),
            median(_ms_per_window(r) for r in own),
        )
        for side, own in sides.items()
    }
    lone = {
        side: median(r["lone"]["processor_s"] / LONE for r in own)
        for side, own in sides.items()
        if own[0]["lone"]
    }
    index = {
        side: median(r["index"]["processor_s"] / r["audio_s"] for r in own)
        for side, own in sides.items()
    }
    return [
        _table(
            "A long stream",
            "Decoded recordings are hashed one after the other: indexing without decoding. The "
            "classics build their index in memory; fpcalc is started for each recording and reads "
            "it as WAV.",
            ("ms per window", "x real time"),
            {side: (cost, [number(ms), number(1 / cost)]) for side, (cost, ms) in stream.items()},
        ),
        _table(
            "A lone window",
            "One window, hashed alone; the classics begin an index with it. fpcalc says nothing of "
            "a clip this short.",
            ("ms per window",),
            {side: (cost, [number(1000 * cost)]) for side, cost in lone.items()},
        ),
        _table(
            "Indexing",
            "Decoding, hashing and all that is kept, on disk for models, in memory for the "
            "classics; fpcalc decodes by itself and keeps nothing.",
            ("x real time",),
            {side: (cost, [number(1 / cost)]) for side, cost in index.items()},
        ),
    ]


def _held(sides):
    """Sections: memory of the process that indexes, bytes of what it leaves."""
    memory = {side: median(row["peak_bytes"] for row in own) for side, own in sides.items()}
    n_bytes = {side: own[0]["bytes"] / own[0]["audio_s"] for side, own in sides.items()}
    return [
        _table(
            "Memory",
            "The most that the process which indexes holds: Python and its libraries, one "
            "recording, and the index where it is in memory. fpcalc is a program of its own, "
            "without Python.",
            ("peak MB",),
            {side: (cost, [number(cost / 1e6)]) for side, cost in memory.items()},
        ),
        _table(
            "Index",
            "All that search needs, per second of indexed audio.",
            ("bytes per second",),
            {side: (cost, [number(cost)]) for side, cost in n_bytes.items()},
        ),
    ]


def _table(title, text, names, sides):
    """A section; `sides` gives for each side what it costs and the cells that say so."""
    peers = [name for name in PEERS if (name, None) in sides]
    lines = []
    for (system, file), (cost, cells) in sides.items():
        ratios = [ratio(sides[name, None][0] / cost) for name in peers]
        label = f"{system}, `{file}`" if file else system
        lines.append(line(label, *cells, *ratios))
    names = ("system", *names, *(f"ratio to {name}" for name in peers))
    return f"## {title}\n\n{text}\n\n" + "\n".join([*head(*names), *lines, ""])


def _ms_per_window(row):
    """`None` counts no windows: those of peers are not ours."""
    return 1000 * row["stream"]["processor_s"] / row["windows"] if row["windows"] else 0.0


def _of(rows, kind):
    return [row for row in rows if row["kind"] == kind]


def number(value):
    """A cell: a number with three digits; nothing where there is none."""
    if not value:
        return NONE
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}"


def ratio(value):
    """A cell: a number with two digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:#.2g}" if value < 10 else f"{value:.0f}"
