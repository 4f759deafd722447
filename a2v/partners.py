"""The same passage in another version of a work, to learn from beside each window."""

import functools

import numpy as np
import soxr

from a2v import audio, versions
from a2v.corpora import beats
from a2v.errors import A2VError

FEATURE = "partner"
HELD = 8  # recordings kept in memory


class Partners:
    """Finds passages of other versions, by the beats that recordings of one work share.

    Versions are the tracks of one work and one split that have a list of beats
    (`corpora.beats`). A track without another version is its own partner. A slower passage is
    played faster, a faster one slower, as near to the window's tempo as `versions.views` would
    play a clip: what is learnt from is what will be compared.

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

    def check(self):
        """Refuses recordings of which none, in the split to train on, has a partner but itself.

        Raises:
            A2VError: there is no other version of any work, or no list of beats beside it; or a
                list that was read is damaged.
        """
        splits = {split for _, split in self.works}
        for (_, split), paths in self.works.items():
            trained = split == "train" or "train" not in splits
            if trained and sum(self._beats(path) is not None for path in paths) > 1:
                return
        raise A2VError(
            "no work to train on has two recordings with a list of beats, so none has a partner; "
            "compose some with a2v-synthesize, or put a list beside each (name.beats.csv)"
        )

    def beside(self, entry, first, windows):
        """Adds the partner of each window, and drops windows that have none.

        Windows take the other versions in turn; a passage that is faster or slower by more than a
        clip is ever played is none.

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
        others = [p for p in paths if p != entry["path"] and self._beats(p) is not None]
        mine = self._beats(entry["path"])
        if mine is None or not others:
            return np.arange(many), windows | {FEATURE: windows["waveform"]}
        number = first + np.arange(many)
        middle = number * self.windower.hop_samples + samples / 2 - self.windower.margin
        partners = np.full((many, samples), np.nan, np.float32)
        for index, path in enumerate(others):
            turn = np.flatnonzero(number % len(others) == index)
            at_s = middle[turn] / audio.SAMPLE_RATE
            there_s, ratio = beats.counterpart(at_s, mine, self._beats(path))
            faster = np.round(12 * np.log2(ratio))  # semitones, of a tape
            known = ~np.isnan(there_s) & np.isin(faster, versions.SEMITONES)
            try:
                heard = self._load(path)
            except A2VError:
                continue  # it is rejected under its own name
            partners[turn[known]] = _played(heard, there_s[known], faster[known], samples)
        kept = np.flatnonzero(~np.isnan(partners[:, 0]))
        chosen = {name: value[kept] for name, value in windows.items()}
        return kept, chosen | {FEATURE: partners[kept]}


def _played(waveform, middles_s, faster, samples):
    """Excerpts float32 `[middles, samples]`, each played faster by so many semitones."""
    found = np.zeros((len(middles_s), samples), np.float32)
    for semitones in np.unique(faster):
        rate = audio.SAMPLE_RATE * 2 ** (semitones / 12)
        chosen = faster == semitones
        read = int(np.ceil(samples * rate / audio.SAMPLE_RATE)) + 1
        starts = np.round(middles_s[chosen] * audio.SAMPLE_RATE - read / 2).astype(int)
        cut = _cut(waveform, starts, read)
        found[chosen] = soxr.resample(cut.T, rate, audio.SAMPLE_RATE).T[:, :samples]
    return found


def _cut(waveform, starts, samples):
    """Excerpts float32 `[starts, samples]`, zeros beyond the recording's ends."""
    index = starts[:, None] + np.arange(samples)
    heard = waveform[np.clip(index, 0, len(waveform) - 1)]
    return np.where((index >= 0) & (index < len(waveform)), heard, np.float32(0))
