"""A small exported encoder, test signals, and the commands as processes."""

import importlib.util
import io
import json
import os
import subprocess
import sys
import wave
import zipfile
from pathlib import Path

import numpy as np
import pytest

from a2v import attached, chance

RATE = 16000
ROOT = Path(__file__).resolve().parent.parent

# Converted in a process of its own: TensorFlow starts slowly, and its converter may abort.
CONVERT = """
import sys
import numpy as np
import tensorflow as tf

BANDS, BITS, WINDOWS = 32, 64, 6
SAMPLES = (WINDOWS - 1) * 4000 + 16240
draw = np.random.default_rng(7)
projection = draw.standard_normal((10 * (BANDS - 1), BITS)).astype(np.float32)
edges = np.geomspace(5, 250, BANDS + 1)
bins = np.arange(257)[:, None]
pooling = ((bins >= edges[:-1]) & (bins < np.maximum(edges[1:], edges[:-1] + 1))).astype(np.float32)
places = (2.0 ** np.arange(7, -1, -1)).astype(np.float32)


class Tiny(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([1, SAMPLES], tf.float32, name="waveform")])
    def hash(self, waveform):
        frames = tf.signal.frame(waveform, 400, 160) * tf.signal.hann_window(400)
        power = tf.square(tf.abs(tf.signal.rfft(frames, [512])))
        level = tf.math.log(tf.matmul(power, pooling) + 1e-6)
        slope = level[:, :, 1:] - level[:, :, :-1]
        rows = []
        for window in range(WINDOWS):
            part = slope[:, 25 * window : 25 * window + 100]
            part = tf.reduce_mean(tf.reshape(part, [10, 10, BANDS - 1]), axis=1)
            part = part - tf.reduce_mean(part)
            rows.append(tf.matmul(tf.reshape(part, [1, -1]), projection))
        embedding = tf.concat(rows, axis=0)
        bits = tf.reshape(tf.cast(embedding > 0, tf.float32), [WINDOWS, BITS // 8, 8])
        packed = tf.cast(tf.cast(tf.reduce_sum(bits * places, -1), tf.int32), tf.uint8)
        return {"embedding": embedding[None], "hash": packed[None]}


module = Tiny()
tf.saved_model.save(module, sys.argv[1], signatures={"hash": module.hash})
converter = tf.lite.TFLiteConverter.from_saved_model(sys.argv[1], signature_keys=["hash"])
open(sys.argv[2], "wb").write(converter.convert())
"""

METADATA = {
    "format": attached.FORMAT,
    "name": "tiny",
    "model_id": "7a31",
    "sample_rate": RATE,
    "n_bits": 64,
    "window_s": 1.0,
    "hop_s": 0.25,
    "span_samples": 16240,
    "block_windows": 6,
    "block_samples": 36240,
    "downmix": "first",
    "digest": "d1",
    "quantised": False,
    "calibration": chance.THEORY,
}


NOTICES = "TF_CPP_MIN_LOG_LEVEL"
GIVEN = os.environ.get(NOTICES)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Gives commands the environment that the tests were called with.

    TensorFlow's converter imports JAX where it is installed, and JAX sets the variable for all
    processes to come, so that what should keep notices quiet by itself would find it set.
    """
    if GIVEN is None:
        os.environ.pop(NOTICES, None)


@pytest.fixture(scope="session")
def tiny_graph(tmp_path_factory):
    """Bytes of a TFLite graph that hashes log spectra, without metadata."""
    if not importlib.util.find_spec("tensorflow"):
        pytest.skip("makes its encoder with TensorFlow")
    folder = tmp_path_factory.mktemp("tiny")
    command = [sys.executable, "-c", CONVERT, str(folder / "saved"), str(folder / "graph.tflite")]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return (folder / "graph.tflite").read_bytes()


@pytest.fixture(scope="session")
def exported(tiny_graph):
    """A function: an encoder file's bytes, its metadata changed as asked, None leaves out."""

    def build(**changes):
        metadata = {k: v for k, v in {**METADATA, **changes}.items() if v is not None}
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("a2v.json", json.dumps(metadata))
        return tiny_graph + archive.getvalue()

    return build


@pytest.fixture(scope="session")
def encoder_path(exported, tmp_path_factory):
    """The path of a small exported encoder."""
    path = tmp_path_factory.mktemp("encoder") / "model.tflite"
    path.write_bytes(exported())
    return path


@pytest.fixture(scope="session")
def melody():
    """A function: a noisy tune of its own for each seed, float32 `[n]`."""

    def play(seed, seconds):
        generator = np.random.default_rng(seed)
        waveform = 0.003 * generator.standard_normal(round(seconds * RATE))
        start = 0
        while start < len(waveform):
            length = min(round(generator.uniform(0.12, 0.4) * RATE), len(waveform) - start)
            time = np.arange(length) / RATE
            for pitch in 110 * 2 ** (generator.integers(0, 48, 2) / 12):
                for harmonic in range(1, 5):
                    amplitude = generator.uniform(0.02, 0.1) * np.exp(-3 * time)
                    waveform[start : start + length] += amplitude * np.sin(
                        2 * np.pi * harmonic * pitch * time
                    )
            start += length
        return np.clip(waveform, -1, 1).astype(np.float32)

    return play


@pytest.fixture(scope="session")
def write_wav():
    """A function: writes a waveform as 16-bit mono WAV and gives the path back."""

    def write(path, waveform):
        path.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(np.round(waveform * 32767).astype("<i2").tobytes())
        return path

    return write


@pytest.fixture(scope="session")
def command():
    """A function: the command line that runs one verb as a process of its own."""

    def build(verb, *arguments):
        start = f"import sys; from a2v.cli import run; sys.exit(run({verb!r}))"
        return [sys.executable, "-c", start, *map(str, arguments)]

    return build


@pytest.fixture(scope="session")
def call(command):
    """A function: runs one verb as a process and returns what it wrote and its status."""

    def run(verb, *arguments, **options):
        options = {"capture_output": True, "text": True, "timeout": 120, **options}
        return subprocess.run(command(verb, *arguments), check=False, **options)

    return run


@pytest.fixture(scope="session")
def recordings():
    """A folder of real recordings, where there is one beside the checkout."""
    folder = ROOT.parent / "shared" / "audio"
    if not (folder / "music.csv").exists():
        pytest.skip("no ../shared/audio/music.csv beside the checkout")
    return folder


@pytest.fixture(scope="session")
def real_music(recordings):
    """Paths of some of the real recordings."""
    from a2v import corpora

    return [track.path for track in corpora.tracks([recordings / "music.csv"])[::50]]


@pytest.fixture(scope="session")
def composed_music(tmp_path_factory):
    """Paths of the recordings of a small composed corpus."""
    from a2v.corpora import synthetic

    folder = tmp_path_factory.mktemp("composed")
    tracks = synthetic.compose(folder, works=2, covers=1, seconds=8.0, seed=3)
    return [track.path for track in tracks]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Tracks of a composed corpus that has all three splits."""
    from a2v.corpora import synthetic

    folder = tmp_path_factory.mktemp("corpus")
    return synthetic.compose(folder, works=4, covers=1, seconds=8.0, seed=0)


@pytest.fixture(scope="session")
def dataset(corpus, tmp_path_factory):
    """The folder of a dataset of that corpus, with what every model is trained from."""
    from a2v import preprocessing

    folder = tmp_path_factory.mktemp("dataset") / "data"
    names = ("mfcc", "chroma", "waveform")
    preprocessing.preprocess(
        corpus, folder, feature_names=names, margin_s=0.5, partners=True, shards=2
    )
    return folder


@pytest.fixture(scope="session")
def trained(dataset, tmp_path_factory):
    """A function: the folder of a short run of a model, trained when first asked for."""
    from a2v import training

    runs = tmp_path_factory.mktemp("runs")

    def run(name):
        out = runs / name
        if not out.exists():
            training.train(dataset, out, model=name, epochs=2, batch_size=16, learning_rate=5e-3)
        return out

    return run
