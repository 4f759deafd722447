"""P1, fingerprint retrieval: accuracy against clip length under every degradation.

The catalogue is a corpus without three tenths of the works of its tune and test splits. Queries are
excerpts of test tracks at random places off the grid, three tenths of them of the works left out;
more of them, of tune tracks, set the thresholds. Or nothing is left out, and all queries are of
indexed tracks. Each excerpt is cut and degraded once and put to every system.
"""

import time
from dataclasses import dataclass
from functools import partial

import numpy as np

from a2v import audio, conditions
from a2v.benchmarking import charts, tables
from a2v.benchmarking.report import Picture

LENGTHS_S = (1.0, 2.0, 3.0, 5.0, 6.0, 10.0)
QUERIES = 60
# Out of ten excerpts, so many are of works that are not in the catalogue.
UNKNOWN_OF_TEN = 3
# Excerpts of unknown tune tracks for each length that the thresholds are set on.
TUNE_QUERIES = 100
# Source seconds behind an excerpt, as a part of it: what speed and tempo changes read ahead.
AHEAD = 0.06


@dataclass(frozen=True)
class Task:
    """One excerpt, to be degraded in several ways: `number` counts within its split and length."""

    split: str
    number: int
    length_s: float
    track: str
    path: str
    known: bool
    conditions: tuple


def parted(tracks, seed, *, whole=False):
    """Leaves works out of the catalogue.

    Args:
        tracks: list of corpora.Track, each with a split.
        seed: int.
        whole: bool, leave none out.

    Returns:
        (catalogue, unknown): lists of Track; the second are of tune and test works.
    """
    generator = np.random.default_rng([seed, 1])
    out = set()
    for split in () if whole else ("tune", "test"):
        works = sorted({track.work for track in tracks if track.split == split})
        count = max(1, round(len(works) * UNKNOWN_OF_TEN / 10)) if len(works) > 1 else 0
        out |= {works[i] for i in generator.permutation(len(works))[:count]}
    return [t for t in tracks if t.work not in out], [t for t in tracks if t.work in out]


def tasks(catalogue, unknown, *, queries=QUERIES, lengths_s=LENGTHS_S, names=conditions.NAMES):
    """Plans all excerpts.

    Args:
        catalogue, unknown: from `parted`.
        queries: int, for each length and condition.
        lengths_s: floats, s; names: degradations, see `conditions`.

    Returns:
        list of Task.
    """
    members = [track for track in catalogue if track.split == "test"]
    strangers = [track for track in unknown if track.split == "test"]
    others = [track for track in unknown if track.split == "tune"]
    planned = []
    for length_s in lengths_s:
        for number in range(queries):
            known = number % 10 >= UNKNOWN_OF_TEN or not strangers
            pool = members if known else strangers
            # Counted within its kind, so that every track has its turn.
            turn = number // 10 * (10 - UNKNOWN_OF_TEN if known else UNKNOWN_OF_TEN) + number % 10
            track = pool[turn % len(pool)]
            planned.append(_task("test", number, length_s, track, known, tuple(names)))
        for number in range(TUNE_QUERIES if others else 0):
            track, name = others[number % len(others)], names[number % len(names)]
            planned.append(_task("tune", number, length_s, track, False, (name,)))
    return planned


def _task(split, number, length_s, track, known, names):
    return Task(split, number, length_s, track.track, track.path, known, names)


def answered(task, systems, seed, *, noises, rooms):
    """Cuts and degrades one excerpt and puts it to every system.

    Args:
        task: Task.
        systems: list of opened systems.
        seed: int; the excerpt depends on it and on the task alone.
        noises, rooms: lists of float32 `[m]`.

    Returns:
        list of dicts, the rows of the answers file.
    """
    number_of = ("test", "tune").index(task.split)
    draw = [seed, 2, number_of, task.number, round(1000 * task.length_s)]
    waveform = audio.load(task.path)
    length = round(task.length_s * audio.SAMPLE_RATE)
    start = _audible_start(waveform, length, np.random.default_rng(draw))
    rows = []
    for name in task.conditions:
        # The same state for all: they share their noise and their room, and differ in nothing else.
        own = np.random.default_rng([*draw, 1])
        heard = conditions.heard(waveform, start, length, name, own, noises=noises, rooms=rooms)
        for system in systems:
            row = {
                "kind": "answer",
                "system": system.name,
                "split": task.split,
                "query": task.number,
                "condition": name,
                "length_s": task.length_s,
                "truth": task.track,
                "known": task.known,
                "start_s": start / audio.SAMPLE_RATE,
            }
            rows.append(row | _answer(system, heard, task))
    return rows


def parts(rows):
    """All tables and figures of a run.

    Args:
        rows: list of dicts, see `runner.read`.

    Returns:
        list of str (Markdown) and `report.Picture`.
    """
    pooled = ", ".join(tables.chosen(rows, tables.MAIN))
    band = "Bands are 95 % Wilson intervals, the dotted line is chance."
    return [
        "# Accuracy against clip length",
        "Right track in % [95 % Wilson interval]; definitions as in P1 of benchmarks/README.md.",
        Picture(
            "length",
            partial(charts.accuracy_against_length, rows),
            f"Right track by length of the clip. {band}",
        ),
        tables.accuracy(rows),
        tables.statement(rows),
        "## Noise",
        Picture(
            "noise",
            partial(charts.accuracy_against_snr, rows),
            f"Right track by level of the noise alone. {band}",
        ),
        *(_refusals(rows, pooled) if any(not row.get("known", True) for row in rows) else []),
        "## Offsets, errors and cost",
        "Near hits (offset within 0.5 s), exact hits (within 0.125 s), false accepts and false "
        "rejects at the shipped threshold in % [95 % Wilson interval]; mean reciprocal rank; "
        "milliseconds per query; bytes of index per second of audio. Pooled over "
        f"{pooled}. These share their excerpts, which makes the intervals here narrower than "
        "independent queries would.",
        tables.quality(rows),
        "## Every condition",
        "Right track in % [95 % Wilson interval].",
        tables.accuracy(rows, shown=None),
        Picture(
            "conditions",
            partial(charts.accuracy_against_length, rows, shown=None),
            f"Every condition. {band}",
        ),
    ]


def _refusals(rows, pooled):
    return [
        "## Knowing when there is no match",
        Picture(
            "thresholds",
            partial(charts.det, rows),
            "Every threshold trades strangers that are answered (across) against known queries "
            "that stay without the right answer (up); nearer to the lower left corner is better. "
            f"Pooled over {pooled}; half a query stands for 0.",
        ),
    ]


def _answer(system, heard, task):
    began = time.perf_counter()
    found = system.query(heard)
    ms = 1000 * (time.perf_counter() - began)
    ranks = [rank for rank, answer in enumerate(found, 1) if answer.track == task.track]
    best = found[0] if found else None
    return {
        "answer": best.track if best else None,
        "offset_s": float(best.offset_s) if best else None,
        "score": float(best.score) if best else None,
        "rank": ranks[0] if ranks and task.known else None,
        "ms": round(ms, 2),
    }


def _audible_start(waveform, length, generator):
    """Where an excerpt begins that is not silent and has all it needs behind it."""
    last = max(1, len(waveform) - round(length * (1 + AHEAD)))
    for _ in range(100):
        start = int(generator.integers(last))
        if audio.level_dbfs(waveform[start : start + length]) > audio.SILENCE_DBFS:
            break
    return start
