"""Finds the pipelines and saved models that come with a2v, in a checkout and in a wheel alike."""

import difflib
import os
from importlib.resources import files
from pathlib import Path

from a2v.errors import A2VError

DEFAULT_MODEL = "conv128"


def pipelines():
    """Names the pipelines that come with a2v.

    Returns:
        list of str, sorted.
    """
    return sorted(path.stem for path in _folder("pipelines").glob("*.toml"))


def saved_models():
    """Names the saved models that come with a2v.

    Returns:
        list of str, sorted.
    """
    return sorted(path.parent.name for path in _folder("saved_models").glob("*/model.tflite"))


def pipeline(name_or_path):
    """Finds a pipeline's file.

    Args:
        name_or_path: str or Path, a name out of `pipelines()`, or a `.toml` file.

    Returns:
        Path of the `.toml` file.

    Raises:
        A2VError: there is no such pipeline, or no such file.
    """
    if name_or_path in pipelines():
        return _folder("pipelines") / f"{name_or_path}.toml"
    return _given(name_or_path, pipelines(), "pipeline", ".toml")


def saved_model(name_or_path):
    """Finds an exported encoder.

    Args:
        name_or_path: str or Path, a name out of `saved_models()`, a `.tflite` file, or a folder
            that `a2v-export` wrote.

    Returns:
        Path of the `.tflite` file.

    Raises:
        A2VError: there is no such model, or no such file.
    """
    return _of_model(name_or_path, ".tflite")


def weights(name_or_path):
    """Finds the weights of a model.

    Args:
        name_or_path: str or Path, a name out of `saved_models()`, a `.keras` file, or a folder
            that `a2v-train` or `a2v-export` wrote.

    Returns:
        Path of the `.keras` file.

    Raises:
        A2VError: there is no such model, or no such file.
    """
    return _of_model(name_or_path, ".keras")


def nearest(word, words):
    """Suggests what may have been meant.

    Args:
        word: str, what came.
        words: iterable of str, what there is.

    Returns:
        str: the nearest of the words where one is near, otherwise all of them, as the end of an
        error's sentence.
    """
    words = sorted(words)
    near = difflib.get_close_matches(word, words, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"there are: {', '.join(words)}" if words else "there are none"


def _folder(name):
    """A wheel holds the folder inside the package; a checkout beside it."""
    package = Path(str(files("a2v")))
    inside = package / name
    return inside if inside.is_dir() else package.parent / name


def _of_model(name_or_path, suffix):
    """The file `model` of this suffix of a shipped model or a folder, or the file that is given."""
    if name_or_path in saved_models():
        return _folder("saved_models") / name_or_path / f"model{suffix}"
    if Path(name_or_path).is_dir():
        return _given(Path(name_or_path) / f"model{suffix}", [], "model", suffix)
    return _given(name_or_path, saved_models(), "model", suffix)


def _given(name_or_path, names, what, suffix):
    path = Path(name_or_path)
    if path.is_file():
        return path
    word = os.fspath(name_or_path)
    if path.suffix == suffix or os.sep in word:
        raise A2VError(f"{word}: no such file; give a {what}'s name or a {suffix} file")
    raise A2VError(f"no {what} {word!r}; {nearest(word, names)}")
