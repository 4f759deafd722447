"""P5, duplicates: the same recording encoded again, trimmed or of another gain, in a library.

Whole tracks are compared by their stored hashes alone. Every original is asked against all other
originals and the copies of all tracks; a pair whose aligned bit error rate is at most a threshold,
set on the tune split alone, is reported as a duplicate.
"""

from itertools import combinations
from math import comb

import numpy as np

from a2v import conditions
from a2v import duplicates as duplicates_
from a2v.benchmarking.tables import NONE, head, interval, line
from a2v.search import ExactSearch

ORIGINAL = "original"
TRIMMED, QUIETER, AROUND = "trimmed", "-6 dB", "silence around"
COPIES = (*conditions.CODECS, TRIMMED, QUIETER, AROUND)
GAIN_DB = -6.0
# This share of a recording is cut off each of its ends, and at its beginning up to a hop (0.25 s)
# more: a tenth of clips of 30 s is a multiple of the hop.
TRIM = 0.1
HOP = 4000
# Samples of silence before and after, no multiple of the hop.
SILENCE = 2 * HOP + 1300, 5 * HOP + 700


def copies(waveform, generator):
    """A recording and its copies.

    Args:
        waveform: float32 `[n]` at 16 kHz, n above 5000.
        generator: `numpy.random.Generator`.

    Returns:
        dict of name to float32 `[m]`: `ORIGINAL` and all of `COPIES`; m is n but for the trimmed
        one, which lacks a tenth at each end and up to a hop more at the beginning, and the one
        with silence around. A codec's delay is removed.
    """
    within = {"noises": [], "rooms": []}
    cut = int(TRIM * len(waveform))
    begin = cut + int(generator.integers(HOP))
    return {
        ORIGINAL: waveform,
        **{
            name: conditions.heard(waveform, 0, len(waveform), name, generator, **within)
            for name in conditions.CODECS
        },
        TRIMMED: waveform[begin : len(waveform) - cut],
        QUIETER: np.float32(10 ** (GAIN_DB / 20)) * waveform,
        AROUND: np.pad(waveform, SILENCE),
    }


def error_rates(search, codes, audible):
    """Bit error rate of a track and every track of a catalogue, each aligned where it fits best.

    Args:
        search: `ExactSearch` over whole tracks.
        codes: uint8 `[n, bytes]`; audible: bool `[n]`, one at least is true.

    Returns:
        float64 `[tracks]`, over the audible windows that have a counterpart there; 0.5 where none
        of them has.
    """
    hits = search.search([(codes, audible)])[0]
    before = np.concatenate([[0], np.cumsum(audible)])
    first = np.maximum(-hits.position, 0)
    last = np.minimum(search.lengths - hits.position, len(codes))
    covered = before[last] - before[first]
    n_bits = 8 * codes.shape[1]
    # What overhangs the track adds half its bits to the distance.
    errors = hits.distance - n_bits / 2 * (hits.windows - covered)
    return np.where(covered > 0, errors / (n_bits * np.maximum(covered, 1)), 0.5)


def answers(made, *, progress=None):
    """Compares all tracks of a library with each other and with all copies.

    Args:
        made: list, one for each track, of (codes, audible): a dict of name (see `copies`) to uint8
            `[n, bytes]`, and bool `[n]` for the original's.
        progress: function `(done, total)`, of tracks.

    Returns:
        list of dicts, rows of kind `aligned` but for their system: `query` (int, place in `made`),
        `copy`, and `rates`, of the query's original and that copy of every track.
    """
    names = (ORIGINAL, *COPIES)
    members = [codes[name] for name in names for codes, _ in made]
    if not members:
        return []
    search = ExactSearch(np.concatenate(members), np.cumsum([0, *map(len, members)]))
    rows = []
    for k, (codes, audible) in enumerate(made):
        rates = error_rates(search, codes[ORIGINAL], audible).reshape(len(names), len(made))
        for name, own in zip(names, rates, strict=True):
            row = {"kind": "aligned", "query": k, "copy": name}
            rows.append(row | {"rates": [round(rate, 5) for rate in own.tolist()]})
        if progress:
            progress(k + 1, len(made))
    return rows


def reported(encoder, made):
    """What `a2v-duplicates` reports in a library of all originals and their copies.

    Args:
        encoder: `runtime.Encoder`; made: see `answers`.

    Returns:
        list of one dict, the row of kind `reported` but for its system: `groups`, of lists of
        [place in `made`, copy]; none for nothing made.
    """
    names = [(k, name) for k in range(len(made)) for name in (ORIGINAL, *COPIES)]
    members = [made[k][0][name] for k, name in names]
    if not members:
        return []
    search = ExactSearch(np.concatenate(members), np.cumsum([0, *map(len, members)]))
    found = duplicates_.find(encoder, search, [(name, "") for name in names])
    return [{"kind": "reported", "groups": found.groups}]


def threshold(same, different):
    """The bit error rate up to which pairs are reported.

    Args:
        same: float `[n]`, rates of pairs that are duplicates, at least one.
        different: float `[m]`, rates of pairs that are none, at least one.

    Returns:
        float, halfway between two neighbouring rates: where the F-measure of the reported pairs
        is greatest, the lowest of several such.
    """
    same, different = np.sort(same), np.sort(different)
    rates = np.unique(np.concatenate([same, different]))
    between = np.append((rates[:-1] + rates[1:]) / 2, rates[-1])
    right = np.searchsorted(same, between, side="right")
    wrong = np.searchsorted(different, between, side="right")
    return float(between[np.argmax(2 * right / (right + wrong + len(same)))])


def pairs(rows, system, *, tune):
    """Bit error rates of all pairs of a split.

    A pair is an original and a copy, or two originals; of the latter's two alignments the better
    one counts.

    Args:
        rows: list of dicts, see `recommend.measure`.
        system: str; tune: bool, the tune split or the other tracks.

    Returns:
        (same, versions, different): a dict of copy to float64 `[tracks]`, and two float64 `[n]`:
        of other tracks of the same work, and of tracks of different works.
    """
    about = next(row for row in rows if row["kind"] == "tracks")
    chosen = [w for w, t in zip(about["work"], about["tune"], strict=True) if t == tune]
    works = np.unique(chosen, return_inverse=True)[1]
    mine = [row for row in rows if row["kind"] == "aligned" and row["system"] == system]
    mine = [row for row in mine if row["tune"] == tune]
    aligned = {
        name: np.array([row["rates"] for row in mine if row["copy"] == name])
        for name in (ORIGINAL, *COPIES)
    }
    alike = works[:, None] == works
    apart = ~np.eye(len(works), dtype=bool)
    versions, different = [], []
    for name, rates in aligned.items():
        if name == ORIGINAL:
            rates, asked = np.minimum(rates, rates.T), np.triu(apart)
        else:
            asked = apart
        versions.append(rates[asked & alike])
        different.append(rates[asked & ~alike])
    same = {name: np.diagonal(aligned[name]) for name in COPIES}
    return same, np.concatenate(versions), np.concatenate(different)


def missing(rows):
    """Why duplicates cannot be told: str; `None` where they can."""
    about = next(row for row in rows if row["kind"] == "tracks")
    for tune, name in ((True, "the tune split"), (False, "the tracks asked for")):
        paired = zip(about["work"], about["tune"], strict=True)
        works = {work for work, own in paired if own == tune}
        if len(works) < 2:
            return f"{name} had {len(works)} works, and 2 are needed"
    return None


def section(rows):
    """The table of duplicates, with what it holds for: Markdown.

    Args:
        rows: list of dicts, see `recommend.measure`.

    Returns:
        str.
    """
    title = "## Duplicates\n\n"
    if reason := missing(rows):
        return f"{title}Left out: {reason}.\n"
    names = ("threshold", *COPIES, "all copies", "precision", "versions reported")
    lines = head("system", *names)
    for system in (row["system"] for row in rows if row["kind"] == "model"):
        tuned, _, strangers = pairs(rows, system, tune=True)
        limit = threshold(np.concatenate(list(tuned.values())), strangers)
        same, versions, different = pairs(rows, system, tune=False)
        lines.append(line(system, *_cells(same, versions, different, limit)))
    about = (len(tuned[TRIMMED]), len(strangers)), (len(same[TRIMMED]), len(different))
    return f"{title}{_statement(*about)}\n\n" + "\n".join(lines) + "\n" + _as_reported(rows)


def _as_reported(rows):
    """What the command reports: Markdown; empty of runs before it did."""
    found = [row for row in rows if row["kind"] == "reported" and not row["tune"]]
    if not found:
        return ""
    about = next(row for row in rows if row["kind"] == "tracks")
    works = [w for w, tune in zip(about["work"], about["tune"], strict=True) if not tune]
    most = len(works) * comb(1 + len(COPIES), 2)
    lines = head("system", "recall", "precision", "versions reported")
    for row in found:
        paired = [pair for group in row["groups"] for pair in combinations(group, 2)]
        right = sum(a[0] == b[0] for a, b in paired)
        versions = sum(a[0] != b[0] and works[a[0]] == works[b[0]] for a, b in paired)
        wrong = len(paired) - right - versions
        cells = [
            share(np.repeat([True, False], n)) for n in ([right, most - right], [right, wrong])
        ]
        lines.append(line(row["system"], *cells, versions))
    return (
        f"\nAs `a2v-duplicates` reports them in a library of {len(works)} tracks and their copies: "
        f"pairs of tracks in one group, {most} of them right, in % [95 % Wilson interval]; no "
        "threshold is set.\n\n" + "\n".join(lines) + "\n"
    )


def _cells(same, versions, different, limit):
    """The cells of one system: its threshold, recalls, precision, and versions reported."""
    everything = np.concatenate(list(same.values()))
    recalls = [share(rates <= limit) for rates in (*same.values(), everything)]
    right, wrong = (np.count_nonzero(rates <= limit) for rates in (everything, different))
    precision = share(np.repeat([True, False], [right, wrong]))
    reported = f"{np.count_nonzero(versions <= limit)} of {len(versions)}"
    return [f"{limit:.3f}", *recalls, precision, reported]


def _statement(tune, asked):
    """What the table holds for; both are how many tracks there were, and how many wrong pairs."""
    right, wrong = len(COPIES) * asked[0], asked[1]
    return (
        "Recall by copy and precision of all reported pairs in % [95 % Wilson interval]. A pair is "
        "reported if its hashes, aligned where they fit best, differ in at most the threshold's "
        "share of bits over their overlap. The threshold is where the F-measure is greatest on the "
        f"tune split alone ({tune[0]} tracks, {tune[1]} wrong pairs). Copies of {asked[0]} tracks: "
        "MP3 and Opus, encoded and decoded, their delay removed; trimmed by "
        f"{100 * TRIM:g} % of the length at both ends and, off the grid of hashes, by up to a hop "
        f"more at the beginning; {GAIN_DB:g} dB of gain; silence before and after, off the grid, "
        "too. Each original is compared with everything "
        f"else: {right} right pairs and {wrong} wrong ones, a precision by chance of "
        f"{100 * right / (right + wrong):.2g} %. Wrong pairs grow with the square of the library, "
        "and precision falls with it. Other tracks of the same work (versions) count neither as "
        "right nor as wrong. Pairs share their tracks, which makes the intervals narrower than "
        "independent pairs would."
    )


def share(right):
    """A cell: the rate of what is true, with its interval."""
    return interval(int(right.sum()), len(right)) if len(right) else NONE
