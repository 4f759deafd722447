"""Writes SavedModel and TFLite files from a run; `python -m a2v.conversion` does it apart.

TensorFlow's converter can abort the whole process, so `a2v.export` runs this in another one.
"""

import argparse
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from a2v import features, training

SIGNATURE = "hash"


def block_samples(model, layer):
    """Samples that one call of the exported graph takes: those of `block_windows` windows."""
    hop = features.HOP_FRAMES * features.FRAME_STEP
    return layer.span() + (model.block_windows - 1) * hop


def packed(embedding):
    """Bits `embedding > 0`, most significant first: `[windows, d]` to uint8 `[windows, d / 8]`."""
    octets = tf.reshape(tf.cast(embedding > 0, tf.float32), (-1, embedding.shape[-1] // 8, 8))
    weights = tf.constant([128.0, 64, 32, 16, 8, 4, 2, 1])
    return tf.cast(tf.reduce_sum(octets * weights, axis=-1), tf.uint8)


def write_saved_model(model, layer, path):
    """Writes a SavedModel whose signatures take a waveform of any length.

    Signatures `hash` (uint8 `[windows, d / 8]`), also as `serving_default`, `embed` (float32
    `[windows, d]`) and `features` (float32 `[windows, 100, n_features]`), each with the input
    `waveform`, float32 `[n]` at 16 kHz, at least one window with all its frames.

    Weights and the layer's arrays are variables, which all signatures share. Keras'
    `ExportArchive` would store its wrapper of each variable beside the variable, and TensorFlow
    would store an array once a function.
    """
    module = tf.Module()
    module.weights = [weight.value for weight in model.encoder.weights]
    module.arrays = {
        key: tf.Variable(value, trainable=False)
        for key, value in vars(layer).items()
        if isinstance(value, np.ndarray)
    }
    kept = type(layer).from_config(layer.get_config())
    for key, variable in module.arrays.items():
        setattr(kept, key, variable)
    traced = tf.function(
        input_signature=[tf.TensorSpec([None], tf.float32, name="waveform")], autograph=False
    )
    module.embed = traced(lambda waveform: model.embed_waveform(kept, waveform))
    module.hash = traced(lambda waveform: packed(module.embed(waveform)))
    module.features = traced(kept.windows)
    signatures = {name: getattr(module, name) for name in ("hash", "embed", "features")}
    signatures["serving_default"] = module.hash
    tf.saved_model.save(module, str(path), signatures=signatures)


def unrounded(layer, waveform):
    """A copy of the feature layer whose filters the converter takes for a result, not a constant.

    The dynamic range would round constants to 8 bits, and so what they are multiplied with: of a
    power spectrum, whatever lies 21 dB below its peak would be lost, and a tenth of all bits.
    """
    kept = type(layer).from_config(layer.get_config())
    kept._filters = layer._filters + tf.minimum(tf.abs(waveform[0]), 0.0)
    return kept


def frozen_graph(model, layer):
    """The graph of the device: float32 `[1, block_samples]` to hash and embedding, constants in."""
    encode = model.device_encoder()

    @tf.function(input_signature=[tf.TensorSpec([1, block_samples(model, layer)], tf.float32)])
    def run(waveform):
        embedding = encode(unrounded(layer, waveform[0]), waveform[0])
        return {"embedding": embedding, "hash": packed(embedding)}

    return convert_variables_to_constants_v2(run.get_concrete_function())


def write_tflite(model, layer, folder, *, names):
    """Writes the float32 and the dynamic-range TFLite file, built-in operations only.

    Args:
        model: `models.ZooModel`; layer: its feature layer; folder: where to.
        names: `(float32, dynamic range)` file names.
    """
    frozen = frozen_graph(model, layer)
    module = tf.Module()

    @tf.function(
        input_signature=[tf.TensorSpec(frozen.inputs[0].shape, tf.float32, name="waveform")]
    )
    def run(waveform):
        outputs = frozen(waveform)
        if not isinstance(outputs, dict):  # flattened in the order of the keys
            outputs = dict(zip(("embedding", "hash"), outputs, strict=True))
        return outputs

    module.run = run
    source = Path(folder) / "frozen"
    tf.saved_model.save(module, str(source), signatures={SIGNATURE: run})
    for name, optimisations in zip(names, ([], [tf.lite.Optimize.DEFAULT]), strict=True):
        converter = tf.lite.TFLiteConverter.from_saved_model(
            str(source), signature_keys=[SIGNATURE]
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        converter.optimizations = optimisations
        (Path(folder) / name).write_bytes(converter.convert())


def main():
    """Converts the run named first into the folder named second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("folder")
    parser.add_argument("names", nargs=2)
    args = parser.parse_args()
    model, settings = training.load(args.run)
    layer = features.build(model.feature, **settings["feature_options"])
    write_saved_model(model, layer, Path(args.folder) / "saved_model")
    write_tflite(model, layer, args.folder, names=args.names)


if __name__ == "__main__":
    main()
