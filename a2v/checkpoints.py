"""Keeps where a training run is, so that a killed one goes on at the same step."""

import json
import math
import os
import shutil
import time

import keras

from a2v import sharing


class Checkpoints(keras.callbacks.Callback):
    """Writes checkpoints within and after each epoch, and the best weights so far.

    A checkpoint is a folder named by its global step, renamed when it is whole; the one before
    is removed after that. The last step of an epoch leaves none: the epoch is over only once it
    is validated, and then `save` is called.

    Args:
        path: folder; trainer: the compiled Keras model; every: int, steps between checkpoints.

    Attributes:
        state: dict, JSON-ready: `epoch` and `step` to go on from, `best` validation loss, epochs
            `waited` for a better one, `history`, and of the epoch at `step` the running means
            (`metrics`) and the `seconds` spent on it.
    """

    def __init__(self, path, trainer, every):
        super().__init__()
        self.path, self.trainer, self.every = path, trainer, every
        self.best = path / "best.weights.h5"
        self.state = {"epoch": 0, "step": 0, "best": math.inf, "waited": 0, "history": []}
        self.first = 0
        self.steps = 0
        self._began_s = 0.0

    def restore(self):
        """Loads weights, optimiser and state of the last checkpoint, if there is one."""
        found = sorted(p for p in self.path.glob("[0-9]*") if p.is_dir() and p.suffix == "")
        if found:
            # The optimiser's variables exist only once it is built, and are skipped otherwise.
            self.trainer.optimizer.build(self.trainer.trainable_variables)
            self.trainer.load_weights(found[-1] / "state.weights.h5")
            self.state = json.loads((found[-1] / "state.json").read_text(encoding="utf-8"))

    def begin_epoch(self, epoch, first, steps):
        """Tells that steps `first` up to `steps` of an epoch come now."""
        self.first, self.steps = first, steps
        before = self.state.get("seconds", 0.0) if first else 0.0
        self._began_s = time.monotonic() - before
        self.state |= {"epoch": epoch, "step": first}

    def seconds(self):
        """What this epoch took so far, its steps before a resume included, in s."""
        return time.monotonic() - self._began_s

    def on_epoch_begin(self, epoch, logs=None):
        if self.first:  # Keras set its running means back; those of the steps before go on
            variables, values = self.trainer.metrics_variables, self.state.get("metrics", [])
            for variable, value in zip(variables, values, strict=False):
                variable.assign(value)

    def on_train_batch_end(self, batch, logs=None):
        step = self.first + batch + 1
        if step % self.every == 0 and step < self.steps:
            means = [sharing.number(v) for v in self.trainer.metrics_variables]
            self.state |= {"step": step, "metrics": means, "seconds": self.seconds()}
            self.save()

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = True  # the next epoch has its own batches

    def save(self):
        """Writes a checkpoint and removes the one before."""
        name = f"{int(sharing.number(self.trainer.optimizer.iterations)):09d}"
        temporary = self.path / f"{name}.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        self.trainer.save_weights(temporary / "state.weights.h5")
        (temporary / "state.json").write_text(json.dumps(self.state), encoding="utf-8")
        os.replace(temporary, self.path / name)
        for other in self.path.iterdir():
            if other.is_dir() and other.name != name:
                shutil.rmtree(other)

    def keep_best(self):
        """Keeps the present weights as the best."""
        self.path.mkdir(parents=True, exist_ok=True)
        temporary = self.path / "new.weights.h5"
        self.trainer.save_weights(temporary)
        os.replace(temporary, self.best)
