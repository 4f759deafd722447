import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from a2v import export, features, models, runs, runtime

ROOT = str(Path(models.__file__).parents[2])
# What a machine with JAX and without TensorFlow runs: model and loss alone.
TRAINS = """
import sys
import keras
import numpy as np
from a2v import models

name, folder = sys.argv[1:]
assert keras.backend.backend() == "jax"
held = np.load(f"{folder}/windows.npz")
model = models.build(name)
trainer = model.trainer()
trainer.compile(optimizer=keras.optimizers.Adam(2e-3), loss=model.objective())
history = trainer.fit(held["x"], held["y"], batch_size=16, epochs=4, verbose=0).history["loss"]
assert history[-1] < history[0], history
assert "tensorflow" not in sys.modules
plain = type(model).from_config(model.get_config())
plain.set_weights(model.get_weights())
plain.save(f"{folder}/model.keras")
np.save(f"{folder}/embeddings.npy", np.asarray(plain.embed(held["windows"])))
"""

pytestmark = pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="jax is not installed")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lstm128", "conv128"])
def test_what_jax_trains_is_exported_here(name, trained, melody, tmp_path):
    run = shutil.copytree(trained(name), tmp_path / "run")
    waveform = melody(1, 12.0)
    model = models.get(name)
    windows = np.asarray(features.build(model.feature).windows(waveform))
    rng = np.random.default_rng(0)
    x = y = windows / 40  # about the scale that an adapted model has
    if model.dataset_feature == "waveform":
        x = np.stack([windows, windows + rng.normal(0, 0.1, windows.shape)], axis=1)
        y = np.zeros(len(x))
    held = {key: np.float32(value) for key, value in {"x": x, "y": y, "windows": windows}.items()}
    np.savez(tmp_path / "windows.npz", **held)
    command = [sys.executable, "-c", TRAINS, name, str(tmp_path)]
    environment = os.environ | {"KERAS_BACKEND": "jax", "PYTHONPATH": ROOT}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    expected = np.load(tmp_path / "embeddings.npy")

    shutil.copy(tmp_path / "model.keras", run / runs.MODEL)
    loaded, _ = runs.load(run)
    np.testing.assert_allclose(np.asarray(loaded.embed(held["windows"])), expected, atol=1e-4)
    export.export(run, tmp_path / "exported", calibration_queries=10)
    encoder = runtime.Encoder(tmp_path / "exported" / export.FLOAT32)
    # A feature layer gives whole frames alone, the encoder a window that ends with the recording.
    np.testing.assert_allclose(encoder.embed(waveform)[: len(expected)], expected, atol=2e-3)
