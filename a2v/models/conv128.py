"""Contrastive, fully convolutional encoder on log-mel: the product's default model."""

import keras
from keras import layers, ops

from a2v import features
from a2v.losses import ContrastiveHashLoss
from a2v.models import StreamModel

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
class Conv128(StreamModel):
    """Valid convolutions over time whose strides multiply to the hop.

    Kernels of 5, 3, 3, 4, 3 frames with strides 5, 1, 1, 5, 1 see the first 90 frames of a window,
    which at 64 ms a frame are 0.95 s, and step by 25: over a recording, overlapping windows share
    three quarters of their work and get the bits that each would get alone. Trained so that a
    window and its degraded copy hash alike and other windows do not.

    Args:
        channels: tuple of 5 ints, of the five convolutions.
        n_bits: int, size of the embedding.
        temperature, saturation, balance: floats, of `losses.ContrastiveHashLoss`.

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
        temperature=0.05,
        saturation=0.1,
        balance=0.1,
        **kwargs,
    ):
        windows = keras.Input((None, N_MELS), name="frames")
        x = LocalNormalisation(dtype="float32", name="normalise")(windows)
        for i, (kernel, stride) in enumerate(PLAN):
            below = (kernel[1] - stride[1] + 1) // 2
            above = kernel[1] - stride[1] - below
            x = layers.ZeroPadding2D(((0, 0), (below, above)))(x)  # bands only, never time
            x = layers.Conv2D(channels[i], kernel, stride, use_bias=False, name=f"conv{i + 1}")(x)
            x = layers.BatchNormalization(name=f"norm{i + 1}")(x)
            x = layers.ReLU()(x)
        kernel = (3, x.shape[2])  # all bands that are left
        x = layers.Conv2D(channels[4], kernel, use_bias=False, name="conv5")(x)  # [.., w, 1, c]
        x = layers.ReLU()(layers.BatchNormalization(name="norm5")(x))
        x = layers.Reshape((-1, channels[4]))(x)
        x = layers.Dense(n_bits, use_bias=False, dtype="float32", name="projection")(x)
        # Without scale and centre: each bit is balanced over what it was trained on.
        x = layers.BatchNormalization(center=False, scale=False, dtype="float32", name="balance")(x)
        super().__init__(inputs=windows, outputs=x, **kwargs)
        self.encoder = keras.Model(windows, x, name="encoder")
        self.n_bits = n_bits
        self._options = {
            "channels": tuple(channels),
            "n_bits": n_bits,
            "temperature": temperature,
            "saturation": saturation,
            "balance": balance,
        }

    def trainer(self):
        """Maps pairs float32 `[batch, 2, 100, mels]` to embeddings `[batch, 2, n_bits]`."""
        pairs = keras.Input((2, features.WINDOW_FRAMES, self.input_shape[-1]), name="pairs")
        flat = ops.reshape(pairs, (-1, *pairs.shape[2:]))
        return keras.Model(pairs, ops.reshape(self(flat), (-1, 2, self.n_bits)))

    def objective(self):
        keys = ("temperature", "saturation", "balance")
        return ContrastiveHashLoss(**{key: self._options[key] for key in keys})

    def examples(self, batch, seed, augmentation):
        pairs = augmentation.pairs(batch["waveform"], seed)
        return pairs, ops.zeros_like(pairs[:, 0, 0, 0])

    def get_config(self):
        return {"name": self.name, **self._options}
