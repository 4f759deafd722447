"""P5, recommendation: tracks near to a track, and whether artist or genre are the same.

Of every track each model makes two vectors: the mean of its embeddings, and how often each bit of
its hashes is set, as `a2v.similar` makes it of stored hashes.
"""

import numpy as np

from a2v import hashing, metrics, similar
from a2v.benchmarking.tables import NONE, head, line

TOP = 10
TASKS = ("artist", "genre")
VECTORS = ("embedding", "bits")


def pooled(embedded, audible):
    """The vectors of a track.

    Args:
        embedded: float `[windows, d]`; audible: bool `[windows]`, one at least is true.

    Returns:
        dict of float64 `[d]`: `embedding`, the mean of the audible windows' embeddings, each and
        the mean itself scaled to length 1; `bits`, `similar.profile` of their hashes' signs.
    """
    heard = np.asarray(embedded, np.float64)[audible]
    return {
        "embedding": similar.centre(_unit(heard)),
        "bits": similar.profile(2.0 * hashing.binarize(heard) - 1),
    }


def rankings(values, tracks, task):
    """Ranks for every track those that may be recommended with it.

    For both tasks other tracks of the same work are left out: versions would be the answer. For
    `genre` those by the same artist are left out, too (the artist filter), where artists are known:
    what is alike would otherwise be the artist, or the album.

    Args:
        values: float `[tracks, d]`, one vector for each track; near is near in the Euclidean sense.
        tracks: list of corpora.Track.
        task: str, one of `TASKS`: the label that makes a track relevant.

    Returns:
        list of dicts: `query`, `candidates` (int) and `places` (ints from 1, of the relevant
        ones); one for each track whose label is known and shared by a candidate. Candidates'
        labels are known, too. Of candidates at the same distance relevant ones come last.
    """
    works, artists, labels = (
        np.array([getattr(track, key) for track in tracks]) for key in ("work", "artist", task)
    )
    found = []
    for k, track in enumerate(tracks):
        among = (labels != "") & (works != works[k])
        if task == "genre" and artists[k]:
            among &= artists != artists[k]
        relevant = labels[among] == labels[k]
        if labels[k] and relevant.any():
            distance = np.linalg.norm(values[among] - values[k], axis=1)
            order = np.lexsort((relevant, distance))
            places = np.flatnonzero(relevant[order]) + 1
            row = {"query": track.track, "candidates": len(relevant)}
            found.append(row | {"places": places.tolist()})
    return found


def scores(ranking):
    """Precision at `TOP` and average precision of one ranking: two floats, 0 to 1."""
    places = np.array(ranking["places"])
    relevant = np.isin(np.arange(1, ranking["candidates"] + 1), places)
    return np.count_nonzero(places <= TOP) / TOP, metrics.mean_average_precision([relevant])


def chance(ranking):
    """What `scores` are in the mean over all orders of the candidates: two floats, exact."""
    n, r = ranking["candidates"], len(ranking["places"])
    first = np.sum(1 / np.arange(1, n + 1)) / n
    others = (r - 1) / (n - 1) if n > 1 else 0.0
    return min(TOP, n) / TOP * r / n, first + others * (1 - first)


def best(ranking):
    """What `scores` are at most: two floats."""
    return min(TOP, len(ranking["places"])) / TOP, 1.0


def section(rows, task):
    """The table of a task, with what it holds for: Markdown.

    Args:
        rows: list of dicts, see `recommend.measure`.
        task: str, one of `TASKS`.

    Returns:
        str.
    """
    about = next(row for row in rows if row["kind"] == "tracks")
    asked = zip(about["artist"], about[task], about["tune"], strict=True)
    known = [artist for artist, label, tune in asked if label and not tune]
    found = [row for row in rows if row["kind"] == "ranking" and row["task"] == task]
    title = f"## Same {task}\n\n"
    if not found:
        among = f"of {len(known)} tracks whose {task} is known, none shares it with another one "
        reason = among + "that may be recommended" if known else f"no track's {task} is known"
        return f"{title}Left out: {reason}.\n"
    lines = head("system", "vector", f"precision@{TOP}", "MAP", texts=2)
    for system in dict.fromkeys(row["system"] for row in found):
        for vector in VECTORS:
            mine = [r for r in found if (r["system"], r["vector"]) == (system, vector)]
            cells = map(_mean, zip(*map(scores, mine), strict=True))
            lines.append(line(system, vector, *cells))
    for name, bound in (("chance", chance), ("best possible", best)):
        cells = (f"{value:.3f}" for value in np.mean([bound(row) for row in mine], axis=0))
        lines.append(line(name, NONE, *cells))
    return f"{title}{_statement(task, mine, known)}\n\n" + "\n".join(lines) + "\n"


def _statement(task, mine, known):
    candidates = _span([row["candidates"] for row in mine])
    relevant = _span([len(row["places"]) for row in mine])
    unknown = known.count("")
    filtered = "its work (versions would be the answer)"
    if task == "genre":
        filtered += " and by its artist (artist filter)"
    blind = f" {unknown} of the tracks have no known artist and pass the artist filter."
    return (
        f"{len(mine)} queries among {len(known)} tracks whose {task} is known; of these, the query "
        f"itself and all of {filtered} are left out, which leaves {candidates} candidates, "
        f"{relevant} of them relevant.{blind if task == 'genre' and unknown else ''} Means over "
        "queries ± 1.96 standard errors; queries share their tracks, which makes these smaller "
        "than independent ones would. Chance is the exact mean over all orders of the candidates."
    )


def _mean(values):
    """A cell: the mean over queries, and 1.96 standard errors of it."""
    if len(values) < 2:
        return f"{np.mean(values):.3f}"
    return f"{np.mean(values):.3f} ± {1.96 * np.std(values, ddof=1) / len(values) ** 0.5:.3f}"


def _span(counts):
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"


def _unit(values):
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    return values / np.where(length > 0, length, 1)
