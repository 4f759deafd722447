"""P5, copies at the door: is a copy known when it is added, and is nothing else taken for one?

A library holds the tracks that are asked for; their copies, and the tracks of the tune split, which
it does not hold, are given to it with `copies="link"`.
"""

import contextlib
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from a2v import audio
from a2v.benchmarking import duplicates
from a2v.benchmarking.tables import head, line
from a2v.entries import Entry
from a2v.library import Library


@contextlib.contextmanager
def doors(encoders, tracks):
    """Libraries to be asked, one for each encoder.

    Args:
        encoders: list of `runtime.Encoder`; tracks: list of corpora.Track that they are to hold.

    Yields:
        list of `Door`.
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        made = []
        for k, encoder in enumerate(encoders):
            model = Path(folder) / f"{k}.tflite"
            model.write_bytes(encoder.data)
            library = stack.enter_context(Library.create(f"{folder}/{k}.a2v", model))
            made.append(Door(library, tracks, Path(folder) / "given.flac"))
        yield made


class Door:
    """A library of tracks, to which others and copies are given.

    Args:
        library: `Library`, empty; tracks: list of corpora.Track to hold, of which those are left
            out that are silent or too short; file: Path that may be written.
    """

    def __init__(self, library, tracks, file):
        self.library, self.file = library, file
        files = [(track.path, track.track) for track in tracks]
        entered = [entry for _, entry in library.add_all(files, copies="allow")]
        self.held = {entry.track for entry in entered if isinstance(entry, Entry)}

    def ask(self, track, versions):
        """Gives it copies of a track, or, if it does not hold it, the track itself.

        Args:
            track: corpora.Track; versions: dict as of `duplicates.copies`.

        Returns:
            dict of copy to the name of the track that it was linked to, `None` if it was new.
        """
        names = duplicates.COPIES if track.track in self.held else (duplicates.ORIGINAL,)
        return {name: self._linked(versions[name]) for name in names}

    def _linked(self, waveform):
        soundfile.write(self.file, np.clip(waveform, -1.0, 1.0), audio.SAMPLE_RATE)
        entry = self.library.add(self.file, copies="link")
        if entry.track != self.file.name:
            return entry.track
        self.library.remove(self.file.name)
        return None


def section(rows):
    """What came of it: Markdown; empty of runs before it was asked.

    Args:
        rows: list of dicts, see `recommend.measure`.

    Returns:
        str.
    """
    found = [row for row in rows if row["kind"] == "door"]
    if not found:
        return ""
    track = next(row for row in rows if row["kind"] == "tracks")["track"]
    lines = head("system", *duplicates.COPIES, "known as another track's", "strangers known")
    for system in dict.fromkeys(row["system"] for row in found):
        linked = {name: [] for name in (duplicates.ORIGINAL, *duplicates.COPIES)}
        for row in found:
            if row["system"] == system:
                linked[row["copy"]].append((track[row["query"]], row["linked"]))
        strangers = linked.pop(duplicates.ORIGINAL)
        cells = [duplicates.share(np.array([a == b for a, b in own])) for own in linked.values()]
        wrong = [b not in (None, a) for own in linked.values() for a, b in own]
        known = [b is not None for _, b in strangers]
        cells += [f"{sum(given)} of {len(given)}" for given in (wrong, known)]
        lines.append(line(system, *cells))
    return (
        "\n### When they are added\n\nCopies that `a2v-index add` knows for those of their track, "
        "in % [95 % Wilson interval]; copies that it takes for another track's; and tracks that "
        "the library does not hold (those of the tune split), which it takes for some track's "
        "copies.\n\n" + "\n".join(lines) + "\n"
    )
