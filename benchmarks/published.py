"""What Shah and Sitonic published in 2017, beside the same of `lstm128` as shipped.

    python benchmarks/published.py CORPUS

Covers and collisions come from the answers of the suites; the reconstruction error is measured
here, on windows of the test split of CORPUS, by the weights that training begins with and by those
that ship. Writes `benchmarks/results/published.json` and the table in `benchmarks/published.md`.
"""

import argparse
import json
import os
from pathlib import Path

HERE = Path(__file__).resolve().parent
RESULTS, PAGE = HERE / "results" / "published.json", HERE / "published.md"
BLOCK, MODEL = "published", "lstm128"
WINDOWS = 4000


def errors(corpus):
    """Root mean square of what `lstm128` reconstructs wrongly, in units of the cepstra: dict.

    Before training and after, and that of the mean cepstra, which know nothing of the window.
    """
    import keras
    import numpy as np

    from a2v import audio, corpora, features, models, resources, runs
    from a2v.corpora import splits

    tracks = [t for t in splits.assign(corpora.tracks([corpus])) if t.split == "test"]
    layer = features.build("mfcc")
    windows = np.concatenate([np.asarray(layer.windows(audio.load(t.path)))[::4] for t in tracks])
    windows = np.random.default_rng(0).permutation(windows)[:WINDOWS]
    shipped = runs.load_model(resources.saved_model(MODEL).with_name("model.keras"))
    keras.utils.set_random_seed(0)
    fresh = models.build(MODEL, **{k: v for k, v in shipped.get_config().items() if k != "name"})
    for weight, value in zip(fresh.scale.weights, shipped.scale.weights, strict=True):
        weight.assign(value)
    fresh.scale.finalize_state()
    deviation = np.sqrt(np.asarray(shipped.scale.variance)).reshape(-1)
    target = np.asarray(shipped.scale(windows))

    def error(found):
        return float(np.sqrt(np.mean(np.square((found - target) * deviation))))

    return {
        "windows": len(windows),
        "tracks": len(tracks),
        "mean": error(np.zeros_like(target)),
        "before": error(fresh.predict(windows, batch_size=256, verbose=0)),
        "after": error(shipped.predict(windows, batch_size=256, verbose=0)),
    }


def table(found):
    """The Markdown of the table."""
    from a2v import hashing
    from a2v.benchmarking import cover_tables, hash_tables, runner

    rows = runner.read(HERE / "results" / "covers-composed" / runner.ANSWERS)
    lines = ["| | published | `lstm128` |", "|---|---:|---:|"]
    for length_s, published in cover_tables.PUBLISHED.items():
        own = [
            row["answer"] == row["truth"]
            for row in rows
            if row["kind"] == "clip" and (row["system"], row["length_s"]) == (MODEL, length_s)
        ]
        rate = hash_tables.interval(sum(own) / len(own), len(own))
        lines.append(f"| original of a cover's clip of {length_s:g} s, % | {published} | {rate} |")
    rows = runner.read(HERE / "results" / "hashes-recorded" / runner.ANSWERS)
    codes, _ = hash_tables.audible(rows, MODEL)
    collisions = hash_tables.interval(hashing.statistics(codes)["collision_rate"], len(codes))
    lines += [
        f"| collisions, % | {hash_tables.PUBLISHED} | {collisions} |",
        f"| loss, first and last | 8.883, 1.662 | {found['before']:.2f}, {found['after']:.2f} |",
        "",
        f"Loss: ours is the root mean square error of a cepstrum over {found['windows']:,} windows "
        f"of {found['tracks']} test tracks, before training and after; answering with the mean "
        f"cepstra gives {found['mean']:.2f}. Intervals are 95 %, Wilson.",
    ]
    return "\n".join(lines)


def main():
    """Measures, and puts the table into its place."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("corpus")
    args = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    from a2v.benchmarking import markup

    found = errors(args.corpus)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    made = table(found)
    page = PAGE.read_text(encoding="utf-8")
    page = markup.with_block(page, BLOCK, made, where=PAGE.name)
    PAGE.write_text(page, encoding="utf-8")
    print(made)


if __name__ == "__main__":
    main()
