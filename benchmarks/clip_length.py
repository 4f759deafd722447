"""Retrieval accuracy against clip length for shipped models, on a manifest's test split.

    python benchmarks/clip_length.py MANIFEST --noise FOLDER... --models lstm128 conv128

indexes every track of the manifest, asks with excerpts of test tracks that start off the grid,
and writes raw answers (`benchmarks/results/clip_length.jsonl`) and the table made from them
(`benchmarks/clip_length.md`, and the README's). `--table` only makes the table again.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from a2v import audio, corpora, hashing, metrics, resources
from a2v.library import Library

HERE = Path(__file__).parent
RAW, TABLE = HERE / "results" / "clip_length.jsonl", HERE / "clip_length.md"
LENGTHS_S = (1.0, 3.0, 5.0, 10.0)
CONDITIONS = (("clean", None), ("10 dB", 10.0), ("0 dB", 0.0))
PHASES = (1, 4)


def noisy(waveform, noise, snr_db, generator):
    """Adds an excerpt of a noise recording at an SNR over the waveform's own level."""
    if snr_db is None:
        return waveform
    start = int(generator.integers(len(noise)))
    heard = np.resize(np.roll(noise, -start), len(waveform))
    power = np.mean(np.square(waveform)) / max(np.mean(np.square(heard)), 1e-12)
    return (waveform + np.sqrt(power * 10 ** (-snr_db / 10)) * heard).astype(np.float32)


def queries(tracks, noises, count, seed):
    """Yields `(track, start_s, length_s, condition, waveform)`; the same ones for every model."""
    generator = np.random.default_rng(seed)
    for k in range(count):
        track = tracks[k % len(tracks)]
        waveform = audio.load(track.path)
        for length_s in LENGTHS_S:
            length = round(length_s * audio.SAMPLE_RATE)
            while True:  # an excerpt that is not silent
                start = int(generator.integers(max(1, len(waveform) - length)))
                excerpt = waveform[start : start + length]
                if audio.level_dbfs(excerpt) > audio.SILENCE_DBFS:
                    break
            for condition, snr_db in CONDITIONS:
                noise = noises[int(generator.integers(len(noises)))]
                heard = noisy(excerpt, noise, snr_db, generator)
                yield track.track, start / audio.SAMPLE_RATE, length_s, condition, heard


def measure(model, tracks, asked, write):
    """Indexes all tracks with one model and answers every query."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "library.a2v"
        with Library.create(path, resources.saved_model(model)) as library:
            began = time.perf_counter()
            for track in tracks:
                library.add(track.path, name=track.track)
            index_s = time.perf_counter() - began
            seconds = sum(entry.seconds for entry in library.tracks())
            codes = [library.encoder.hash(audio.load(t.path)) for t in tracks if t.split == "test"]
            collisions = hashing.statistics(np.concatenate(codes))["collision_rate"]
            write(
                {
                    "model": model,
                    "tracks": len(library),
                    "audio_s": seconds,
                    "index_s": index_s,
                    "collision_rate": collisions,
                }
            )
            for track, start_s, length_s, condition, waveform in asked:
                for phases in PHASES:
                    began = time.perf_counter()
                    found = library.identify(waveform, phases=phases, min_probability=0.0)
                    ms = 1000 * (time.perf_counter() - began)
                    best = found[0] if found else None
                    write(
                        {
                            "model": model,
                            "phases": phases,
                            "length_s": length_s,
                            "condition": condition,
                            "track": track,
                            "start_s": start_s,
                            "answer": best.track if best else None,
                            "offset_s": best.offset_s if best else None,
                            "probability": best.probability if best else 0.0,
                            "ms": ms,
                        }
                    )


def table(raw):
    """Makes the Markdown table out of raw answers."""
    rows = [json.loads(line) for line in raw.read_text(encoding="utf-8").splitlines()]
    heads = [row for row in rows if "index_s" in row]
    answers = [row for row in rows if "answer" in row]
    lines = [
        "# Track hits against clip length",
        "",
        "Right track in % [95 % Wilson interval]; catalogue, queries and chance below. Made by "
        "`python benchmarks/clip_length.py`; definitions as in P1 of benchmarks/README.md: "
        "excerpts of test tracks at random offsets, noise recordings never used in training.",
        "",
    ]
    lengths = "".join(f" {length_s:g} s |" for length_s in LENGTHS_S)
    lines += [f"| model | phases | condition |{lengths}", "|---|---|---|" + "---|" * len(LENGTHS_S)]
    for head in heads:
        for condition, _ in CONDITIONS:
            for phases in PHASES:
                cells = []
                for length_s in LENGTHS_S:
                    key = (head["model"], phases, condition, length_s)
                    mine = [
                        a
                        for a in answers
                        if key == (a["model"], a["phases"], a["condition"], a["length_s"])
                    ]
                    right = sum(a["answer"] == a["track"] for a in mine)
                    low, high = metrics.wilson(right, len(mine))
                    rate = right / len(mine)
                    cells.append(f" {100 * rate:.1f} [{100 * low:.0f}-{100 * high:.0f}] |")
                lines.append(f"| {head['model']} | {phases} | {condition} |" + "".join(cells))
    lines += [
        "",
        "What beginning at several phases of the hop gains, over all conditions:",
        "",
        "| model | phases | exact hits (within 0.125 s) | median offset error | median ms |",
        "|---|---|---|---|---|",
    ]
    for head in heads:
        for phases in PHASES:
            mine = [a for a in answers if (a["model"], a["phases"]) == (head["model"], phases)]
            errors = [abs(a["offset_s"] - a["start_s"]) for a in mine if a["answer"] == a["track"]]
            exact = 100 * sum(error <= 0.125 for error in errors) / len(mine)
            lines.append(
                f"| {head['model']} | {phases} | {exact:.1f} % | {1000 * np.median(errors):.0f} ms "
                f"| {np.median([a['ms'] for a in mine]):.0f} |"
            )
    lines += [
        "",
        "| model | tracks | hours | queries a cell | chance | collision rate | index, x real time "
        "| ms a query (median, 4 phases) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for head in heads:
        mine = [a for a in answers if a["model"] == head["model"]]
        cell = len(mine) // (len(PHASES) * len(CONDITIONS) * len(LENGTHS_S))
        ms = np.median([a["ms"] for a in mine if a["phases"] == PHASES[-1]])
        lines.append(
            f"| {head['model']} | {head['tracks']} | {head['audio_s'] / 3600:.2f} | {cell} "
            f"| {100 / head['tracks']:.2f} % | {100 * head['collision_rate']:.2f} % "
            f"| {head['audio_s'] / head['index_s']:.0f} | {ms:.0f} |"
        )
    return "\n".join(lines) + "\n"


def main_table(text):
    """The first table of the page, which the README shows."""
    lines = text.splitlines(keepends=True)
    first = next(i for i, line in enumerate(lines) if line.startswith("|"))
    last = next(i for i, line in enumerate(lines[first:], first) if not line.startswith("|"))
    return "".join(lines[first:last])


def update_readme(text):
    """Puts the main table between its marks in the README."""
    readme = HERE.parent / "README.md"
    head, rest = readme.read_text(encoding="utf-8").split("<!-- clip_length -->\n")
    _, tail = rest.split("<!-- /clip_length -->")
    marks = "<!-- clip_length -->\n", "<!-- /clip_length -->"
    readme.write_text(head + marks[0] + main_table(text) + marks[1] + tail, encoding="utf-8")


def main():
    """Runs the benchmark or makes its table again."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("manifest", nargs="?")
    parser.add_argument("--noise", nargs="+", default=[])
    parser.add_argument("--models", nargs="+", default=[resources.DEFAULT_MODEL])
    parser.add_argument("--count", type=int, default=78, help="excerpts per length")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--raw", type=Path, default=RAW)
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    if not args.table:
        tracks = corpora.tracks([args.manifest])
        test = [track for track in tracks if track.split == "test"]
        noises = [audio.load(path) for path, _ in audio.find(args.noise)]
        noises = [noise for noise in noises if np.any(noise)]
        args.raw.parent.mkdir(parents=True, exist_ok=True)
        with open(args.raw, "w", encoding="utf-8") as file:
            for model in args.models:
                asked = queries(test, noises, args.count, args.seed)
                measure(model, tracks, asked, lambda row: print(json.dumps(row), file=file))
    text = table(args.raw)
    if args.raw == RAW:
        TABLE.write_text(text, encoding="utf-8")
        update_readme(text)
    print(text)


if __name__ == "__main__":
    main()
