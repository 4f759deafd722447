"""Checks the file behind a library, page by page and track by track."""

import sqlite3
import zlib

import numpy as np

from a2v import sketches, store

_ORPHANS = {
    "hashes": "SELECT track FROM hashes WHERE track NOT IN (SELECT id FROM tracks)",
    "a linked file": "SELECT track FROM files WHERE track NOT IN (SELECT id FROM tracks)",
    "a sketch": "SELECT DISTINCT track FROM sketches WHERE track NOT IN (SELECT id FROM tracks)",
}


def problems(connection, encoder):
    """Checks a library file.

    Args:
        connection: sqlite3.Connection.
        encoder: runtime.Encoder, the one it carries.

    Returns:
        list of str, one sentence per problem; empty if all is well.
    """
    found = []
    try:
        with store.snapshot(connection):
            pages = connection.execute("PRAGMA integrity_check").fetchall()
            found += [f"SQLite: {line}" for (line,) in pages if line != "ok"]
            stated = connection.execute("SELECT value FROM meta WHERE key = 'model_id'").fetchone()
            if stated != (encoder.model_id,):
                found.append(
                    f"meta says model {stated and stated[0]}, the encoder inside is "
                    f"{encoder.model_id}"
                )
            found += _of_tracks(connection, encoder)
    except sqlite3.DatabaseError as error:
        found.append(f"SQLite: {error}")
    return found


def _of_tracks(connection, encoder):
    found = []
    kept = _sketched(connection)
    rows = connection.execute(
        "SELECT id, name, seconds, windows, crc32, codes"
        " FROM tracks LEFT JOIN hashes ON track = id ORDER BY name"
    )
    for track, *row in rows:
        own = _problems_of(*row, encoder)
        if not own and kept.get(track, (0, 0)) != _sketch_of(row[-1], encoder):
            own = [f"{row[0]}: its sketch is not that of its hashes; remove it and add it again"]
        found += own
    for what, query in _ORPHANS.items():
        orphans = connection.execute(query)
        found += [f"{what} of track number {track}, which is not there" for (track,) in orphans]
    return found


def _problems_of(name, seconds, windows, crc32, codes, encoder):
    if codes is None:
        return [f"{name}: has no hashes"]
    found = []
    expected = encoder.windows(round(seconds * encoder.sample_rate))
    if windows != expected:
        found.append(f"{name}: {windows} hashes for {seconds:.2f} s, expected {expected}")
    if len(codes) != windows * encoder.n_bits // 8:
        found.append(f"{name}: {len(codes)} bytes for {windows} hashes of {encoder.n_bits} bits")
    if zlib.crc32(codes) != crc32:
        found.append(f"{name}: its hashes are not those that were written (checksum)")
    return found


def _sketched(connection):
    """Every track's sketch in brief: dict of track number to (rows, checksum)."""
    kept = {}
    for word, track, position in connection.execute("SELECT word, track, position FROM sketches"):
        count, total = kept.get(track, (0, 0))
        kept[track] = (count + 1, total + hash((word, position)))
    return kept


def _sketch_of(codes, encoder):
    """What `_sketched` is to say of a track of these hashes."""
    array = np.frombuffer(codes, np.uint8).reshape(-1, encoder.n_bits // 8)
    pairs = list(zip(*(part.tolist() for part in sketches.sketch(array)), strict=True))
    return len(pairs), sum(map(hash, pairs))
