"""Contrastive recurrent encoder on log-mel: the objective of conv128 on another architecture."""

import keras
from keras import layers, ops

from a2v import features
from a2v.losses import ContrastiveHashLoss
from a2v.models import ZooModel, on_pairs
from a2v.models.conv128 import N_MELS, LocalNormalisation, convolved
from a2v.recurrence import last_state


@keras.saving.register_keras_serializable("a2v")
class ConvLSTM128(ZooModel):
    """An LSTM over what two convolutions leave of a window, trained as `conv128` is.

    What a code owes to its objective and what to its architecture: input, normalisation, the first
    two convolutions, objective and the balance of the bits are those of `conv128`; where that goes
    on with three convolutions, here one LSTM goes through the 18 steps of 50 ms that are left, from
    the same state in every window. Its last state becomes the embedding.

    Args:
        channels: tuple of 2 ints, of the two convolutions.
        units: int, size of the LSTM's state.
        n_bits: int, size of the embedding.
        temperature, saturation, balance: floats, of `losses.ContrastiveHashLoss`.

    Shapes:
        log-mel windows float32 `[batch, 100, 128]` to embeddings float32 `[batch, n_bits]`.

    Reference:
        S. Chang et al., "Neural audio fingerprint for high-specific audio retrieval based on
        contrastive learning", ICASSP 2021, for the objective; the architecture is ours.
    """

    feature = "logmel"
    dataset_feature = "waveform"

    def __init__(
        self,
        *,
        channels=(32, 48),
        units=192,
        n_bits=128,
        temperature=0.05,
        saturation=0.1,
        balance=0.1,
        **kwargs,
    ):
        windows = keras.Input((features.WINDOW_FRAMES, N_MELS), name="windows")
        x = LocalNormalisation(dtype="float32", name="normalise")(windows)
        x = convolved(x, channels)
        steps = layers.Reshape((x.shape[1], -1), name="steps")(x)  # [batch, 18, bands * channels]
        state = layers.LSTM(units, name="lstm")(steps)
        bits = layers.Dense(n_bits, use_bias=False, dtype="float32", name="projection")
        # Without scale and centre: each bit is balanced over what it was trained on.
        normalise = {"center": False, "scale": False, "dtype": "float32"}
        balanced = layers.BatchNormalization(**normalise, name="balance")
        embedding = balanced(bits(state))
        super().__init__(inputs=windows, outputs=embedding, **kwargs)
        self.encoder = keras.Model(windows, embedding, name="encoder")
        self.n_bits = n_bits
        self._options = {
            "channels": tuple(channels),
            "units": units,
            "n_bits": n_bits,
            "temperature": temperature,
            "saturation": saturation,
            "balance": balance,
        }

    def trainer(self):
        """Maps pairs float32 `[batch, 2, 100, mels]` to embeddings `[batch, 2, n_bits]`."""
        return on_pairs(self)

    def objective(self):
        keys = ("temperature", "saturation", "balance")
        return ContrastiveHashLoss(**{key: self._options[key] for key in keys})

    def examples(self, batch, seed, augmentation):
        pairs = augmentation.pairs(batch["waveform"], seed)
        return pairs, ops.zeros_like(pairs[:, 0, 0, 0])

    def device_encoder(self):
        front = keras.Model(self.input, self.get_layer("steps").output)
        lstm = [self.get_layer("lstm").get_weights()]
        project, balance = self.get_layer("projection"), self.get_layer("balance")

        def encode(layer, waveform):
            state = last_state(lstm, front(layer.windows(waveform), training=False))
            return balance(project(state), training=False)

        return encode
