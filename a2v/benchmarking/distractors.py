"""Hashes that fill a catalogue up: recordings played at other speeds, from other beginnings.

Every pass over the recordings plays each at a rate of its own, drawn from within an octave up and
down, from a beginning of its own within a hop, until there are as many hashes as are asked for.
"""

import contextlib
import itertools
import zlib

import numpy as np
import soxr

from a2v import audio, entries, store, workers
from a2v.entries import Entry, Row
from a2v.errors import A2VError
from a2v.runtime import Encoder

OCTAVES = 1.0
PREFIX = "distractor"


def add(library, tracks, count, *, seed, jobs=None, progress=None):
    """Fills a library up; one that was filled in part is filled further.

    Args:
        library: Path of a library's file.
        tracks: list of corpora.Track, of music that nothing is asked of.
        count: int, hashes to be added in all.
        seed: int; what is added depends on it and on the tracks alone.
        jobs: int, processes; one per core if `None`.
        progress: function `(hashes, count)`.

    Raises:
        A2VError: there are no tracks, or one cannot be read.
    """
    if not tracks:
        raise A2VError("no track to make distractors of; give a corpus with a train split")
    connection, meta = store.connect(library)
    with store.reported(library), contextlib.closing(connection):
        encoder, (done, number) = Encoder(bytes(meta["encoder"])), _there(connection)

        def asked():
            for count in itertools.count(number):
                passed, k = divmod(count, len(tracks))
                yield tracks[k].path, (seed, 12, passed, k)

        results = workers.mapped(Changed(encoder), asked(), jobs=jobs)
        with contextlib.closing(results):
            while done < count:
                _, codes = next(results)
                if isinstance(codes, A2VError):
                    raise codes
                if len(codes):
                    codes = codes[: count - done]
                    keep(connection, {f"{PREFIX}-{number:08}": codes}, encoder)
                    done += len(codes)
                number += 1
                if progress:
                    progress(done, count)


def keep(connection, tracks, encoder):
    """Puts hashes into a library as tracks, in one transaction.

    Args:
        connection: sqlite3.Connection of a library's file.
        tracks: dict of name to uint8 `[n, bytes]`.
        encoder: runtime.Encoder that they are of.
    """
    connection.execute("BEGIN")
    for name, codes in tracks.items():
        data = codes.tobytes()
        seconds = encoder.window_s + (len(codes) - 1) * encoder.hop_s
        entry = Entry(name, "", seconds, len(codes), name)
        entries.insert(connection, Row(entry, 0, zlib.crc32(data), data), codes.shape[1])
    connection.execute("COMMIT")


def _there(connection):
    """How many hashes were added before, and the number of the next track: two ints."""
    rows = connection.execute(
        "SELECT name, windows FROM tracks JOIN hashes ON track = id WHERE name LIKE ? || '-%'",
        (PREFIX,),
    ).fetchall()
    numbers = [int(name.rsplit("-", 1)[1]) for name, _ in rows]
    return sum(windows for _, windows in rows), max(numbers, default=-1) + 1


class Changed:
    """Hashes recordings at other speeds; what `workers.mapped` works with.

    Args:
        encoder: `runtime.Encoder`.
    """

    def __init__(self, encoder):
        self._encoder = encoder

    def __call__(self, asked):
        """Hashes a recording.

        Args:
            asked: (path, seeds of what is drawn).

        Returns:
            uint8 `[n, bytes]`.
        """
        (path, draw), encoder = asked, self._encoder
        generator, rate = np.random.default_rng(draw), encoder.sample_rate
        waveform = audio.load(path, sample_rate=rate, downmix=encoder.downmix)
        speed = 2.0 ** generator.uniform(-OCTAVES, OCTAVES)
        begin = int(generator.integers(round(encoder.hop_s * rate)))
        changed = soxr.resample(waveform, rate, rate / speed)[begin:]
        if encoder.windows(len(changed)) < 1:
            return np.zeros((0, encoder.n_bits // 8), np.uint8)
        return encoder.hash(changed)
