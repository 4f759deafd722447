"""Contrastive convolutions on pitch whose code turns with the key: for covers."""

import keras
import numpy as np
from keras import layers, ops

from a2v import features
from a2v.hashing import PITCH_CLASSES, turning_bits
from a2v.losses import TransposableHashLoss
from a2v.models import StreamModel, on_pairs
from a2v.partners import FEATURE

GROUP = features.HOP_FRAMES
# Multiples of a frequency that tell a note from its partials, as Bittner et al. stack them.
HARMONICS = (0.5, 1, 2, 3, 4, 5)


@keras.saving.register_keras_serializable("a2v")
class HarmonicStack(layers.Layer):
    """Puts the level of each pitch beside that of its harmonics.

    Log power in thirds of a semitone `[batch, frames, thirds]` to
    `[batch, frames, thirds, harmonics]`, less the mean of the 25 frames of its group (which lie on
    the hop's grid, so a window is normalised alike alone and within a recording), scaled; beyond
    the range 0.

    Reference:
        Bittner et al. 2017, "Deep salience representations for F0 estimation in polyphonic music".
    """

    def call(self, frames):
        batch, _, thirds = ops.shape(frames)
        grouped = ops.reshape(frames, (batch, -1, GROUP, thirds))
        # Repeated, not reshaped back, so that the number of frames stays known where it was.
        level = ops.repeat(ops.mean(grouped, axis=(2, 3)), GROUP, axis=1)
        x = (frames - ops.expand_dims(level, -1)) / 4.0
        stacked = []
        for harmonic in HARMONICS:
            shift = int(round(36 * np.log2(harmonic)))
            padded = ops.pad(x, ((0, 0), (0, 0), (max(0, -shift), max(0, shift))))
            stacked.append(padded[..., max(0, shift) : max(0, shift) + thirds])
        return ops.stack(stacked, axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape, len(HARMONICS))


@keras.saving.register_keras_serializable("a2v")
class FoldOctaves(layers.Layer):
    """Largest and mean of each pitch class over the octaves.

    `[batch, frames, 12 octaves, channels]` to `[batch, frames, 12, 2 channels]`.
    """

    def call(self, x):
        octaves = ops.stack(ops.split(x, x.shape[2] // PITCH_CLASSES, axis=2))
        return ops.concatenate([ops.max(octaves, axis=0), ops.mean(octaves, axis=0)], axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:2], PITCH_CLASSES, 2 * input_shape[3])


@keras.saving.register_keras_serializable("a2v")
class Wrap(layers.Layer):
    """Repeats the pitch classes, so that a kernel of all twelve goes round.

    `[batch, frames, 12, channels]` to `[batch, frames, 23, channels]`.
    """

    def call(self, x):
        return ops.concatenate([x, x[:, :, : PITCH_CLASSES - 1]], axis=2)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:2], 2 * PITCH_CLASSES - 1, input_shape[3])


@keras.saving.register_keras_serializable("a2v")
class Cover128(StreamModel):
    """Convolutions over pitch, folded to pitch classes, then round the circle of them.

    All kernels slide over pitch alike, so music that is transposed gives the same code turned: of
    128 bits 120 belong to the twelve pitch classes, ten each, and 8 depend on no key. A query is
    compared in twelve keys by turning its code, `hashing.transpose`. Over time the strides multiply
    to the hop and 90 frames are seen, as in `conv128`.

    Trained so that the same passage of two versions of a work hashes alike, in their best keys.

    Args:
        channels: tuple of 5 ints, of the five convolutions.
        n_bits: int, size of the embedding.
        temperature, saturation, balance: floats, of `losses.TransposableHashLoss`.

    Shapes:
        pitch frames float32 `[batch, 100 + 25 (w - 1), 216]` to embeddings
        float32 `[batch, w, n_bits]`.

    Reference:
        Ours; the objective after Chang et al., ICASSP 2021.
    """

    feature = "pitch"
    dataset_feature = "waveform"
    wants_partners = True
    turns_with_key = True

    def __init__(
        self,
        *,
        channels=(16, 24, 32, 96, 96),
        n_bits=128,
        temperature=0.05,
        saturation=0.1,
        balance=0.1,
        **kwargs,
    ):
        n_thirds = features.build(self.feature).n_features
        frames = keras.Input((None, n_thirds), name="frames")
        x = HarmonicStack(dtype="float32", name="harmonics")(frames)
        plan = ((5, 7), (5, 3), 2), ((3, 5), (1, 1), 2), ((3, 3), (1, 1), 1)
        for i, (kernel, stride, pad) in enumerate(plan):
            x = layers.ZeroPadding2D(((0, 0), (pad, pad)))(x)  # pitch only, never time
            x = _normalised(x, channels[i], kernel, stride, i + 1)
        x = FoldOctaves(name="fold")(x)
        x = _normalised(Wrap(name="wrap4")(x), channels[3], (4, PITCH_CLASSES), (5, 1), 4)
        x = _normalised(Wrap(name="wrap5")(x), channels[4], (3, PITCH_CLASSES), (1, 1), 5)
        count = turning_bits(n_bits)
        turning = _bits(x, count // PITCH_CLASSES, "turning")
        turning = layers.Reshape((-1, count))(turning)
        if count < n_bits:
            fixed = _bits(ops.mean(x, axis=2), n_bits - count, "fixed")
            turning = layers.Concatenate(dtype="float32")([turning, fixed])
        x = turning
        super().__init__(inputs=frames, outputs=x, **kwargs)
        self.encoder = keras.Model(frames, x, name="encoder")
        self.n_bits = n_bits
        self._options = {
            "channels": tuple(channels),
            "n_bits": n_bits,
            "temperature": temperature,
            "saturation": saturation,
            "balance": balance,
        }

    def trainer(self):
        """Maps pairs float32 `[batch, 2, 100, thirds]` to embeddings `[batch, 2, n_bits]`."""
        return on_pairs(self)

    def objective(self):
        keys = ("temperature", "saturation", "balance")
        return TransposableHashLoss(**{key: self._options[key] for key in keys})

    def examples(self, batch, seed, augmentation):
        pairs = augmentation.pairs(batch["waveform"], seed, batch[FEATURE])
        return pairs, ops.zeros_like(pairs[:, 0, 0, 0])


def _normalised(x, channels, kernel, stride, number):
    x = layers.Conv2D(channels, kernel, stride, use_bias=False, name=f"conv{number}")(x)
    return layers.ReLU()(layers.BatchNormalization(name=f"norm{number}")(x))


def _bits(x, count, name):
    """A component for each bit, balanced over what it was trained on, alike for all keys."""
    x = layers.Dense(count, use_bias=False, dtype="float32", name=name)(x)
    return layers.BatchNormalization(
        center=False, scale=False, dtype="float32", name=f"{name}_balance"
    )(x)
