"""What the LSTM's paper leaves open, measured: decoder input, output order, feature scaling.

    python benchmarks/lstm_choices.py DATASET RUNS --epochs 1

trains each variant for the same steps on a dataset of MFCC windows and asks, with the exported
float32 file, for excerpts of the tune split's tracks in a catalogue of themselves. Writes
`benchmarks/lstm_choices.md`.
"""

import argparse
from pathlib import Path

import numpy as np

from a2v import audio, calibration, chance, export, hashing, matching, records, runtime, training
from a2v.search import ExactSearch

VARIANTS = {
    "zeros": {"reverse": False},
    "zeros, reversed": {},
    "teacher": {"decoder_input": "teacher", "reverse": False},
    "teacher, reversed": {"decoder_input": "teacher"},
    "feedback": {"decoder_input": "feedback", "reverse": False},
    "zeros, unscaled": {"scaling": "none", "reverse": False},
}


def hits(encoder, paths, snr_db, count, seed=0):
    """Share of 1 s and 3 s excerpts whose track is found, in percent."""
    generator = np.random.default_rng(seed)
    waveforms = [audio.load(path) for path in paths]
    codes = [encoder.hash(w) for w in waveforms]
    search = ExactSearch(np.concatenate(codes), np.cumsum([0] + [len(c) for c in codes]))
    names = [(str(i), "") for i in range(len(codes))]
    rates = []
    for length_s in (1.0, 3.0):
        right = 0
        for k in range(count):
            source = k % len(waveforms)
            length = round(length_s * audio.SAMPLE_RATE)
            start = int(generator.integers(len(waveforms[source]) - length))
            excerpt = waveforms[source][start : start + length]
            query = calibration.with_noise(excerpt, snr_db, generator)
            found = matching.identify(encoder, search, names, query, phases=chance.PHASES)
            right += bool(found) and found[0].track == str(source)
        rates.append(100 * right / count)
    statistics = hashing.statistics(np.concatenate(codes))
    return rates, statistics


def main():
    """Runs all variants and writes the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("dataset")
    parser.add_argument("runs", type=Path)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--count", type=int, default=105)
    args = parser.parse_args()
    tracks = records.Dataset(args.dataset).tracks("tune")
    paths = [t["path"] for t in tracks]
    lines = [
        "| variant | validation loss | clean 1 s | clean 3 s | 10 dB 1 s | 10 dB 3 s | collisions |"
    ]
    lines += ["|---|---|---|---|---|---|---|"]
    for name, options in VARIANTS.items():
        run = args.runs / name.replace(", ", "-")
        history = training.train(
            args.dataset,
            run,
            model="lstm128",
            model_options=options,
            epochs=args.epochs,
            resume=True,
        )
        export.export(run, args.runs / "exported" / run.name, calibration_queries=0, overwrite=True)
        encoder = runtime.Encoder(args.runs / "exported" / run.name / export.FLOAT32)
        (clean_1, clean_3), statistics = hits(encoder, paths, None, args.count)
        (noisy_1, noisy_3), _ = hits(encoder, paths, 10.0, args.count)
        lines.append(
            f"| {name} | {history[-1]['val_loss']:.4f} | {clean_1:.1f} | {clean_3:.1f} "
            f"| {noisy_1:.1f} | {noisy_3:.1f} | {100 * statistics['collision_rate']:.2f} % |"
        )
        print(lines[-1], flush=True)
    head = (
        f"# What the LSTM's paper leaves open\n\n{args.epochs} epoch(s) over the dataset's train "
        f"split, learning rate decaying to 0; track hits in % of {args.count} queries a cell, pink "
        f"noise, catalogue = the {len(paths)} tracks of the tune split (chance "
        f"{100 / len(paths):.1f} %). Validation losses compare only at equal scaling. Made by "
        "`benchmarks/lstm_choices.py`.\n\n"
    )
    out = Path(__file__).with_suffix(".md")
    out.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
