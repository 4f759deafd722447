"""P2, cover identification: clips of covers against originals, and whole tracks against each other.

Clips are asked as Shah and Sitonic (2017, section III) ask: a clip of L windows is its L hashes on
the grid, its distance to an original the smallest Hamming distance over all hop-aligned positions,
and a tie between different originals counts as wrong. Whole tracks are ranked by the same distance
for MAP and MR1, each track asked against all others, and beside it by alignment (Qmax), which
forgives another tempo, form or, where a model can, key.
"""

import time
from dataclasses import dataclass

import numpy as np

from a2v import audio, workers
from a2v import covers as covers_
from a2v import versions as versions_
from a2v.benchmarking import cover_alignment
from a2v.benchmarking.cover_tables import parts  # noqa: F401, what every suite has
from a2v.errors import A2VError
from a2v.search import ExactSearch

LENGTHS_S = (1.0, 2.0, 3.0, 5.0, 10.0, 30.0)
# Clips of each cover for each length, evenly over the cover.
CLIPS = 10


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


def answers(encoder, found, *, lengths_s=LENGTHS_S, clips=CLIPS, jobs=None, progress=None):
    """Asks with clips of covers and with whole tracks.

    Args:
        encoder: `runtime.Encoder`; where its hashes turn with the key, clips are asked in all
            keys and several tempi (`versions.identify`), and tracks aligned over transpositions.
        found: list of Version.
        lengths_s: floats, s; clips: int, of each cover for each length.
        jobs: int, processes; one per core if `None`.
        progress: function `(done, total)`.

    Returns:
        list of dicts, rows of the answers file: of kind `clip` (`truth`, `answer` or null where
        originals tie or nothing is heard, `distance`, `length_s` null for a whole cover) and of the
        kinds `ranking` and, with alignment, `aligned` (`truth`, `relevant`: bool for each other
        track, nearest first; of works with covers).
    """
    waveforms = [audio.load(version.path, downmix=encoder.downmix) for version in found]
    codes = [encoder.hash(waveform) for waveform in waveforms]
    # Silence is what all tracks have in common.
    audible = [own[encoder.audible(w)] for own, w in zip(codes, waveforms, strict=True)]
    asking, rows = Asking(encoder, found, codes, lengths_s, clips), []
    for k, own in workers.mapped(asking, range(len(found)), jobs=jobs):
        if isinstance(own, A2VError):
            raise own
        rows += own
        if progress:
            progress(k + 1, 2 * len(found))
    apart = cover_alignment.distances(
        audible,
        hop_s=encoder.hop_s,
        transposable=encoder.turns_with_key,
        progress=_second_half(progress),
    )
    return rows + _aligned(encoder.name, found, apart)


class Asking:
    """Asks with the clips of one track, and with all of it; what `workers.mapped` works with.

    Args:
        encoder, found, lengths_s, clips: as for `answers`.
        codes: list of uint8 `[n, bytes]`, of every track.
    """

    def __init__(self, encoder, found, codes, lengths_s, clips):
        self._encoder, self._found, self._codes = encoder, found, codes
        self._lengths_s, self._clips = lengths_s, clips
        self._originals = self._everything = None

    def open(self):
        """Makes the engines."""
        chosen = [k for k, version in enumerate(self._found) if version.original]
        self._originals = _search(self._codes, chosen), [self._found[k].work for k in chosen]
        self._everything = _search(self._codes, range(len(self._codes)))

    def __call__(self, k):
        """Rows of the track of this number."""
        encoder, version, codes = self._encoder, self._found[k], self._codes[k]
        about = {"system": encoder.name, "query": version.track, "truth": version.work}
        rows = []
        if not version.original:
            waveform = audio.load(version.path, downmix=encoder.downmix)
            for length_s, start, part in _excerpts(codes, self._lengths_s, encoder, self._clips):
                place = {"length_s": length_s, "start_s": start * encoder.hop_s}
                asked = _clip(waveform, start, part, *self._originals, encoder)
                rows.append({"kind": "clip", **about, **place, **asked})
        distance = _distances(self._everything, codes, encoder)
        return rows + _ranking("ranking", about, self._found, k, distance)


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
        hop_s=covers_.FRAME_S,
        transposable=True,
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


def _clip(waveform, start, codes, search, works, encoder):
    """The answer to `codes`, those of a waveform's windows from `start` on."""
    began = time.perf_counter()
    if encoder.turns_with_key:
        last_s = (start + len(codes) - 1) * encoder.hop_s + encoder.window_s
        ends = np.round(np.array([start * encoder.hop_s, last_s]) * encoder.sample_rate).astype(int)
        tracks = [(work, "") for work in works]
        best = versions_.identify(encoder, search, tracks, waveform[slice(*ends)], top=1)
        asked = {
            "answer": best[0].track if best else None,  # of silence there is none
            "distance": best[0].bit_error_rate if best else None,
        }
    else:
        asked = _nearest(_distances(search, codes, encoder), works)
    return asked | {"ms": round(1000 * (time.perf_counter() - began), 2)}


def _nearest(distance, works):
    best = float(distance.min())
    nearest = {works[k] for k in np.flatnonzero(distance == best)} if np.isfinite(best) else ()
    return {
        "answer": min(nearest) if len(nearest) == 1 else None,
        "distance": best if np.isfinite(best) else None,
    }
