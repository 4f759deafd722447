"""Writes SavedModel and TFLite files from a run; `python -m a2v.conversion` does it apart.

TensorFlow's converter can abort the whole process, so `a2v.export` runs this in another one.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.lite.tools import flatbuffer_utils
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from a2v import features, runs
from a2v.spectrum import Spectrum

# Windows that a call of the device's graph gives, by signature. A block of ten seconds shares the
# work of overlapping windows and multiplies matrices; for a clip of a second it would be waste.
SIGNATURES = {"hash": 37, "hash_window": 1}
# Frames of so many samples squared have their spectra by products of matrices.
SIDE = 32


def samples(layer, windows):
    """Samples that so many consecutive windows cover, their last frames included."""
    return layer.span() + (windows - 1) * features.HOP_FRAMES * features.FRAME_STEP


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


def front(layer, nothing=0.0):
    """The feature layer as the device's graph has it: a copy for one waveform, the same results.

    Spectra go by products of matrices where that is sooner (`spectrum`).

    Args:
        layer: the feature layer.
        nothing: float or scalar tensor, 0; as a result of the graph, it lets the converter take
            what it is added to for results, too. Dynamic range would round constants to 8 bits, and
            so what they are multiplied with: of a power spectrum, whatever lies 21 dB below its
            peak would be lost, and a tenth of all bits.
    """
    kept = type(layer).from_config(layer.get_config())
    if isinstance(layer, features.LogMel) and layer.frame_length == layer.fft_length == SIDE**2:
        spectrum = Spectrum(SIDE, SIDE, nothing=nothing)
        kept.power, kept._filters = spectrum.power, spectrum.spread(layer._filters)
    kept._filters = kept._filters + nothing
    return kept


def frozen_graph(encode, layer, windows, *, rounded):
    """A graph of the device: float32 `[1, samples]` to hash and embedding, constants in.

    Args:
        encode: what `device_encoder` gives; layer: the feature layer; windows: int.
        rounded: bool, whether the converter is going to round weights.
    """

    @tf.function(input_signature=[tf.TensorSpec([1, samples(layer, windows)], tf.float32)])
    def run(waveform):
        nothing = {"nothing": tf.minimum(tf.abs(waveform[0, 0]), 0.0)} if rounded else {}
        embedding = encode(front(layer, **nothing), waveform[0])
        return {"embedding": embedding, "hash": packed(embedding)}

    return convert_variables_to_constants_v2(run.get_concrete_function())


def write_tflite(model, layer, folder, *, names):
    """Writes the float32 and the dynamic-range TFLite file, built-in operations only.

    Args:
        model: `models.ZooModel`; layer: its feature layer; folder: where to.
        names: `(float32, dynamic range)` file names.
    """
    encode = model.device_encoder()
    for name, rounded in zip(names, (False, True), strict=True):
        module = tf.Module()
        module.runs = {
            key: _signature(frozen_graph(encode, layer, windows, rounded=rounded))
            for key, windows in SIGNATURES.items()
        }
        with tempfile.TemporaryDirectory() as source:
            tf.saved_model.save(module, source, signatures=dict(module.runs))
            converter = tf.lite.TFLiteConverter.from_saved_model(
                source, signature_keys=list(SIGNATURES)
            )
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
            converter.optimizations = [tf.lite.Optimize.DEFAULT] if rounded else []
            (Path(folder) / name).write_bytes(stripped(converter.convert()))


def _signature(frozen):
    """The function of a frozen graph, with names."""

    @tf.function(
        input_signature=[tf.TensorSpec(frozen.inputs[0].shape, tf.float32, name="waveform")]
    )
    def run(waveform):
        outputs = frozen(waveform)
        if not isinstance(outputs, dict):  # flattened in the order of the keys
            outputs = dict(zip(("embedding", "hash"), outputs, strict=True))
        return outputs

    return run


def stripped(data):
    """A TFLite file without what nothing asks for: names and empty tables of tensors; bytes."""
    model, places = flatbuffer_utils.convert_bytearray_to_object(data), {}
    for tensor in (tensor for graph in model.subgraphs for tensor in graph.tensors):
        tensor.name = tensor.shapeSignature = None
        if tensor.quantization is not None and tensor.quantization.scale is None:
            tensor.quantization = None
        values = model.buffers[tensor.buffer].data
        full = values is not None and len(values)
        tensor.buffer = places.setdefault(tensor.buffer, 1 + len(places)) if full else 0
    model.buffers = [model.buffers[k] for k in (0, *places)]  # the first one is empty in any file
    model.metadata = None  # it names buffers
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def main():
    """Converts the run named first into the folder named second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("folder")
    parser.add_argument("names", nargs=2)
    args = parser.parse_args()
    model, settings = runs.load(args.run)
    layer = features.build(model.feature, **settings["feature_options"])
    write_saved_model(model, layer, Path(args.folder) / "saved_model")
    write_tflite(model, layer, args.folder, names=args.names)


if __name__ == "__main__":
    main()
