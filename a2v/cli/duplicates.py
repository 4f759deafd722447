"""a2v-duplicates: lists recordings that a library holds more than once, and shared excerpts."""

import argparse
import json
import sys
from pathlib import Path

from a2v.library import Library


def main(argv=None):
    """Parses, asks the library, prints.

    Args:
        argv: list of str; `None` takes the process's own.

    Returns:
        int: 0 something was found, 1 nothing was.

    Raises:
        A2VError: the library cannot be used.
    """
    args = _parser().parse_args(argv)
    with Library.open(args.library) as library:
        found = library.duplicates()
    for line in _objects(found) if args.json else _lines(found):
        print(line)
    print(
        f"a2v-duplicates: {len(found.groups)} groups of one recording, "
        f"{len(found.excerpts)} excerpts in common",
        file=sys.stderr,
    )
    return 0 if found.excerpts else 1


def _parser():
    parser = argparse.ArgumentParser(
        prog="a2v-duplicates",
        description="List groups of tracks that are the same recording, tracks that are contained "
        "in others, and excerpts that tracks share or repeat, with the time ranges in both.",
    )
    parser.add_argument("library", metavar="LIB", type=Path, help="a file made by a2v-index")
    parser.add_argument("--json", action="store_true", help="one object a line")
    return parser


def _objects(found):
    for group in found.groups:
        yield json.dumps({"kind": "group", "tracks": group}, ensure_ascii=False)
    for each in found.excerpts:
        numbers = {
            "first_s": [round(second, 3) for second in each.first_s],
            "second_s": [round(second, 3) for second in each.second_s],
            "bit_error_rate": round(each.bit_error_rate, 4),
        }
        yield json.dumps({**vars(each), **numbers}, ensure_ascii=False)


def _lines(found):
    for number, group in enumerate(found.groups, 1):
        yield from [f"group {number}  {track}" for track in group]
    for each in found.excerpts:
        yield (
            f"{each.kind:<9}  {_range(each.first_s)}  {each.first}  =  "
            f"{_range(each.second_s)}  {each.second}"
        )


def _range(ends_s):
    return f"{ends_s[0]:.2f}-{ends_s[1]:.2f} s"
