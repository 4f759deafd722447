import subprocess
import sys
from pathlib import Path

import apart
import pytest

from a2v import preprocessing, training
from a2v.errors import A2VError

# TensorFlow's devices are chosen once a process, so the case has one of its own.
MIRRORED = """
import sys
import tensorflow as tf
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
made = tf.distribute.MirroredStrategy
tf.distribute.MirroredStrategy = lambda: made(["/cpu:0", "/cpu:1"])
from a2v import runs, training
asked = dict(model="lstm128", model_options={"units": 16}, epochs=2, batch_size=16)
histories = [
    training.train(sys.argv[1], f"{sys.argv[2]}/{strategy}", strategy=strategy, **asked)
    for strategy in ("none", "mirrored")
]
one, two = ([(epoch["loss"], epoch["val_loss"]) for epoch in h] for h in histories)
assert all(abs(a / b - 1) < 1e-4 for x, y in zip(one, two) for a, b in zip(x, y)), (one, two)
resumed = training.train(
    sys.argv[1], f"{sys.argv[2]}/mirrored", strategy="mirrored", resume=True, **asked
)
assert resumed == histories[1], resumed
"""
# Negatives are those of a device's own share, so the losses are not those of one.
CONTRASTIVE = """
import math
channels = [4, 4, 4, 4, 8]
# Copies that hardly differ, so that a few steps suffice; the loss of a few pairs is noisy, but on
# the validation split they are the same ones each epoch.
mild = dict(snr_db=(40, 50), reverb_db=(-40, -30), shift_s=0.02, speed=0, tempo=0, semitones=0)
asked |= dict(model="conv128", model_options={"channels": channels}, epochs=6, augmentation=mild)
history = training.train(sys.argv[1], f"{sys.argv[2]}/run", strategy="mirrored", **asked)
assert len(history) == 6 and all(math.isfinite(epoch["loss"]) for epoch in history), history
assert history[-1]["val_loss"] < 0.8 * history[0]["val_loss"], history
model, _ = runs.load(f"{sys.argv[2]}/run")
assert model.n_bits == 128
"""


@pytest.fixture(scope="module")
def waveforms(corpus, tmp_path_factory):
    """A dataset to degrade on the fly."""
    out = tmp_path_factory.mktemp("waveforms") / "dataset"
    asked = {"feature_names": ["waveform"], "hop_s": 0.5, "margin_s": 0.5, "shards": 2}
    preprocessing.preprocess(corpus, out, **asked)
    return out


@pytest.mark.slow
def test_two_devices_get_the_losses_of_one(dataset, tmp_path):
    command = [sys.executable, "-c", MIRRORED, str(dataset), str(tmp_path)]
    root = Path(training.__file__).parents[1]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_pairs_are_shared_among_devices(waveforms, tmp_path):
    case = MIRRORED.split("histories = ")[0] + CONTRASTIVE
    command = [sys.executable, "-c", case, str(waveforms), str(tmp_path)]
    root = Path(training.__file__).parents[1]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=600)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_two_workers_train_one_model():
    apart.run("sharing_cases.py")


def test_unknown_strategies_are_refused(dataset, tmp_path):
    with pytest.raises(A2VError, match="strategy 'mirored'; use one of none, mirrored, multi-w"):
        training.train(dataset, tmp_path / "r", model="lstm128", strategy="mirored")


@pytest.mark.parametrize(
    "config", [None, "{}", "[]", "here", '{"task": {"type": "worker", "index": 0}}']
)
def test_workers_without_a_cluster_are_told_how(config, dataset, tmp_path, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if config:
        monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(A2VError, match="strategy multi-worker: set TF_CONFIG to a cluster"):
        training.train(dataset, tmp_path / "r", model="lstm128", strategy="multi-worker")
    assert not (tmp_path / "r").exists()
