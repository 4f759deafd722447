"""Tracks that sound alike: nearest by one vector for each track, made from its stored hashes."""

from dataclasses import dataclass

import numpy as np

from a2v import duplicates, hashing
from a2v.errors import A2VError

# What a track is to itself; what else is no mere neighbour, see `duplicates.KINDS`.
ITSELF = "itself"


@dataclass(frozen=True)
class Neighbour:
    """A track near to another one.

    Attributes:
        track: str, its name.
        path: str, where it was when it was added.
        similarity: float, -1 to 1, correlation of how often each bit is set in the two tracks.
        relation: str, `ITSELF` or, where they have audio in common, what: one of
            `duplicates.KINDS`; `None` for a track that merely sounds alike.
    """

    track: str
    path: str
    similarity: float
    relation: str | None


def find(encoder, engine, tracks, name, *, top=10):
    """Finds the tracks that sound most like one of a library.

    Args:
        encoder: `runtime.Encoder`.
        engine: `search.ExactSearch` over the library, or what has its `codes` and `starts`.
        tracks: list of (name, path), in the order of the engine's catalogue.
        name: str, of one of them.
        top: int, at most so many besides the track itself.

    Returns:
        list of Neighbour: the track itself, then the others, nearest first, of equals by name.

    Raises:
        A2VError: there is no track of this name, or `top` is below 1.
    """
    own = place(tracks, name, top)
    audible = sounding(encoder, engine.codes)
    vectors = np.stack(
        [
            vector(engine.codes[begin:end], audible[begin:end])
            for begin, end in zip(engine.starts[:-1], engine.starts[1:], strict=True)
        ]
    )  # [tracks, n_bits]
    cosines = np.clip(vectors @ vectors[own], -1, 1)
    cosines[own] = np.inf  # first, whatever else is at no distance
    chosen = np.argsort(-cosines, kind="stable")[: top + 1].tolist()
    cosines[own] = 1.0
    relations = {own: ITSELF} | _relations(encoder, engine, chosen)
    return [Neighbour(*tracks[k], float(cosines[k]), relations.get(k)) for k in chosen]


def place(tracks, name, top):
    """Checks what neighbours or covers of a track are asked by.

    Args:
        tracks: list of (name, path).
        name: str; top: int, how many are asked for.

    Returns:
        int, the track's place in the list.

    Raises:
        A2VError: there is no track of this name, or `top` is below 1.
    """
    if top < 1:
        raise A2VError(f"top {top}: ask for 1 or more")
    names = [track for track, _ in tracks]
    if name not in names:
        raise A2VError(
            f"no track {name!r} among the {len(names)} of the library; `a2v-index LIB list` shows "
            "their names"
        )
    return names.index(name)


def sounding(encoder, codes):
    """Tells windows from digital silence.

    Args:
        encoder: `runtime.Encoder`.
        codes: uint8 `[n, bytes]`, its hashes.

    Returns:
        bool `[n]`, false for the hash of silence.
    """
    silence = np.zeros(round(encoder.window_s * encoder.sample_rate), np.float32)
    return (codes != encoder.hash(silence)[0]).any(axis=1)


def vector(codes, audible):
    """The vector of a track: how often each bit of its hashes is set.

    Args:
        codes: uint8 `[n, bytes]`, one at least.
        audible: bool `[n]`, the windows that count; all do where none is true.

    Returns:
        float32 `[8 * bytes]`, see `profile`.
    """
    return profile(hashing.signs(codes[audible] if np.any(audible) else codes))


def profile(signs):
    """The mean of signs less its mean, scaled to length 1: products of two are correlations.

    Where few bits are set, as by a bag of words, all tracks would have most of the unset ones in
    common otherwise.

    Args:
        signs: float `[n, d]`, -1 or 1.

    Returns:
        float `[d]`; all 0 where every bit is set as often as every other.
    """
    mean = signs.mean(axis=0)
    return scaled(mean - mean.mean())


def centre(vectors):
    """The mean of vectors, scaled to length 1.

    Args:
        vectors: float `[n, d]`.

    Returns:
        float `[d]`; all 0 where the mean is.
    """
    return scaled(vectors.mean(axis=0))


def scaled(vector):
    """A vector, float `[d]`, at length 1; all 0 where it is."""
    length = np.linalg.norm(vector)
    return vector / length if length > 0 else vector


def _relations(encoder, engine, members):
    """What some tracks have in common with the first one of them: dict of place to kind."""
    parts = [engine.codes[engine.starts[k] : engine.starts[k + 1]] for k in members]
    found = duplicates.stretches(
        np.concatenate(parts),
        np.cumsum([0, *map(len, parts)]),
        overlap=round(encoder.window_s / encoder.hop_s),
    )
    related = {}
    for each in sorted(found, key=lambda each: each.gain):
        if each.first != each.second and 0 in (each.first, each.second):
            related[members[each.first + each.second]] = each.kind
    return related
