"""The zoo: one model, one file; the file's name is the model's name.

A model file defines one subclass of `ZooModel`, found by looking into the package. Presets are
dicts of keyword arguments in the class attribute `presets`.
"""

import hashlib
import importlib
import inspect
import pkgutil

import keras
import numpy as np
from keras import ops

from a2v import features, resources
from a2v.errors import A2VError


class ZooModel(keras.Model):
    """What every model of the zoo offers.

    Its `encoder` (a functional model) maps windows to embeddings. Subclasses build themselves
    as a functional model and set:

    Attributes:
        feature: str, the feature its windows are made of, a key of `features.FEATURES`.
        dataset_feature: str, what it is trained from: the same, or `waveform` for models that
            degrade their input on the fly.
        wants_partners: bool, whether it learns from a dataset made with `partners`.
        turns_with_key: bool, whether transposing music turns its code, see `hashing.transpose`.
        presets: dict of name to keyword arguments.
        choices: dict of keyword argument to the values it takes, where they are a few words.
        n_bits: int, bits of the hash: the embedding's size, a multiple of 8.
        encoder: keras.Model, float32 `[batch, 100, n_features]` to float32 `[batch, n_bits]`.
        _options: dict, the keyword arguments it was built with, but for the name.
    """

    feature = "mfcc"
    dataset_feature = "mfcc"
    wants_partners = False
    turns_with_key = False
    presets = {}
    choices = {}

    def trainer(self):
        """The functional Keras model that `fit` trains; it shares this model's weights."""
        return self

    def objective(self):
        """The loss that `trainer` is compiled with."""
        return keras.losses.MeanSquaredError()

    def adapt(self, windows):
        """Sets what is measured rather than learnt, from a `tf.data.Dataset` of windows."""

    def examples(self, batch, seed, augmentation):
        """Input and target of `trainer` for one batch.

        Args:
            batch: dict of tensors as `records.Dataset.read` gives them, batched.
            seed: int32 tensor `[2]`, fresh for each batch.
            augmentation: `augmentation.Augmentation`, for models that degrade.

        Returns:
            `(x, y)`.
        """
        raise NotImplementedError

    def embed(self, frames):
        """Embeddings of all windows of one recording.

        Args:
            frames: float32 `[windows, 100, n_features]`.

        Returns:
            float32 `[windows, n_bits]`.
        """
        return self.encoder(frames, training=False)

    def embed_waveform(self, layer, waveform):
        """Embeddings of float32 `[n]` at 16 kHz through feature layer `layer`, one each 0.25 s."""
        return self.embed(layer.windows(waveform))

    def device_encoder(self):
        """The function that the exported graph runs: `(layer, waveform [n])` to embeddings.

        The number of samples is known. A recurrent model gives one that converts well, see
        `recurrence`.
        """
        return self.embed_waveform

    def get_config(self):
        return {"name": self.name, **self._options}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


class StreamModel(ZooModel):
    """A model that slides over frames, so that overlapping windows share their work.

    Its `encoder` takes any `100 + 25 (w - 1)` frames and gives `w` embeddings:
    float32 `[batch, frames, n_features]` to `[batch, w, n_bits]`.
    """

    def embed(self, frames):
        return ops.squeeze(self.encoder(frames, training=False), axis=1)

    def embed_waveform(self, layer, waveform):
        frames = layer(waveform)
        n_windows = 1 + (ops.shape(frames)[0] - features.WINDOW_FRAMES) // features.HOP_FRAMES
        used = features.WINDOW_FRAMES + features.HOP_FRAMES * (n_windows - 1)
        return self.encoder(frames[None, :used], training=False)[0]


def on_pairs(model):
    """A model of windows as one of pairs of them, with the same weights, to train it on both.

    Args:
        model: ZooModel that maps float32 `[batch, 100, n_features]` to its embeddings.

    Returns:
        keras.Model, float32 `[batch, 2, 100, n_features]` to `[batch, 2, n_bits]`.
    """
    pairs = keras.Input((2, features.WINDOW_FRAMES, model.input_shape[-1]), name="pairs")
    flat = ops.reshape(pairs, (-1, *pairs.shape[2:]))
    return keras.Model(pairs, ops.reshape(model(flat), (-1, 2, model.n_bits)))


def model_id(model, layer):
    """What tells these weights, on this feature layer, from all others: str, 16 hex digits."""
    digest = hashlib.sha256()
    for value in model.get_weights():
        digest.update(np.ascontiguousarray(value).tobytes())
    digest.update(features.digest(layer.definition()).encode())
    return digest.hexdigest()[:16]


def names():
    """Names of all models, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def get(name):
    """The class of model `name`.

    Raises:
        A2VError: there is no such model; the nearest name is suggested.
    """
    if name not in names():
        raise A2VError(f"no model {name!r}; {resources.nearest(name, names())}")
    module = importlib.import_module(f"{__name__}.{name}")
    (found,) = (
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, ZooModel)
        and value.__module__ == module.__name__
    )
    return found


def build(name, *, preset=None, **overrides):
    """Builds model `name`, fresh weights.

    Args:
        name: str, one of `names()`.
        preset: str, one of the model's presets; `overrides`: keyword arguments of the model,
            above those of the preset.

    Raises:
        A2VError: unknown name, preset or argument; a word that the argument does not know; a
            hash that does not fill whole bytes.
    """
    model = get(name)
    if preset is not None and preset not in model.presets:
        raise A2VError(f"{name}: no preset {preset!r}; {resources.nearest(preset, model.presets)}")
    options = {**model.presets.get(preset, {}), **overrides}
    parameters = inspect.signature(model.__init__).parameters.values()
    known = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
    for key, value in options.items():
        if key not in known:
            raise A2VError(f"{name}: no argument {key!r}; {resources.nearest(key, known)}")
        if key in model.choices and value not in model.choices[key]:
            words = ", ".join(model.choices[key])
            raise A2VError(f"{name}: {key} = {value!r}; use one of {words}")
    built = model(name=name, **options)
    if built.n_bits % 8:
        raise A2VError(f"{name}: {built.n_bits} bits do not fill whole bytes; use a multiple of 8")
    return built
