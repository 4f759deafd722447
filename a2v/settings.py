"""A pipeline's tables, checked against the functions that take them as keyword arguments."""

from a2v import export, features, models, pipeline, preprocessing, resources, training
from a2v.augmentation import Augmentation
from a2v.errors import A2VError

# Keyword arguments that commands give themselves.
OF_ONE_RUN = {"model", "model_options", "feature_options", "pipeline", "progress"}
OF_ONE_RUN |= {"resume", "overwrite", "verbose"}


def read(name_or_path):
    """Reads a pipeline and checks every table.

    Args:
        name_or_path: str or Path, as for `pipeline.read`.

    Returns:
        dict: `feature` and `feature_options`, `dataset` (arguments of
        `preprocessing.preprocess`), `model` and `model_options`, `training` (arguments of
        `training.train`), `export` (arguments of `export.export`).

    Raises:
        A2VError: an unknown table, key, model or feature; a value of the wrong type.
    """
    path = resources.pipeline(name_or_path)
    tables = pipeline.read(path)
    model, model_options = _named(tables["model"], f"{path}: [model]")
    feature, feature_options = _named(tables["features"], f"{path}: [features]")
    model_class = models.get(model)
    if feature != model_class.feature:
        raise A2VError(f"{path}: [features] {feature}, {model} takes {model_class.feature}")
    chosen = {
        "feature": feature,
        "feature_options": pipeline.check(
            feature_options, features.FEATURES[feature], where=f"{path}: [features]"
        ),
        "model": model,
        "model_options": pipeline.check(model_options, model_class, where=f"{path}: [model]"),
    }
    functions = {
        "dataset": preprocessing.preprocess,
        "training": training.train,
        "export": export.export,
    }
    for table, function in functions.items():
        chosen[table] = _arguments(tables[table], function, f"{path}: [{table}]")
    if "augmentation" in chosen["training"]:
        chosen["training"]["augmentation"] = pipeline.check(
            chosen["training"]["augmentation"],
            Augmentation,
            where=f"{path}: [training.augmentation]",
        )
    return chosen


def _arguments(table, function, where):
    for key in sorted(OF_ONE_RUN & table.keys()):
        raise A2VError(
            f"{where}: {key} is no setting of a pipeline, but of one run or another table"
        )
    return pipeline.check(table, function, where=where)


def _named(table, where):
    options = dict(table)
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise A2VError(f"{where}: name = {name!r}; give it one")
    return name, options
