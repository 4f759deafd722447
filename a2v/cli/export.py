"""`a2v-export`: a trained model to SavedModel and TFLite."""

import argparse
from pathlib import Path

from a2v import cards
from a2v.errors import A2VError


def main(argv=None):
    """Runs the command."""
    args = _parser().parse_args(argv)
    if args.table:
        (Path(args.table) / "README.md").write_text(cards.table(args.table), encoding="utf-8")
        print(Path(args.table) / "README.md")
        return 0
    if not (args.run and args.out):
        raise A2VError("give a RUN and --out, or --table")
    from a2v import export, pipeline, training

    _, settings = training.load(args.run)
    options = {}
    try:
        tables = pipeline.read(settings["pipeline"])
    except A2VError:
        tables = {"export": {}}  # the run's pipeline was a file that is no longer there
    options = pipeline.check(tables["export"], export.export, where="[export]")
    if args.note:
        options["note"] = Path(args.note).read_text(encoding="utf-8")
    card = export.export(args.run, args.out, **options, overwrite=args.overwrite)
    for name, size in card["files"].items():
        print(f"{size / 1000:9,.1f} kB  {args.out}/{name}")
    return 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="a2v-export",
        description="Writes a run's model as SavedModel and TFLite, checked against Keras.",
    )
    parser.add_argument("run", nargs="?", metavar="RUN", help="folder made by a2v-train")
    parser.add_argument("--out", metavar="DIR", help="folder to make; its name names the model")
    parser.add_argument("--note", metavar="FILE", help="Markdown for the card: data and licences")
    parser.add_argument("--overwrite", action="store_true", help="replace what is there")
    parser.add_argument("--table", metavar="DIR", help="only remake DIR/README.md from its cards")
    return parser
