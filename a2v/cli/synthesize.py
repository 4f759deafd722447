"""a2v-synthesize: composes a corpus of works and covers."""

import argparse
import sys
import time
from pathlib import Path

from a2v.corpora import synthetic


def main(argv=None):
    """Parses, composes, prints the manifest's path.

    Args:
        argv: list of str; `None` takes the process's own.

    Returns:
        int: 0.

    Raises:
        A2VError: a number is out of range, or the folder cannot be used.
    """
    args = _parser().parse_args(argv)
    began = time.monotonic()
    tracks = synthetic.compose(
        args.out,
        works=args.works,
        covers=args.covers,
        seconds=args.seconds,
        seed=args.seed,
        overwrite=args.overwrite,
        progress=_progress if sys.stderr.isatty() else None,
    )
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    took = time.monotonic() - began
    print(f"{len(tracks)} tracks of {args.works} works in {took:.1f} s", file=sys.stderr)
    print(args.out / "manifest.csv")
    return 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="a2v-synthesize",
        description="Compose works and covers of them, render them to WAV files, and list them in "
        "OUT/manifest.csv. The same numbers give the same files.",
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="folder for the corpus")
    parser.add_argument("--works", type=int, default=12, help="compositions (default: 12)")
    parser.add_argument("--covers", type=int, default=1, help="covers of each (default: 1)")
    parser.add_argument(
        "--seconds", type=float, default=30.0, help="length of an original (default: 30)"
    )
    parser.add_argument("--seed", type=int, default=0, help="decides everything (default: 0)")
    parser.add_argument("--overwrite", action="store_true", help="replace the corpus in OUT")
    return parser


def _progress(done, total, name):
    print(f"\r\x1b[K{done + 1}/{total} {name}", end="", file=sys.stderr, flush=True)
