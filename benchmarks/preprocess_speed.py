"""How fast `a2v-preprocess` is, beside a straightforward loop over librosa.

    python benchmarks/preprocess_speed.py [CORPUS] [--name NAME] [--tracks N] [--repeats N]

CORPUS is a folder, a manifest or files; without one a corpus is composed. Both sides run in
processes of their own, in turn, on one and the same core with one thread each. Both write the same
TFRecords, which the script compares, but for librosa's MFCC. Imports and the first call of each
library are not counted. Beside them a2v hears the whole corpus on one core and on two, if there are
two. Writes `benchmarks/results/preprocess_speed.json` and, from all that it holds,
`benchmarks/preprocess_speed.md`.
"""

import argparse
import functools
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "preprocess_speed.json"
TABLE = Path(__file__).with_suffix(".md")
ONE_THREAD = {
    name: "1"
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
}
OTHER = "mfcc of librosa"  # other values, which nothing is compared with
# Feature, and what the loop does for it.
CASES = {
    "mfcc": "python_speech_features for each window",
    "mfcc per file": "python_speech_features for each file, then cut; a window's first frame "
    "lacks its own pre-emphasis and is not compared",
    OTHER: "librosa.feature.mfcc for each window, whose bands and decibels are others, "
    "so values are not compared",
    "chroma": "librosa.feature.chroma_stft for each file, then cut",
}
TOLERANCE = 1e-3
# One core is compared with two on a corpus of an hour at least: a shorter one tells of how long
# processes take to start.
SHARDS, LEAST_S = 16, 3600.0
# Logarithm of the energy of a frame at about -90 dBFS. Below, python_speech_features goes on to
# minus infinity where a2v has a floor.
AUDIBLE = -14.0


def by_a2v(paths, out, case, jobs=1, shards=1):
    """Runs a2v's preprocessing on as many cores as there are jobs."""
    from a2v import preprocessing
    from a2v.corpora import Track

    tracks = [Track(path, path) for path in paths]
    names = [case.split()[0]]
    preprocessing.preprocess(
        tracks, out, feature_names=names, splits=(1, 0, 0), shards=shards, jobs=jobs
    )


def by_loop(paths, out, case):
    """What one writes by hand: librosa, python_speech_features, `tf.train.Example`."""
    import librosa
    import numpy as np
    import python_speech_features
    import tensorflow as tf

    def mfcc(waveform):
        return python_speech_features.mfcc(waveform, 16000)

    def of_librosa(waveform):
        frames = {"n_fft": 512, "win_length": 400, "hop_length": 160, "center": False}
        return librosa.feature.mfcc(y=waveform, sr=16000, n_mfcc=13, n_mels=26, **frames).T

    def cut(frames, count):
        return [frames[25 * i : 25 * i + 100] for i in range(count)]

    out.mkdir()
    with tf.io.TFRecordWriter(str(out / "loop.tfrecord")) as writer:
        for path in paths:
            waveform, _ = librosa.load(path, sr=16000, mono=False)
            waveform = waveform if waveform.ndim == 1 else waveform[0]
            count = 1 + (len(waveform) - 16000) // 4000
            if case == "chroma":
                padded = np.pad(waveform, (0, 1888))
                chroma = librosa.feature.chroma_stft(
                    y=padded, sr=16000, hop_length=160, center=False, tuning=0.0
                )
                windows = cut(chroma.T, count)
            elif case == "mfcc per file":
                windows = cut(mfcc(np.pad(waveform, (0, 240))), count)
            elif case == OTHER:
                padded = np.pad(waveform, (0, 352))
                windows = (of_librosa(padded[4000 * i : 4000 * i + 16352]) for i in range(count))
            else:
                padded = np.pad(waveform, (0, 240))
                windows = (mfcc(padded[4000 * i : 4000 * i + 16240]) for i in range(count))
            for i, window in enumerate(windows):
                feature = {
                    "track": tf.train.Feature(bytes_list=tf.train.BytesList(value=[path.encode()])),
                    "start_s": tf.train.Feature(float_list=tf.train.FloatList(value=[0.25 * i])),
                    case.split()[0]: tf.train.Feature(
                        float_list=tf.train.FloatList(value=window.ravel())
                    ),
                }
                example = tf.train.Example(features=tf.train.Features(feature=feature))
                writer.write(example.SerializeToString())


def by_decoder(paths, out, case):
    """What both sides need before anything else: decoding and resampling."""
    from a2v import audio

    del out, case
    for path in paths:
        audio.load(path)


SIDES = {"a2v": by_a2v, "loop": by_loop}
RUNS = SIDES | {"decoder": by_decoder}


def measured(order):
    """In the measuring process: warms up on one recording, then runs and times all."""
    import time

    import tensorflow as tf

    jobs = order.get("jobs", 1)
    tf.config.threading.set_intra_op_parallelism_threads(jobs)
    tf.config.threading.set_inter_op_parallelism_threads(jobs)
    run, out = RUNS[order["side"]], Path(order["out"])
    if order["side"] == "a2v":
        run = functools.partial(run, jobs=jobs, shards=order.get("shards", 1))
    shortest = min(order["paths"], key=os.path.getsize)
    run([shortest], out.with_name(out.name + "-warm"), order["case"])
    wall, processor = time.perf_counter(), time.process_time()
    run(order["paths"], out, order["case"])
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - processor}


def in_own_process(order, *cores):
    """Runs `measured` in a process that has these cores and one thread per library."""
    environment = os.environ | ONE_THREAD | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, __file__, "--measure", json.dumps(order)],
        env=environment,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def decoding_s(paths, repeats, core):
    """Seconds of one core that decoding and resampling alone take, the least of the repeats."""
    order = {"side": "decoder", "paths": paths, "out": "nowhere", "case": ""}
    return min(in_own_process(order, core)["cpu_s"] for _ in range(repeats))


def largest_difference(first, second, case):
    """Compares two folders of TFRecords; the largest difference, and the number of records."""
    import numpy as np
    import tensorflow as tf

    def rows(folder):
        for file in sorted(folder.glob("*.tfrecord")):
            for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
                feature = tf.train.Example.FromString(record).features.feature
                key = feature["track"].bytes_list.value[0], feature["start_s"].float_list.value[0]
                values = np.array(feature[case.split()[0]].float_list.value)
                yield key, values.reshape(100, -1)[1 if case == "mfcc per file" else 0 :]

    ours, theirs = dict(rows(first)), dict(rows(second))
    if ours.keys() != theirs.keys():
        raise SystemExit(f"{case}: the two sides hold other records")
    if case == OTHER:
        return None, len(ours)
    largest = 0.0
    for key, mine in ours.items():
        difference = np.abs(mine - theirs[key])
        if case != "chroma":
            difference = difference[theirs[key][:, 0] > AUDIBLE]
        largest = max(largest, difference.max(initial=0.0))
    return largest, len(ours)


def compared(paths, case, repeats, core):
    """Measures both sides of one case, in turn, and compares what they wrote."""
    times = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(repeats):
            for side in SIDES:
                out = Path(folder) / f"{side}-{repeat}"
                order = {"side": side, "paths": paths, "out": str(out), "case": case}
                times[side].append(in_own_process(order, core))
        pair = [Path(folder) / f"{side}-0" for side in SIDES]
        difference, count = largest_difference(*pair, case)
    if difference is not None and difference > TOLERANCE:
        raise SystemExit(f"{case}: records differ by {difference}")
    difference = None if difference is None else float(difference)
    return {"records": count, "largest_difference": difference, "times": times}


def scaled(paths, seconds, repeats):
    """Elapsed seconds of a2v on one core and on two, of the repeats, in turn: dict."""
    cores = sorted(os.sched_getaffinity(0))[-2:]
    times = [[], []]
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(repeats):
            for used, found in zip((cores[1:], cores), times, strict=True):
                out = str(Path(folder) / f"{len(used)}-{repeat}")
                order = {"side": "a2v", "paths": paths, "case": "mfcc", "out": out}
                order |= {"jobs": len(used), "shards": SHARDS}
                found.append(in_own_process(order, *used)["wall_s"])
    return {"tracks": len(paths), "seconds": seconds, "times": times}


def table(results):
    """The Markdown made from all results."""
    lines = [
        "# Speed of preprocessing",
        "",
        "`a2v-preprocess` beside a straightforward loop over librosa that writes the same TFRecords"
        " (compared, but for librosa's MFCC: no value of a frame above -90 dBFS differs by more "
        f"than {TOLERANCE:g}). "
        "One process each, in turn, on "
        "one core, one thread per library; seconds of that core, the least of the repeats, and the "
        "ratio of elapsed seconds, in which a shared machine's other work shows, and the ratio of "
        "what is left after decoding and resampling, which both sides need. Imports and the "
        "first call of each library are not counted, the tracing of a2v's graph is. x real time = "
        "seconds of audio per second. A dataset of overlapping windows whose features are computed "
        "for each window, as they will be for a clip, is the first case of each corpus. Made by "
        "`benchmarks/preprocess_speed.py`.",
        "",
        "| corpus | feature | a2v s | x real time | loop s | x real time | ratio | elapsed "
        "| beyond decoding |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, corpus in results.items():
        for case, result in corpus["cases"].items():
            least = {
                (side, key): min(t[key] for t in result["times"][side])
                for side in SIDES
                for key in ("wall_s", "cpu_s")
            }
            ours, theirs = least["a2v", "cpu_s"], least["loop", "cpu_s"]
            elapsed = least["loop", "wall_s"] / least["a2v", "wall_s"]
            seconds, decoding = corpus["seconds"], corpus["decoding_s"]
            beyond = (theirs - decoding) / (ours - decoding)
            lines.append(
                f"| {name} | {case} | {ours:.2f} | {seconds / ours:.0f} | {theirs:.2f} | "
                f"{seconds / theirs:.0f} | {theirs / ours:.1f} | {elapsed:.1f} | "
                f"{beyond:.1f} |"
            )
    lines += ["", *(f"- {case}: the loop takes {how}." for case, how in CASES.items())]
    for name, corpus in results.items():
        if corpus.get("scaled"):
            own = corpus["scaled"]
            one, two = map(min, own["times"])
            lines.append(
                f"- {name}, mfcc of {own['tracks']} recordings, {own['seconds'] / 3600:.1f} h, on "
                f"two cores, the start of their processes counted: {two:.1f} s elapsed, "
                f"{one / two:.2f} times as fast as on one ({one:.1f} s)."
            )
    lines.append("")
    for name, corpus in results.items():
        lines.append(
            f"- {name}: {corpus['tracks']} recordings, {corpus['seconds']:.0f} s, "
            f"{corpus['formats']}; decoding and resampling, which both sides need, take "
            f"{corpus['decoding_s']:.2f} s of it; {corpus['machine']}; {corpus['versions']}."
        )
    return "\n".join(lines) + "\n"


def described(paths):
    """What a corpus holds and what it ran on."""
    from importlib.metadata import version

    import soundfile

    infos = [soundfile.info(path) for path in paths]
    formats = sorted({f"{i.format} {i.subtype} {i.samplerate} Hz" for i in infos})
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(": ")[1]
            break
    packages = ("tensorflow", "librosa", "python_speech_features", "soundfile", "numpy")
    return {
        "tracks": len(paths),
        "seconds": sum(i.duration for i in infos),
        "formats": ", ".join(formats),
        "machine": model,
        "versions": ", ".join(f"{p} {version(p)}" for p in packages),
    }


def main():
    """Measures all cases on one corpus and writes the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("corpus", nargs="?")
    parser.add_argument("--name", help="of the corpus in the table")
    parser.add_argument("--tracks", type=int, help="take so many, evenly over the corpus")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measured(json.loads(args.measure))))
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import soundfile

    from a2v import corpora
    from a2v.corpora import synthetic

    with tempfile.TemporaryDirectory() as folder:
        if args.corpus:
            found = corpora.tracks([args.corpus])
        else:
            found = synthetic.compose(folder, works=10, covers=1, seconds=120.0, seed=0)
        paths = every = [track.path for track in found]
        if args.tracks:
            paths = paths[:: max(1, len(paths) // args.tracks)][: args.tracks]
        core = max(os.sched_getaffinity(0))
        corpus = described(paths) | {"cases": {}}
        corpus["decoding_s"] = decoding_s(paths, args.repeats, core)
        for case in CASES:
            corpus["cases"][case] = compared(paths, case, args.repeats, core)
        total_s = sum(soundfile.info(path).duration for path in every)
        if len(os.sched_getaffinity(0)) > 1 and total_s >= LEAST_S:
            corpus["scaled"] = scaled(every, total_s, args.repeats)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results[args.name or (Path(args.corpus).stem if args.corpus else "composed")] = corpus
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    TABLE.write_text(table(results), encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
