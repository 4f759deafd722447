"""Run by test_sharing.py in a network namespace of its own: two workers train one model."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import apart
import pytest

from a2v import records, runs, training

ROOT = str(Path(records.__file__).parents[1])
PIPELINE = """
[features]
name = "mfcc"

[model]
name = "lstm128"
units = 16

[training]
epochs = 2
batch_size = 16
checkpoint_steps = 2
"""


@pytest.fixture(scope="module", autouse=True)
def loopback():
    apart.loopback_up()


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    path = tmp_path_factory.mktemp("p") / "small.toml"
    path.write_text(PIPELINE)
    return path


def free_ports(count):
    held = [socket.socket() for _ in range(count)]
    for each in held:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


def train(dataset, out, pipeline, *more):
    """Two workers to the end; what each printed."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    command = [sys.executable, "-m", "a2v", "train", str(dataset), "--out", str(out)]
    command += ["--pipeline", str(pipeline), "--strategy", "multi-worker", *more]
    started = []
    for index in range(2):
        config = {"cluster": cluster, "task": {"type": "worker", "index": index}}
        environment = os.environ | {"TF_CONFIG": json.dumps(config), "PYTHONPATH": ROOT}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        started.append(subprocess.Popen(command, env=environment, **pipes))
    printed = [worker.communicate(timeout=300)[0] for worker in started]
    assert [worker.returncode for worker in started] == [0, 0], "\n".join(printed)
    return printed


def losses(run):
    return [(epoch["loss"], epoch["val_loss"]) for epoch in runs.read_settings(run)["history"]]


def test_two_workers_get_the_losses_of_one(dataset, pipeline, tmp_path):
    train(dataset, tmp_path / "two", pipeline)
    alone = {"model": "lstm128", "model_options": {"units": 16}, "epochs": 2, "batch_size": 16}
    history = training.train(dataset, tmp_path / "one", **alone)
    expected = [(epoch["loss"], epoch["val_loss"]) for epoch in history]
    for one, two in zip(expected, losses(tmp_path / "two"), strict=True):
        assert two == pytest.approx(one, rel=1e-4)
    model, _ = runs.load(tmp_path / "two")
    assert model.n_bits == 16
    assert not list(tmp_path.glob("two*/**/*.tmp"))


def test_two_workers_go_on_where_they_stopped(dataset, pipeline, tmp_path):
    train(dataset, tmp_path / "r", pipeline)
    before = losses(tmp_path / "r")
    settings = json.loads((tmp_path / "r" / "run.json").read_text())
    (tmp_path / "r" / "model.keras").unlink()
    train(dataset, tmp_path / "r", pipeline, "--resume")
    assert losses(tmp_path / "r") == before
    assert json.loads((tmp_path / "r" / "run.json").read_text()) == settings
