"""How fast training reads and learns, beside what one would write by hand.

    python benchmarks/training_speed.py [CORPUS] [--name NAME] [--repeats N]

Reading: windows per second that `records.Dataset` gives, shuffled, against decoding the recordings
and computing their windows anew, as a loop without TFRecords has to in each epoch. Learning:
windows per second of a2v's training of `lstm128`, its reading included, against Keras' `fit` of the
same layers put together by hand, on arrays in memory. Precision: `conv128` by its pipeline, once
with convolutions in bfloat16, once in float32. Each side runs in a process of its own, in turn, on
all cores. Writes `benchmarks/results/training_speed.json` and, from all that it holds,
`benchmarks/training_speed.md`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "training_speed.json"
TABLE = HERE / "training_speed.md"
BATCH = 256
EPOCHS = 3  # the first one compiles


def by_records(folder):
    """Reads all windows of a dataset, shuffled, in batches."""
    from a2v import records

    data = records.Dataset(folder).read("train", ["mfcc"], seed=0).batch(BATCH)
    started, count = time.perf_counter(), 0
    for batch in data.as_numpy_iterator():
        count += len(batch["mfcc"])
    return count / (time.perf_counter() - started)


def by_decoding(folder):
    """Decodes the recordings of a dataset and computes their windows."""
    import tensorflow as tf

    from a2v import audio, features

    layer = features.build("mfcc")
    windows = tf.function(
        layer.windows, input_signature=[tf.TensorSpec([None], tf.float32)], autograph=False
    )
    paths = json.loads((folder / "paths.json").read_text(encoding="utf-8"))
    windows(audio.load(paths[0]))  # is traced
    started, count = time.perf_counter(), 0
    for path in paths:
        count += len(windows(audio.load(path)))
    return count / (time.perf_counter() - started)


def by_training(folder):
    """Trains lstm128 as `a2v-train` does."""
    from a2v import training

    with tempfile.TemporaryDirectory() as out:
        asked = {"model": "lstm128", "epochs": EPOCHS, "batch_size": BATCH}
        history = training.train(folder, Path(out) / "run", **asked)
    return _count(folder) // BATCH * BATCH / min(epoch["seconds"] for epoch in history[1:])


def by_hand(folder):
    """Trains the same layers with Keras alone, on arrays."""
    import keras
    import numpy as np

    from a2v import records

    data = records.Dataset(folder).read("train", ["mfcc"]).batch(4096)
    arrays = np.concatenate([batch["mfcc"] for batch in data.as_numpy_iterator()])
    arrays = (arrays - arrays.mean(axis=(0, 1))) / arrays.std(axis=(0, 1))
    windows = keras.Input((100, 13))
    lstm = keras.layers.LSTM(128, return_sequences=True, return_state=True)
    _, hidden, cell = lstm(windows)
    states, _, _ = lstm(
        keras.ops.zeros_like(windows), initial_state=[hidden, keras.ops.zeros_like(cell)]
    )
    model = keras.Model(windows, keras.layers.Dense(13)(states))
    model.compile("adam", "mse")
    times = []
    for _ in range(EPOCHS):
        started = time.perf_counter()
        model.fit(arrays, arrays[:, ::-1], batch_size=BATCH, verbose=0)
        times.append(time.perf_counter() - started)
    return len(arrays) / min(times[1:])


def in_bfloat16(folder):
    """Trains conv128 by its pipeline."""
    return _conv128(folder, "mixed_bfloat16")


def in_float32(folder):
    """Trains conv128 by its pipeline, but for the precision."""
    return _conv128(folder, "float32")


def _conv128(folder, precision):
    from a2v import settings, training

    folder = folder.with_name("pairs")
    options = settings.read("conv128")["training"]
    options |= {"model": "conv128", "epochs": EPOCHS, "precision": precision}
    with tempfile.TemporaryDirectory() as out:
        history = training.train(folder, Path(out) / "run", **options)
    steps = _count(folder) // options["batch_size"]
    return steps * options["batch_size"] / min(epoch["seconds"] for epoch in history[1:])


def _count(folder):
    from a2v import records

    return records.Dataset(folder).count("train")


SIDES = {"records": by_records, "decoding": by_decoding, "a2v": by_training, "keras": by_hand}
SIDES |= {"bfloat16": in_bfloat16, "float32": in_float32}
# What stands beside what.
ROWS = {
    "reading: TFRecords, decoding": ("records", "decoding"),
    "learning: a2v-train, Keras alone": ("a2v", "keras"),
    "precision: bfloat16, float32": ("bfloat16", "float32"),
}


def measured(paths, repeats):
    """Windows per second of each side, of each repeat: dict."""
    from a2v import preprocessing, settings
    from a2v.corpora import Track

    rates = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "dataset"
        tracks = [Track(path, path) for path in paths]
        preprocessing.preprocess(tracks, folder, feature_names=["mfcc"], splits=(1, 0, 0))
        pairs = settings.read("conv128")["dataset"] | {"splits": (1, 0, 0)}
        preprocessing.preprocess(tracks, folder.with_name("pairs"), **pairs)
        (folder / "paths.json").write_text(json.dumps(paths), encoding="utf-8")
        for _ in range(repeats):
            for side in SIDES:
                command = [sys.executable, __file__, "--measure", side, str(folder)]
                done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
                rates[side].append(float(done.stdout.splitlines()[-1]))
        return {"windows": _count(folder), "rates": rates}


def table(results):
    """The Markdown made from all results."""
    lines = [
        "# Speed of reading and learning",
        "",
        "Windows per second, the most of the repeats. *Reading*: shuffled TFRecords of MFCC "
        "windows beside decoding the recordings and computing the windows anew. *Learning*: "
        "`lstm128` as `a2v-train` trains it, reading, checkpoints and TensorBoard included, beside "
        "Keras' `fit` of the same layers put together by hand, on arrays in memory; batches "
        f"of {BATCH}, float32. *Precision*: `conv128` by its pipeline, convolutions in bfloat16 "
        "and in float32. The first epoch is not counted. All cores. Made by "
        "`benchmarks/training_speed.py`.",
        "",
        "| corpus | what, beside what | the former | the latter | ratio |",
        "|---|---|---:|---:|---:|",
    ]
    for name, corpus in results.items():
        for stage, sides in ROWS.items():
            ours, theirs = (max(corpus["rates"][side]) for side in sides)
            numbers = f"{ours:,.0f} | {theirs:,.0f} | {ours / theirs:.2f}"
            lines.append(f"| {name} | {stage} | {numbers} |")
    lines.append("")
    for name, corpus in results.items():
        lines.append(f"- {name}: {corpus['windows']:,} windows; {corpus['machine']}.")
    return "\n".join(lines) + "\n"


def main():
    """Measures all sides on one corpus and writes the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("corpus", nargs="?")
    parser.add_argument("--name", help="of the corpus in the table")
    parser.add_argument("--tracks", type=int, help="take so many, evenly over the corpus")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if args.measure:
        side, folder = args.measure
        print(SIDES[side](Path(folder)))
        return
    from a2v import corpora
    from a2v.benchmarking import processes
    from a2v.corpora import synthetic

    with tempfile.TemporaryDirectory() as folder:
        if args.corpus:
            found = corpora.tracks([args.corpus])
        else:
            found = synthetic.compose(folder, works=10, covers=1, seconds=120.0, seed=0)
        paths = [str(track.path) for track in found]
        if args.tracks:
            paths = paths[:: max(1, len(paths) // args.tracks)][: args.tracks]
        corpus = measured(paths, args.repeats)
    corpus["machine"] = f"{processes.processor()}, {os.cpu_count()} cores"
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results[args.name or (Path(args.corpus).stem if args.corpus else "composed")] = corpus
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    TABLE.write_text(table(results), encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
