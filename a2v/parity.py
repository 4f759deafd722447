"""Agreement of exported files with Keras, and the operations that they are made of."""

import numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema

from a2v import audio, features, hashing
from a2v.errors import A2VError

# Share of bits that a quantised file may have different from Keras.
MAX_FLIP_RATE = 0.03
# Sums in another order differ in the last digits; a bit whose embedding is this near to 0, in
# deviations of the embedding, is a toss-up.
TIE = 1e-4


class Reference:
    """What Keras gives for some recordings.

    Args:
        model: `models.ZooModel`; layer: its feature layer.
        waveforms: list of float32 `[n]` at 16 kHz, each at least a window long.
    """

    def __init__(self, model, layer, waveforms):
        window, hop = features.WINDOW_S * audio.SAMPLE_RATE, features.HOP_S * audio.SAMPLE_RATE
        self.layer, self.n_bits = layer, model.n_bits
        self.waveforms = waveforms
        self.windows = [1 + int((len(waveform) - window) // hop) for waveform in waveforms]
        # The end of a recording is padded with zeros: they complete the last window's frames.
        self.padded = [np.pad(waveform, (0, layer.span())) for waveform in waveforms]
        embed = tf.function(
            lambda waveform: model.embed_waveform(layer, waveform),
            input_signature=[tf.TensorSpec([None], tf.float32)],
        )
        self.embeddings = [
            embed(padded).numpy()[:count]
            for padded, count in zip(self.padded, self.windows, strict=True)
        ]

    def compare(self, name, answers, *, exact):
        """Compares what a file gives for the same recordings.

        Args:
            name: str, what errors call the file.
            answers: list of `(embedding float32 [windows, d], codes uint8 [windows, d / 8])`.
            exact: bool, whether all bits have to be the same; a quantised file's may flip.

        Returns:
            dict: `windows`, `bits_flipped` per hash, `flip_rate`, `largest_difference` of an
            embedding.

        Raises:
            A2VError: the file does not agree.
        """
        flipped, largest = 0, 0.0
        for (got, codes), expected in zip(answers, self.embeddings, strict=True):
            if not np.array_equal(codes, hashing.pack(hashing.binarize(got))):
                raise A2VError(f"{name}: its hash is not the sign of its embedding; not written")
            differs = hashing.binarize(got) != hashing.binarize(expected)
            if exact and (differs & (np.abs(expected) > TIE * expected.std())).any():
                raise A2VError(f"{name}: {differs.sum()} bits differ from Keras; not written")
            flipped += int(differs.sum())
            largest = max(largest, float(np.abs(got - expected).max()))
        windows = sum(self.windows)
        rate = flipped / (windows * self.n_bits)
        if rate > MAX_FLIP_RATE:
            raise A2VError(
                f"{name}: {rate:.2%} of the bits differ from Keras, at most {MAX_FLIP_RATE:.0%} "
                "may; not written"
            )
        return {
            "windows": windows,
            "bits_flipped": flipped / windows,
            "flip_rate": rate,
            "largest_difference": largest,
        }

    def encoder(self, name, encoder, *, exact):
        """Compares a `runtime.Encoder`; returns and raises as `compare`."""
        answers = [(encoder.embed(waveform), encoder.hash(waveform)) for waveform in self.waveforms]
        return self.compare(name, answers, exact=exact)

    def saved_model(self, name, path):
        """Compares the signatures of a SavedModel; returns and raises as `compare`."""
        loaded = tf.saved_model.load(str(path))

        def run(signature, waveform):
            (output,) = loaded.signatures[signature](waveform=tf.constant(waveform)).values()
            return output.numpy()

        answers = []
        for padded, count in zip(self.padded, self.windows, strict=True):
            answers.append((run("embed", padded)[:count], run("hash", padded)[:count]))
            if not np.allclose(run("features", padded), self.layer.windows(padded), atol=1e-3):
                raise A2VError(f"{name}: its features differ from Keras; not written")
        return self.compare(name, answers, exact=True)


def operations(path):
    """Names of the operations in every subgraph of a TFLite file, sorted.

    Raises:
        A2VError: one of them is not built into TFLite.
    """
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    names = {value: name for name, value in vars(schema.BuiltinOperator).items()}
    found = set()
    for subgraph in model.subgraphs:
        for operator in subgraph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            # Codes below 128 stand in the older field, too.
            builtin = max(code.builtinCode, code.deprecatedBuiltinCode)
            if builtin == schema.BuiltinOperator.CUSTOM:
                name = code.customCode.decode()
                raise A2VError(f"{path.name}: {name} is not built into TFLite; not written")
            found.add(names[builtin])
    return sorted(found)
