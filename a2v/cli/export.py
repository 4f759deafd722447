"""`a2v-export`: a trained model to SavedModel and TFLite."""

import argparse
from pathlib import Path

from a2v import cards
from a2v.errors import A2VError


def main(argv=None):
    """Runs the command."""
    args = _parser().parse_args(argv)
    if args.table:
        print(_write_table(Path(args.table), args.results))
        return 0
    if args.results:
        raise A2VError("--results belongs to --table; give both, or neither")
    if not (args.run and args.out):
        raise A2VError("give a RUN and --out, or --table")
    from a2v import export, pipeline, runs

    _, settings = runs.load(args.run)
    tables = pipeline.read(args.pipeline or settings["pipeline"])
    options = pipeline.check(tables["export"], export.export, where="[export]")
    if args.note:
        options["note"] = _text(args.note)
    card = export.export(args.run, args.out, **options | {"overwrite": args.overwrite})
    for name, size in card["files"].items():
        print(f"{size / 1000:9,.1f} kB  {args.out}/{name}")
    return 0


def _write_table(folder, runs):
    if not any(folder.glob(f"*/{cards.CARD}")):
        raise A2VError(f"{folder}: no folder with a {cards.CARD} in it; a2v-export makes them")
    file = folder / "README.md"
    text = cards.table(folder)
    if runs:
        from a2v.benchmarking import shipped

        text = shipped.table(folder, runs)
    file.write_text(text, encoding="utf-8")
    return file


def _text(path):
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise A2VError(f"{path}: cannot be read as text ({error})") from error


def _parser():
    parser = argparse.ArgumentParser(
        prog="a2v-export",
        description="Writes a run's model as SavedModel and TFLite, checked against Keras.",
    )
    parser.add_argument("run", nargs="?", metavar="RUN", help="folder made by a2v-train")
    parser.add_argument("--out", metavar="DIR", help="folder to make; its name names the model")
    parser.add_argument(
        "--pipeline", metavar="NAME", help="name or .toml file (default: the one of the run)"
    )
    parser.add_argument("--note", metavar="FILE", help="Markdown for the card: data and licences")
    parser.add_argument("--overwrite", action="store_true", help="replace what is there")
    parser.add_argument("--table", metavar="DIR", help="only remake DIR/README.md from its cards")
    parser.add_argument(
        "--results",
        nargs="+",
        default=[],
        metavar="DIR",
        help="for the table: finished runs of a2v-benchmark retrieval and hashes",
    )
    return parser
