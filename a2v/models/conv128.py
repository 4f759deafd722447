"""Contrastive, fully convolutional encoder on log-mel: the product's default model."""

import keras
from keras import layers, ops

from a2v import features
from a2v.losses import ContrastiveHashLoss
from a2v.models import StreamModel, on_pairs

GROUP = features.HOP_FRAMES
N_MELS = 128
# Kernels and strides, frames by bands; the strides in time multiply to the hop.
PLAN = ((5, 8), (5, 4)), ((3, 3), (1, 2)), ((3, 3), (1, 2)), ((4, 3), (5, 2))


@keras.saving.register_keras_serializable("a2v")
class LocalNormalisation(layers.Layer):
    """Makes log-mel frames free of gain, from no more context than one hop.

    `[batch, frames, mels]` to `[batch, frames, mels, 2]`: each frame less its mean over the
    bands, and less the mean over the bands and the 25 frames of its group. Groups lie on the
    hop's grid, so a window is normalised alike alone and within a recording.
    """

    def call(self, frames):
        batch, _, mels = ops.shape(frames)
        grouped = ops.reshape(frames, (batch, -1, GROUP, mels))
        level = ops.mean(grouped, axis=(2, 3), keepdims=True)
        by_group = ops.reshape(grouped - level, (batch, -1, mels))
        by_frame = frames - ops.mean(frames, axis=-1, keepdims=True)
        return ops.stack([by_frame, by_group], axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape, 2)


@keras.saving.register_keras_serializable("a2v")
class GrowingSlope(layers.Layer):
    """Scales embeddings by `sqrt(1 + growth * step)`, so that their `tanh` becomes their sign.

    Args:
        growth: float, 0 or more, for each step of training.

    Reference:
        Z. Cao et al., "HashNet: deep learning to hash by continuation", ICCV 2017.
    """

    def __init__(self, growth, **kwargs):
        super().__init__(**kwargs)
        self.growth = growth

    def build(self, input_shape):
        self.step = self.add_weight(name="step", initializer="zeros", trainable=False)

    def call(self, embeddings, training=False):
        slope = ops.sqrt(1 + self.growth * self.step)
        if training:
            self.step.assign(self.step + 1)
        return slope * embeddings

    def get_config(self):
        return {**super().get_config(), "growth": self.growth}


@keras.saving.register_keras_serializable("a2v")
class Conv128(StreamModel):
    """Valid convolutions over time whose strides multiply to the hop.

    Kernels of 5, 3, 3, 4, 3 frames with strides 5, 1, 1, 5, 1 see the first 90 frames of a window,
    which at 64 ms a frame are 0.95 s, and step by 25: over a recording, overlapping windows share
    three quarters of their work and get the bits that each would get alone. Trained so that a
    window and its degraded copy hash alike and other windows do not.

    Args:
        channels: tuple of 5 ints, of the five convolutions.
        n_bits: int, size of the embedding.
        batch_norm: bool, each bit is normalised over what it was trained on before its sign is
            taken; with a bias that is learnt instead where it is not.
        slope_growth: float, of `GrowingSlope`, which the embeddings pass in training.
        temperature, saturation, balance, decorrelation: floats, and straight_through: bool, of
            `losses.ContrastiveHashLoss`.

    Shapes:
        log-mel frames float32 `[batch, 100 + 25 (w - 1), 128]` to embeddings
        float32 `[batch, w, n_bits]`.

    Reference:
        S. Chang et al., "Neural audio fingerprint for high-specific audio retrieval based on
        contrastive learning", ICASSP 2021, for the objective; the architecture is ours.
    """

    feature = "logmel"
    dataset_feature = "waveform"

    def __init__(
        self,
        *,
        channels=(32, 48, 96, 160, 256),
        n_bits=128,
        batch_norm=True,
        slope_growth=0.0,
        temperature=0.05,
        saturation=0.1,
        balance=0.1,
        decorrelation=0.0,
        straight_through=False,
        **kwargs,
    ):
        windows = keras.Input((None, N_MELS), name="frames")
        embeddings = _embeddings(windows, channels, n_bits, batch_norm)
        super().__init__(inputs=windows, outputs=embeddings, **kwargs)
        self.encoder = keras.Model(windows, embeddings, name="encoder")
        self.n_bits = n_bits
        self._options = {
            "channels": tuple(channels),
            "n_bits": n_bits,
            "batch_norm": batch_norm,
            "slope_growth": slope_growth,
            "temperature": temperature,
            "saturation": saturation,
            "balance": balance,
            "decorrelation": decorrelation,
            "straight_through": straight_through,
        }

    def trainer(self):
        """Maps pairs float32 `[batch, 2, 100, mels]` to embeddings `[batch, 2, n_bits]`."""
        plain = on_pairs(self)
        if not self._options["slope_growth"]:
            return plain
        slope = GrowingSlope(self._options["slope_growth"], dtype="float32", name="slope")
        return keras.Model(plain.input, slope(plain.output))

    def objective(self):
        keys = ("temperature", "saturation", "balance", "decorrelation", "straight_through")
        return ContrastiveHashLoss(**{key: self._options[key] for key in keys})

    def examples(self, batch, seed, augmentation):
        pairs = augmentation.pairs(batch["waveform"], seed)
        return pairs, ops.zeros_like(pairs[:, 0, 0, 0])


def convolved(x, channels):
    """The first convolutions of `PLAN`, one for each number of channels.

    Float32 `[batch, frames, bands, 2]` to `[batch, fewer frames, fewer bands, channels]`.
    """
    for i, (count, (kernel, stride)) in enumerate(zip(channels, PLAN, strict=False), 1):
        below = (kernel[1] - stride[1] + 1) // 2
        above = kernel[1] - stride[1] - below
        x = layers.ZeroPadding2D(((0, 0), (below, above)))(x)  # bands only, never time
        x = layers.Conv2D(count, kernel, stride, use_bias=False, name=f"conv{i}")(x)
        x = layers.BatchNormalization(name=f"norm{i}")(x)
        x = layers.ReLU()(x)
    return x


def _embeddings(windows, channels, n_bits, batch_norm):
    """Frames `[batch, 100 + 25 (w - 1), mels]` to embeddings `[batch, w, n_bits]`."""
    x = LocalNormalisation(dtype="float32", name="normalise")(windows)
    x = convolved(x, channels[: len(PLAN)])
    kernel = (3, x.shape[2])  # all bands that are left
    x = layers.Conv2D(channels[4], kernel, use_bias=False, name="conv5")(x)  # [.., w, 1, c]
    x = layers.ReLU()(layers.BatchNormalization(name="norm5")(x))
    x = layers.Reshape((-1, channels[4]))(x)
    x = layers.Dense(n_bits, use_bias=not batch_norm, dtype="float32", name="projection")(x)
    if batch_norm:
        # Without scale and centre: each bit is balanced over what it was trained on.
        normalise = {"center": False, "scale": False, "dtype": "float32"}
        x = layers.BatchNormalization(**normalise, name="balance")(x)
    return x
