"""The same passage in another version of a work, to learn from beside each window."""

import functools

import numpy as np

from a2v import audio
from a2v.corpora import beats
from a2v.errors import A2VError

FEATURE = "partner"
HELD = 8  # recordings kept in memory


class Partners:
    """Finds passages of other versions, by the beats that recordings of one work share.

    Versions are the tracks of one work and one split that have a list of beats
    (`corpora.beats`). A track without another version is its own partner.

    Args:
        entries: list of dicts with `track`, `work`, `split` and `path`.
        windower: `windowing.Windower` of the `waveform` windows.
        downmix: `first` or `mean`.
    """

    def __init__(self, entries, windower, downmix):
        self.windower = windower
        self.works = {}
        for entry in entries:
            self.works.setdefault((entry["work"], entry["split"]), []).append(entry["path"])
        self._load = functools.lru_cache(HELD)(functools.partial(audio.load, downmix=downmix))
        self._beats = functools.lru_cache(None)(beats.read)

    def beside(self, entry, first, windows):
        """Adds the partner of each window, and drops windows that have none.

        Windows take the other versions in turn.

        Args:
            entry: dict of the track, as in `entries`.
            first: int, number of the first window in the track.
            windows: dict of float32 `[n, ...]`, `waveform` among them.

        Returns:
            `(kept, windows)`: int array of the windows that stay, counted from 0, and the dict of
            those with `partner`, of the shape of `waveform`.
        """
        many, samples = windows["waveform"].shape
        paths = self.works[entry["work"], entry["split"]]
        versions = [p for p in paths if p != entry["path"] and self._beats(p) is not None]
        mine = self._beats(entry["path"])
        if mine is None or not versions:
            return np.arange(many), windows | {FEATURE: windows["waveform"]}
        number = first + np.arange(many)
        middle = number * self.windower.hop_samples + samples / 2 - self.windower.margin
        partners = np.full((many, samples), np.nan, np.float32)
        for index, path in enumerate(versions):
            turn = np.flatnonzero(number % len(versions) == index)
            at_s = middle[turn] / audio.SAMPLE_RATE
            there = beats.counterpart(at_s, mine, self._beats(path)) * audio.SAMPLE_RATE
            turn, there = turn[~np.isnan(there)], there[~np.isnan(there)]
            starts = np.round(there - samples / 2).astype(int)
            try:
                partners[turn] = _cut(self._load(path), starts, samples)
            except A2VError:
                continue  # it is rejected under its own name
        kept = np.flatnonzero(~np.isnan(partners[:, 0]))
        chosen = {name: value[kept] for name, value in windows.items()}
        return kept, chosen | {FEATURE: partners[kept]}


def _cut(waveform, starts, samples):
    """Excerpts float32 `[starts, samples]`, zeros beyond the recording's ends."""
    index = starts[:, None] + np.arange(samples)
    heard = waveform[np.clip(index, 0, len(waveform) - 1)]
    return np.where((index >= 0) & (index < len(waveform)), heard, np.float32(0))
