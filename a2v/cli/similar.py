"""a2v-similar: lists the tracks of a library that sound most like one of them."""

import argparse
import json
from pathlib import Path

from a2v.errors import A2VError
from a2v.library import Library
from a2v.similar import ITSELF
from a2v.store import LibraryError


def main(argv=None):
    """Parses, asks the library, prints.

    Args:
        argv: list of str; `None` takes the process's own.

    Returns:
        int: 0 there are neighbours, 1 the library holds no other track.

    Raises:
        A2VError: the library cannot be used, or holds no such track.
    """
    args = _parser().parse_args(argv)
    with Library.open(args.library) as library:
        try:
            found = library.similar(args.track, top=args.top)
        except LibraryError:
            raise
        except A2VError as error:
            raise A2VError(f"{args.library}: {error}") from None
    for each in found:
        if args.json:
            answer = {**vars(each), "similarity": round(each.similarity, 4)}
            print(json.dumps(answer, ensure_ascii=False))
        else:
            print(f"{each.similarity:6.3f}  {each.relation or '':<9}  {each.track}")
    return 0 if any(each.relation != ITSELF for each in found) else 1


def _parser():
    parser = argparse.ArgumentParser(
        prog="a2v-similar",
        description="List the tracks that sound most like one of a library, that one first; its "
        "duplicates, and what shares an excerpt with it, are marked.",
    )
    parser.add_argument("library", metavar="LIB", type=Path, help="a file made by a2v-index")
    parser.add_argument("track", metavar="TRACK", help="its name, as `a2v-index LIB list` shows it")
    parser.add_argument("--top", metavar="N", type=int, default=10, help="how many others (10)")
    parser.add_argument("--json", action="store_true", help="one object a line and track")
    return parser
