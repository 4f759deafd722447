"""a2v-index: makes a library grow and shrink, lists and verifies it, hands it on."""

import argparse
import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

from a2v import corpora, exchange, resources, workers
from a2v.cli import workers as cli_workers
from a2v.errors import A2VError
from a2v.library import Library
from a2v.store import LibraryError

# A process takes about as long to begin as a recording or two to be heard.
FILES_A_JOB = 4


def main(argv=None):
    """Parses, calls the library, prints.

    Args:
        argv: list of str; `None` takes the process's own.

    Returns:
        int: 0 done, 1 `verify` found problems or `list` no track, 2 no input could be used, 3 some
        could not.

    Raises:
        A2VError: nothing could be tried.
    """
    args = _parser().parse_args(argv)
    return args.action(args)


def _parser():
    parser = argparse.ArgumentParser(
        prog="a2v-index",
        description="Add recordings to a library, replace, rename, remove, list, verify; merge, "
        "export and import libraries.",
    )
    parser.add_argument("library", metavar="LIB", type=Path, help="the library's file")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    _add_verbs_of_recordings(verbs)
    rename = _verb(verbs, "rename", _rename, "give a track another name")
    rename.add_argument("name", metavar="NAME", help="as `list` shows it")
    rename.add_argument("new_name", metavar="NEW")
    remove = _verb(verbs, "remove", _remove, "take tracks out")
    remove.add_argument("names", metavar="NAME", nargs="+", help="as `list` shows them")
    listing = _verb(verbs, "list", _list, "show the tracks, all or those of a name")
    listing.add_argument(
        "pattern", metavar="NAME", nargs="?", help="part of a name, or a glob with * or ?"
    )
    stats = _verb(verbs, "stats", _stats, "show how much there is")
    for each, help_text in ((listing, "one object a line"), (stats, "one object")):
        each.add_argument("--json", action="store_true", help=help_text)
    _verb(verbs, "verify", _verify, "check every page and every track of the file")
    for name, action, what in (
        ("merge", _merge, "add all tracks of another library of the same model"),
        ("export", _export, "write everything to one compressed file (a2v/exchange.py tells how)"),
        ("import", _import, "add all tracks of an export; makes LIB if need be"),
    ):
        _verb(verbs, name, action, what).add_argument("file", metavar="FILE", type=Path)
    return parser


def _verb(verbs, name, action, what):
    parser = verbs.add_parser(name, help=what)
    parser.set_defaults(action=action)
    return parser


def _add_verbs_of_recordings(verbs):
    add = _verb(verbs, "add", _add, "hash recordings and add them; makes LIB if need be")
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
    cli_workers.arguments(add, "recordings heard at a time (default: all cores)")
    replace = _verb(verbs, "replace", _replace, "put a recording in the place of a track")
    replace.add_argument("name", metavar="NAME", help="as `list` shows it")
    replace.add_argument("file", metavar="FILE")
    either = add.add_mutually_exclusive_group()
    for group in (either, replace):
        group.add_argument(
            "--allow-copies",
            dest="copies",
            action="store_const",
            const="allow",
            default="refuse",
            help="take a recording that is there in other bytes (encoded anew, trimmed, louder)",
        )
    either.add_argument(
        "--link",
        dest="copies",
        action="store_const",
        const="link",
        help="note its file as another one of the track that is there",
    )


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
        return _add_files(library, files, failed, args)


def _add_files(library, files, failed, args):
    began, seconds, added, done = time.monotonic(), 0.0, 0, 0
    _progress(f"0/{len(files)}")
    try:
        for file, entry in library.add_all(files, copies=args.copies, **_how(args, len(files))):
            done += 1
            if isinstance(entry, A2VError):
                _say(entry)
                failed += 1
                continue
            added += 1
            _progress("")
            if entry.files:  # a new track has none
                print(f"linked  {file}  to {entry.track}", flush=True)
                continue
            seconds += entry.seconds
            _print_entry("added", entry)
            _progress(f"{done}/{len(files)}")
    except LibraryError as error:
        _say(error)
        _say(f"stopped; not added: {len(files) - done} of {len(files)} recordings")
        return 3 if added else 2
    _progress("")
    took = time.monotonic() - began
    _say(
        f"{added} added, {failed} failed; {seconds / 60:.1f} min of audio in {took:.1f} s, "
        f"{seconds / max(took, 1e-9):.0f} x real time; {len(library)} tracks in {library.path}"
    )
    return _status(added, failed)


def _how(args, count):
    """Who listens: what `Library.add_all` takes."""
    jobs = args.jobs
    if jobs is None and args.engine == workers.LOCAL:
        jobs = min(len(os.sched_getaffinity(0)), max(1, count // FILES_A_JOB))
    return {"engine": args.engine, "jobs": jobs, "address": args.address}


def _open_or_create(path, model):
    if path.exists():
        return Library.open(path, encoder_path=resources.saved_model(model) if model else None)
    return _create(path, resources.saved_model(model or resources.DEFAULT_MODEL))


def _create(path, encoder_path):
    try:
        return Library.create(path, encoder_path)
    except A2VError:
        # Another process may have made it in between; then both add to the same one.
        if not path.is_file():
            raise
        return Library.open(path, encoder_path=encoder_path)


def _replace(args):
    with Library.open(args.library) as library:
        _print_entry("replaced", library.replace(args.name, args.file, copies=args.copies))
    return 0


def _rename(args):
    with Library.open(args.library) as library:
        library.rename(args.name, args.new_name)
    print(f"renamed  {args.name}  to {args.new_name}")
    return 0


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
        entries = library.tracks(args.pattern)
    for entry in entries:
        if args.json:
            print(json.dumps(asdict(entry), ensure_ascii=False))
        else:
            print(f"{entry.seconds:9.1f} s  {entry.hashes:7d} hashes  {entry.track}")
    return 0 if entries or args.pattern is None else 1


def _stats(args):
    with Library.open(args.library) as library:
        stats = library.stats()
    if args.json:
        print(json.dumps(stats, ensure_ascii=False))
        return 0
    encoder, silent = stats["encoder"], stats["silent_share"]
    print(f"{stats['tracks']} tracks, {stats['files']} linked files")
    print(f"{stats['seconds']:.1f} s, {stats['hashes']} hashes of {encoder['n_bits']} bits")
    print(f"{stats['bytes']} bytes, schema {stats['schema']}")
    print(f"silent windows: {'none' if silent is None else f'{100 * silent:.1f} %'}")
    print(f"encoder {encoder['name']} ({encoder['model_id']}), {encoder['sample_rate']} Hz")
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


def _merge(args):
    with Library.open(args.library) as library:
        return _report(*library.merge(args.file))


def _import(args):
    if not args.library.exists():
        _create(args.library, exchange.read(args.file).encoder).close()
    with Library.open(args.library) as library:
        return _report(*library.import_from(args.file))


def _export(args):
    with Library.open(args.library) as library:
        count = library.export(args.file)
    print(f"exported  {args.file}  {count} tracks")
    return 0


def _report(added, refused):
    """What was taken over from another library; all of it is one transaction, which is done."""
    for entry in added:
        _print_entry("added", entry)
    for sentence in refused:
        _say(sentence)
    return 3 if refused else 0


def _print_entry(what, entry):
    print(f"{what}  {entry.track}  {entry.seconds:.1f} s  {entry.hashes} hashes", flush=True)


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
