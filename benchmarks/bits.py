"""What makes a good bit without labels: a table of ablations.

    python benchmarks/bits.py untrained SUITE.toml
    python benchmarks/bits.py trained SUITE.toml DATASET RUNS
    python benchmarks/bits.py table

The first hashes one encoder's embeddings and asks for them in many ways; the second trains one
encoder for each choice of its objective, a folder in RUNS each, and goes on where it was killed.
Both take corpus, noise and rooms to ask with from a suite's file (`benchmarks/suites`), write their
part of `benchmarks/results/bits/answers.jsonl.gz`, and make `benchmarks/bits.md` from all of it.
"""

import argparse
import gzip
import json
from pathlib import Path

from tqdm import tqdm

from a2v import corpora, export, records, resources, runtime, settings, training
from a2v.benchmarking import bit_tables, bits, runner
from a2v.cli import benchmark
from a2v.corpora import splits
from a2v.errors import A2VError

HERE = Path(__file__).resolve().parent
PIPELINE = "conv128"
# Saturation is what the last two do otherwise, so they are to be compared with none of it.
VARIANTS = {
    "as the pipeline": {},
    "no batch norm": {"batch_norm": False},
    "balance 0": {"balance": 0.0},
    "balance 1": {"balance": 1.0},
    "no batch norm, balance 0": {"batch_norm": False, "balance": 0.0},
    "no batch norm, balance 1": {"batch_norm": False, "balance": 1.0},
    "saturation 0": {"saturation": 0.0},
    "saturation 1": {"saturation": 1.0},
    "decorrelation 1": {"decorrelation": 1.0},
    "decorrelation 10": {"decorrelation": 10.0},
    "saturation 0, growing slope": {"saturation": 0.0, "slope_growth": 0.05},
    "saturation 0, straight through": {"saturation": 0.0, "straight_through": True},
}


def untrained(args):
    """Rows of one encoder's embeddings, hashed and asked in all ways."""
    encoder = runtime.Encoder(resources.saved_model(args.encoder))
    said = f"Encoder {encoder.name} ({encoder.model_id})."
    return _asked(args, bits.LENGTHS_S, {"about": said}, [(encoder, {}, bits.WAYS)])


def trained(args):
    """Rows of an encoder for each choice, trained anew and asked in two ways."""
    table, epochs = _table(args)
    steps = epochs * _steps_per_epoch(args)
    heard = {"noise": args.noise, "rooms": args.rooms}
    own = (f"{key}: {_names(paths)}" for key, paths in heard.items())
    said = f"{steps} steps ({epochs} epochs) of {args.batch} pairs each; {'; '.join(own)}."
    return _asked(args, bits.LENGTHS_S[:1], {"about": said}, _encoders(args, table))


def _names(paths):
    return ", ".join(Path(path).name for path in paths) if paths else "simulated"


def _encoders(args, table):
    """(encoder, what tells it apart, ways) of each variant, trained as they are asked for."""
    for name in args.variants:
        run = args.runs / name.replace(", ", "-").replace(" ", "_")
        options = table["model_options"] | VARIANTS[name]
        given = {"model": table["model"], "model_options": options}
        given |= {"feature_options": table["feature_options"], **table["training"]}
        training.train(args.dataset, run, **given, noise=args.noise, rooms=args.rooms, resume=True)
        exported = args.runs / "exported" / run.name
        export.export(run, exported, calibration_queries=0, overwrite=True)
        yield runtime.Encoder(exported / export.FLOAT32), {"training": name}, bits.PLAIN


def _table(args):
    """The pipeline's settings for a short training, and its epochs."""
    table = settings.read(PIPELINE)
    epochs = max(1, round(args.steps / _steps_per_epoch(args)))
    table["training"] |= {"epochs": epochs, "batch_size": args.batch, "seed": args.seed}
    return table, epochs


def _steps_per_epoch(args):
    n_train = records.Dataset(args.dataset).count("train")
    return max(1, n_train // args.batch)


def _asked(args, lengths_s, head, encoders):
    """Puts the same excerpts to all encoders: rows, the run's first."""
    around = runner.circumstances()  # of the code that begins, whatever is committed meanwhile
    suite = benchmark.read(Path(args.suite))
    tracks = splits.assign(corpora.tracks(suite["corpus"]))
    catalogue, fitting = bits.parted(tracks, args.seed)
    planned = bits.tasks(catalogue, queries=args.queries, lengths_s=lengths_s)
    sounds = {key: runner.loaded(suite.get(key, ())) for key in ("noise", "rooms")}
    rows = [
        {
            "kind": "run",
            **head,
            "corpus": ", ".join(Path(path).name for path in suite["corpus"]),
            "corpus_sha256": runner.checksum(tracks),
            "seed": args.seed,
            "tracks": len(catalogue),
            "fitting": len(fitting),
            **around,
        }
    ]
    for encoder, about, ways in encoders:
        with tqdm(total=len(planned), unit=" excerpts", disable=None, desc=encoder.name) as bar:
            rows += bits.measure(
                encoder,
                (catalogue, fitting),
                planned,
                ways,
                seed=args.seed,
                noises=sounds["noise"],
                rooms=sounds["rooms"],
                about=about,
                progress=lambda done, _, bar=bar: bar.update(done - bar.n),
            )
    return rows


def _kept(results, part):
    """Rows of the other part, where there are any."""
    if not (results / f"{runner.ANSWERS}.gz").exists():
        return []
    return [row for row in runner.read(results / runner.ANSWERS) if row["part"] != part]


def main(argv=None):
    """Runs one part, keeps the other, and writes the tables of both."""
    args = _parser().parse_args(argv)
    part = args.part
    if part in PARTS:
        args.results.mkdir(parents=True, exist_ok=True)
        rows = [row | {"part": part} for row in PARTS[part](args)]
        text = "".join(json.dumps(row) + "\n" for row in [*_kept(args.results, part), *rows])
        packed = gzip.compress(text.encode(), mtime=0)  # same answers, same bytes
        (args.results / f"{runner.ANSWERS}.gz").write_bytes(packed)
    page = bit_tables.page(runner.read(args.results / runner.ANSWERS))
    args.page.write_text(page, encoding="utf-8")


PARTS = {bit_tables.UNTRAINED: untrained, bit_tables.TRAINED: trained}


def _parser():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=HERE / "results" / "bits")
    parser.add_argument("--page", type=Path, default=HERE / "bits.md")
    parts = parser.add_subparsers(dest="part", required=True)
    for name in PARTS:
        asked = parts.add_parser(name)
        asked.add_argument("suite", help="a suite's file: corpus, noise and rooms to ask with")
        asked.add_argument("--queries", type=int, default=bits.QUERIES)
        asked.add_argument("--seed", type=int, default=0)
    parts.choices[bit_tables.UNTRAINED].add_argument("--encoder", default=resources.DEFAULT_MODEL)
    own = parts.choices[bit_tables.TRAINED]
    own.add_argument("dataset", help="made by a2v-preprocess with the pipeline's settings")
    own.add_argument("runs", type=Path, help="a folder for each variant goes into it")
    own.add_argument("--steps", type=int, default=600)
    own.add_argument("--batch", type=int, default=128)
    own.add_argument("--noise", nargs="+", help="to train with; simulated where none is given")
    own.add_argument("--rooms", nargs="+", help="to train with; simulated where none is given")
    own.add_argument(
        "--variants",
        nargs="+",
        choices=list(VARIANTS),
        default=list(VARIANTS),
        metavar="NAME",
        help="only these: the tables then hold no others",
    )
    parts.add_parser("table", help="only make the tables again")
    return parser


if __name__ == "__main__":
    try:
        main()
    except A2VError as error:
        raise SystemExit(f"bits.py: {error}") from None
