"""The tracks of a library, row by row: what is listed, put in and taken out of its file."""

import zlib
from dataclasses import dataclass

import numpy as np

from a2v import sketches, store


@dataclass(frozen=True)
class File:
    """A further file of a track: another recording of the same, or a copy of its bytes.

    Attributes:
        path: str, absolute, where it was when it was linked.
        sha256: str, hexadecimal, of its bytes.
        offset_s: float, s, where in the track it begins; negative if before it.
    """

    path: str
    sha256: str
    offset_s: float


@dataclass(frozen=True)
class Entry:
    """A track of a library.

    Attributes:
        track: str, its name.
        path: str, absolute, where it was when it was added.
        seconds: float, s.
        hashes: int, how many.
        sha256: str, hexadecimal, of the file's bytes.
        files: tuple of File, those that were linked to it.
    """

    track: str
    path: str
    seconds: float
    hashes: int
    sha256: str
    files: tuple = ()


@dataclass(frozen=True)
class Row:
    """All that a library holds of a track.

    Attributes:
        entry: Entry.
        silent: int, how many of its windows are not audible.
        crc32: int, of its hashes when they were written.
        codes: bytes, its hashes, one after the other.
    """

    entry: Entry
    silent: int
    crc32: int
    codes: bytes

    def is_whole(self, width):
        """Whether its hashes, of `width` bytes each, are those that were written."""
        return whole(self.codes, self.entry.hashes, self.crc32, width)


def whole(codes, windows, crc32, width):
    """Whether bytes are the hashes, of `width` bytes each, that were counted and written: bool."""
    return len(codes) == windows * width > 0 and zlib.crc32(codes) == crc32


def rows(connection):
    """Reads all tracks, by name; for use inside of `store.snapshot`.

    Args:
        connection: sqlite3.Connection.

    Yields:
        Row.
    """
    further = _files(connection)
    query = (
        "SELECT id, silent, crc32, codes, name, path, seconds, windows, sha256"
        " FROM tracks JOIN hashes ON track = id ORDER BY name"
    )
    for track, unheard, crc32, codes, *fields in connection.execute(query):
        yield Row(Entry(*fields, further.get(track, ())), unheard, crc32, codes)


def listed(connection):
    """Lists all tracks: list of Entry, by name."""
    query = (
        "SELECT id, name, path, seconds, windows, sha256"
        " FROM tracks JOIN hashes ON track = id ORDER BY name"
    )
    with store.snapshot(connection):
        further = _files(connection)
        return [
            Entry(*fields, further.get(track, ())) for track, *fields in connection.execute(query)
        ]


def entry(connection, name):
    """Looks one track up: Entry; `None` if there is none of this name."""
    row = connection.execute(
        "SELECT id, name, path, seconds, windows, sha256"
        " FROM tracks JOIN hashes ON track = id WHERE name = ?",
        (name,),
    ).fetchone()
    return row and Entry(*row[1:], _files(connection, row[0]).get(row[0], ()))


def totals(connection):
    """Adds all tracks up.

    Args:
        connection: sqlite3.Connection.

    Returns:
        dict: `tracks`, `files` (linked ones), `hashes` (int), `seconds` (float, s) and
        `silent_share` (float, of all windows; `None` if there is none).
    """
    with store.snapshot(connection):
        count, seconds, hashes, silent = connection.execute(
            "SELECT count(*), coalesce(sum(seconds), 0.0), coalesce(sum(windows), 0), sum(silent)"
            " FROM tracks JOIN hashes ON track = id"
        ).fetchone()
        (files,) = connection.execute("SELECT count(*) FROM files").fetchone()
    return {
        "tracks": count,
        "files": files,
        "seconds": seconds,
        "hashes": hashes,
        "silent_share": silent / hashes if hashes else None,
    }


def of_bytes(connection, sha256):
    """Finds the track a file of these bytes belongs to: (name, offset_s as in File), or `None`."""
    queries = (
        "SELECT name, 0.0 FROM tracks WHERE sha256 = ?",
        "SELECT name, offset_s FROM files JOIN tracks ON track = id WHERE files.sha256 = ?",
    )
    for query in queries:
        if row := connection.execute(query, (sha256,)).fetchone():
            return row
    return None


def insert(connection, row, width):
    """Puts a track in, inside of a transaction.

    Args:
        connection: sqlite3.Connection.
        row: Row.
        width: int, bytes per hash.
    """
    own = row.entry
    track = connection.execute(
        "INSERT INTO tracks (name, path, seconds, sha256, silent) VALUES (?, ?, ?, ?, ?)",
        (own.track, own.path, own.seconds, own.sha256, row.silent),
    ).lastrowid
    connection.execute(
        "INSERT INTO hashes VALUES (?, ?, ?, ?)", (track, own.hashes, row.crc32, row.codes)
    )
    sketches.insert(connection, track, _array(row.codes, width))
    for file in own.files:
        _link(connection, track, file)


def link(connection, name, file):
    """Puts a further file of a track in, inside of a transaction; `file` is a File."""
    (track,) = connection.execute("SELECT id FROM tracks WHERE name = ?", (name,)).fetchone()
    _link(connection, track, file)


def delete(connection, name, width):
    """Takes a track out, inside of a transaction.

    Args:
        connection: sqlite3.Connection.
        name: str.
        width: int, bytes per hash.

    Returns:
        bool, whether there was one.
    """
    found = connection.execute(
        "SELECT id, codes, windows, crc32"
        " FROM tracks LEFT JOIN hashes ON track = id WHERE name = ?",
        (name,),
    ).fetchone()
    if found is None:
        return False
    track, codes, *stated = found
    kept = codes is not None and whole(codes, *stated, width)
    sketches.delete(connection, track, _array(codes, width) if kept else None)
    connection.execute("DELETE FROM tracks WHERE id = ?", (track,))
    return True


def _files(connection, only=None):
    """Linked files: dict of track number to tuple of File, of all tracks or of one."""
    query = "SELECT track, path, sha256, offset_s FROM files"
    where, values = (" WHERE track = ?", (only,)) if only is not None else ("", ())
    found = {}
    for track, *fields in connection.execute(f"{query}{where} ORDER BY track, path", values):
        found[track] = (*found.get(track, ()), File(*fields))
    return found


def _link(connection, track, file):
    connection.execute(
        "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)",
        (track, file.path, file.sha256, file.offset_s),
    )


def _array(codes, width):
    return np.frombuffer(codes, np.uint8).reshape(-1, width)
