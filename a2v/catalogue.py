"""What a library holds, as search engines read it."""

import zlib
from dataclasses import dataclass

import numpy as np

from a2v.store import LibraryError, snapshot


@dataclass(frozen=True)
class Stored:
    """A track as a catalogue lists it.

    Attributes:
        number: int, its own for as long as it is there.
        name, path: str.
        windows: int, how many hashes; crc32: int, of them.
    """

    number: int
    name: str
    path: str
    windows: int
    crc32: int


class Catalogue:
    """What a library holds, as search engines read it; each call gives what one moment knew.

    Args:
        path: Path, for messages.
        connection: sqlite3.Connection.
        width: int, bytes per hash.
    """

    def __init__(self, path, connection, width):
        self.path, self.width = path, width
        self._db = connection

    def count(self):
        """How many hashes all tracks have together: int."""
        return self._db.execute("SELECT coalesce(sum(windows), 0) FROM hashes").fetchone()[0]

    def read(self):
        """Reads all hashes.

        Returns:
            (tracks, codes, starts): list of (name, path) by name; uint8 `[n, width]`, their hashes
            one track after the other; int64 `[tracks + 1]`, where each track's begin.

        Raises:
            LibraryError: a track's hashes are damaged.
        """
        query = "SELECT name, path, codes FROM tracks JOIN hashes ON track = id ORDER BY name"
        tracks, starts = [], [0]
        with snapshot(self._db):
            total = self.count()
            codes = np.empty((total, self.width), np.uint8)
            for name, origin, blob in self._db.execute(query):
                end = starts[-1] + len(blob) // self.width
                if not len(blob) or len(blob) % self.width or end > total:
                    raise damaged(self.path, name)
                codes[starts[-1] : end] = np.frombuffer(blob, np.uint8).reshape(-1, self.width)
                tracks.append((name, origin))
                starts.append(end)
        if starts[-1] < total:
            raise LibraryError(
                f"{self.path}: {starts[-1]} hashes, not the {total} that it counts; `a2v-index "
                f"{self.path} verify` names the damaged tracks, remove and add them again"
            )
        return tracks, codes, np.array(starts)

    def identity(self):
        """By which servers know the library, wherever its file lies: str."""
        return self._db.execute("SELECT value FROM meta WHERE key = 'identity'").fetchone()[0]

    def listed(self):
        """Lists all tracks without their hashes: list of Stored, by name."""
        query = "SELECT id, name, path, windows, crc32 FROM tracks JOIN hashes ON track = id"
        return [Stored(*row) for row in self._db.execute(f"{query} ORDER BY name")]

    def codes(self, stored):
        """The hashes of a listed track: uint8 `[windows, width]`; `None` where it is gone since.

        Raises:
            LibraryError: they are damaged.
        """
        query = "SELECT codes FROM hashes WHERE track = ? AND crc32 = ?"
        row = self._db.execute(query, (stored.number, stored.crc32)).fetchone()
        if row is None:
            return None
        if len(row[0]) != stored.windows * self.width or zlib.crc32(row[0]) != stored.crc32:
            raise damaged(self.path, stored.name)
        return np.frombuffer(row[0], np.uint8).reshape(-1, self.width)


def damaged(path, name):
    """The error that the hashes of a track of the library at path are not whole: LibraryError."""
    return LibraryError(
        f"{path}: the hashes of track {name!r} are damaged; `a2v-index {path} verify` "
        "names all such tracks, remove and add them again"
    )
