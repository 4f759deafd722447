"""P3 and P4, hashes themselves: how they use their bits, survive degradations, keep distances.

All windows of all tracks, on a model's own grid, tell how the bits are used. Random windows off the
grid, the same for every model and as many of each track, tell how many bits a degradation turns;
random pairs of them, and their nearest windows on the grid, tell how far distances are kept.
"""

import base64
from functools import partial

import numpy as np

from a2v import audio, conditions, features, hashing
from a2v.benchmarking import embeddings, hash_charts, hash_tables
from a2v.benchmarking.report import Picture
from a2v.errors import A2VError

WINDOWS = 390
PAIRS = 5000
# The figure of embeddings by original shows so many works, and windows of each.
WORKS, WORK_WINDOWS = 12, 60
QUERIES_AT_ONCE = 50
# Seconds of a track whose features are shown.
SAMPLE_S = 4


def measure(
    encoders,
    tracks,
    *,
    seed,
    noises,
    rooms,
    windows=WINDOWS,
    pairs=PAIRS,
    names=conditions.NAMES,
    progress=None,
):
    """Hashes all tracks, and random windows of them under every degradation.

    Feature-space distance is the Euclidean one between all frames of two windows, of the model's
    own features where its digest is that of one of `features.FEATURES` as it comes. The exact
    neighbours of a window drawn are those by Euclidean distance of embeddings, among all audible
    windows on the grid that do not overlap with it; embeddings are held in memory, 2 kB for each
    second of audio and model.

    Args:
        encoders: list of `runtime.Encoder` of different names.
        tracks: list of corpora.Track, those of the test split; what is shorter than a window is
            left out.
        seed: int; what is drawn depends on it and on the tracks alone.
        noises, rooms: lists of float32 `[m]`, see `conditions.heard`.
        windows: int, drawn of all tracks together; none is silent, so that silent tracks give none.
        pairs: int, of windows drawn.
        names: list of str, degradations.
        progress: function `(done, total)`, of tracks.

    Returns:
        list of dicts, rows of the answers file by kind: `windows`, what was drawn; `sample`, the
        MFCC of a few seconds; of each model `model`, `hashes` (one per track), `originals` (one
        per track shown), `errors` (one per condition), `pairs` and `neighbours`.

    Raises:
        A2VError: two models of one name, or too little audio to draw from.
    """
    systems = [encoder.name for encoder in encoders]
    if not systems or len(set(systems)) < len(systems):
        raise A2VError(f"models: {', '.join(systems) or 'none'}; give some, of different names")
    layers = [embeddings.layer(encoder) for encoder in encoders]
    length = embeddings.reach(encoders)
    heard, made = [], []
    for k, track in enumerate(tracks):
        waveform = audio.load(track.path)
        if min(encoder.windows(len(waveform)) for encoder in encoders):
            count = len(range(k, windows, len(tracks)))
            generator = np.random.default_rng([seed, 4, k])
            begins = embeddings.starts(waveform, length, count, generator)
            given = (encoders, layers, waveform, begins, names, [seed, 5, k])
            made.append(embeddings.embedded(*given, noises=noises, rooms=rooms))
            heard.append((track, begins))
        if progress:
            progress(k + 1, len(tracks))
    drawn = _drawn(heard, pairs, np.random.default_rng([seed, 6]))
    shown = _shown([track for track, _ in heard], np.random.default_rng([seed, 7]))
    rows = [drawn, _sampled(heard)]
    for k, (encoder, layer) in enumerate(zip(encoders, layers, strict=True)):
        own = [models[k] for models in made]
        rows += _rows(encoder, layer, own, [track for track, _ in heard], drawn, names, shown)
    return rows


def parts(rows):
    """All tables and figures of a run.

    Args:
        rows: list of dicts: those of `measure`, and the run's own where there is one.

    Returns:
        list of str (Markdown) and `report.Picture`.
    """
    collisions, bits, errors, distances = hash_tables.sections(rows)
    balances, spreads, planes = [], [], []
    pooled = ", ".join(hash_tables.pooled(rows))
    for system, about in hash_tables.models(rows).items():
        audible, _ = hash_tables.audible(rows, system)
        caption = f"{system}: how often a bit is set."
        balances.append(
            Picture(f"balance-{system}", partial(hash_charts.bit_balance, audible), caption)
        )
        same, different = hash_tables.distances(rows, system)
        draw = partial(hash_charts.distances, same, different, n_bits=about["bits"])
        caption = f"{system}: windows and their copies, pooled over {pooled}, beside random pairs."
        spreads.append(Picture(f"distances-{system}", draw, caption))
        draw = partial(hash_charts.principal_components, *hash_tables.originals(rows, system))
        caption = f"{system}: a point is a window; after Shah and Sitonic (2017), figure 4.1."
        planes.append(Picture(f"plane-{system}", draw, caption))
    every = partial(hash_charts.bit_errors, *hash_tables.error_rates(rows))
    caption = "Bits that a degradation turns in a window's hash; bars are 95 % intervals."
    turned = Picture("bit-errors", every, caption)
    return [
        collisions,
        bits,
        *balances,
        errors,
        turned,
        *spreads,
        distances,
        *planes,
        *_sample(rows),
    ]


def _sample(rows):
    """The figure of a sample's features, where one was kept."""
    pictures = []
    for row in (row for row in rows if row["kind"] == "sample"):
        values = np.frombuffer(base64.b64decode(row["mfcc"]), np.float16)
        frames = values.reshape(-1, row["n_mfcc"])
        draw = partial(hash_charts.mfcc, frames, step_s=row["step_s"])
        caption = f"{row['track']} from {row['start_s']:.0f} s on; after Shah and Sitonic (2017), "
        caption += "figure 3.3."
        pictures.append(Picture("mfcc", draw, caption))
    return pictures


def _shown(tracks, generator):
    """Tracks of the works that are shown by original, and how many windows of each: dict."""
    works = sorted({track.work for track in tracks})
    shown = {}
    for k in generator.permutation(len(works))[:WORKS]:
        members = [track.track for track in tracks if track.work == works[k]]
        shown |= dict.fromkeys(members, max(1, WORK_WINDOWS // len(members)))
    return shown


def _drawn(heard, pairs, generator):
    """The row of what was drawn: windows, and pairs of two different ones."""
    owners = [track.track for track, begins in heard for _ in begins]
    if len(owners) < 2:
        raise A2VError(f"{len(owners)} windows drawn that are not silent; give more audio")
    first = generator.integers(len(owners), size=pairs)
    second = (first + generator.integers(1, len(owners), size=pairs)) % len(owners)
    return {
        "kind": "windows",
        "track": owners,
        "start_s": [start / audio.SAMPLE_RATE for _, begins in heard for start in begins],
        "first": first.tolist(),
        "second": second.tolist(),
    }


def _sampled(heard):
    """The row of a sample's features: float16 `[frames, n_mfcc]`, in base64."""
    track, begins = next(found for found in heard if len(found[1]))
    start = int(min(begins))
    waveform = audio.load(track.path)[start : start + SAMPLE_S * audio.SAMPLE_RATE]
    layer = features.build("mfcc")
    frames = np.asarray(layer(waveform[None]))[0]
    about = {"track": track.track, "start_s": start / audio.SAMPLE_RATE}
    shape = {"n_mfcc": frames.shape[1], "step_s": features.FRAME_STEP / audio.SAMPLE_RATE}
    return {"kind": "sample", **about, **shape, "mfcc": _text(frames.astype(np.float16))}


def _rows(encoder, layer, own, tracks, drawn, names, shown):
    """All rows of one model."""
    about = {
        "kind": "model",
        "model_id": encoder.model_id,
        "bits": encoder.n_bits,
        "features": type(layer).__name__ if layer else None,
    }
    rows = [about]
    for track, embedded in zip(tracks, own, strict=True):
        rows.append(_hashes(track, embedded))
        if track.track in shown:
            rows.append(_original(track, embedded, shown[track.track]))
    errors = np.concatenate([embedded.errors for embedded in own], axis=1)
    for name, bits in zip(names, errors, strict=True):
        rows.append({"kind": "errors", "condition": name, "bits": bits.tolist()})
    rows += [_pairs(own, drawn), _neighbours(encoder, own, tracks, drawn)]
    return [{"kind": row["kind"], "system": encoder.name, **row} for row in rows]


def _hashes(track, embedded):
    codes = embeddings.packed(embedded.windows)
    return {
        "kind": "hashes",
        "track": track.track,
        "codes": _text(codes),
        "silent": np.flatnonzero(~embedded.audible).tolist(),
        "repeats": embedded.repeats,
    }


def _original(track, embedded, count):
    """Evenly spaced embeddings of a track, in half precision."""
    audible = embedded.windows[embedded.audible]
    places = np.linspace(0, len(audible) - 1, min(count, len(audible))).astype(int)
    return {
        "kind": "originals",
        "work": track.work,
        "embeddings": _text(audible[places].astype(np.float16)),
    }


def _text(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def _pairs(own, drawn):
    """Distances of the pairs: between features, embeddings and hashes."""
    first, second = drawn["first"], drawn["second"]

    def distances(values):
        apart = np.linalg.norm(values[first] - values[second], axis=1)
        return [float(f"{value:.5g}") for value in apart]

    points = np.concatenate([embedded.drawn for embedded in own])
    codes = embeddings.packed(points)
    known = own[0].features is not None
    return {
        "kind": "pairs",
        "features": distances(np.concatenate([e.features for e in own])) if known else None,
        "embeddings": distances(points),
        "bits": hashing.hamming(codes[first], codes[second]).tolist(),
    }


def _neighbours(encoder, own, tracks, drawn):
    """How many of the exact neighbours of each window drawn a search by Hamming distance finds."""
    grid = np.concatenate([embedded.windows[embedded.audible] for embedded in own])
    begins = [encoder.hop_s * np.flatnonzero(embedded.audible) for embedded in own]
    owners = np.repeat([track.track for track in tracks], [len(begin) for begin in begins])
    begins = np.concatenate(begins)
    points = np.concatenate([embedded.drawn for embedded in own])
    found = []
    for first in range(0, len(points), QUERIES_AT_ONCE):
        some = slice(first, first + QUERIES_AT_ONCE)
        # What shares samples with a window is near it however bad the hash is.
        near = np.abs(begins - np.array(drawn["start_s"][some])[:, None]) < encoder.window_s
        near &= owners == np.array(drawn["track"][some])[:, None]
        distances = _distances(points[some].astype(np.float64), grid.astype(np.float64))
        signs = [2.0 * hashing.binarize(values) - 1 for values in (points[some], grid)]
        bits = (encoder.n_bits - signs[0] @ signs[1].T) / 2
        blank = np.where(near, np.inf, 0)
        try:
            found += hashing.recall(distances + blank, bits + blank, top=hash_tables.TOP).tolist()
        except ValueError as error:
            raise A2VError(f"{error}; give more audio") from None
    return {"kind": "neighbours", "among": len(grid), "recall": [round(v, 4) for v in found]}


def _distances(a, b):
    """Squared Euclidean distances of all rows: float64 `[m, n]`."""
    return (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
