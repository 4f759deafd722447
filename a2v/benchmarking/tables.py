"""Markdown tables, made from the raw answers of a retrieval run (P1 of benchmarks/README.md)."""

from a2v import intervals, metrics
from a2v.benchmarking import runner
from a2v.errors import A2VError

# What the main table shows of all conditions.
MAIN = ("clean", "10 dB", "5 dB", "0 dB", "room + 5 dB")
# A system without a threshold of its own gets the one that lets so many strangers pass.
FALSE_ACCEPT_RATE = 0.01
QUALITIES = ("system", "clip", "near hits", "exact hits", "MRR", "false accepts", "false rejects")
QUALITIES += ("ms, p50", "ms, p95", "bytes per s")
NONE = "–"


def parts(rows):
    """Sorts the rows of an answers file.

    Args:
        rows: list of dicts, see `runner.read`.

    Returns:
        (run, systems, answers): a dict, a dict of system to its row, and the answer rows of the
        test split. What was asked to set thresholds is not among them, see `thresholds`.

    Raises:
        A2VError: the run or a system is not described, or there are no answers.
    """
    heads = [row for row in rows if row["kind"] == "run"]
    systems = {row["system"]: row for row in rows if row["kind"] == "system"}
    answers = [row for row in rows if row["kind"] == "answer" and _split(row) == "test"]
    if len(heads) != 1 or not answers:
        raise A2VError(
            f"{len(heads)} runs and {len(answers)} answers, but a table is made of one run; "
            "run the suite again"
        )
    strange = {row["system"] for row in answers} - systems.keys()
    if strange:
        raise A2VError(f"answers of {', '.join(sorted(strange))}, not described; run again")
    return heads[0], systems, answers


def conditions(rows):
    """The conditions of an answers file, in the order in which they were asked."""
    return tuple(dict.fromkeys(row["condition"] for row in parts(rows)[2]))


def chosen(rows, wanted):
    """Those of some conditions that an answers file has; all it has if none of them, or `None`."""
    present = conditions(rows)
    return tuple(name for name in wanted or () if name in present) or present


def lengths_s(rows):
    """The clip lengths of an answers file: floats, s, rising."""
    return tuple(sorted({row["length_s"] for row in parts(rows)[2]}))


def thresholds(rows, system):
    """From which score on an answer of a system counts as a match.

    Args:
        rows: list of dicts, see `runner.read`.
        system: str.

    Returns:
        dict of clip length (float, s) to score. The system's own where it has some (one number, or
        one for each length); otherwise set here, on the answers to queries of the tune split, at
        `FALSE_ACCEPT_RATE`; empty where there are none.
    """
    own = parts(rows)[1][system]["threshold"]
    if isinstance(own, dict):
        return {float(length_s): score for length_s, score in own.items()}
    if own is not None:
        return dict.fromkeys(lengths_s(rows), own)
    tune = [row for row in rows if row["kind"] == "answer" and _split(row) == "tune"]
    strangers = metrics.select(tune, system=system, known=False)
    return {
        length_s: metrics.threshold_at(
            metrics.scores(metrics.select(strangers, length_s=length_s)), FALSE_ACCEPT_RATE
        )
        for length_s in sorted({row["length_s"] for row in strangers})
    }


def statement(rows):
    """What the numbers hold for, in plain sentences: Markdown."""
    run, systems, answers = parts(rows)
    cells = {}
    for row in answers:
        key = row["system"], row["condition"], row["length_s"], row["known"]
        cells[key] = cells.get(key, 0) + 1
    known = _span(count for key, count in cells.items() if key[3])
    unknown = [count for key, count in cells.items() if not key[3]]
    strangers = f", and {_span(unknown)} of tracks that are not indexed, for false accepts"
    hours = max(row["audio_s"] for row in systems.values()) / 3600
    set_here = [name for name in systems if systems[name]["threshold"] is None]
    at = f" (those of {', '.join(set_here)} here, at a false-accept rate of at most "
    at += f"{100 * FALSE_ACCEPT_RATE:g} %)" if set_here else ""
    limits = f"Thresholds come from the tune split alone{at if set_here else ''}. "
    more = run.get("distractors", 0)
    guessed = "" if more else f"; chance {100 / run['tracks']:.2f} %"
    beside = f", among {more:,} hashes of train tracks at other speeds" if more else ""
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    held = ", ".join(
        f"{name} {about['bytes'] / about['audio_s']:.0f}"
        for name, about in systems.items()
        if about["bytes"]
    )
    return (
        f"{runner.corpus(run)}; "
        f"catalogue of {run['tracks']} tracks, {hours:.1f} h{beside}; each cell {known} queries of "
        f"indexed tracks, at random offsets off the grid{strangers if unknown else ''}"
        f"{guessed}. {limits if unknown else ''}Bytes of index for a second of "
        f"audio: {held}. Measured by {runner.provenance(run)}; {versions}."
    )


def accuracy(rows, *, shown=MAIN):
    """Accuracy against clip length, system beside system: the main table.

    Args:
        rows: list of dicts, see `runner.read`.
        shown: list of conditions, see `chosen`; `None` for all.

    Returns:
        Markdown: right track in % [95 % Wilson interval].
    """
    _, systems, answers = parts(rows)
    lengths = lengths_s(rows)
    lines = head("condition", "system", *(f"{length_s:g} s" for length_s in lengths), texts=2)
    for condition in chosen(rows, shown):
        for system in systems:
            mine = metrics.select(answers, system=system, condition=condition, known=True)
            cells = [metrics.select(mine, length_s=length_s) for length_s in lengths]
            rates = (hits(cell, "track") for cell in cells)
            lines.append(line(condition, system, *rates))
    return "\n".join(lines) + "\n"


def quality(rows, *, shown=MAIN):
    """What else an answer is worth, and what it costs, by system and clip length.

    Args:
        rows: list of dicts, see `runner.read`.
        shown: list of conditions that are pooled, see `chosen`; `None` for all.

    Returns:
        Markdown: near and exact hits, false accepts and rejects at the threshold in % [95 % Wilson
        interval], MRR, ms per query (median, 95th percentile), bytes per second of indexed audio.
    """
    _, systems, answers = parts(rows)
    wanted = chosen(rows, shown)
    pooled = [row for row in answers if row["condition"] in wanted]
    lines = head(*QUALITIES)
    for system, about in systems.items():
        limits = thresholds(rows, system)
        for length_s in lengths_s(rows):
            mine = metrics.select(pooled, system=system, length_s=length_s)
            if not mine:
                continue
            known = metrics.select(mine, known=True)
            errors = _errors(mine, limits.get(length_s))
            lines.append(
                line(
                    system,
                    f"{length_s:g} s",
                    hits(known, "near"),
                    hits(known, "exact"),
                    f"{metrics.mrr(known):.3f}" if known else NONE,
                    *errors,
                    *(_ms(value) for value in metrics.percentiles(mine)),
                    f"{about['bytes'] / about['audio_s']:.0f}",
                )
            )
    return "\n".join(lines) + "\n"


def interval(right, n, *, digits=0):
    """A cell: right of n in %, its 95 % Wilson interval in brackets.

    The interval is told to so many digits after the point, the rate to one at least.
    """
    rate, low, high = (100 * share for share in (right / n, *intervals.wilson(right, n)))
    return f"{rate:.{max(1, digits)}f} [{low:.{digits}f}-{high:.{digits}f}]"


def line(*cells):
    """A table's row of some cells."""
    return "| " + " | ".join(map(str, cells)) + " |"


def head(*names, texts=1):
    """The two rows that a table begins with: list of str, the first columns of text."""
    return [line(*names), "|" + "---|" * texts + "---:|" * (len(names) - texts)]


def hits(known, kind):
    """A cell: how many of the answers to known queries are hits of a kind, see `metrics.hits`."""
    return interval(metrics.hits(known)[kind].sum(), len(known)) if known else NONE


def _split(row):
    return row.get("split", "test")


def _span(counts):
    counts = sorted(set(counts))
    if not counts:
        return "0"
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _errors(rows, threshold):
    """Two cells: false accepts and false rejects."""
    cells = []
    for rate, known in ((metrics.false_accepts, False), (metrics.false_rejects, True)):
        n = len(metrics.select(rows, known=known))
        cells.append(NONE if threshold is None or not n else interval(rate(rows, threshold) * n, n))
    return cells


def _ms(value):
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"
