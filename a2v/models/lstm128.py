"""Sequence-to-sequence autoencoder with one LSTM for both halves; its state is the hash."""

import keras
from keras import ops

from a2v import features
from a2v.models import ZooModel
from a2v.recurrence import last_state


@keras.saving.register_keras_serializable("a2v")
class FeedbackCell(keras.layers.Layer):
    """Runs an LSTM cell on its own last output, read out by a dense layer.

    Args:
        cell: the LSTM cell; read_out: the dense layer. Both are used, not owned: their weights
            are those of the layers they come from.
    """

    def __init__(self, cell, read_out, **kwargs):
        super().__init__(**kwargs)
        self._shared = (cell, read_out)
        self.state_size = [cell.units, cell.units, read_out.units]
        self.output_size = read_out.units

    def call(self, inputs, states):
        cell, read_out = self._shared
        _, state = cell(states[2] + inputs, states[:2])
        output = read_out(state[0])
        return output, [*state, output]


@keras.saving.register_keras_serializable("a2v")
class LSTM128(ZooModel):
    """Shah and Sitonic's model: one LSTM, shared by encoder and decoder.

    The encoder's final hidden state H is the embedding and the decoder's first hidden state (its
    cell state starts at zero: H alone is stored, so H alone may carry the window); a dense layer
    reads the 13 features out of each decoder state. Hash bit i is `H_i > 0`.

    What the paper leaves open is a keyword. `benchmarks/lstm_choices.md` decided: a decoder that
    is fed nothing but H is best for clean clips and, as far as 105 queries tell, no worse in noise;
    that it gives the frames in
    reverse, beginning with what the encoder heard last, helps the loss more than the hits.

    Args:
        units: int, size of the state, bits of the hash.
        decoder_input: `zeros`, `teacher` (the true frame before) or `feedback` (its own last
            output).
        reverse: bool, whether the decoder gives the last frame first.
        scaling: `standard` (each cepstrum to mean 0 and deviation 1 over the training windows)
            or `none`.
        unroll: bool, whether training unrolls the recurrence: faster, after a slower start.

    Shapes:
        windows float32 `[batch, 100, 13]` to reconstruction float32 `[batch, 100, 13]`, scaled.

    Reference:
        N. Shah, D. Sitonic, "Sequence-to-Sequence Autoencoder for Audio Fingerprinting", 2017.
    """

    choices = {
        "decoder_input": ("zeros", "teacher", "feedback"),
        "scaling": ("standard", "none"),
    }
    presets = {"published": {"decoder_input": "zeros", "reverse": True, "scaling": "standard"}}

    def __init__(
        self,
        *,
        units=128,
        decoder_input="zeros",
        reverse=True,
        scaling="standard",
        unroll=False,
        **kwargs,
    ):
        n_features = 13
        windows = keras.Input((features.WINDOW_FRAMES, n_features), name="windows")
        scale = (
            keras.layers.Normalization(mean=0.0, variance=1.0, name="scale")
            if scaling == "none"
            else keras.layers.Normalization(name="scale")
        )
        lstm = keras.layers.LSTM(
            units, return_sequences=True, return_state=True, unroll=unroll, name="lstm"
        )
        read_out = keras.layers.Dense(n_features, name="read_out")
        read_out.build((None, units))
        scaled = scale(windows)
        _, hidden, cell = lstm(scaled)
        start = [hidden, ops.zeros_like(cell)]
        target = ops.flip(scaled, axis=1) if reverse else scaled
        fed = ops.zeros_like(scaled)
        if decoder_input == "feedback":
            decoder = keras.layers.RNN(
                FeedbackCell(lstm.cell, read_out), return_sequences=True, unroll=unroll
            )
            decoded = decoder(fed, initial_state=[*start, fed[:, 0]])
        else:
            if decoder_input == "teacher":
                fed = ops.concatenate([fed[:, :1], target[:, :-1]], axis=1)
            states, _, _ = lstm(fed, initial_state=start)
            decoded = read_out(states)
        output = ops.flip(decoded, axis=1) if reverse else decoded
        super().__init__(inputs=windows, outputs=output, **kwargs)
        self.encoder = keras.Model(windows, hidden, name="encoder")
        self.scale = scale
        self.read_out = read_out  # with feedback, only the cell calls it: keep its weights
        self.n_bits = units
        self._options = {
            "units": units,
            "decoder_input": decoder_input,
            "reverse": reverse,
            "scaling": scaling,
            "unroll": unroll,
        }

    def adapt(self, windows):
        if self._options["scaling"] == "standard":
            self.scale.adapt(windows)

    def examples(self, batch, seed, augmentation):
        del seed, augmentation
        return batch["mfcc"], self.scale(batch["mfcc"])

    def device_encoder(self):
        lstm = [self.get_layer("lstm").get_weights()]
        return lambda layer, waveform: last_state(lstm, self.scale(layer.windows(waveform)))
