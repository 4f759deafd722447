"""TFRecords of windows: the `tf.train.Example` schema, shards, and the dataset's manifest.

One Example is one window: `track` (bytes), `start_s` (float, seconds) and a float list for each
feature. `dataset.json` beside the shards says what they hold.
"""

import json
import os
import struct
import warnings
from pathlib import Path

import google_crc32c
import tensorflow as tf

from a2v import features
from a2v.errors import A2VError

MANIFEST = "dataset.json"
FORMAT = 1
# Serialised examples that a training epoch keeps in memory to draw from, in bytes.
SHUFFLE_BYTES = 1 << 30


def example(track, start_s, values):
    """Serialises one window.

    Args:
        track: str, the track's name.
        start_s: float, where the window starts, in seconds.
        values: dict of feature name to float32 array of any shape.

    Returns:
        bytes of a `tf.train.Example`.
    """
    feature = {
        "track": tf.train.Feature(bytes_list=tf.train.BytesList(value=[track.encode()])),
        "start_s": tf.train.Feature(float_list=tf.train.FloatList(value=[start_s])),
    }
    for name, value in values.items():
        feature[name] = tf.train.Feature(float_list=_float_list(value))
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString(
        deterministic=True
    )


def _float_list(value):
    # Parsing packed floats is what protobuf does in C; handing it the wire format (field 1,
    # length-delimited) is 20 times faster than a list of Python floats.
    data = value.astype("<f4").tobytes()
    size, length = len(data), bytearray()
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    length.append(size)
    return tf.train.FloatList.FromString(b"\x0a" + bytes(length) + data)


def shard_name(split, index, count):
    """File name of a shard, such as `train-00003-of-00016.tfrecord`."""
    return f"{split}-{index:05d}-of-{count:05d}.tfrecord"


def write_whole(path, data):
    """Writes text under a temporary name and renames it: readers see all of it or nothing."""
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def checksum(path):
    """CRC-32C of a file, 8 hexadecimal digits."""
    crc = google_crc32c.Checksum()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            crc.update(block)
    return crc.hexdigest().decode()


class Dataset:
    """A folder of shards made by `a2v-preprocess`.

    Args:
        path: folder that holds `dataset.json`.

    Raises:
        A2VError: no dataset, a newer format, or a shard that the manifest names is missing.
    """

    def __init__(self, path):
        self.path = Path(path)
        file = self.path / MANIFEST
        if not file.exists():
            unfinished = (self.path / ".progress").exists()
            remedy = "finish it with --resume" if unfinished else "make it with a2v-preprocess"
            raise A2VError(f"{self.path}: no {MANIFEST} in it; {remedy}")
        self.manifest = json.loads(file.read_text(encoding="utf-8"))
        if self.manifest["format"] > FORMAT:
            raise A2VError(
                f"{file}: format {self.manifest['format']}, this a2v reads up to {FORMAT}; upgrade"
            )
        self.shapes = {name: f["shape"] for name, f in self.manifest["features"].items()}
        self._salvaged = {}

    def tracks(self, split):
        """Manifest entries (dicts) of the tracks of a split."""
        return [t for t in self.manifest["tracks"] if t["split"] == split]

    def count(self, split):
        """Number of windows in a split."""
        return sum(s["records"] for s in self.manifest["shards"] if s["split"] == split)

    def check(self, name, definition):
        """Raises unless the dataset holds feature `name` as `definition` describes it."""
        if name not in self.manifest["features"]:
            raise A2VError(
                f"{self.path}: holds {', '.join(self.shapes)}, the model wants {name}; "
                f"run a2v-preprocess with --features {name}"
            )
        ours, theirs = features.digest(definition), self.manifest["features"][name]["digest"]
        if ours != theirs:
            raise A2VError(
                f"{self.path}: {name} of definition {theirs}, the model wants {ours}; "
                "run a2v-preprocess again with this pipeline"
            )

    def read(self, split, names, *, seed=None):
        """Streams the windows of a split.

        Args:
            split: str, `train`, `tune` or `test`.
            names: feature names to parse.
            seed: int or int64 tensor; shuffles shards and windows. `None` keeps their order.

        Returns:
            `tf.data.Dataset` of dicts: `track` string, `start_s` float32, and each feature as
            float32 of its shape. Corrupt records are skipped with a warning that names the shard.
        """
        shards = [s for s in self.manifest["shards"] if s["split"] == split and s["records"]]
        if not shards:
            raise A2VError(f"{self.path}: no windows in split {split!r}")
        sound = [s for s in shards if self._is_sound(s)]
        paths = [str(self.path / s["name"]) for s in sound]
        data = tf.data.Dataset.from_tensor_slices(tf.constant(paths, tf.string))
        if seed is not None and paths:
            data = data.shuffle(len(paths), seed=seed)
        data = data.interleave(
            tf.data.TFRecordDataset,
            cycle_length=min(16, max(1, len(paths))) if seed is not None else 1,
            num_parallel_calls=2 if seed is not None else None,
            deterministic=True,
        )
        for shard in shards:
            if shard not in sound:
                data = data.concatenate(
                    tf.data.Dataset.from_tensor_slices(self._salvage(shard["name"]))
                )
        if seed is not None:
            data = data.shuffle(self._shuffle_buffer(names), seed=seed)
        schema = {"track": tf.io.FixedLenFeature([], tf.string)}
        schema["start_s"] = tf.io.FixedLenFeature([], tf.float32)
        for name in names:
            schema[name] = tf.io.FixedLenFeature(self.shapes[name], tf.float32)
        return data.map(
            lambda record: tf.io.parse_single_example(record, schema),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )

    def _shuffle_buffer(self, names):
        size = sum(4 * int(tf.reduce_prod(self.shapes[name])) for name in self.shapes)
        return max(256, SHUFFLE_BYTES // max(1, size))

    def _is_sound(self, shard):
        path = self.path / shard["name"]
        if not path.exists():
            raise A2VError(f"{path}: missing; restore it or run a2v-preprocess --overwrite")
        if shard["name"] not in self._salvaged:
            sound = checksum(path) == shard["checksum"]
            self._salvaged[shard["name"]] = None if sound else salvage(path)
            if not sound:
                kept = len(self._salvaged[shard["name"]])
                warnings.warn(
                    f"{path}: corrupt; {shard['records'] - kept} of {shard['records']} records "
                    "skipped; run a2v-preprocess --overwrite to make it anew",
                    stacklevel=2,
                )
        return self._salvaged[shard["name"]] is None

    def _salvage(self, name):
        return tf.constant(self._salvaged[name], tf.string, shape=(len(self._salvaged[name]),))


def salvage(path):
    """The records of a damaged TFRecord file that are whole.

    A record is 8 bytes of length, 4 of its checksum, the data, 4 of its checksum. Where the
    length itself is damaged, the rest of the file cannot be told apart and is given up.

    Returns:
        list of bytes.
    """
    data = Path(path).read_bytes()
    whole, at = [], 0
    while at + 16 <= len(data):
        (length, length_crc) = struct.unpack_from("<QI", data, at)
        if _masked_crc(data[at : at + 8]) != length_crc or at + 16 + length > len(data):
            break
        record = data[at + 12 : at + 12 + length]
        if _masked_crc(record) == struct.unpack_from("<I", data, at + 12 + length)[0]:
            whole.append(record)
        at += 16 + length
    return whole


def _masked_crc(data):
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
