"""What Shah and Sitonic published in 2017, beside the same of `lstm128` as shipped.

    python benchmarks/published.py CORPUS RUN

Covers and collisions come from the answers of the suites; the reconstruction error is measured
here, on windows of the test split of CORPUS, by the weights that training begins with and by those
that ship; the curve is of RUN, a training of `lstm128` by its pipeline. Writes
`benchmarks/results/published.json`, `published.svg` beside it and the table in
`benchmarks/published.md`.
"""

import argparse
import json
import os
from pathlib import Path

HERE = Path(__file__).resolve().parent
RESULTS, PAGE = HERE / "results" / "published.json", HERE / "published.md"
BLOCK, MODEL = "published", "lstm128"
CURVE = RESULTS.with_suffix(".svg")
WINDOWS = 4000
LOSSES, EPOCHS = (8.883, 1.662), 40  # published: before the first epoch and after the last


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


def curve(run):
    """The loss of a finished run by epoch: dict of its windows and lists of errors.

    Errors are root mean squares of what is reconstructed wrongly, over the cepstra's deviations:
    the mean cepstra give 1.
    """
    from a2v import records, runs

    _, settings = runs.load(run)
    history = settings["history"]
    return {
        "windows": records.Dataset(settings["dataset"]).count("train"),
        "train": [epoch["loss"] ** 0.5 for epoch in history],
        "tune": [epoch["val_loss"] ** 0.5 for epoch in history],
    }


def figure(found):
    """Errors by epoch, over that of the mean cepstra, and what was published over its first."""
    from a2v.benchmarking.style import INK, drawing, looks, single

    own = found["curve"]
    epochs = range(1, len(own["train"]) + 1)
    colour = looks([MODEL])[MODEL]["color"]
    with drawing():
        made, axis = single(6.4, 3.6)
        axis.plot(epochs, own["train"], color=colour, label=f"{MODEL}, windows trained on")
        axis.plot(epochs, own["tune"], color=colour, linestyle="--", label=f"{MODEL}, tune split")
        shares = [loss / LOSSES[0] for loss in LOSSES]
        axis.plot([0, EPOCHS], shares, "x", color=INK, label="published, over its first")
        axis.set(xlabel="epoch", ylabel="error, over that of the mean cepstra", ylim=(0, None))
        axis.legend()
    return made


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
        rate = hash_tables.rate_interval(sum(own) / len(own), len(own))
        lines.append(f"| original of a cover's clip of {length_s:g} s, % | {published} | {rate} |")
    rows = runner.read(HERE / "results" / "hashes-recorded" / runner.ANSWERS)
    learnt = found["curve"]
    codes, _ = hash_tables.audible(rows, MODEL)
    collisions = hash_tables.rate_interval(hashing.statistics(codes)["collision_rate"], len(codes))
    lines += [
        f"| collisions, % | {hash_tables.PUBLISHED} | {collisions} |",
        "| loss, first and last | {}, {} | {:.2f}, {:.2f} |".format(
            *LOSSES, found["before"], found["after"]
        ),
        "",
        f"Loss: ours is the root mean square error of a cepstrum over {found['windows']:,} windows "
        f"of {found['tracks']} test tracks, before training and after; answering with the mean "
        f"cepstra gives {found['mean']:.2f}. Intervals are 95 %, Wilson.",
        "",
        f"![Error by epoch, of windows trained on and of others]({CURVE.relative_to(HERE)})",
        "",
        "The curve is of a second training by the same pipeline, not of the weights that ship: "
        f"{learnt['windows']:,} windows, {len(learnt['train'])} epochs, from "
        f"{learnt['train'][0]:.3f} after the first to {learnt['train'][-1]:.3f} (tune split "
        f"{learnt['tune'][-1]:.3f}), where the mean cepstra give 1. Crosses: published, over the "
        "first.",
    ]
    return "\n".join(lines)


def main():
    """Measures, and puts the table into its place."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("corpus")
    parser.add_argument("run")
    args = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    from a2v.benchmarking import markup, report

    found = errors(args.corpus) | {"curve": curve(args.run)}
    CURVE.write_bytes(report.svg(figure(found)))
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    made = table(found)
    page = PAGE.read_text(encoding="utf-8")
    page = markup.with_block(page, BLOCK, made, where=PAGE.name)
    PAGE.write_text(page, encoding="utf-8")
    print(made)


if __name__ == "__main__":
    main()
