"""Where the time of hashing goes, beside what the machine could do at most.

    python benchmarks/hashing_profile.py [MODEL ...]

Each part of a shipped model's graph is converted by itself, and runs on LiteRT with one thread; the
parts are told apart by subtraction. Products are counted in the file, those within loops once a
step. The machine's limit is the rate of one large product of matrices, on LiteRT as well. Writes
`benchmarks/results/hashing_profile.json` and, from it, the table in `benchmarks/profiles.md`.
"""

import argparse
import json
import os
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "hashing_profile.json"
PAGE, BLOCK = HERE / "profiles.md", "hashing"
REPEATS = 60
SIDE = 768  # of the matrices whose product tells the machine's limit


def seconds(run, waveform, clock=time.process_time):
    """The least of the repeats, in s of this process, or of another clock."""
    times = []
    for _ in range(REPEATS):
        before = clock()
        run(waveform)
        times.append(clock() - before)
    return min(times)


def converted(function, shape):
    """A function of float32 `shape` as a runner on LiteRT with one thread."""
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    traced = tf.function(function, input_signature=[tf.TensorSpec(shape, tf.float32)])
    concrete = traced.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], traced)
    interpreter = Interpreter(model_content=converter.convert(), num_threads=1)
    interpreter.allocate_tensors()
    place = interpreter.get_input_details()[0]["index"]

    def run(values):
        interpreter.set_tensor(place, values)
        interpreter.invoke()

    return run


def products(data):
    """Multiplications of weights or matrices in the first graph of a TFLite file: int."""
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(data)
    names = {value: name for name, value in vars(schema.BuiltinOperator).items()}

    def count(graph):
        total = 0
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            name = names[max(code.builtinCode, code.deprecatedBuiltinCode)]
            shapes = [list(graph.tensors[k].shape) for k in operator.inputs if k >= 0]
            out = 1
            for size in graph.tensors[operator.outputs[0]].shape:
                out *= int(size)
            if name == "CONV_2D":
                total += out * shapes[1][1] * shapes[1][2] * shapes[1][3]
            elif name == "FULLY_CONNECTED":
                total += out * shapes[1][-1]
            elif name == "BATCH_MATMUL":
                total += out * shapes[0][-1]
            elif name == "WHILE":
                options = operator.builtinOptions
                total += steps(model.subgraphs[options.condSubgraphIndex]) * count(
                    model.subgraphs[options.bodySubgraphIndex]
                )
        return int(total)

    def steps(graph):
        """How often a loop runs: the one number that its condition compares with."""
        (limit,) = (
            int.from_bytes(bytes(model.buffers[tensor.buffer].data), "little")
            for tensor in graph.tensors
            if model.buffers[tensor.buffer].data is not None
        )
        return limit

    return count(model.subgraphs[0])


def profiled(name):
    """Milliseconds of each part of a block's graph, and what it multiplies: dict."""
    import numpy as np
    import tensorflow as tf

    from a2v import conversion, features, resources, runs, runtime

    path = resources.saved_model(name)
    encoder = runtime.Encoder(path)
    model = runs.load_model(path.with_name("model.keras"))
    layer = conversion.front(features.build(model.feature))
    windows = conversion.SIGNATURES["hash"]
    size = conversion.samples(layer, windows)
    waveform = np.random.default_rng(0).normal(0, 0.1, (1, size)).astype(np.float32)
    parts = {
        "frames": lambda w: layer.frames(layer.emphasised(w[0])),
        "spectrum": lambda w: layer.power(layer.frames(layer.emphasised(w[0]))),
        "feature": lambda w: layer(w[0]),
    }
    ms = {part: 1000 * seconds(converted(f, waveform.shape), waveform) for part, f in parts.items()}
    ms["all"] = 1000 * seconds(lambda w: encoder._run(waveform=w), waveform)
    lone = waveform[:, : layer.span()]
    ms["alone"] = 1000 * seconds(lambda w: encoder._run_window(waveform=w), lone)
    shared = runtime.Encoder(path, threads=2)
    ms["two threads"] = 1000 * seconds(
        lambda w: shared._run(waveform=w), waveform, time.perf_counter
    )
    plain = features.build(model.feature)
    keras = tf.function(lambda w: model.embed_waveform(plain, w[0]), autograph=False)
    keras(waveform)  # is traced
    ms["keras"] = 1000 * seconds(lambda w: keras(w).numpy(), waveform)
    return {
        "feature": model.feature,
        "ms": ms,
        "windows": windows,
        "products": products(path.read_bytes()),
    }


def limit():
    """Products per second of one large product of matrices: float."""
    import numpy as np
    import tensorflow as tf

    values = np.random.default_rng(0).normal(size=(SIDE, SIDE)).astype(np.float32)
    constant = tf.constant(values)
    run = converted(lambda x: tf.matmul(x, constant), values.shape)
    return SIDE**3 / seconds(run, values)


def table(results):
    """The Markdown of all profiles."""
    lines = [
        "| model | frames | spectrum | bands | the rest | a block | x real time | products "
        "| at the limit | a lone window | two threads, x real time | Keras, x real time |",
        "|---|" + "---:|" * 11,
    ]
    for name, own in results["models"].items():
        ms, made = own["ms"], own["products"]
        audio_s = 0.25 * own["windows"]
        parts = (
            ms["frames"],
            ms["spectrum"] - ms["frames"],
            max(0.0, ms["feature"] - ms["spectrum"]),
            ms["all"] - ms["feature"],
            ms["all"],
        )
        lines.append(
            f"| {name} ({own['feature']}) | "
            + " | ".join(f"{part:.1f}" for part in parts)
            + f" | {1000 * audio_s / ms['all']:,.0f} | {made / 1e6:,.0f} M "
            f"| {1000 * made / results['limit']:.1f} | {ms['alone']:.2f} "
            f"| {1000 * audio_s / ms['two threads']:,.0f} | {1000 * audio_s / ms['keras']:,.0f} |"
        )
    lines += [
        "",
        f"Milliseconds of one core for a block of {own['windows']} windows, {audio_s:g} s of "
        f"recording, the least of {REPEATS} runs. *Products*: multiplications in convolutions, "
        "dense layers, recurrences and filters; *at the limit*: how long they would take at the "
        f"{results['limit'] / 1e9:.0f} thousand million a second of one product of matrices of "
        f"{SIDE} x {SIDE} on the same runtime. *Two threads*: by the clock. *Keras*: the same "
        "block through the Keras model and feature layer in one `tf.function`, one thread. "
        f"{results['machine']}; {results['versions']}.",
    ]
    return "\n".join(lines)


def main():
    """Profiles the models and puts the table into its place."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("models", nargs="*", default=["conv128", "lstm128", "cover128"])
    args = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    from importlib.metadata import version

    import tensorflow as tf

    from a2v.benchmarking import markup, processes

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)

    packages = ("ai-edge-litert", "tensorflow")
    results = {
        "machine": processes.processor(),
        "versions": ", ".join(f"{name} {version(name)}" for name in packages),
        "limit": limit(),
        "models": {name: profiled(name) for name in args.models},
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    made = table(results)
    page = PAGE.read_text(encoding="utf-8")
    page = markup.with_block(page, BLOCK, made, where=PAGE.name)
    PAGE.write_text(page, encoding="utf-8")
    print(made)


if __name__ == "__main__":
    main()
