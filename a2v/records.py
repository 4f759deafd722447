"""TFRecords of windows: the `tf.train.Example` schema, shards, and the dataset's manifest.

One Example is one window: `track` (bytes), `start_s` (float, seconds) and a float list for each
feature. `dataset.json` beside the shards says what they hold.
"""

import functools
import json
import math
import os
import struct
import tempfile
import warnings
from pathlib import Path

import google_crc32c
import numpy as np
import tensorflow as tf

from a2v import features, places
from a2v.errors import A2VError, A2VWarning

MANIFEST = "dataset.json"
PROGRESS = ".progress"
FORMAT = 1
# Serialised examples that a training epoch keeps in memory to draw from, in bytes.
SHUFFLE_BYTES = 1 << 30
# Shards that are read in turns.
TOGETHER = 64
WRITTEN_AT_ONCE = 256


def examples(track, start_s, values):
    """Serialises windows of one track.

    Args:
        track: str, the track's name.
        start_s: float array `[windows]`, where each window starts, in seconds.
        values: dict of feature name to float32 array `[windows, ...]`.

    Returns:
        uint8 `[windows, bytes]`: in each row what `tf.train.Example.SerializeToString` gives,
        keys sorted.
    """
    # Protobuf objects take a Python float for each number; all windows of a track have one wire
    # format, which is filled in at once.
    entries = {"track": (_field(1, _field(1, os.fsencode(track))), None)}
    for name, value in {"start_s": start_s, **values}.items():
        value = np.ascontiguousarray(value, "<f4").reshape(len(start_s), -1)
        header = b"\x0a" + _varint(4 * value.shape[1])  # packed floats are field 1
        entries[name] = (_field(2, header, 4 * value.shape[1]), value.view(np.uint8))
    parts, size = [], 0
    for name in sorted(entries):
        feature, data = entries[name]
        width = 0 if data is None else data.shape[1]
        entry = _field(1, name.encode()) + _field(2, feature, width)
        parts += [_field(1, entry, width), data]
        size += len(parts[-2]) + width
    parts = [b"\x0a" + _varint(size), *parts]
    parts = [np.frombuffer(p, np.uint8) if isinstance(p, bytes) else p for p in parts]
    parts = [p for p in parts if p is not None]
    rows = np.empty((len(start_s), sum(p.shape[-1] for p in parts)), np.uint8)
    at = 0
    for part in parts:
        rows[:, at : at + part.shape[-1]] = part
        at += part.shape[-1]
    return rows


def _field(number, data, more=0):
    """A length-delimited field of `data` and of `more` bytes that are to follow."""
    return bytes([number << 3 | 2]) + _varint(len(data) + more) + data


def _varint(value):
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])


class ShardWriter:
    """Writes one TFRecord file; a context manager that leaves the file on disk, synchronised.

    Args:
        path: file to make.
    """

    def __init__(self, path):
        self._file = open(path, "wb")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        with self._file:
            if kind is None:
                self._file.flush()
                os.fsync(self._file.fileno())

    def tell(self):
        """Position that `rewind` takes."""
        return self._file.tell()

    def rewind(self, position):
        """Forgets what was written after `position`."""
        self._file.seek(position)
        self._file.truncate()

    def write(self, track, start_s, values):
        """Writes windows of one track; arguments as for `examples`."""
        for at in range(0, len(start_s), WRITTEN_AT_ONCE):
            part = slice(at, at + WRITTEN_AT_ONCE)
            rows = examples(track, start_s[part], {n: v[part] for n, v in values.items()})
            length = struct.pack("<Q", rows.shape[1])
            header = length + struct.pack("<I", _masked_crc(length))
            for row in rows:
                data = row.tobytes()
                self._file.write(header + data + struct.pack("<I", _masked_crc(data)))


def shard_name(split, index, count):
    """File name of a shard, such as `train-00003-of-00016.tfrecord`."""
    return f"{split}-{index:05d}-of-{count:05d}.tfrecord"


def checksum(path):
    """CRC-32C of a file, 8 hexadecimal digits."""
    crc = google_crc32c.Checksum()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            crc.update(block)
    return crc.hexdigest().decode()


class Dataset:
    """A folder of shards made by `a2v-preprocess`.

    Args:
        path: folder that holds `dataset.json`, or its URL: of this, shards are fetched when they
            are first read, and kept until the process ends.

    Raises:
        A2VError: no dataset, an unfinished or a damaged one, or one of a newer format.
    """

    def __init__(self, path):
        self.path = places.place(path)
        file = self.path / MANIFEST
        if not file.exists():
            unfinished = (self.path / PROGRESS).exists()
            remedy = "finish it with --resume" if unfinished else "make it with a2v-preprocess"
            raise A2VError(f"{self.path}: no {MANIFEST} in it; {remedy}")
        damaged = A2VError(
            f"{file}: not a manifest of a2v-preprocess, or damaged; make the dataset again "
            "with --overwrite"
        )
        try:
            self.manifest = json.loads(file.read_text(encoding="utf-8"))
            version = self.manifest["format"]
            if version > FORMAT:
                raise A2VError(
                    f"{file}: format {version}, this a2v reads up to {FORMAT}; upgrade a2v"
                )
            self.shapes = {name: f["shape"] for name, f in self.manifest["features"].items()}
        except (ValueError, TypeError, KeyError, AttributeError):
            raise damaged from None
        if not all(isinstance(self.manifest.get(key), list) for key in ("shards", "tracks")):
            raise damaged
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
                "run a2v-preprocess again with this model's pipeline"
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
            float32 of its shape. Corrupt records are skipped with a warning that names the shard
            and counts them; the whole records of such a shard come last.

        Raises:
            A2VError: the split is empty, or a shard that the manifest names is missing.
        """
        shards = [s for s in self.manifest["shards"] if s["split"] == split and s["records"]]
        if not shards:
            raise A2VError(f"{self.path}: no windows in split {split!r}")

        def shuffled(data, buffer):
            # Keras may begin a dataset twice, with several devices to look at its first batch.
            return data.shuffle(buffer, seed=seed, reshuffle_each_iteration=False)

        sound = [str(self._local(s["name"])) for s in shards if self._whole_records(s) is None]
        rest = [r for s in shards for r in self._whole_records(s) or []]
        data = tf.data.Dataset.from_tensor_slices(tf.constant(sound, tf.string))
        if seed is None:
            data = data.flat_map(tf.data.TFRecordDataset)
        else:
            data = shuffled(data, max(1, len(sound))).interleave(
                tf.data.TFRecordDataset,
                cycle_length=max(1, min(TOGETHER, len(sound))),
                num_parallel_calls=min(2, max(1, len(sound))),
                deterministic=True,
            )
        if rest:
            data = data.concatenate(tf.data.Dataset.from_tensor_slices(rest))
        if seed is not None:
            data = shuffled(data, self._shuffle_buffer())
        schema = {"track": tf.io.FixedLenFeature([], tf.string)}
        schema["start_s"] = tf.io.FixedLenFeature([], tf.float32)
        for name in names:
            schema[name] = tf.io.FixedLenFeature(self.shapes[name], tf.float32)
        data = data.map(
            lambda record: tf.io.parse_single_example(record, schema),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        # The thread that tunes a dataset sleeps for ever longer, and the end of an iterator waits
        # for it: half a minute after each epoch of conv128 (benchmarks/experiments.md).
        options = tf.data.Options()
        options.autotune.enabled = False
        return data.with_options(options)

    def _local(self, name):
        """Where TensorFlow reads a shard: Path."""
        if not places.is_remote(self.path):
            return self.path / name
        local = Path(_fetched(str(self.path), self.manifest["plan"]).name) / name
        if not local.exists() and (self.path / name).exists():
            with places.draft(local) as draft:
                (self.path / name).fs.get_file((self.path / name).path, str(draft))
        return local

    def _shuffle_buffer(self):
        size = sum(4 * math.prod(self.shapes[name]) for name in self.shapes)
        return max(256, SHUFFLE_BYTES // max(1, size))

    def _whole_records(self, shard):
        """`None` for a sound shard, else the records of it that are whole."""
        path = self._local(shard["name"])
        if not path.exists():
            raise A2VError(
                f"{self.path / shard['name']}: missing; restore it or run a2v-preprocess --resume"
            )
        if shard["name"] not in self._salvaged:
            sound = checksum(path) == shard["checksum"]
            self._salvaged[shard["name"]] = None if sound else salvage(path)
            if not sound:
                lost = shard["records"] - len(self._salvaged[shard["name"]])
                warnings.warn(
                    f"{path}: corrupt; {lost} of {shard['records']} records skipped; "
                    "run a2v-preprocess --resume to make it anew",
                    A2VWarning,
                    stacklevel=3,
                )
        return self._salvaged[shard["name"]]


@functools.cache
def _fetched(path, plan):
    """A folder for the shards of a dataset of this plan that lies elsewhere."""
    del path, plan
    return tempfile.TemporaryDirectory(prefix="a2v-")


def salvage(path):
    """The records of a damaged TFRecord file that are whole.

    A record is 8 bytes of length, 4 of its checksum, the data, 4 of its checksum. Where the
    length itself is damaged, the next place is looked for whose length fits its checksum.

    Returns:
        list of bytes.
    """
    data = Path(path).read_bytes()
    whole, at = [], 0
    while at + 16 <= len(data):
        (length, length_crc) = struct.unpack_from("<QI", data, at)
        # Most places are no beginning of a record, and the first test is the cheap one.
        if length > len(data) - at - 16 or _masked_crc(data[at : at + 8]) != length_crc:
            at += 1
            continue
        record = data[at + 12 : at + 12 + length]
        if _masked_crc(record) == struct.unpack_from("<I", data, at + 12 + length)[0]:
            whole.append(record)
        at += 16 + length
    return whole


def _masked_crc(data):
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
