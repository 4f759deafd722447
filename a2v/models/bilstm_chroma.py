"""Audio2Vec's sequence-to-sequence autoencoder on chroma."""

import keras
from keras import ops

from a2v import features
from a2v.models import ZooModel
from a2v.recurrence import last_state


@keras.saving.register_keras_serializable("a2v")
class BiLSTMChroma(ZooModel):
    """Bidirectional LSTM and a dense layer encode; an LSTM and one shared dense layer decode.

    The decoder is fed the embedding at each step, and its dense layer is the same at all steps.

    Args:
        units: int, state of each LSTM.
        n_bits: int, size of the embedding.

    Shapes:
        windows float32 `[batch, 100, 12]` to reconstruction float32 `[batch, 100, 12]`.

    Reference:
        "Audio2Vec: An exploration of embedding methods to represent an arbitrary segment of
        audio in a fixed length vector".
    """

    feature = "chroma"
    dataset_feature = "chroma"

    def __init__(self, *, units=128, n_bits=128, **kwargs):
        n_chroma = 12
        windows = keras.Input((features.WINDOW_FRAMES, n_chroma), name="windows")
        centred = keras.layers.Normalization(name="scale")
        encoded = keras.layers.Bidirectional(keras.layers.LSTM(units), name="encoder_lstm")(
            centred(windows)
        )
        embedding = keras.layers.Dense(n_bits, name="embedding")(encoded)
        repeated = keras.layers.RepeatVector(features.WINDOW_FRAMES)(embedding)
        states = keras.layers.LSTM(units, return_sequences=True, name="decoder_lstm")(repeated)
        output = keras.layers.Dense(n_chroma, name="read_out")(states)
        super().__init__(inputs=windows, outputs=output, **kwargs)
        self.encoder = keras.Model(windows, embedding, name="encoder")
        self.scale = centred
        self.n_bits = n_bits
        self._options = {"units": units, "n_bits": n_bits}

    def adapt(self, windows):
        self.scale.adapt(windows)

    def examples(self, batch, seed, augmentation):
        del seed, augmentation
        return batch["chroma"], batch["chroma"]

    def device_encoder(self):
        both = self.get_layer("encoder_lstm")
        forward, backward = (
            [one.get_weights()] for one in (both.forward_layer, both.backward_layer)
        )
        embedding = self.get_layer("embedding")

        def encode(layer, waveform):
            windows = self.scale(layer.windows(waveform))
            states = last_state(forward, windows), last_state(backward, ops.flip(windows, axis=1))
            return embedding(ops.concatenate(states, axis=-1))

        return encode
