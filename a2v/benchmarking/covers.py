"""P2, cover identification: clips of covers against originals, and whole tracks against each other.

Clips are asked as Shah and Sitonic (2017, section III) ask: a clip of L windows is its L hashes on
the grid, its distance to an original the smallest Hamming distance over all hop-aligned positions,
and a tie between different originals counts as wrong. Whole tracks are ranked by the same distance
for MAP and MR1, each track asked against all others, and beside it by alignment (Qmax), which
forgives another tempo, form or, where a model can, key.
"""

import time
from collections import Counter
from dataclasses import dataclass
from functools import partial

import numpy as np

from a2v import audio, metrics
from a2v.benchmarking import cover_alignment, cover_charts
from a2v.benchmarking.report import Picture
from a2v.errors import A2VError
from a2v.search import ExactSearch

LENGTHS_S = (1.0, 2.0, 3.0, 5.0, 10.0, 30.0)
# Clips of each cover for each length, evenly over the cover.
CLIPS = 10
PUBLISHED = {1.0: 10.42, 3.0: 20.28}  # %, 20 originals, 60 covers
PUBLISHED_BY = "Shah, Sitonic 2017"
# Whole tracks ranked, by the kind of their rows: the columns.
RANKINGS = {"ranking": ("MAP", "MR1"), "aligned": ("MAP aligned", "MR1 aligned")}
ALIGNED = (
    "Aligned: whole tracks ranked by Qmax (Serra, Serra, Andrzejak 2009) on each model's codes, "
    f"stacked over {cover_alignment.STACKED * cover_alignment.FRAME_S:g} s; in the two likeliest "
    "transpositions where a model's codes can be transposed. `qmax`: the same on chroma, whole "
    "tracks only.\n"
)


@dataclass(frozen=True)
class Version:
    """A track of a work: the first one is its original, the others are covers."""

    track: str
    path: str
    work: str
    original: bool


def versions(tracks, *, splits=None):
    """Originals and their covers; a work without covers is an original that nobody asks for.

    Args:
        tracks: list of corpora.Track.
        splits: collection of str, those whose works are taken; `None` takes all.

    Returns:
        list of Version, by work; of each work the first is the original.

    Raises:
        A2VError: no work has two tracks.
    """
    works = {}
    for track in tracks:
        if splits is None or track.split in splits:
            works.setdefault(track.work, []).append(track)
    found = [
        Version(track.track, track.path, work, original=k == 0)
        for work, members in works.items()
        for k, track in enumerate(members)
    ]
    if all(version.original for version in found):
        asked = f" of the splits {', '.join(splits)}" if splits else ""
        raise A2VError(f"no work{asked} has two tracks; give a corpus with covers")
    return found


def answers(encoder, found, *, lengths_s=LENGTHS_S, clips=CLIPS, progress=None):
    """Asks with clips of covers and with whole tracks.

    Args:
        encoder: `runtime.Encoder`; where it has `pitch_classes`, its codes are aligned over
            transpositions, see `alignment.transpose`.
        found: list of Version.
        lengths_s: floats, s; clips: int, of each cover for each length.
        progress: function `(done, total)`.

    Returns:
        list of dicts, rows of the answers file: of kind `clip` (`truth`, `answer` or null where
        originals tie, `distance`, `length_s` null for a whole cover) and of the kinds `ranking`
        and, with alignment, `aligned` (`truth`, `relevant`: bool for each other track, nearest
        first; of works with covers).
    """
    codes, audible = _heard(encoder, found)
    originals = [k for k, version in enumerate(found) if version.original]
    search, everything = _search(codes, originals), _search(codes, range(len(codes)))
    rows = []
    for k, (version, own) in enumerate(zip(found, codes, strict=True)):
        about = {"system": encoder.name, "query": version.track, "truth": version.work}
        if not version.original:
            for length_s, start, part in _excerpts(own, lengths_s, encoder, clips):
                place = {"length_s": length_s, "start_s": start * encoder.hop_s}
                asked = _clip(part, search, [found[k].work for k in originals], encoder)
                rows.append({"kind": "clip", **about, **place, **asked})
        rows += _ranking("ranking", about, found, k, _distances(everything, own, encoder))
        if progress:
            progress(k + 1, 2 * len(found))
    apart = cover_alignment.distances(
        audible,
        hop_s=encoder.hop_s,
        pitch_classes=getattr(encoder, "pitch_classes", 0),
        progress=_second_half(progress),
    )
    return rows + _aligned(encoder.name, found, apart)


def baseline(found, *, progress=None):
    """Asks the baseline, chroma aligned by Qmax, with whole tracks; it is not asked with clips.

    Args:
        found: list of Version.
        progress: function `(done, total)`.

    Returns:
        list of dicts, as from `answers`: of kind `clip` for every whole cover (`distance` null
        where nothing recurs) and of kind `aligned`.
    """
    heard = []
    for done, version in enumerate(found, 1):
        heard.append(cover_alignment.chroma(audio.load(version.path)))
        if progress:
            progress(done, 2 * len(found))
    apart = cover_alignment.distances(
        heard,
        hop_s=cover_alignment.FRAME_S,
        pitch_classes=cover_alignment.PITCH_CLASSES,
        progress=_second_half(progress),
    )
    originals = [k for k, version in enumerate(found) if version.original]
    works = [found[k].work for k in originals]
    rows = []
    for version, distance in zip(found, apart[:, originals], strict=True):
        if not version.original:
            about = {"system": cover_alignment.QMAX, "query": version.track, "truth": version.work}
            whole = {"length_s": None, "start_s": 0.0, **_nearest(distance, works)}
            rows.append({"kind": "clip", **about, **whole})
    return rows + _aligned(cover_alignment.QMAX, found, apart)


def _heard(encoder, found):
    """Hashes of every track, and the same without silence, which all tracks have in common."""
    codes, audible = [], []
    for version in found:
        waveform = audio.load(version.path, downmix=encoder.downmix)
        codes.append(encoder.hash(waveform))
        audible.append(codes[-1][encoder.audible(waveform)])
    return codes, audible


def _second_half(progress):
    return progress and (lambda done, total: progress(total + done, 2 * total))


def _aligned(name, found, apart):
    rows = []
    for k, version in enumerate(found):
        about = {"system": name, "query": version.track, "truth": version.work}
        rows += _ranking("aligned", about, found, k, apart[k])
    return rows


def _ranking(kind, about, found, own, distance):
    """The row of one whole track asked against all others; none of a work without covers."""
    others = [k for k in np.argsort(distance, kind="stable") if k != own]
    relevant = [found[k].work == found[own].work for k in others]
    return [{"kind": kind, **about, "relevant": relevant}] if any(relevant) else []


def _search(codes, members):
    chosen = [codes[k] for k in members]
    return ExactSearch(np.concatenate(chosen), np.cumsum([0, *map(len, chosen)]))


def _windows(length_s, encoder):
    """Hashes of a clip: 1 s = 1, 3 s = 9 at a hop of 0.25 s."""
    return 1 + round((length_s - encoder.window_s) / encoder.hop_s)


def _excerpts(codes, lengths_s, encoder, clips):
    """Clips of a cover, `(length_s, first hash, hashes)`, the whole cover last, with `None`."""
    for length_s in lengths_s:
        windows = _windows(length_s, encoder)
        last = len(codes) - windows
        for start in np.unique(np.linspace(0, last, clips).astype(int)) if last >= 0 else []:
            yield length_s, int(start), codes[start : start + windows]
    yield None, 0, codes


def _distances(search, codes, encoder):
    """Smallest distance to each track, as a share of the bits: float64 `[tracks]`."""
    hits = search.search([(codes, np.ones(len(codes), bool))])[0]
    return hits.distance / (encoder.n_bits * hits.windows)


def _clip(codes, search, works, encoder):
    began = time.perf_counter()
    asked = _nearest(_distances(search, codes, encoder), works)
    return asked | {"ms": round(1000 * (time.perf_counter() - began), 2)}


def _nearest(distance, works):
    best = float(distance.min())
    nearest = {works[k] for k in np.flatnonzero(distance == best)} if np.isfinite(best) else ()
    return {
        "answer": min(nearest) if len(nearest) == 1 else None,
        "distance": best if np.isfinite(best) else None,
    }


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
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for system in dict.fromkeys(row["system"] for row in clips):
        mine = [row for row in rows if row.get("system") == system]
        asked = [row for row in mine if row["kind"] == "clip"]
        cells = [_rate([r for r in asked if r["length_s"] == s]) for s in (*lengths, None)]
        cells += [cell for kind in kinds for cell in _ranks(_relevant(mine, kind))]
        lines.append("| " + " | ".join([system, *cells]) + " |")
    theirs = [f"{PUBLISHED[s]:.2f}" if s in PUBLISHED else "" for s in lengths]
    theirs += [""] * (len(head) - 1 - len(lengths))
    lines.append("| " + " | ".join([PUBLISHED_BY, *theirs]) + " |")
    return "\n".join(lines) + "\n"


def statement(rows):
    """What the numbers hold for, in a plain sentence: Markdown."""
    run, clips = rows[0], [row for row in rows if row["kind"] == "clip"]
    asked = Counter((row["system"], row["length_s"]) for row in clips if row["length_s"])
    counts = sorted({min(asked.values()), max(asked.values())}) if asked else [0]
    covers = len({row["query"] for row in clips})
    return (
        f"Corpus {run['corpus']} (SHA-256 {run['corpus_sha256'][:12]}, seed {run['seed']}); "
        f"{run['tracks']} originals, {covers} covers, chance {100 / run['tracks']:.1f} %; "
        f"{' to '.join(map(str, counts))} clips a cell. "
        f"{PUBLISHED_BY}: 20 originals, 60 covers of their own. Commit {run['commit']}; "
        f"{run['machine']}.\n"
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
    low, high = metrics.wilson(right, len(clips))
    return f"{100 * right / len(clips):.1f} [{100 * low:.0f}-{100 * high:.0f}]"
