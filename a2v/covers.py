"""Covers of a track or a clip among the tracks of a library whose hashes turn with the key.

Whole tracks are aligned (`alignment`), which forgives another key, tempo or form; clips are asked
in all keys and at several tempi (`versions`).

Reference: J. Serra, X. Serra, R. G. Andrzejak, "Cross recurrence quantification for cover song
identification", New Journal of Physics 11, 093017, 2009.
"""

from dataclasses import dataclass

import numpy as np

from a2v import alignment, audio, hashing, similar, versions
from a2v.errors import A2VError

# What is stacked for an alignment: 2.5 s. The paper's 5 s were less precise in a trial on composed
# works that no benchmark asks for, with hashes of cover128 and with chroma.
FRAME_S, STACKED = 0.5, 5
# What is no longer than this is a clip.
CLIP_S = 30.0


@dataclass(frozen=True)
class Cover:
    """A track that may be a version of what was asked.

    Attributes:
        track: str, its name.
        path: str, where it was when it was added.
        distance: float, less is nearer. Of whole tracks the square root of the track's stacks over
            Qmax, as in the paper; of clips the bit error rate where the clip fits best.
        begin_s: float, s, where in the track that begins which fits; negative if before it.
        query_begin_s: float, s, where in what was asked.
        transposition: int, semitones by which the track has to be moved up to fit, -5 to 6;
            `None` for a clip.
    """

    track: str
    path: str
    distance: float
    begin_s: float
    query_begin_s: float
    transposition: int | None


def find(encoder, engine, tracks, source, *, top=10):
    """Finds the tracks that are most likely versions of a track, a recording or a clip.

    Args:
        encoder: `runtime.Encoder` whose hashes turn with the key.
        engine: `search.ExactSearch` over the library.
        tracks: list of (name, path), in the order of the engine's catalogue.
        source: str, the name of one of them, which is then left out; or float32 `[n]` at the
            encoder's rate, or what `audio.load` decodes.
        top: int, at most so many.

    Returns:
        list of Cover, nearest first; none of tracks that have nothing in common with a whole one.

    Raises:
        A2VError: the encoder's hashes do not turn with the key, `source` is neither the name of a
            track nor a recording that can be read, or is shorter than a window, or `top` is below
            1.
    """
    if not encoder.turns_with_key:
        raise A2VError(
            f"made with {encoder.name}, whose hashes do not turn with the key; covers are found "
            "in libraries of `a2v-index LIB add ... --model cover128`"
        )
    if top < 1:
        raise A2VError(f"top {top}: ask for 1 or more")
    if isinstance(source, str) and any(source == name for name, _ in tracks):
        own = similar.place(tracks, source, top)
        codes = engine.codes[engine.starts[own] : engine.starts[own + 1]]
        found = _aligned(encoder, engine, tracks, codes, similar.sounding(encoder, codes))
        found = [cover for cover in found if cover.track != source]
    else:
        found = _of_recording(encoder, engine, tracks, source)
    return found[:top]


def stacking(hop_s):
    """How frames are stacked: dict, arguments of `alignment.align`; hop_s is s between frames."""
    return {"m": STACKED, "tau": round(FRAME_S / hop_s)}


def stacks(n, hop_s):
    """How many stacks n frames give: int, 0 if they are too few for one."""
    return max(0, n - (STACKED - 1) * round(FRAME_S / hop_s))


def _of_recording(encoder, engine, tracks, source):
    """Covers of a recording or a clip, nearest first: list of Cover."""
    heard = source
    if not isinstance(source, np.ndarray):
        heard = audio.load(source, sample_rate=encoder.sample_rate, downmix=encoder.downmix)
    codes = encoder.hash(heard)
    if len(heard) > CLIP_S * encoder.sample_rate:
        return _aligned(encoder, engine, tracks, codes, encoder.audible(heard))
    return [
        Cover(each.track, each.path, each.bit_error_rate, each.offset_s, 0.0, None)
        for each in versions.identify(encoder, engine, tracks, heard)
    ]


def _aligned(encoder, engine, tracks, codes, audible):
    """Covers among whole tracks of a whole one, nearest first: list of Cover.

    Args:
        encoder, engine, tracks: as for `find`.
        codes: uint8 `[n, bytes]`; audible: bool `[n]`, since silence is what all have in common.
    """
    places = np.flatnonzero(audible)
    sounding = similar.sounding(encoder, engine.codes)
    settings = {**stacking(encoder.hop_s), "transposable": True}
    found = []
    for k, (name, path) in enumerate(tracks):
        others = engine.starts[k] + np.flatnonzero(
            sounding[engine.starts[k] : engine.starts[k + 1]]
        )
        best = alignment.align(codes[places], engine.codes[others], **settings)
        if best.score > 0:
            distance = stacks(len(others), encoder.hop_s) ** 0.5 / best.score
            begin = others[best.first[1]] - engine.starts[k]
            begins_s = (float(n * encoder.hop_s) for n in (begin, places[best.first[0]]))
            found.append(Cover(name, path, distance, *begins_s, _shorter_way(best.transposition)))
    return sorted(found, key=lambda cover: (cover.distance, cover.track))


def _shorter_way(semitones):
    """0 to 11 semitones up as -5 to 6."""
    half = hashing.PITCH_CLASSES // 2
    return half - (half - semitones) % hashing.PITCH_CLASSES
