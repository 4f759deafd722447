"""What a2v puts behind a TFLite model: facts about it, and what a query's bits are weighed by.

A ZIP archive appended to the flatbuffer, TFLite's "associated files", which interpreters ignore.
"""

import io
import json
import zipfile
import zlib
from pathlib import Path

from a2v.discriminant import Discriminant
from a2v.errors import A2VError

FORMAT = 2
METADATA_MEMBER, DISCRIMINANT_MEMBER = "a2v.json", "discriminant.npz"
# What reading a damaged archive may raise.
_DAMAGES = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
_DAMAGES += (OSError, KeyError, ValueError, TypeError)
_KEYS = (
    "name model_id sample_rate n_bits window_s hop_s span_samples block_windows block_samples "
    "downmix digest calibration"
).split()


def attach(path, metadata, discriminant=None):
    """Puts `a2v.json`, and a discriminant where there is one, behind a TFLite file.

    Args:
        path: path of the `.tflite` file; what was attached to it before is replaced.
        metadata: dict, as `read_metadata` gives.
        discriminant: `discriminant.Discriminant`, or `None`.
    """
    data = Path(path).read_bytes()
    try:
        with zipfile.ZipFile(path) as archive:
            # What precedes the archive's first member is the flatbuffer.
            data = data[: archive.infolist()[0].header_offset]
    except zipfile.BadZipFile:
        pass  # fresh from the converter
    Path(path).write_bytes(data)
    members = {METADATA_MEMBER: json.dumps(metadata, sort_keys=True)}
    if discriminant is not None:
        members[DISCRIMINANT_MEMBER] = discriminant.saved()
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            # Without the time: same model, same bytes.
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)


def read_metadata(data, *, name="encoder"):
    """Reads what `a2v-export` wrote behind a TFLite model.

    Args:
        data: bytes, the whole `.tflite` file.
        name: str, what messages call it.

    Returns:
        dict, the member `a2v.json` of the ZIP archive appended to the flatbuffer (TFLite's
        "associated files").

    Raises:
        A2VError: no TFLite file, none that a2v-export wrote, or one of another format.
    """
    if data[4:8] != b"TFL3":
        raise A2VError(f"{name}: not a TFLite file; expected a model.tflite from a2v-export")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            metadata = json.loads(archive.read(METADATA_MEMBER))
        version = metadata["format"]
    except _DAMAGES:
        raise A2VError(
            f"{name}: a TFLite file that was not exported by a2v-export or is damaged "
            f"(no {METADATA_MEMBER} in it); export the model again"
        ) from None
    if version != FORMAT:
        newer = isinstance(version, int) and version > FORMAT
        remedy = "update a2v" if newer else "export it, or index, again"
        raise A2VError(f"{name}: exported in format {version}, this a2v reads {FORMAT}; {remedy}")
    if missing := [key for key in _KEYS if key not in metadata]:
        raise A2VError(f"{name}: {METADATA_MEMBER} lacks {', '.join(missing)}; export it again")
    return metadata


def read_discriminant(data, *, name="encoder"):
    """Reads what bits of a query are weighed by, see `hashing.query`.

    Args:
        data: bytes, a `.tflite` file of a2v-export.
        name: str, what messages call it.

    Returns:
        `discriminant.Discriminant`, or `None` where the file has none.

    Raises:
        A2VError: it is damaged.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if DISCRIMINANT_MEMBER not in archive.namelist():
            return None
        try:
            return Discriminant.read(archive.read(DISCRIMINANT_MEMBER))
        except _DAMAGES as error:
            raise A2VError(
                f"{name}: its {DISCRIMINANT_MEMBER} is damaged ({error}); export or copy it again"
            ) from None
