"""Manifests: CSV files that list tracks with what is known about them."""

import csv
import io
import os
from dataclasses import asdict, fields
from pathlib import Path

from a2v.corpora.track import Track
from a2v.errors import A2VError
from a2v.places import is_remote, place

COLUMNS = tuple(field.name for field in fields(Track))
REQUIRED = ("path", "track")


def read(path):
    """Reads a manifest.

    Args:
        path: path of a CSV file in UTF-8 whose first row names its columns: `path` and `track`,
            optionally `work`, `artist`, `genre` and `split`; others are ignored. Relative paths
            are relative to the manifest's folder.

    Returns:
        list of Track, in the order of the rows. Whether the files exist is not checked.

    Raises:
        A2VError: the manifest is missing, not UTF-8 text, lacks a column, has no rows, a row
            without path or track, or two rows of one track.
    """
    rows = csv.DictReader(io.StringIO(_text(path), newline=""), skipinitialspace=True)
    header = [name.strip() for name in rows.fieldnames or ()]
    for column in REQUIRED:
        if column not in header:
            raise A2VError(
                f"{path}: no column {column!r} in the first row, only "
                f"{', '.join(header) or 'nothing'}; a manifest has {', '.join(COLUMNS)}, and the "
                "first two are needed"
            )
    rows.fieldnames = header
    found, first_row = [], {}
    try:
        for row in rows:
            track = _track(row, place(path), rows.line_num)
            if track.track in first_row:
                raise A2VError(
                    f"{path}: row {rows.line_num}: track {track.track!r} is already in row "
                    f"{first_row[track.track]}; every row needs a name of its own"
                )
            first_row[track.track] = rows.line_num
            found.append(track)
    except csv.Error as error:
        raise A2VError(f"{path}: row {rows.line_num}: {error}; write the CSV anew") from error
    if not found:
        raise A2VError(f"{path}: no rows below the first; list one track a row")
    return found


def write(path, tracks):
    """Writes a manifest, whole or not at all.

    Args:
        path: path of the CSV file; an existing one is replaced.
        tracks: iterable of Track; paths below the manifest's folder are written relative to it,
            others as absolute ones.

    Raises:
        A2VError: the file cannot be written.
    """
    path = Path(path)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    home = path.parent.absolute()
    for track in tracks:
        file = Path(os.path.normpath(Path(track.path).absolute()))
        inside = file.is_relative_to(home)
        written = file.relative_to(home).as_posix() if inside else str(file)
        writer.writerow(asdict(track) | {"path": written})
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        unfinished.write_text(text.getvalue(), encoding="utf-8", newline="")
        os.replace(unfinished, path)
    except OSError as error:
        raise A2VError(f"{path}: cannot write this manifest ({error.strerror})") from error


def _text(path):
    try:
        return place(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise A2VError(f"{path}: cannot read this manifest ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise A2VError(
            f"{path}: byte {error.start} is not UTF-8; save the manifest as CSV in UTF-8"
        ) from error


def _track(row, manifest, number):
    """One row as a Track, its path taken from the manifest's folder."""
    values = {column: (row.get(column) or "").strip() for column in COLUMNS}
    for column in REQUIRED:
        if not values[column]:
            raise A2VError(f"{manifest}: row {number}: no {column}; fill it in or remove the row")
    if not is_remote(values["path"]):
        values["path"] = str(manifest.parent / values["path"])
    return Track(**values)
