"""The file by which libraries are handed on: everything a library holds, in a ZIP archive.

It is an archive as `numpy.savez_compressed` makes them, and `numpy.load` opens it. Its members are

- `about.json`: `format` (1), `created_by`, `model`, `model_id`, `bits` of a hash, `tracks` and
  `hashes` (how many), `sha256` of each other member (hexadecimal);
- `encoder.tflite`: the encoder that made all hashes, as `a2v-export` wrote it;
- `tracks.jsonl`: an object a line and track, by name: `track`, `path`, `seconds`, `hashes`,
  `sha256`, `silent` (windows that are not audible), `crc32` (of its hashes) and
  `files` (those linked to it: `path`, `sha256`, `offset_s`);
- `codes.npy`: uint8 `[hashes, bits / 8]`, the hashes of all tracks, in that order.

A library's content alone decides the bytes of the archive.
"""

import contextlib
import hashlib
import io
import json
import lzma
import os
import struct
import tempfile
import zipfile
import zlib
from dataclasses import asdict, dataclass

import numpy as np

from a2v import __version__, attached, store
from a2v.entries import Entry, File, Row
from a2v.errors import A2VError

FORMAT = 1
_ABOUT, _ENCODER, _TRACKS, _CODES = "about.json", "encoder.tflite", "tracks.jsonl", "codes.npy"
_EPOCH = (1980, 1, 1, 0, 0, 0)
# What a damaged archive makes zipfile, json, NumPy and the lines below raise.
_DAMAGES = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
_DAMAGES += (lzma.LZMAError, struct.error, KeyError, ValueError, TypeError, AttributeError)


@dataclass(frozen=True)
class Archive:
    """What an export holds, all of it checked.

    Attributes:
        encoder: bytes, the `.tflite` file.
        model: str, its name.
        model_id: str, that of its weights.
        rows: list of entries.Row, by name.
    """

    encoder: bytes
    model: str
    model_id: str
    rows: list


def write(path, encoder, rows, hashes):
    """Writes an export; it appears whole or not at all.

    Args:
        path: Path of the file to be.
        encoder: runtime.Encoder.
        rows: iterable of entries.Row, by name, all of them whole.
        hashes: int, of all rows together.

    Returns:
        int, how many tracks it holds.

    Raises:
        A2VError: something is there already.
        LibraryError: the place cannot be written.
    """
    if path.exists():
        raise A2VError(f"{path}: exists already; use another name, or delete it first")
    with store.reported(path):
        handle, draft = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                count = _write(file, encoder, rows, hashes)
                file.flush()
                os.fsync(file.fileno())
            store.claim(draft, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(draft)
    return count


def read(path):
    """Reads an export and checks every byte of it.

    Args:
        path: Path.

    Returns:
        Archive.

    Raises:
        A2VError: the file is missing, no export, of a newer format, or damaged anywhere.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            about = json.loads(archive.read(_ABOUT))
            version = about["format"]
            if isinstance(version, int) and version > FORMAT:
                raise A2VError(
                    f"{path}: an export in format {version}, made by {about.get('created_by')}; "
                    f"this a2v reads up to {FORMAT}: update a2v"
                )
            return _read(archive, about, path)
    except OSError as error:
        raise A2VError(
            f"{path}: cannot be read ({error.strerror or error}); expected a file made by "
            "`a2v-index LIB export`"
        ) from None
    except _DAMAGES as error:
        raise A2VError(
            f"{path}: no export of a library, or damaged ({error}); nothing of it was used, export "
            "it or copy it again"
        ) from None


def _write(file, encoder, rows, hashes):
    width = encoder.n_bits // 8
    lines, digests = [], {}
    with zipfile.ZipFile(file, "w") as archive:
        digests[_ENCODER] = _put(archive, _ENCODER, [encoder.data])
        digests[_CODES] = _put(archive, _CODES, _codes(rows, hashes, width, lines))
        digests[_TRACKS] = _put(archive, _TRACKS, lines)
        about = {
            "format": FORMAT,
            "created_by": f"a2v {__version__}",
            "model": encoder.name,
            "model_id": encoder.model_id,
            "bits": encoder.n_bits,
            "tracks": len(lines),
            "hashes": hashes,
            "sha256": digests,
        }
        _put(archive, _ABOUT, [json.dumps(about, indent=1).encode()])
    return len(lines)


def _codes(rows, hashes, width, lines):
    """Pieces of `codes.npy`; the line of each track is put into `lines` as it passes."""
    header = io.BytesIO()
    array = {"descr": "|u1", "fortran_order": False, "shape": (hashes, width)}
    np.lib.format.write_array_header_1_0(header, array)
    yield header.getvalue()
    for row in rows:
        about = asdict(row.entry) | {"silent": row.silent, "crc32": row.crc32}
        lines.append(json.dumps(about, ensure_ascii=False).encode() + b"\n")
        yield row.codes


def _put(archive, name, pieces):
    """Writes one member in the same bytes at any time: its SHA-256."""
    member = zipfile.ZipInfo(name, _EPOCH)
    member.compress_type = zipfile.ZIP_DEFLATED
    digest = hashlib.sha256()
    with archive.open(member, "w", force_zip64=True) as file:
        for piece in pieces:
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def _read(archive, about, path):
    members = {}
    for name in (_ENCODER, _TRACKS, _CODES):
        members[name] = archive.read(name)
        if hashlib.sha256(members[name]).hexdigest() != about["sha256"][name]:
            raise ValueError(f"{name} is not what was written")
    metadata = attached.read_metadata(members[_ENCODER], name=f"{path}: {_ENCODER}")
    codes = np.lib.format.read_array(io.BytesIO(members[_CODES]), allow_pickle=False)
    width = metadata["n_bits"] // 8
    if codes.dtype != np.uint8 or codes.shape != (about["hashes"], width):
        raise ValueError(f"{_CODES} holds {codes.dtype} {list(codes.shape)}")
    lines = members[_TRACKS].decode().split("\n")[:-1]
    if len(lines) != about["tracks"] or metadata["model_id"] != about["model_id"]:
        raise ValueError(f"{_ABOUT} does not tell what is there")
    rows, start = [], 0
    for line in lines:
        row = _row(json.loads(line), codes[start:])
        if not row.is_whole(width):
            raise ValueError(f"the hashes of track {row.entry.track!r} are not its own")
        rows.append(row)
        start += row.entry.hashes
    if start != len(codes) or len({row.entry.track for row in rows}) != len(rows):
        raise ValueError(f"{_TRACKS} does not name every hash once")
    return Archive(members[_ENCODER], metadata["name"], metadata["model_id"], rows)


def _row(fields, codes):
    """The track of one line, whose hashes come first among `codes`."""
    silent, crc32 = fields.pop("silent"), fields.pop("crc32")
    if not isinstance(silent, int):
        raise ValueError(f"{_TRACKS} says {silent!r} for the silent windows of a track")
    files = tuple(File(**file) for file in fields.pop("files"))
    entry = Entry(**fields, files=files)
    return Row(entry, silent, crc32, codes[: entry.hashes].tobytes())
