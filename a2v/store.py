"""The file behind a library: its SQLite schema, how it is made, opened and checked."""

import contextlib
import os
import sqlite3
import tempfile
from pathlib import Path

from a2v import __version__
from a2v.errors import A2VError

SCHEMA = 2
_MAGIC = b"SQLite format 3\0"
# Others may be adding; each holds the lock for milliseconds.
_WAIT_S = 60.0
_COMPANIONS = ("", "-wal", "-shm", "-journal")
_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE tracks (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, path TEXT NOT NULL,
    seconds REAL NOT NULL, sha256 TEXT NOT NULL UNIQUE, silent INTEGER NOT NULL
);
CREATE TABLE hashes (
    track INTEGER PRIMARY KEY REFERENCES tracks(id) ON DELETE CASCADE,
    windows INTEGER NOT NULL, crc32 INTEGER NOT NULL, codes BLOB NOT NULL
);
CREATE TABLE files (
    track INTEGER NOT NULL REFERENCES tracks(id) ON DELETE CASCADE, path TEXT NOT NULL,
    sha256 TEXT NOT NULL, offset_s REAL NOT NULL, PRIMARY KEY (track, path)
) WITHOUT ROWID;
CREATE INDEX files_by_bytes ON files (sha256);
CREATE TABLE sketches (
    word INTEGER NOT NULL, track INTEGER NOT NULL, position INTEGER NOT NULL,
    PRIMARY KEY (word, track)
) WITHOUT ROWID;
INSERT INTO meta VALUES ('identity', lower(hex(randomblob(8))));
"""
_REMEDIES = {
    sqlite3.SQLITE_FULL: "free some space and go on; what was reported as added is safe",
    sqlite3.SQLITE_IOERR: "check the disk and its free space; what was reported as added is safe",
    sqlite3.SQLITE_BUSY: "another process keeps it locked; try again when that is done",
    sqlite3.SQLITE_READONLY: "it may be read but not written here; copy it, or change its mode",
    sqlite3.SQLITE_CANTOPEN: "check that its folder exists and may be written",
    sqlite3.SQLITE_NOTADB: "expected a library made by a2v-index",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; restore a copy, or index the recordings anew",
}


class LibraryError(A2VError):
    """The library itself cannot be read or written: the next recording would fail as well."""


@contextlib.contextmanager
def reported(path):
    """Turns what SQLite and the file system raise into a sentence about the library at path."""
    try:
        yield
    except sqlite3.Error as error:
        # Extended codes keep the plain one in their last byte.
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        remedy = _REMEDIES.get(code, "`a2v-index LIB verify` tells more")
        if isinstance(error, sqlite3.ProgrammingError):  # it was closed, or is another thread's
            remedy = "each thread opens the library for itself, and asks before it closes it"
        raise LibraryError(f"{path}: {error}; {remedy}") from error
    except OSError as error:
        raise LibraryError(
            f"{path}: cannot be written ({error.strerror}); choose another place or mend this one"
        ) from error


def create(path, encoder, *, overwrite=False):
    """Makes an empty library file; it appears whole or not at all.

    Args:
        path: Path of the file to be.
        encoder: runtime.Encoder to carry.
        overwrite: bool, replace a library that is there.

    Raises:
        A2VError: something is there already.
        LibraryError: the place cannot be written.
    """
    with reported(path):
        _check_free(path, overwrite)
        handle, draft = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
        os.close(handle)
        try:
            _write_empty(draft, encoder)
            if overwrite:
                # The old log first: left behind, SQLite would play it into the new file.
                for suffix in _COMPANIONS[1:]:
                    Path(f"{path}{suffix}").unlink(missing_ok=True)
            claim(draft, path, overwrite=overwrite)
        finally:
            for suffix in _COMPANIONS:
                Path(f"{draft}{suffix}").unlink(missing_ok=True)


def connect(path):
    """Opens a library file and checks that it is one.

    Args:
        path: Path.

    Returns:
        (sqlite3.Connection in autocommit mode, dict of the `meta` table).

    Raises:
        A2VError: no such file, no library, or one of another schema.
        LibraryError: it cannot be read.
    """
    if not path.exists():
        raise A2VError(f"{path}: no such library; `a2v-index {path} add FILE...` makes one")
    with reported(path):
        if path.is_dir() or _head(path) != _MAGIC:
            raise A2VError(f"{path}: not an a2v library; expected a file made by a2v-index")
        connection = _connection(path)
    try:
        with reported(path):
            return connection, _read_meta(path, connection)
    except BaseException:
        connection.close()
        raise


def size(path):
    """Bytes of a library file and of what it has not yet taken over from its log: int."""
    return sum(file.stat().st_size for file in (path, Path(f"{path}-wal")) if file.exists())


@contextlib.contextmanager
def snapshot(connection):
    """Everything that is read inside is what one moment knew."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        # What damage broke off has rolled back by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def claim(draft, path, *, overwrite=False):
    """Gives a finished draft its name unless another process was quicker.

    Args:
        draft: path, in the same folder.
        path: Path that is to appear.
        overwrite: bool, take the place of what is there.

    Raises:
        A2VError: it is there already.
    """
    os.chmod(draft, 0o666 & ~_umask())
    if overwrite:
        os.replace(draft, path)
        return
    try:
        os.link(draft, path)
    except FileExistsError:
        raise A2VError(f"{path}: another process has just made it; try again") from None
    except OSError:
        # File systems without hard links.
        os.rename(draft, path)


def _check_free(path, overwrite):
    if path.is_dir():
        raise A2VError(f"{path}: is a folder; name the library's file")
    if path.exists() and not overwrite:
        raise A2VError(f"{path}: exists already; use another name, or overwrite it explicitly")
    if path.exists() and path.stat().st_size and _head(path) != _MAGIC:
        raise A2VError(f"{path}: not a library, will not be overwritten; delete it yourself")


def _head(path):
    with path.open("rb") as file:
        return file.read(len(_MAGIC))


def _write_empty(draft, encoder):
    with contextlib.closing(sqlite3.connect(draft, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript(f"BEGIN; {_TABLES} COMMIT;")
        rows = {
            "schema": SCHEMA,
            "created_by": f"a2v {__version__}",
            "model": encoder.name,
            "model_id": encoder.model_id,
            "encoder": encoder.data,
        }
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO meta VALUES (?, ?)", rows.items())
        connection.execute("COMMIT")


def _umask():
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _connection(path):
    """A connection; where the folder may only be read, one that needs no companion files."""
    uri = path.resolve().as_uri()
    for mode in ("rw", "ro&immutable=1"):
        connection = sqlite3.connect(
            f"{uri}?mode={mode}", uri=True, isolation_level=None, timeout=_WAIT_S
        )
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            connection.close()
            if mode != "rw" or os.access(path.parent, os.W_OK):
                raise
            continue
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        return connection
    raise AssertionError("unreachable")


def _read_meta(path, connection):
    tables = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'meta'")
    meta = dict(connection.execute("SELECT * FROM meta")) if tables.fetchone()[0] else {}
    schema = meta.get("schema")
    if not isinstance(schema, int):
        raise A2VError(f"{path}: an SQLite file, but no a2v library; expected one by a2v-index")
    if schema != SCHEMA:
        remedy = "update a2v" if schema > SCHEMA else "index the recordings anew"
        raise A2VError(
            f"{path}: schema {schema}, made by {meta.get('created_by', 'another a2v')}; "
            f"a2v {__version__} reads {SCHEMA}: {remedy}"
        )
    if missing := [key for key in ("encoder", "model_id") if key not in meta]:
        raise LibraryError(f"{path}: damaged, lacks its {' and '.join(missing)}; index anew")
    return meta
