"""What `benchmarks/stages.py` measures in processes of their own, see `processes`."""

import itertools
import shutil
import tempfile
from pathlib import Path

from a2v import audio
from a2v.benchmarking import processes
from a2v.benchmarking.processes import timed
from a2v.corpora import Track

QUERY_S = 5.0


def preprocess(*, paths, seconds, hours):
    """Writes TFRecords of so many hours: what they cost, and how many windows they hold."""
    from a2v import preprocessing, records

    with tempfile.TemporaryDirectory() as folder:
        tracks, missing = [], 3600 * hours
        for path, length in itertools.cycle(zip(paths, seconds, strict=True)):
            if missing <= 0:
                break
            copy = _another(path, Path(folder), len(tracks))
            tracks.append(Track(str(copy), copy.name))
            missing -= length
        asked = {"feature_names": ["mfcc"], "splits": (1, 0, 0), "jobs": 1}
        out = Path(folder) / "dataset"
        spent, _ = timed(lambda: preprocessing.preprocess(tracks, out, **asked))
        spent["windows"] = records.Dataset(out).count("train")
    return spent | {"bytes": processes.peak_bytes()}


def _another(path, folder, number):
    """A copy of a recording that is no copy byte by byte, which preprocessing would leave out."""
    copy = folder / f"{number:06}{Path(path).suffix}"
    shutil.copyfile(path, copy)
    with copy.open("ab") as file:
        file.write(number.to_bytes(8, "big"))  # decoders pass over what follows the last sample
    return copy


def index(*, library, paths):
    """Adds recordings to a library, one after the other: what they cost."""
    from a2v.library import Library

    with Library.open(library) as opened:
        add = lambda: [opened.add(p, name=f"new-{k}") for k, p in enumerate(paths)]  # noqa: E731
        spent, _ = timed(add)
    return spent | {"bytes": processes.peak_bytes()}


def query(*, library, path):
    """Asks for the first seconds of a recording, again and again: the least that it costs."""
    from a2v.library import Library

    clip = audio.load(path)[: round(QUERY_S * audio.SAMPLE_RATE)]
    with Library.open(library) as opened:
        opened.identify(clip)
        times = [timed(lambda: opened.identify(clip))[0] for _ in range(5)]
    return min(times, key=lambda t: t["processor_s"]) | {"bytes": processes.peak_bytes()}


def duplicates(*, library):
    """Finds all duplicates in a library: what it costs."""
    from a2v.library import Library

    with Library.open(library) as opened:
        spent, found = timed(opened.duplicates)
    return spent | {"bytes": processes.peak_bytes(), "found": len(found.groups)}


if __name__ == "__main__":
    processes.serve({task.__name__: task for task in (preprocess, index, query, duplicates)})
