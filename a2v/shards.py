"""Writes shards: the unit of work of preprocessing, the same whoever does it.

A shard is written under a temporary name, described by a small JSON file in `.progress/`, then
renamed. What is renamed is never touched again; who does a shard twice writes the same bytes.
"""

import itertools
import json

import numpy as np

from a2v import audio, decoding, places, records
from a2v.partners import Partners
from a2v.windowing import Windower

KEPT = ("track", "work", "artist", "genre", "split", "path", "seconds", "sha256")


class Shards:
    """What `workers.mapped` writes shards with.

    Args:
        out: path or URL of the dataset's folder, the same for all workers.
        windower: dict, keyword arguments of `Windower`.
        downmix: `first` or `mean`.
        jobs: int, recordings decoded at a time.
        partnered: list of dicts, all usable recordings, where `Partners` are kept; else `None`.
    """

    def __init__(self, out, windower, *, downmix, jobs, partnered=None):
        self._out, self._options = places.place(out), windower
        self._downmix, self._jobs, self._partnered = downmix, jobs, partnered
        self._windower = self._partners = None

    def open(self):
        """Makes what is too large to be sent."""
        self._windower = Windower(**self._options)
        if self._partnered is not None:
            self._partners = Partners(self._partnered, self._windower, self._downmix)

    def __call__(self, shard):
        """Writes one shard; returns the seconds of audio that it is made of."""
        return sum(self.written([shard]))

    def written(self, shards):
        """Writes shards; yields the seconds of each recording that is done.

        Args:
            shards: list of dicts of the plan: `name`, `split`, and `tracks`, the recordings.
        """
        entries = [entry for shard in shards for entry in shard["tracks"]]
        # One stream for all shards: while one is finished, the next one's recordings decode.
        given = {"downmix": self._downmix, "jobs": self._jobs}
        stream = decoding.stream(entries, self._windower, **given)
        for shard in shards:
            yield from self._shard(shard, itertools.islice(stream, len(shard["tracks"])))

    def _shard(self, shard, stream):
        tracks, rejected = [], []
        # A draft has a name of its own: another worker, thought dead, may be at the same shard.
        with places.draft(self._out / shard["name"]) as draft:
            with records.ShardWriter(draft) as writer:
                for entry, batches in stream:
                    try:
                        count = self._track(writer, entry, batches)
                        kept = {key: entry[key] for key in KEPT}
                        tracks.append(kept | {"windows": count, "shard": shard["name"]})
                    except decoding.Unusable as reason:
                        rejected.append(rejection(entry, reason) | {"shard": shard["name"]})
                    yield entry["seconds"]
            summary = {
                "name": shard["name"],
                "split": shard["split"],
                "records": sum(track["windows"] for track in tracks),
                "checksum": records.checksum(draft),
            }
            keep(self._out, {"shard": summary, "tracks": tracks, "rejected": rejected})

    def _track(self, writer, entry, batches):
        """Writes all windows of a track, or none; returns their number."""
        before, first, count = writer.tell(), 0, 0
        try:
            for windows in batches:
                many = len(next(iter(windows.values())))
                kept = np.arange(many)
                if self._partners:
                    kept, windows = self._partners.beside(entry, first, windows)
                at = (first + kept) * self._windower.hop_samples / audio.SAMPLE_RATE
                writer.write(entry["track"], at, windows)
                first, count = first + many, count + len(kept)
        except decoding.Unusable:
            writer.rewind(before)
            raise
        return count


def rejection(entry, reason):
    """What a manifest says of a recording that could not be used: dict."""
    return {"track": entry["track"], "path": entry["path"], "reason": str(reason)}


def keep(out, result):
    """Notes a shard that is done.

    Args:
        out: Path; result: dict, its summary `shard`, `tracks` and `rejected`.
    """
    file = out / records.PROGRESS / f"{result['shard']['name']}.json"
    places.write_whole(file, json.dumps(result))


def result(out, name):
    """What `keep` noted of a shard: dict.

    Raises:
        FileNotFoundError: nothing; ValueError: nothing whole.
    """
    return json.loads((out / records.PROGRESS / f"{name}.json").read_text(encoding="utf-8"))


def is_done(out, name):
    """Whether a shard is there, with the bytes that were noted."""
    try:
        return records.checksum(out / name) == result(out, name)["shard"]["checksum"]
    except (FileNotFoundError, ValueError):
        return False
