"""What a library holds, as search engines read it."""

from dataclasses import dataclass

import numpy as np

from a2v import entries
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
        query = (
            "SELECT name, path, codes, windows, crc32"
            " FROM tracks JOIN hashes ON track = id ORDER BY name"
        )
        tracks, starts = [], [0]
        with snapshot(self._db):
            total = self.count()
            codes = np.empty((total, self.width), np.uint8)
            for name, origin, blob, *stated in self._db.execute(query):
                end = starts[-1] + len(blob) // self.width
                codes[starts[-1] : end] = hashes(self.path, name, blob, *stated, self.width)
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
        query = "SELECT codes, windows, crc32 FROM hashes WHERE track = ? AND crc32 = ?"
        row = self._db.execute(query, (stored.number, stored.crc32)).fetchone()
        if row is None:
            return None
        return hashes(self.path, stored.name, *row, self.width)


def hashes(path, name, codes, windows, crc32, width):
    """The hashes of a track.

    Args:
        path: Path of the library; name: str, of the track; both for the message.
        codes: bytes; windows, crc32: int, how many hashes were written, and their checksum.
        width: int, bytes per hash.

    Returns:
        uint8 `[windows, width]`.

    Raises:
        LibraryError: they are not what was written.
    """
    if not entries.whole(codes, windows, crc32, width):
        raise damaged(path, name)
    return np.frombuffer(codes, np.uint8).reshape(-1, width)


def damaged(path, name):
    """The error that the hashes of a track of the library at path are not whole: LibraryError."""
    return LibraryError(
        f"{path}: the hashes of track {name!r} are damaged; `a2v-index {path} verify` "
        "names all such tracks, remove and add them again"
    )
