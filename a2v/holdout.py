"""Recordings that a run did not learn from, for what an export has to measure."""

from functools import cached_property

import numpy as np

from a2v import audio, features, records
from a2v.places import place

# How much audio, in all, is compared with Keras; and below which length a held-out split tells
# too little, so that noise is heard instead.
CHECKED_S, LEAST_S = 60.0, 10.0
# Hash statistics and calibration listen to the beginnings of so many recordings.
HEARD, HEARD_S = 40, 180.0
# Calibration asks among so many recordings besides, of the train split, of so much each.
OTHERS, OTHERS_S = 160, 30.0


class Holdout:
    """Recordings of a dataset that were not trained on: the tune split, else none.

    Args:
        dataset: folder; it may be gone. downmix: str.

    Attributes:
        waveforms: list of float32 `[n]`, each at least a window long; works: list of str, of what.
        source: str, `tune split`, or `noise` where that is gone or tells too little.
    """

    def __init__(self, dataset, downmix):
        self.tracks, self._downmix = [], downmix
        if (place(dataset) / records.MANIFEST).exists():
            self.tracks = records.Dataset(dataset).manifest["tracks"]
        there = [t for t in self.tracks if t["split"] == "tune" and place(t["path"]).exists()]
        if sum(track["seconds"] for track in there) >= LEAST_S:
            self.source = "tune split"
            chosen = there[:: -(-len(there) // HEARD)]
            self.waveforms = [_beginning(track["path"], downmix, HEARD_S) for track in chosen]
            self.works = [track["work"] for track in chosen]
        else:
            self.source = "noise"
            noise = np.random.default_rng(0).normal(0, 0.1, 10 * audio.SAMPLE_RATE)
            self.waveforms, self.works = [noise.astype(np.float32)], [""]

    def distinct(self):
        """The first recording of each work: another version is no right or wrong answer to it."""
        return [self.waveforms[k] for k in sorted(map(self.works.index, set(self.works)))]

    @cached_property
    def others(self):
        """Beginnings of recordings of the train split: list of float32 `[n]`."""
        there = [t for t in self.tracks if t["split"] == "train" and place(t["path"]).exists()]
        chosen = there[:: -(-len(there) // OTHERS)] if there else []
        heard = [_beginning(track["path"], self._downmix, OTHERS_S) for track in chosen]
        return [
            waveform for waveform in heard if len(waveform) >= features.WINDOW_S * audio.SAMPLE_RATE
        ]

    def excerpts(self):
        """The middles of all recordings, about 60 s together: list of float32 `[n]`."""
        each = max(features.WINDOW_S, CHECKED_S / len(self.waveforms))
        length = round(each * audio.SAMPLE_RATE)
        starts = [max(0, (len(waveform) - length) // 2) for waveform in self.waveforms]
        return [w[start : start + length] for w, start in zip(self.waveforms, starts, strict=True)]

    def splits(self):
        """Tracks and hours of each split, for the card."""
        counts = {}
        for track in self.tracks:
            entry = counts.setdefault(track["split"], {"tracks": 0, "hours": 0.0})
            entry["tracks"] += 1
            entry["hours"] += track["seconds"] / 3600
        return {
            k: {"tracks": v["tracks"], "hours": round(v["hours"], 3)} for k, v in counts.items()
        }


def _beginning(path, downmix, seconds):
    length, pieces = round(seconds * audio.SAMPLE_RATE), []
    for piece in audio.blocks(path, downmix=downmix):
        pieces.append(piece)
        if sum(map(len, pieces)) >= length:
            break
    return np.concatenate(pieces)[:length]
