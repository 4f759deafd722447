"""The outlook on lstm128: more layers, each shared by encoder and decoder, and a wider hash."""

import keras
from keras import ops

from a2v import features
from a2v.models import ZooModel
from a2v.recurrence import last_state

N_MFCC = 13


@keras.saving.register_keras_serializable("a2v")
class LSTMDeep(ZooModel):
    """Shah and Sitonic's autoencoder, several LSTM layers deep.

    As `lstm128`, with a stack in place of its one LSTM: encoder and decoder are the same stack,
    and the last layer's hidden state at the end of the window, H, is the embedding. The decoder is
    fed nothing: the hidden state of each of its layers starts from H, because H alone is stored,
    and their cell states from zero. It gives the frames in reverse, beginning with what the
    encoder heard last.

    Every layer has as many units as the hash has bits. Two of 256 weigh 3.2 MB; 512 bits, or a
    third layer of 256, more than 4 MB. Windows stay 1 s long, as those of all models.

    Args:
        layers: int, LSTM layers.
        n_bits: int, units of each layer, bits of the hash.

    Shapes:
        windows float32 `[batch, 100, 13]` to reconstruction float32 `[batch, 100, 13]`, scaled.

    Reference:
        N. Shah, D. Sitonic, "Sequence-to-Sequence Autoencoder for Audio Fingerprinting", 2017,
        section V.
    """

    presets = {"three": {"layers": 3, "n_bits": 192}}

    def __init__(self, *, layers=2, n_bits=256, **kwargs):
        windows = keras.Input((features.WINDOW_FRAMES, N_MFCC), name="windows")
        scale = keras.layers.Normalization(name="scale")
        stack = [
            keras.layers.LSTM(n_bits, return_sequences=True, return_state=True, name=f"lstm{i + 1}")
            for i in range(layers)
        ]
        scaled = x = scale(windows)
        for lstm in stack:
            x, hidden, cell = lstm(x)
        zeros = ops.zeros_like(cell)
        x = ops.zeros_like(scaled)
        for lstm in stack:
            x, _, _ = lstm(x, initial_state=[hidden, zeros])
        decoded = keras.layers.Dense(N_MFCC, name="read_out")(x)
        super().__init__(inputs=windows, outputs=ops.flip(decoded, axis=1), **kwargs)
        self.encoder = keras.Model(windows, hidden, name="encoder")
        self.scale = scale
        self.stack = stack
        self.n_bits = n_bits
        self._options = {"layers": layers, "n_bits": n_bits}

    def adapt(self, windows):
        self.scale.adapt(windows)

    def examples(self, batch, seed, augmentation):
        del seed, augmentation
        return batch["mfcc"], self.scale(batch["mfcc"])

    def device_encoder(self):
        stack = [lstm.get_weights() for lstm in self.stack]
        return lambda layer, waveform: last_state(stack, self.scale(layer.windows(waveform)))
