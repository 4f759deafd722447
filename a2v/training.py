"""Trains a model of the zoo on a dataset: Keras `fit`, checkpoints, resume, early stopping.

A run is a folder: `run.json` (settings), `model.keras` (the best weights, once it is done),
`checkpoints/` (where a killed run goes on), `logs/` and `projector/` (TensorBoard).
"""

import json
import math
import os
import shutil
from pathlib import Path

import keras
import tensorflow as tf

from a2v import __version__, audio, features, models, records
from a2v.augmentation import Augmentation
from a2v.errors import A2VError
from a2v.watching import Watch

SETTINGS = "run.json"
MODEL = "model.keras"
# Validation batches draw from seeds that no training epoch reaches.
VALIDATION_EPOCH = 1_000_000


def train(
    dataset,
    out,
    *,
    model,
    model_options=None,
    feature_options=None,
    pipeline="",
    epochs=40,
    batch_size=256,
    learning_rate=1e-3,
    schedule="cosine",
    patience=0,
    seed=0,
    checkpoint_steps=100,
    augmentation=None,
    noise=None,
    rooms=None,
    resume=False,
    overwrite=False,
    verbose=0,
):
    """Trains one model.

    Args:
        dataset: folder made by `a2v-preprocess`.
        out: folder of the run.
        model: str, a name from the zoo; model_options: dict of its keyword arguments.
        feature_options: dict, keyword arguments of the model's feature layer.
        pipeline: str, the name under which the run's model is to be known; the model's if empty.
        epochs: int, passes over the train split.
        batch_size: int, windows per step.
        learning_rate: float, of Adam; schedule: `cosine` (down to 0 at the end) or `constant`.
        patience: int, epochs without a better validation loss before it stops; 0 never stops.
        seed: int, of weights, order and degradations.
        checkpoint_steps: int, steps between checkpoints; one is made after each epoch besides.
        augmentation: dict, keyword arguments of `Augmentation`.
        noise, rooms: lists of files or folders to degrade with; simulated if `None`.
        resume: bool, go on from the last checkpoint. overwrite: bool, begin anew.
        verbose: int, Keras' own progress.

    Returns:
        list of dicts, one an epoch: `epoch`, `loss`, `val_loss` where there is a tune split.

    Raises:
        A2VError: the dataset lacks the model's feature or holds another definition of it, the
            output is in the way, or there is nothing to resume.
    """
    settings = {
        "a2v": __version__,
        "pipeline": pipeline or model,
        "dataset": str(Path(dataset).resolve()),
        "model": model,
        "model_options": model_options or {},
        "feature_options": feature_options or {},
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "schedule": schedule,
        "patience": patience,
        "seed": seed,
        "augmentation": augmentation or {},
        "noise": [Path(path).name for path in noise or []],
        "rooms": [Path(path).name for path in rooms or []],
    }
    keras.utils.set_random_seed(seed)
    data = records.Dataset(dataset)
    zoo_model = models.build(model, **settings["model_options"])
    inputs = Inputs(data, zoo_model, settings, noise=noise, rooms=rooms)
    out = _prepare(Path(out), settings, resume, overwrite)
    zoo_model.adapt(inputs.windows("train"))
    trainer = zoo_model.trainer()
    total = epochs * inputs.steps
    rate = learning_rate
    if schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(learning_rate, total)
    trainer.compile(
        optimizer=keras.optimizers.Adam(rate, global_clipnorm=1.0),
        loss=zoo_model.objective(),
    )
    checkpoints = Checkpoints(out / "checkpoints", trainer, checkpoint_steps)
    state = checkpoints.restore() if resume else checkpoints.fresh()
    watch = Watch(out, zoo_model, inputs)
    _fit(trainer, inputs, state, checkpoints, watch, epochs, patience, verbose)
    if checkpoints.best.exists():
        trainer.load_weights(checkpoints.best)
    temporary = out / "model.tmp.keras"
    zoo_model.save(temporary)
    os.replace(temporary, out / MODEL)
    watch.project()
    records.write_whole(
        out / SETTINGS, json.dumps(settings | {"history": state["history"]}, indent=1) + "\n"
    )
    return state["history"]


def load(run):
    """Loads a finished run.

    Args:
        run: folder of the run.

    Returns:
        `(model, settings)`: the `models.ZooModel` and the dict that `train` was called with.

    Raises:
        A2VError: no finished run, or a `.keras` file that is not one of the zoo.
    """
    run = Path(run)
    if not (run / MODEL).exists():
        began = (run / "checkpoints").exists()
        remedy = "go on with a2v-train --resume" if began else "make it with a2v-train"
        raise A2VError(f"{run}: no finished run ({MODEL} is missing); {remedy}")
    settings = json.loads((run / SETTINGS).read_text(encoding="utf-8"))
    return load_model(run / MODEL), settings


def load_model(path):
    """Loads one `.keras` file of the zoo; anything else is an `A2VError`."""
    for name in models.names():  # loading needs the classes registered
        models.get(name)
    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:  # Keras raises whatever the zip or the config meets first
        raise A2VError(f"{path}: no Keras model that a2v knows ({error})") from error
    if not isinstance(model, models.ZooModel):
        raise A2VError(
            f"{path}: a Keras {type(model).__name__}, not a model of a2v's zoo; "
            "train one with a2v-train"
        )
    return model


class Inputs:
    """The batches that training, validation and TensorBoard draw from a dataset.

    Args:
        data: `records.Dataset`; model: `ZooModel`; settings: dict of `train`.
        noise, rooms: recordings for the augmentation.
    """

    def __init__(self, data, model, settings, *, noise=None, rooms=None):
        self.data, self.model = data, model
        self.seed = settings["seed"]
        self.layer = features.build(model.feature, **settings["feature_options"])
        name = model.dataset_feature
        self.names = [name]
        self.augmentation = None
        if name == "waveform":
            data.check(name, {"layer": "Waveform", "sample_rate": audio.SAMPLE_RATE})
            margin = (data.shapes[name][0] - self.layer.span()) // 2
            self.augmentation = Augmentation(
                self.layer, margin, noise=noise, rooms=rooms, **settings["augmentation"]
            )
        else:
            data.check(name, self.layer.definition())
        self.batch_size = min(settings["batch_size"], data.count("train"))
        if self.batch_size < 2:
            raise A2VError(f"{data.path}: {data.count('train')} windows to train on; add music")
        self.steps = data.count("train") // self.batch_size

    def windows(self, split):
        """Batches of plain feature windows float32 `[batch, 100, n_features]`, in order."""
        name = self.names[0]
        data = self.data.read(split, self.names).batch(self.batch_size)
        if name != "waveform":
            return data.map(lambda record: record[name])
        margin, span = self.augmentation.margin, self.layer.span()
        return data.map(
            lambda record: self.layer(record[name][:, margin : margin + span]),
            num_parallel_calls=tf.data.AUTOTUNE,
        )

    def epoch(self, epoch, *, skip=0):
        """Batches `(x, y)` of one training epoch from step `skip` on: the same ones each time."""
        data = self.data.read("train", self.names, seed=self.seed * 1_000_003 + epoch)
        if "waveform" in self.names:
            data = data.filter(_audible)
        data = data.batch(self.batch_size, drop_remainder=True).repeat().take(self.steps)
        return self._examples(data.enumerate().skip(skip), epoch)

    def validation(self):
        """Batches `(x, y)` of the tune split, degraded alike every time; `None` if it is empty."""
        count = self.data.count("tune")
        if not count:
            return None
        batch = min(self.batch_size, count)
        data = self.data.read("tune", self.names).batch(batch, drop_remainder=True)
        return self._examples(data.enumerate(), VALIDATION_EPOCH)

    def _examples(self, data, epoch):
        def examples(step, batch):
            seed = tf.stack([tf.cast(self.seed, tf.int32), epoch])
            seed = tf.random.fold_in(seed, tf.cast(step, tf.int32))
            return self.model.examples(batch, seed, self.augmentation)

        return data.map(examples, num_parallel_calls=2, deterministic=True).prefetch(2)


def _audible(record):
    level = tf.reduce_mean(tf.square(record["waveform"]))
    return level > 10.0 ** (audio.SILENCE_DBFS / 10)


class Checkpoints(keras.callbacks.Callback):
    """Keeps where a run is, so that a killed one goes on at the same step.

    Each checkpoint is a folder named by its global step, written under a temporary name.
    """

    def __init__(self, path, trainer, every):
        super().__init__()
        self.path, self.trainer, self.every = path, trainer, every
        self.best = path / "best.weights.h5"
        self.state = None
        self.first = 0

    def fresh(self):
        """State of a run that has not begun."""
        self.state = {"epoch": 0, "step": 0, "best": math.inf, "waited": 0, "history": []}
        return self.state

    def restore(self):
        """Loads the last checkpoint's weights and optimiser; its state."""
        found = sorted(p for p in self.path.glob("[0-9]*") if p.is_dir() and p.suffix == "")
        if not found:
            return self.fresh()
        # The optimiser's variables exist only once it is built, and are skipped otherwise.
        self.trainer.optimizer.build(self.trainer.trainable_variables)
        self.trainer.load_weights(found[-1] / "state.weights.h5")
        self.state = json.loads((found[-1] / "state.json").read_text(encoding="utf-8"))
        return self.state

    def begin_epoch(self, epoch, first):
        """Tells from which step of which epoch batches come now."""
        self.first = first
        self.state |= {"epoch": epoch, "step": first}

    def on_train_batch_end(self, batch, logs=None):
        self.state["step"] = self.first + batch + 1
        if self.state["step"] % self.every == 0:
            self.save()

    def save(self):
        """Writes a checkpoint and removes the one before."""
        name = f"{int(self.trainer.optimizer.iterations):09d}"
        temporary = self.path / f"{name}.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        self.trainer.save_weights(temporary / "state.weights.h5")
        (temporary / "state.json").write_text(json.dumps(self.state), encoding="utf-8")
        shutil.rmtree(self.path / name, ignore_errors=True)
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


def _fit(trainer, inputs, state, checkpoints, watch, epochs, patience, verbose):
    validation = inputs.validation()
    for epoch in range(state["epoch"], epochs):
        if patience and state["waited"] >= patience:
            break
        checkpoints.begin_epoch(epoch, state["step"])
        if state["step"] < inputs.steps:
            history = trainer.fit(
                inputs.epoch(epoch, skip=state["step"]),
                epochs=epoch + 1,
                initial_epoch=epoch,
                validation_data=validation,
                callbacks=[checkpoints, watch],
                verbose=verbose,
            ).history
            logs = {key: values[-1] for key, values in history.items()}
            state["history"].append({"epoch": epoch, **logs})
            if validation is not None and logs["val_loss"] < state["best"]:
                state |= {"best": logs["val_loss"], "waited": 0}
                checkpoints.keep_best()
            else:
                state["waited"] += 1
        state |= {"epoch": epoch + 1, "step": 0}
        checkpoints.save()


def _prepare(out, settings, resume, overwrite):
    file = out / SETTINGS
    if out.exists() and not out.is_dir():
        raise A2VError(f"{out}: is a file; choose another folder")
    if file.exists() and not overwrite:
        if not resume:
            raise A2VError(f"{out}: exists; use --resume to go on or --overwrite to replace it")
        before = json.loads(file.read_text(encoding="utf-8"))
        changed = [k for k, v in settings.items() if k != "a2v" and before.get(k) != v]
        if changed:
            raise A2VError(
                f"{out}: was begun with {changed[0]} = {before.get(changed[0])!r}, now it is "
                f"{settings[changed[0]]!r}; use the same settings or --overwrite"
            )
        return out
    if out.exists() and any(out.iterdir()):
        if not (overwrite and file.exists()):
            raise A2VError(f"{out}: holds something else than a run; choose another folder")
        shutil.rmtree(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        records.write_whole(file, json.dumps(settings, indent=1) + "\n")
    except OSError as error:
        raise A2VError(f"{out}: cannot write ({error.strerror}); choose another folder") from error
    return out
