"""a2v-index: adds recordings to a library, removes, lists and verifies them."""

import argparse
import json
import sys
import time
from pathlib import Path

from a2v import corpora, resources
from a2v.errors import A2VError
from a2v.library import Library
from a2v.store import LibraryError


def main(argv=None):
    """Parses, calls the library, prints.

    Args:
        argv: list of str; `None` takes the process's own.

    Returns:
        int: 0 done, 1 `verify` found problems, 2 no input could be used, 3 some could not.

    Raises:
        A2VError: nothing could be tried.
    """
    args = _parser().parse_args(argv)
    return args.action(args)


def _parser():
    parser = argparse.ArgumentParser(
        prog="a2v-index", description="Add recordings to a library, remove, list, verify."
    )
    parser.add_argument("library", metavar="LIB", type=Path, help="the library's file")
    actions = parser.add_subparsers(required=True, metavar="add|remove|list|verify")
    add = actions.add_parser("add", help="hash recordings and add them; makes LIB if need be")
    add.add_argument(
        "inputs",
        metavar="FILE_OR_FOLDER",
        nargs="+",
        help="recording, folder (searched recursively), corpus, or manifest CSV",
    )
    add.add_argument(
        "--model",
        metavar="NAME_OR_TFLITE",
        help=f"encoder of a new library (default: {resources.DEFAULT_MODEL}); "
        "an existing one keeps its own",
    )
    add.set_defaults(action=_add)
    remove = actions.add_parser("remove", help="take tracks out")
    remove.add_argument("names", metavar="NAME", nargs="+", help="as `list` shows them")
    remove.set_defaults(action=_remove)
    listing = actions.add_parser("list", help="show the tracks")
    listing.add_argument("--json", action="store_true", help="one object a line")
    listing.set_defaults(action=_list)
    verify = actions.add_parser("verify", help="check every page and every track of the file")
    verify.set_defaults(action=_verify)
    return parser


def _add(args):
    files, failed = [], 0
    for given in args.inputs:
        try:
            files += [(track.path, track.track) for track in corpora.tracks([given])]
        except A2VError as error:
            _say(error)
            failed += 1
    if not files:
        return 2
    with _open_or_create(args.library, args.model) as library:
        return _add_files(library, files, failed)


def _add_files(library, files, failed):
    began, seconds, added = time.monotonic(), 0.0, 0
    for number, (file, name) in enumerate(files, 1):
        _progress(f"{number}/{len(files)} {name}")
        try:
            entry = library.add(file, name=name)
        except LibraryError as error:
            _say(error)
            _say(f"stopped; not tried any more: {len(files) - number} of {len(files)} recordings")
            return 3 if added else 2
        except A2VError as error:
            _say(error)
            failed += 1
            continue
        added += 1
        seconds += entry.seconds
        _progress("")
        print(f"added  {entry.track}  {entry.seconds:.1f} s  {entry.hashes} hashes", flush=True)
    _progress("")
    took = time.monotonic() - began
    _say(
        f"{added} added, {failed} failed; {seconds / 60:.1f} min of audio in {took:.1f} s, "
        f"{seconds / max(took, 1e-9):.0f} x real time; {len(library)} tracks in {library.path}"
    )
    return _status(added, failed)


def _open_or_create(path, model):
    if path.exists():
        return Library.open(path, encoder_path=resources.saved_model(model) if model else None)
    encoder_path = resources.saved_model(model or resources.DEFAULT_MODEL)
    try:
        return Library.create(path, encoder_path)
    except A2VError:
        # Another process may have made it in between; then both add to the same one.
        if not path.is_file():
            raise
        return Library.open(path, encoder_path=encoder_path)


def _remove(args):
    removed = 0
    with Library.open(args.library) as library:
        for name in args.names:
            try:
                library.remove(name)
            except LibraryError:
                raise
            except A2VError as error:
                _say(error)
                continue
            removed += 1
            print(f"removed  {name}", flush=True)
    return _status(removed, len(args.names) - removed)


def _list(args):
    with Library.open(args.library) as library:
        entries = library.tracks()
    for entry in entries:
        if args.json:
            print(json.dumps(vars(entry), ensure_ascii=False))
        else:
            print(f"{entry.seconds:9.1f} s  {entry.hashes:7d} hashes  {entry.track}")
    return 0


def _verify(args):
    with Library.open(args.library) as library:
        problems = library.verify()
        count = len(library)
    for problem in problems:
        print(problem)
    if not problems:
        print(f"{args.library}: {count} tracks, no problem found")
    return 1 if problems else 0


def _status(done, failed):
    if not failed:
        return 0
    return 3 if done else 2


def _say(message):
    _progress("")
    print(f"a2v-index: {message}", file=sys.stderr)


def _progress(text):
    """Rewrites the line at the bottom of a terminal; a log gets none of it."""
    if sys.stderr and sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
