"""a2v-covers: lists the tracks of a library that are most likely versions of a track or a clip."""

import argparse
import json
from pathlib import Path

from a2v.errors import A2VError
from a2v.library import Library
from a2v.store import LibraryError


def main(argv=None):
    """Parses, asks the library, prints.

    Args:
        argv: list of str; `None` takes the process's own.

    Returns:
        int: 0 there are guesses, 1 there are none.

    Raises:
        A2VError: the library cannot be used or tell covers, or the recording cannot be read.
    """
    args = _parser().parse_args(argv)
    with Library.open(args.library) as library:
        try:
            found = library.covers(args.source, top=args.top)
        except LibraryError:
            raise
        except A2VError as error:
            where = str(args.source if library.encoder.turns_with_key else args.library)
            raise error if where in str(error) else A2VError(f"{where}: {error}") from None
    for each in found:
        print(json.dumps(_rounded(each), ensure_ascii=False) if args.json else _line(each))
    return 0 if found else 1


def _parser():
    parser = argparse.ArgumentParser(
        prog="a2v-covers",
        description="List the tracks that are most likely versions of a track or a clip, nearest "
        "first, whatever the guesses are worth. Needs a library made with `--model cover128`.",
    )
    parser.add_argument("library", metavar="LIB", type=Path, help="a file made by a2v-index")
    parser.add_argument(
        "source",
        metavar="TRACK_OR_FILE",
        help="a track's name, as `a2v-index LIB list` shows it, or a recording",
    )
    parser.add_argument("--top", metavar="N", type=int, default=10, help="at most so many (10)")
    parser.add_argument("--json", action="store_true", help="one object a line and track")
    return parser


def _rounded(cover):
    places = {"distance": 4, "begin_s": 4, "query_begin_s": 4}
    return {**vars(cover), **{key: round(getattr(cover, key), n) for key, n in places.items()}}


def _line(cover):
    key = "" if cover.transposition is None else f"{cover.transposition:+d}"
    return f"{cover.distance:7.3f}  {key:>3}  {cover.begin_s:8.2f} s  {cover.track}"
