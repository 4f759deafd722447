"""Finished runs of `a2v-train`: their weights and what they were called with."""

import json
from pathlib import Path

import keras

from a2v import models
from a2v.errors import A2VError

SETTINGS = "run.json"
MODEL = "model.keras"


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
    for name in (MODEL, SETTINGS):
        if not (run / name).exists():
            began = (run / "checkpoints").exists()
            remedy = "go on with a2v-train --resume" if began else "make it with a2v-train"
            if run.is_file():
                remedy = "give the folder that a2v-train made, not a file in it"
            raise A2VError(f"{run}: no finished run ({name} is missing); {remedy}")
    return load_model(run / MODEL), read_settings(run)


def read_settings(run):
    """Reads what a run was called with: dict.

    Raises:
        A2VError: `run.json` is damaged, or none of a2v-train.
    """
    file = Path(run) / SETTINGS
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
        if {"dataset", "model", "feature_options", "pipeline"} <= settings.keys():
            return settings
    except (ValueError, AttributeError):
        pass
    raise A2VError(f"{file}: damaged, or none that a2v-train wrote; train again with --overwrite")


def load_model(path):
    """Loads one `.keras` file of the zoo.

    Raises:
        A2VError: a file that is no Keras model, or a Keras model of another make.
    """
    for name in models.names():  # loading needs the classes registered
        models.get(name)
    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:  # Keras raises whatever the zip or the config meets first
        reason = str(error).splitlines()[0]
        raise A2VError(
            f"{path}: no Keras model that a2v knows ({reason}); train one with a2v-train"
        ) from error
    if not isinstance(model, models.ZooModel):
        raise A2VError(
            f"{path}: a Keras {type(model).__name__}, not a model of a2v's zoo; "
            "train one with a2v-train"
        )
    return model
