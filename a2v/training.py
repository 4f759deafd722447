"""Trains a model of the zoo on a dataset: Keras `fit`, checkpoints, resume, early stopping.

A run is a folder: `run.json` (settings; once it is done, `adapting_s` and `history`), `model.keras`
(the best weights, once it is done), `checkpoints/` (where a killed run goes on), `logs/`
(TensorBoard, the projector included).
"""

import json
import math
import os
import shutil
import time
from pathlib import Path

import keras
import tensorflow as tf

from a2v import __version__, cards, features, models, records, resources, runs
from a2v.checkpoints import Checkpoints
from a2v.errors import A2VError
from a2v.inputs import Inputs
from a2v.places import place, write_whole
from a2v.precision import PRECISIONS, affordable, policy
from a2v.sharing import Sharing
from a2v.watching import Watch, WatchedAdam

SCHEDULES = ("cosine", "constant")
STRATEGIES = ("none", "mirrored", "multi-worker")


def train(
    dataset,
    out,
    *,
    model,
    model_options=None,
    feature_options=None,
    pipeline="",
    initial="",
    epochs=40,
    batch_size=256,
    learning_rate=1e-3,
    schedule="cosine",
    precision="float32",
    strategy="none",
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
        initial: str or Path, a run, an exported folder, a `.keras` file or the name of a model
            that comes with a2v, of the same model or of the one it extends, whose weights to
            begin with; random ones if empty.
        epochs: int, passes over the train split.
        batch_size: int, windows per step.
        learning_rate: float, of Adam; schedule: `cosine` (down to 0 at the end) or `constant`.
        precision: `float32`, or `mixed_bfloat16`: layers compute in bfloat16 (in float32 where that
            is the faster by far, see `precision.affordable`), weights stay float32.
        strategy: `none`; `mirrored`, all GPUs of this machine, which share each batch; or
            `multi-worker`, several machines, each started alike but for its `TF_CONFIG`, the
            first of which writes `out`; to resume, all have to reach it.
            Contrastive losses compare within each one's share.
        patience: int, epochs without a better validation loss before it stops; 0 never stops.
        seed: int, of weights, order and degradations.
        checkpoint_steps: int, steps between checkpoints; one is made after each epoch besides.
        augmentation: dict, keyword arguments of `Augmentation`.
        noise, rooms: lists of files or folders to degrade with, beside made-up ones.
        resume: bool, go on from the last checkpoint, or begin where there is none.
        overwrite: bool, begin anew.
        verbose: int, Keras' own progress.

    Returns:
        list of dicts, one an epoch: `epoch`, `seconds` (training and validation, also those before
        a resume), `loss`, `val_loss` where there is a tune split; empty for a model that only
        adapts to the data and has nothing to learn.

    Raises:
        A2VError: an argument is out of range; the initial weights are of another model; the
            dataset lacks the model's feature or holds another definition of it, or too few
            windows; the output is in the way, was begun with other settings or cannot be written;
            the loss is no longer a number.
    """
    _check(epochs=epochs, batch_size=batch_size, checkpoint_steps=checkpoint_steps)
    _check(least=0, patience=patience, seed=seed)
    if not learning_rate > 0:
        raise A2VError(f"learning_rate {learning_rate}: use a number above 0")
    if schedule not in SCHEDULES:
        raise A2VError(f"schedule {schedule!r}; use one of {', '.join(SCHEDULES)}")
    if precision not in PRECISIONS:
        raise A2VError(f"precision {precision!r}; use one of {', '.join(PRECISIONS)}")
    if strategy not in STRATEGIES:
        raise A2VError(f"strategy {strategy!r}; use one of {', '.join(STRATEGIES)}")
    sharing = Sharing(strategy)
    settings = {
        "a2v": __version__,
        "pipeline": pipeline or model,
        "dataset": str(place(dataset).resolve()),
        "model": model,
        "model_options": model_options or {},
        "feature_options": feature_options or {},
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "schedule": schedule,
        "precision": precision,
        "patience": patience,
        "seed": seed,
        "augmentation": augmentation or {},
        "initial": "",
        "noise": [Path(path).name for path in noise or []],
        "rooms": [Path(path).name for path in rooms or []],
    }
    settings = json.loads(json.dumps(settings))  # as they will be read again: tuples are lists
    keras.utils.set_random_seed(seed)
    data = records.Dataset(dataset)
    computed_in = affordable(precision)
    with policy(computed_in), sharing.scope():
        zoo_model = models.build(model, **settings["model_options"])
    if initial:
        settings["initial"] = _begin_with(zoo_model, initial, settings["feature_options"])
    inputs = Inputs(data, zoo_model, settings, noise=noise, rooms=rooms)
    if patience and not inputs.n_validation:
        raise A2VError(
            f"{data.path}: no windows in split 'tune', so nothing tells when to stop; add music "
            f"or use patience 0 instead of {patience}"
        )
    try:
        with sharing.folder(Path(out), resume) as own, sharing.scope():
            own = _prepare(own, settings, resume, overwrite)
            here = settings | {"precision": computed_in}
            done = _run(own, zoo_model, inputs, here, checkpoint_steps, resume, verbose)
            before = runs.read_settings(own)
            if "adapting_s" in before:  # it had ended already
                done["adapting_s"] = before["adapting_s"]
            text = json.dumps(settings | done, indent=1)
            write_whole(own / runs.SETTINGS, text + "\n")
    except (OSError, tf.errors.ResourceExhaustedError) as error:
        raise A2VError(
            f"{out}: cannot write ({error}); make room, then go on with --resume"
        ) from error
    return done["history"]


def _check(*, least=1, **numbers):
    for name, value in numbers.items():
        if not least <= value < 2**31:
            raise A2VError(f"{name} {value}: use {least} or more, below 2^31")


def _begin_with(zoo_model, initial, feature_options):
    """Gives a model the weights of another one of its kind, or of that which it extends.

    Returns the `model_id` of what they come from.
    """
    file = resources.weights(initial)
    first = runs.load_model(file)
    kind, theirs = type(first), first.get_config() | {"name": ""}
    if not isinstance(zoo_model, kind) or kind.get_config(zoo_model) | {"name": ""} != theirs:
        raise A2VError(
            f"{file}: weights of a {first.name}, which a {zoo_model.name} of these options cannot "
            "begin with; give weights of the same model, or of the one it extends"
        )
    zoo_model.load_weights(file)  # set_weights would leave a Normalization's mean as it was
    return models.model_id(first, features.build(first.feature, **feature_options))


def _run(out, zoo_model, inputs, settings, checkpoint_steps, resume, verbose):
    """Trains and writes `model.keras` and the projector; what else `run.json` is to hold."""
    done = {}
    if not settings["initial"]:
        began_s = time.monotonic()
        zoo_model.adapt(inputs.windows("train").map(lambda batch: batch["windows"]))
        done["adapting_s"] = time.monotonic() - began_s
    with policy(settings["precision"]):
        trainer = zoo_model.trainer()
    rate = settings["learning_rate"]
    if settings["schedule"] == "cosine":
        total = settings["epochs"] * inputs.steps
        rate = keras.optimizers.schedules.CosineDecay(rate, total)
    trainer.compile(optimizer=WatchedAdam(rate, global_clipnorm=1.0), loss=zoo_model.objective())
    checkpoints = Checkpoints(out / "checkpoints", trainer, checkpoint_steps)
    if resume:
        checkpoints.restore()
    watch = Watch(out, zoo_model, inputs)
    _fit(trainer, inputs, checkpoints, watch, settings, verbose)
    if checkpoints.best.exists():
        trainer.load_weights(checkpoints.best)
    # A fresh model, because one that was trained would be saved with its optimiser.
    plain = type(zoo_model).from_config(zoo_model.get_config())
    plain.set_weights(zoo_model.get_weights())
    plain.save(out / "model.tmp.keras")
    os.replace(out / "model.tmp.keras", out / runs.MODEL)
    watch.project()
    return done | {"history": checkpoints.state["history"]}


def _fit(trainer, inputs, checkpoints, watch, settings, verbose):
    epochs = settings["epochs"] if trainer.trainable_variables else 0
    for epoch in range(checkpoints.state["epoch"], epochs):
        state = checkpoints.state
        if settings["patience"] and state["waited"] >= settings["patience"]:
            break
        checkpoints.begin_epoch(epoch, state["step"], inputs.steps)
        history = trainer.fit(
            inputs.epoch(epoch, skip=state["step"]),
            epochs=settings["epochs"],
            initial_epoch=epoch,
            validation_data=inputs.validation(),
            callbacks=[checkpoints, watch],
            shuffle=False,
            verbose=verbose,
        ).history
        logs = {key: values[-1] for key, values in history.items()}
        if not all(math.isfinite(value) for value in logs.values()):
            raise A2VError(
                f"{watch.out}: epoch {epoch + 1} ended with {logs}; begin anew with --overwrite "
                f"and a learning_rate below {settings['learning_rate']:g}"
            )
        state["history"].append({"epoch": epoch, "seconds": checkpoints.seconds(), **logs})
        if "val_loss" in logs and logs["val_loss"] < state["best"]:
            state |= {"best": logs["val_loss"], "waited": 0}
            checkpoints.keep_best()
        else:
            state["waited"] += 1
        state |= {"epoch": epoch + 1, "step": 0}
        checkpoints.save()
        if verbose:
            print(_spent(state["history"], epochs))


def _spent(history, epochs):
    """How long the epochs took so far, and how long all that may come would take: a sentence."""
    spent_s = sum(epoch.get("seconds", 0.0) for epoch in history)
    said = f"{len(history)} of {epochs} epochs in {cards.duration(spent_s)}"
    left_s = spent_s / len(history) * (epochs - len(history))
    return f"{said}, at most about {cards.duration(left_s)} to go" if left_s else said


def _prepare(out, settings, resume, overwrite):
    file = out / runs.SETTINGS
    if out.exists() and not out.is_dir():
        raise A2VError(f"{out}: is a file; choose another folder")
    if file.exists() and not overwrite:
        if not resume:
            raise A2VError(f"{out}: exists; use --resume to go on or --overwrite to replace it")
        before = runs.read_settings(out)
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
        write_whole(file, json.dumps(settings, indent=1) + "\n")
    except OSError as error:
        raise A2VError(f"{out}: cannot write ({error.strerror}); choose another folder") from error
    return out
