"""P5, recommendation and duplicates: which tracks are alike, which are the same recording.

`neighbours` ranks tracks by vectors of whole tracks, `duplicates` aligns their hashes; this makes
both from recordings, and the page of both.
"""

from functools import partial

import numpy as np

from a2v import audio
from a2v.benchmarking import duplicates, embeddings, hash_charts, neighbours, refusals, runner
from a2v.benchmarking.report import Picture
from a2v.errors import A2VError


def measure(encoders, tracks, *, seed, progress=None):
    """Ranks all tracks for each track, and aligns each with all others and with their copies.

    Args:
        encoders: list of `runtime.Encoder` of different names.
        tracks: list of corpora.Track; those of the split `tune` only set the threshold for
            duplicates. Their order is of no consequence. What is silent, or so short that its
            trimmed copy is shorter than a window, is left out.
        seed: int; where trimmed copies begin depends on it and on the tracks alone.
        progress: function `(done, total)`, of tracks.

    Returns:
        list of dicts, rows of the answers file by kind: `tracks`, what was asked, in the order of
        their names; of each model `model`, `ranking` (one per task, vector and query: how many
        `candidates`, and the `places` of the relevant ones from 1), `aligned` and
        `reported`, see `duplicates.answers` and `duplicates.reported`, and `door`, one for each
        copy: the name of the track whose copy it is (`linked`, `None` of none) as a library says.

    Raises:
        A2VError: two models of one name, or fewer than two tracks.
    """
    systems = [encoder.name for encoder in encoders]
    if not systems or len(set(systems)) < len(systems):
        raise A2VError(f"models: {', '.join(systems) or 'none'}; give some, of different names")
    count = _counting(progress, len(tracks) * (1 + len(encoders)))
    kept, made, given = [], [], []
    tracks = sorted(tracks, key=lambda track: track.track)
    with refusals.doors(encoders, [track for track in tracks if track.split != "tune"]) as doors:
        for k, track in enumerate(tracks):
            versions = _versions(encoders, track, [seed, 8, k])
            if versions:
                kept.append(track)
                heard = [(encoder, versions[encoder.downmix]) for encoder in encoders]
                made.append([_hashed(*each) for each in heard])
                given.append(
                    [door.ask(track, own) for door, (_, own) in zip(doors, heard, strict=True)]
                )
            count()
    if len(kept) < 2:
        raise A2VError(f"{len(kept)} tracks that are not silent; give two or more")
    rows = [_about(kept, len(tracks) - len(kept))]
    for k, encoder in enumerate(encoders):
        about = {"model_id": encoder.model_id, "bits": encoder.n_bits}
        own = [
            {"kind": "model", **about},
            *_rows(encoder, kept, [models[k] for models in made], count),
            *_given([models[k] for models in given]),
        ]
        rows += [{"kind": row["kind"], "system": encoder.name, **row} for row in own]
    return rows


def parts(rows):
    """All tables and figures of a run.

    Args:
        rows: list of dicts: those of `measure`, and the run's own where there is one.

    Returns:
        list of str (Markdown) and `report.Picture`.
    """
    figures = []
    if not duplicates.missing(rows):
        for about in (row for row in rows if row["kind"] == "model"):
            same, _, different = duplicates.pairs(rows, about["system"], tune=False)
            bits = about["bits"]
            given = [bits * rates for rates in (np.concatenate(list(same.values())), different)]
            draw = partial(hash_charts.distances, *given, n_bits=bits)
            caption = "whole tracks, aligned: tracks and their copies beside different works."
            name = about["system"]
            figures.append(Picture(f"copies-{name}", draw, f"{name}: {caption}"))
    return [*_sections(rows), *figures]


def _sections(rows):
    about = next(row for row in rows if row["kind"] == "tracks")
    tables = [neighbours.section(rows, task) for task in neighbours.TASKS]
    return [_head(rows, about), *tables, duplicates.section(rows) + refusals.section(rows)]


def _head(rows, about):
    run = next((row for row in rows if row["kind"] == "run"), None)
    corpus = f"\n{runner.corpus(run)}. Measured by {runner.provenance(run)}.\n" if run else ""
    tune = sum(about["tune"])
    return (
        "# Recommendation and duplicates\n\n"
        "Tracks nearest to a track by a vector of the whole track, with the same artist or genre "
        "as relevant, and copies of recordings found in a library; definitions as in P5 of "
        f"benchmarks/README.md. {len(about['tune']) - tune} tracks are asked for, {tune} of the "
        f"tune split set the threshold for duplicates, {about['left_out']} that are silent or too "
        f"short are left out.\n{corpus}"
    )


def _counting(progress, total):
    """A function that tells `progress` of one more part whenever it is called."""
    done = iter(range(1, total + 1))
    return lambda: progress(next(done), total) if progress else None


def _about(kept, left_out):
    """The row of the tracks that are asked for."""
    columns = {
        key: [getattr(track, key) for track in kept] for key in ("track", "work", "artist", "genre")
    }
    tune = [track.split == "tune" for track in kept]
    return {"kind": "tracks", **columns, "tune": tune, "left_out": left_out}


def _given(linked):
    """The rows of kind `door` of one model but for its name."""
    return [
        {"kind": "door", "query": k, "copy": name, "linked": to}
        for k, own in enumerate(linked)
        for name, to in own.items()
    ]


def _versions(encoders, track, draw):
    """Of each way to make a recording mono it and its copies.

    Args:
        encoders: list of `runtime.Encoder`; track: corpora.Track.
        draw: list of int, seeds what the copies draw.

    Returns:
        dict of downmix to what `duplicates.copies` gives; `None` for what is silent or too short.
    """
    sounds = {
        downmix: audio.load(track.path, downmix=downmix)
        for downmix in sorted({encoder.downmix for encoder in encoders})
    }
    for encoder in encoders:
        heard = sounds[encoder.downmix]
        left = len(heard) - 2 * int(duplicates.TRIM * len(heard)) - duplicates.HOP
        if not encoder.windows(left) or not encoder.audible(heard).any():
            return None
    return {
        # The same state for all: their copies begin in the same place.
        downmix: duplicates.copies(heard, np.random.default_rng(draw))
        for downmix, heard in sounds.items()
    }


def _hashed(encoder, versions):
    """Vectors of a track, see `neighbours.pooled`, and hashes, see `duplicates.answers`."""
    embedded = {name: encoder.embed(heard) for name, heard in versions.items()}
    audible = encoder.audible(versions[duplicates.ORIGINAL])
    codes = {name: embeddings.packed(values) for name, values in embedded.items()}
    return neighbours.pooled(embedded[duplicates.ORIGINAL], audible), (codes, audible)


def _rows(encoder, kept, own, count):
    """The rows of one model but for its description and name."""
    rows = []
    parted = {False: [], True: []}
    for k, track in enumerate(kept):
        parted[track.split == "tune"].append(k)
    tracks = [kept[k] for k in parted[False]]
    for task in neighbours.TASKS:
        for vector in neighbours.VECTORS:
            values = np.array([own[k][0][vector] for k in parted[False]])
            about = {"kind": "ranking", "task": task, "vector": vector}
            rows += [about | row for row in neighbours.rankings(values, tracks, task)]
    for tune, members in parted.items():
        made = [own[k][1] for k in members]
        answers = duplicates.answers(made, progress=lambda done, total: count())
        answers += duplicates.reported(encoder, made)
        rows += [row | {"tune": tune} for row in answers]
    return rows
