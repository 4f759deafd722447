"""Tables of sure answers: what was stated beside what was seen, and the page of a run."""

from functools import partial

import numpy as np

from a2v import chance, conditions, intervals
from a2v.benchmarking import runner, sure_charts, tables
from a2v.benchmarking.report import Picture

# Rates of false accepts that a user may state.
STATED = (0.1, 0.03, 0.01, 0.003, 0.001)
# Bins of stated probability.
BINS = np.array([0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1.0])


def parts(rows):
    """All tables and figures of a run: list of str (Markdown) and `report.Picture`."""
    run = rows[0]
    systems = list(dict.fromkeys(row["system"] for row in rows if row["kind"] == "answers"))
    return [
        "# Sure answers\n\n"
        "Definitions as in P7 of benchmarks/README.md. "
        f"{runner.corpus(run)}. "
        f"Measured by {runner.provenance(run)}.",
        "## False accepts\n\nOf excerpts that no track of the catalogue holds, the share in % that "
        "is answered [95 % interval, for excerpts of one track are alike] where so much is "
        f"allowed; *most*: of those that {100 * STATED[-1]:g} % let pass, so many are of a track.",
        false_accepts(rows, systems),
        Picture(
            "false_accepts",
            partial(sure_charts.stated_and_seen, _unknown(rows, systems), STATED),
            "False accepts that were stated and those that were seen; between the dotted lines "
            "they are within a factor of two.",
        ),
        "## Known tracks\n\nOf excerpts of catalogue tracks, the share in % that is answered, and "
        f"rightly, at the default of {chance.MAX_FALSE_ACCEPTS:g} [95 % interval, as above].",
        recall(rows, systems),
        "## Probability",
        Picture(
            "reliability",
            partial(sure_charts.reliability, _judged(rows, systems), BINS),
            "Answers by their stated probability: how many of them are right, all lengths and "
            "conditions together, known and unknown tracks as often. Bands are 95 % Wilson "
            "intervals.",
        ),
        "## What is no music\n\nFalse accepts that the best answer states to ten draws each of "
        "sounds that no track holds, the least of all lengths.",
        sounds(rows, systems),
    ]


def false_accepts(rows, systems):
    """Stated and measured false accepts: Markdown."""
    stated = (f"{100 * s:g} %" for s in STATED)
    lines = tables.head("system", "clip", "excerpts", *stated, "most")
    for system in systems:
        for length_s in lengths_s(rows):
            by_track = _by_track(rows, system, known=False, length_s=length_s)
            counts = [len(own) for own, _ in by_track]
            cells = [
                _interval([np.sum(own <= stated) for own, _ in by_track], counts)
                for stated in STATED
            ]
            answered = [int(np.sum(own <= STATED[-1])) for own, _ in by_track]
            cells.append(f"{max(answered)} of {sum(answered)}")
            about = [system, f"{length_s:g} s", f"{sum(counts):,}"]
            lines.append(tables.line(*about, *cells))
    return "\n".join(lines)


def recall(rows, systems):
    """Known tracks that are answered rightly at the default: Markdown."""
    names = list(dict.fromkeys(row["condition"] for row in rows if row["kind"] == "answers"))
    names.sort(key=conditions.NAMES.index)
    lines = tables.head("system", "clip", *names)
    for system in systems:
        for length_s in lengths_s(rows):
            cells = []
            for name in names:
                chosen = {"known": True, "length_s": length_s, "condition": name}
                by_track = _by_track(rows, system, **chosen)
                accepted = [
                    np.sum((rates <= chance.MAX_FALSE_ACCEPTS) & right) for rates, right in by_track
                ]
                cells.append(_interval(accepted, [len(rates) for rates, _ in by_track]))
            lines.append(tables.line(system, f"{length_s:g} s", *cells))
    return "\n".join(lines)


def sounds(rows, systems):
    """The surest answer to each sound: Markdown."""
    found = [row for row in rows if row["kind"] == "sounds"]
    names = list(dict.fromkeys(row["sound"] for row in found))
    lines = tables.head("system", *names)
    for system in systems:
        cells = []
        for name in names:
            (row,) = (r for r in found if (r["system"], r["sound"]) == (system, name))
            least = min(row["rates"], default=None)
            cells.append("no match" if least is None else f"{least:.2g}")
        lines.append(tables.line(system, *cells))
    return "\n".join(lines)


def _by_track(rows, system, **chosen):
    """What answers about each track stated, and whether they were right: list of (`[n]`, `[n]`)."""
    found = {}
    for row in rows:
        if row["kind"] == "answers" and row["system"] == system:
            if all(row[key] == value for key, value in chosen.items()):
                own = found.setdefault(row["track"], ([], []))
                own[0].extend(row["rates"])
                own[1].extend(row["right"])
    return [(np.array(rates), np.array(right, bool)) for rates, right in found.values()]


def _interval(right, n):
    """A cell: right of n in %, of each track, and its interval in brackets, two digits each."""
    low, high = intervals.clustered(right, n)
    values = (100 * np.sum(right) / max(1, np.sum(n)), 100 * low, 100 * high)
    share, low, high = (f"{value:.2g}" if value < 10 else f"{value:.0f}" for value in values)
    return f"{share} [{low}-{high}]"


def pooled(rows, system, column, **chosen):
    """One column of all answers of a model that are of some length, condition, kind: `[n]`."""
    return np.concatenate(
        [np.zeros(0)]
        + [
            np.asarray(row[column], np.float64)
            for row in rows
            if row["kind"] == "answers"
            and row["system"] == system
            and all(row[key] == value for key, value in chosen.items())
        ]
    )


def lengths_s(rows):
    """The clip lengths of a run: list of float, s, rising."""
    return sorted({row["length_s"] for row in rows if row["kind"] == "answers"})


def _unknown(rows, systems):
    """Stated rates of unknown tracks: dict of (system, length_s) to `[n]`."""
    return {
        (system, length_s): pooled(rows, system, "rates", known=False, length_s=length_s)
        for system in systems
        for length_s in lengths_s(rows)
    }


def _judged(rows, systems):
    """Probabilities and truth: dict of system to {known: (`[n]`, `[n]`)}."""
    columns = "probabilities", "right"
    return {
        system: {
            known: [pooled(rows, system, column, known=known) for column in columns]
            for known in (False, True)
        }
        for system in systems
    }
