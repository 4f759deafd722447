"""Where the time of preprocessing, searching and training goes, beside what the machine could do.

    python benchmarks/stage_profiles.py [--hashes N]

On composed music. Parts are measured by themselves, and what is left of the whole by subtraction.
Preprocessing and searching run on one core, training on all. Writes
`benchmarks/results/stage_profiles.json` and, from it, the table in `benchmarks/profiles.md`.
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
RESULTS = HERE / "results" / "stage_profiles.json"
PAGE, BLOCK = HERE / "profiles.md", "stages"
MODEL, QUERY_S = "conv128", 5.0
TRACK = 560  # hashes, of 140 s
REPEATS, STEPS, SIDE = 5, 8, 2048
THREADS = ("OMP", "OPENBLAS", "MKL")


def least_ms(call, clock=time.process_time):
    """The least of the repeats, in ms of this process, or of another clock."""
    times = []
    for _ in range(REPEATS):
        before = clock()
        call()
        times.append(clock() - before)
    return 1000 * min(times)


def preprocessing(tracks, folder, hashes):
    """Decoding, windows of MFCC, and TFRecords."""
    del hashes
    from a2v import audio, preprocessing
    from a2v.windowing import Windower

    waveforms = [audio.load(track.path) for track in tracks]
    windower = Windower(["mfcc"])
    asked = {"feature_names": ["mfcc"], "splits": (1, 0, 0), "shards": 1, "jobs": 1}
    out = folder / "dataset"
    parts = {
        "decoding": lambda: [audio.load(track.path) for track in tracks],
        "windows": lambda: [windower.windows(windower.segment(w).numpy()) for w in waveforms],
        "all": lambda: preprocessing.preprocess(tracks, out, overwrite=True, **asked),
    }
    ms = {}
    for part, call in parts.items():
        call()  # what only the first call does is not counted
        ms[part] = least_ms(call)
    ms["TFRecords and the rest"] = ms["all"] - ms["decoding"] - ms["windows"]
    written = b"".join(path.read_bytes() for path in sorted(out.glob("*.tfrecord")))
    seconds = sum(map(len, waveforms)) / audio.SAMPLE_RATE
    plain_ms = least_ms(lambda: (folder / "plain").write_bytes(written))
    return {
        "what": f"preprocessing {seconds / 60:.0f} min of WAV to MFCC",
        "ms": ms,
        "limit": f"writing the {len(written) / 1e6:.0f} MB plainly: {plain_ms:.0f} ms",
    }


def searching(tracks, folder, hashes):
    """Hashing a query, looking some of its windows up, comparing what they point to."""
    del folder
    import numpy as np

    from a2v import audio, candidates, chance, matching, resources
    from a2v.engines.faiss import FaissSearch
    from a2v.runtime import Encoder
    from a2v.search import weighed as weighed_bits

    encoder, generator = Encoder(resources.saved_model(MODEL)), np.random.default_rng(0)
    codes = generator.integers(0, 256, (hashes, encoder.n_bits // 8), np.uint8)
    starts = np.append(np.arange(0, hashes, TRACK), hashes)
    waveform = audio.load(tracks[0].path)
    own = encoder.hash(waveform)[:TRACK]
    codes[: len(own)] = own
    search = FaissSearch(codes, starts)
    clip = waveform[: round(QUERY_S * encoder.sample_rate)]
    queries = [
        (made, weights) for _, made, weights in encoder.fingerprint(clip, phases=chance.PHASES)
    ]
    tracks = [(f"{number}", "") for number in range(len(starts) - 1)]

    def whole():
        return matching.identify(encoder, search, tracks, clip, phases=chance.PHASES, top=1)

    if whole()[0].track != "0":
        raise SystemExit(f"{QUERY_S:g} s of the first track are not found in it; report this")
    weighed = [query for query, *_ in (weighed_bits(*query) for query in queries)]
    looked_up = [
        np.stack([of[k][row] for k, row in candidates.spread(queries)])
        for of in ([made for made, _ in queries], weighed)
    ]
    ms = {
        "hashing": least_ms(lambda: encoder.fingerprint(clip, phases=chance.PHASES)),
        "look-up": least_ms(lambda: search.nearest(*looked_up)),
    }
    searched = least_ms(lambda: search.search(queries))
    ms |= {"comparing": searched - ms["look-up"], "all": least_ms(whole)}
    ms["matches of tracks"] = max(0.0, ms["all"] - searched - ms["hashing"])
    words = codes.reshape(-1).view(np.uint64)
    read_ms = least_ms(lambda: np.bitwise_xor.reduce(words))
    return {
        "what": f"a query of {QUERY_S:g} s in {hashes:,} hashes, {len(tracks):,} tracks",
        "ms": ms,
        "limit": f"reading the {codes.nbytes / 1e6:.0f} MB of hashes once: {read_ms:.0f} ms "
        f"({len(looked_up[0])} windows are looked up)",
    }


def training(tracks, folder, hashes):
    """Reading pairs, degrading them, and a step of the model, of one batch."""
    del hashes
    import itertools

    import tensorflow as tf

    from a2v import models, preprocessing, records, settings
    from a2v.inputs import Inputs
    from a2v.precision import policy
    from a2v.watching import WatchedAdam

    chosen = settings.read(MODEL)
    options, batch = chosen["training"], chosen["training"]["batch_size"]
    given = chosen["dataset"] | {"splits": (1, 0, 0), "hop_s": 0.25}
    preprocessing.preprocess(tracks, folder / "dataset", **given)
    data = records.Dataset(folder / "dataset")
    with policy(options["precision"]):
        trainer = (model := models.build(MODEL)).trainer()
    optimizer = WatchedAdam(options["learning_rate"], global_clipnorm=1.0)
    trainer.compile(optimizer=optimizer, loss=model.objective())
    inputs = Inputs(data, model, options | {"feature_options": {}})
    one = next(iter(inputs.epoch(0)))
    plain = iter(data.read("train", ["waveform"], seed=0).repeat().batch(batch))
    drawn = itertools.chain.from_iterable(inputs.epoch(k) for k in itertools.count())
    clock = time.perf_counter

    def step():
        trainer.train_on_batch(*one)

    ms = {}
    calls = {"reading": lambda: next(plain), "reading and degrading": lambda: next(drawn)}
    for part, call in (calls | {"step": step}).items():
        for _ in range(3):
            call()
        before = clock()
        for _ in range(STEPS):
            call()
        ms[part] = 1000 * (clock() - before) / STEPS
    ms["degrading"] = ms.pop("reading and degrading") - ms["reading"]
    ms["all"] = ms["reading"] + ms["degrading"] + ms["step"]
    dtype = tf.bfloat16 if "bfloat16" in options["precision"] else tf.float32
    square = tf.cast(tf.random.normal((SIDE, SIDE)), dtype)
    tf.matmul(square, square)
    rate = SIDE**3 / least_ms(lambda: tf.matmul(square, square).numpy(), clock)
    made = 3 * multiplications(trainer, one[0])
    return {
        "what": f"a batch of {batch} pairs of {MODEL}",
        "ms": ms,
        "limit": f"the step's {made / 1e9:.0f} thousand million multiplications as one product of "
        f"matrices in {dtype.name}: {made / rate:.0f} ms",
    }


def multiplications(model, inputs):
    """Of one forward pass, as TensorFlow counts them: int. Backward it takes two more."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2 as frozen,
    )

    signature = [tf.TensorSpec(inputs.shape, inputs.dtype)]
    concrete = tf.function(lambda x: model(x, training=False), input_signature=signature)
    graph = frozen(concrete.get_concrete_function()).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    counted = tf.compat.v1.profiler.profile(graph, options=options)
    return counted.total_float_ops // 2


STAGES = {"preprocessing": preprocessing, "searching": searching, "training": training}


def table(results):
    """The Markdown of all stages."""
    lines = ["| stage | part | ms | share |", "|---|---|---:|---:|"]
    for stage in results["stages"].values():
        ms, what = stage["ms"], stage["what"]
        whole = ms["all"]
        for part in sorted(ms.keys() - {"all"}, key=lambda part: -ms[part]):
            share = f"{100 * ms[part] / whole:.0f} %"
            lines.append(f"| {what} | {part} | {ms[part]:,.0f} | {share} |")
            what = ""
        lines.append(f"| | all; {stage['limit']} | {whole:,.0f} | |")
    return "\n".join(
        [
            *lines,
            "",
            f"The least of {REPEATS}, on one core; of training the mean of {STEPS} on "
            f"{results['cores']}, each part by itself: a run reads and degrades the next batch "
            f"during a step. {results['machine']}; {results['versions']}.",
        ]
    )


def main():
    """Profiles all stages, each in a process of its own, and puts the table into its place."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--hashes", type=int, default=10**7)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if args.measure:
        from a2v.corpora import synthetic

        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            tracks = synthetic.compose(folder / "music", works=10, covers=1, seconds=120.0, seed=0)
            print(json.dumps(STAGES[args.measure](tracks, folder, args.hashes)))
        return
    from importlib.metadata import version

    from a2v.benchmarking import markup, processes

    cores = sorted(os.sched_getaffinity(0))
    stages = {}
    for stage in STAGES:
        alone = stage != "training"
        one = {f"{library}_NUM_THREADS": "1" for library in THREADS} if alone else {}
        command = [sys.executable, __file__, "--measure", stage, "--hashes", str(args.hashes)]
        done = subprocess.run(
            command,
            env=os.environ | one,
            stdout=subprocess.PIPE,
            preexec_fn=lambda used=cores[-1:] if alone else cores: os.sched_setaffinity(0, used),
            check=True,
        )
        stages[stage] = json.loads(done.stdout.splitlines()[-1])
    packages = ("tensorflow", "faiss-cpu", "ai-edge-litert")
    results = {
        "machine": processes.processor(),
        "cores": f"{len(cores)} cores",
        "versions": ", ".join(f"{name} {version(name)}" for name in packages),
        "stages": stages,
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    made = table(results)
    page = markup.with_block(PAGE.read_text(encoding="utf-8"), BLOCK, made, where=PAGE.name)
    PAGE.write_text(page, encoding="utf-8")
    print(made)


if __name__ == "__main__":
    main()
