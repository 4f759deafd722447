"""The outlook on lstm128: more layers, each shared by encoder and decoder, and a wider hash."""

import keras
from keras import ops

from a2v import features
from a2v.models import ZooModel

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
        # As in lstm128; one loop over a stack of cells, because a loop for each layer would have
        # to return the sequences of all but the last.
        windows = keras.Input(batch_shape=(1, *self.input_shape[1:]))
        cells = [keras.layers.LSTMCell(self.n_bits) for _ in self.stack]
        rnn = keras.layers.RNN(cells)
        encoder = keras.Model(windows, rnn(self.scale(windows)))
        rnn.set_weights([weight for lstm in self.stack for weight in lstm.get_weights()])
        return lambda layer, waveform: encoder(layer.windows(waveform), training=False)

    def get_config(self):
        return {"name": self.name, **self._options}
