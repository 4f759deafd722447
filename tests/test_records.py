import json
import re
import struct
import warnings

import numpy as np
import pytest
import tensorflow as tf

from a2v import features, records
from a2v.errors import A2VError, A2VWarning

SHAPES = {"mfcc": [100, 13], "waveform": [500]}


def windows(seed, count):
    generator = np.random.default_rng(seed)
    return {n: generator.normal(size=(count, *s)).astype("f4") for n, s in SHAPES.items()}


def serialised(track, start_s, values):
    """The same as `records.examples`, by way of TensorFlow's own protobuf."""

    def floats(value):
        return tf.train.Feature(float_list=tf.train.FloatList(value=np.ravel(value)))

    rows = []
    for i, start in enumerate(start_s):
        feature = {name: floats(value[i]) for name, value in values.items()}
        feature["start_s"] = floats(start)
        feature["track"] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[track.encode()]))
        example = tf.train.Example(features=tf.train.Features(feature=feature))
        rows.append(example.SerializeToString(deterministic=True))
    return rows


@pytest.fixture
def dataset(tmp_path):
    """A dataset's folder: three shards of training windows and one to tune."""
    shards, definition = [], {"layer": "MFCC"}
    for split, index, count in (("train", 0, 3), ("train", 1, 3), ("train", 2, 3), ("tune", 0, 1)):
        path = tmp_path / records.shard_name(split, index, count)
        with records.ShardWriter(path) as writer:
            track = f"{split} {index}"
            writer.write(track, 0.25 * np.arange(10 + index), windows(index, 10 + index))
        checksum = records.checksum(path)
        shards.append(
            {"name": path.name, "split": split, "records": 10 + index, "checksum": checksum}
        )
    digest = features.digest(definition)
    described = {n: {"digest": digest, "shape": s} for n, s in SHAPES.items()}
    manifest = {"format": records.FORMAT, "features": described, "shards": shards}
    manifest |= {"tracks": [{"track": s["name"], "split": s["split"]} for s in shards]}
    (tmp_path / records.MANIFEST).write_text(json.dumps(manifest))
    return tmp_path


def read(path, split="train", names=("mfcc",), **options):
    return list(records.Dataset(path).read(split, names, **options).as_numpy_iterator())


def identities(rows):
    return [(row["track"].decode(), float(row["start_s"])) for row in rows]


ALL = [(f"train {i}", 0.25 * k) for i in range(3) for k in range(10 + i)]


@pytest.mark.parametrize("track", ["a", "a/b c.mp3", "Æther ♫", "x" * 300])
@pytest.mark.parametrize("size", [1, 31, 32, 4095, 5000])
def test_examples_equal_those_of_tensorflow(track, size):
    generator = np.random.default_rng(size)
    values = {n: generator.normal(size=(3, size)).astype("f4") for n in ("logmel", "a", "zz")}
    start_s = np.array([0.0, 0.25, 1e6])
    rows = records.examples(track, start_s, values)
    assert rows.dtype == np.uint8
    assert [row.tobytes() for row in rows] == serialised(track, start_s, values)


def test_examples_take_views_and_other_types():
    waveform = np.arange(20, dtype=np.float64)
    view = np.lib.stride_tricks.sliding_window_view(waveform, 8)[::4]
    copy = np.ascontiguousarray(view, np.float32)
    times = 0.25 * np.arange(len(view))
    assert np.array_equal(
        records.examples("t", times, {"w": view}), records.examples("t", times, {"w": copy})
    )


def test_shards_are_tfrecord_files(tmp_path):
    values = windows(0, 600)  # more than are written at once
    start_s = 0.25 * np.arange(600)
    with records.ShardWriter(tmp_path / "a.tfrecord") as writer:
        writer.write("a", start_s, values)
        writer.write("none", start_s[:0], windows(0, 0))
    read = [r.numpy() for r in tf.data.TFRecordDataset(str(tmp_path / "a.tfrecord"))]
    assert read == serialised("a", start_s, values)
    with tf.io.TFRecordWriter(str(tmp_path / "b.tfrecord")) as writer:
        for row in read:
            writer.write(row)
    assert (tmp_path / "a.tfrecord").read_bytes() == (tmp_path / "b.tfrecord").read_bytes()
    assert records.checksum(tmp_path / "a.tfrecord") == records.checksum(tmp_path / "b.tfrecord")


def test_rewind_forgets_what_came_after(tmp_path):
    for name, detour in (("a", True), ("b", False)):
        with records.ShardWriter(tmp_path / name) as writer:
            writer.write("first", [0.0], windows(0, 1))
            if detour:
                before = writer.tell()
                writer.write("second", 0.25 * np.arange(5), windows(1, 5))
                writer.rewind(before)
            writer.write("third", [0.0, 0.25], windows(2, 2))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_read_gives_back_what_was_written(dataset):
    rows = read(dataset, names=["mfcc", "waveform"])
    assert identities(rows) == ALL
    expected = {n: np.concatenate([windows(i, 10 + i)[n] for i in range(3)]) for n in SHAPES}
    for name, shape in SHAPES.items():
        assert rows[0][name].shape == tuple(shape) and rows[0][name].dtype == np.float32
        np.testing.assert_array_equal(np.stack([r[name] for r in rows]), expected[name])


def test_read_parses_what_is_asked_for_only(dataset):
    assert set(read(dataset)[0]) == {"track", "start_s", "mfcc"}
    assert identities(read(dataset, "tune")) == [("tune 0", 0.25 * k) for k in range(10)]


def test_counts_and_tracks_are_those_of_the_split(dataset):
    data = records.Dataset(dataset)
    assert (data.count("train"), data.count("tune"), data.count("test")) == (33, 10, 0)
    assert [t["track"] for t in data.tracks("tune")] == ["tune-00000-of-00001.tfrecord"]
    assert data.shapes == SHAPES


def test_a_seed_decides_the_order(dataset):
    orders = {seed: identities(read(dataset, seed=seed)) for seed in (0, 1, 12345678901)}
    for seed, order in orders.items():
        assert sorted(order) == sorted(ALL) and order != ALL
        assert identities(read(dataset, seed=seed)) == order
        assert identities(read(dataset, seed=tf.constant(seed, tf.int64))) == order
    assert len(set(map(tuple, orders.values()))) == 3


def damage(dataset, record, at, shard="train-00001-of-00003.tfrecord"):
    """Flips a bit `at` bytes into a record; returns the shard's path."""
    path = dataset / shard
    data, start = bytearray(path.read_bytes()), 0
    for _ in range(record):
        start += 16 + struct.unpack_from("<Q", data, start)[0]
    data[start + at] ^= 1
    path.write_bytes(data)
    return path


def read_with_warning(dataset, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rows = read(dataset, **options)
    return rows, [str(w.message) for w in caught if issubclass(w.category, A2VWarning)]


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("at", [12, 100, 5000])
def test_corrupt_record_is_skipped_counted_and_its_shard_named(dataset, at, seed):
    path = damage(dataset, 4, at)
    rows, said = read_with_warning(dataset, seed=seed)
    assert sorted(identities(rows)) == sorted(set(ALL) - {("train 1", 1.0)})
    assert said == [
        f"{path}: corrupt; 1 of 11 records skipped; run a2v-preprocess --resume to make it anew"
    ]


@pytest.mark.parametrize("at", [0, 7, 8, 11])
def test_corrupt_length_costs_its_own_record_alone(dataset, at):
    damage(dataset, 4, at)
    rows, (sentence,) = read_with_warning(dataset)
    assert sorted(identities(rows)) == sorted(set(ALL) - {("train 1", 1.0)})
    assert "corrupt; 1 of 11 records skipped" in sentence


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"format": 1}', '{"format": "1"}', '{"format": 1, "features": {}}']
)
def test_a_manifest_that_is_none_is_named(dataset, text):
    (dataset / "dataset.json").write_text(text)
    with pytest.raises(A2VError, match=r"dataset.json: not a manifest of a2v-preprocess, or dam"):
        records.Dataset(dataset)


def test_truncated_shard_is_read_as_far_as_it_goes(dataset):
    path = dataset / "train-00002-of-00003.tfrecord"
    path.write_bytes(path.read_bytes()[:-1])
    rows, (sentence,) = read_with_warning(dataset)
    assert identities(rows) == ALL[:-1]
    assert "corrupt; 1 of 12 records skipped" in sentence


def test_empty_shards_leave_the_others(dataset):
    for index in (0, 1):
        (dataset / f"train-0000{index}-of-00003.tfrecord").write_bytes(b"")
    rows, said = read_with_warning(dataset, seed=1)
    assert sorted(identities(rows)) == sorted(r for r in ALL if r[0] == "train 2")
    assert len(said) == 2


def test_damage_is_told_once(dataset):
    damage(dataset, 0, 20)
    data = records.Dataset(dataset)
    with pytest.warns(A2VWarning, match="corrupt"):
        data.read("train", ["mfcc"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data.read("train", ["mfcc"])


def test_salvage_of_a_sound_file_gives_all(dataset):
    path = dataset / "train-00000-of-00003.tfrecord"
    assert records.salvage(path) == [r.numpy() for r in tf.data.TFRecordDataset(str(path))]


def test_missing_shard_is_named(dataset):
    (dataset / "train-00001-of-00003.tfrecord").unlink()
    with pytest.raises(A2VError, match="00001-of-00003.tfrecord: missing; restore it or run"):
        read(dataset)
    assert len(read(dataset, "tune")) == 10


def test_empty_split_is_refused(dataset):
    with pytest.raises(A2VError, match="no windows in split 'test'"):
        read(dataset, "test")


def test_features_of_another_definition_are_refused(dataset):
    data, definition = records.Dataset(dataset), {"layer": "MFCC"}
    data.check("mfcc", definition)
    ours = features.digest(definition | {"n_mfcc": 20})
    theirs = features.digest(definition)
    sentence = f"mfcc of definition {theirs}, the model wants {ours}; run a2v-preprocess again"
    with pytest.raises(A2VError, match=sentence):
        data.check("mfcc", definition | {"n_mfcc": 20})
    with pytest.raises(A2VError, match="holds mfcc, waveform, the model wants chroma; run "):
        data.check("chroma", definition)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "not a manifest of a2v-preprocess, or damaged"),
        ("[]", "not a manifest of a2v-preprocess, or damaged"),
        ('{"name": "another"}', "not a manifest of a2v-preprocess, or damaged"),
        ('{"format": 99}', "format 99, this a2v reads up to 1; upgrade a2v"),
    ],
)
def test_manifests_of_others_are_refused(text, sentence, tmp_path):
    (tmp_path / records.MANIFEST).write_text(text)
    with pytest.raises(A2VError, match=f"^{re.escape(str(tmp_path))}/dataset.json: {sentence}"):
        records.Dataset(tmp_path)


def test_folders_without_a_dataset_are_refused(tmp_path):
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(A2VError, match="no dataset.json in it; make it with a2v-preprocess"):
            records.Dataset(path)
    (tmp_path / records.PROGRESS).mkdir()
    with pytest.raises(A2VError, match="no dataset.json in it; finish it with --resume"):
        records.Dataset(tmp_path)
