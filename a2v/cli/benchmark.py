"""`a2v-benchmark`: suites of measurements over systems; raw answers first, tables from them."""

import argparse
import glob
import os
import shutil
import sys
import time
import tomllib
from pathlib import Path

from a2v import resources
from a2v.errors import A2VError

SUITES = ("retrieval", "covers", "hashes", "recommend", "cost", "sure", "growth")
# What a suite's file may hold beside `suite`; each is a flag, too.
LISTS = ("systems", "corpus", "noise", "rooms", "lengths_s", "names", "sizes")
NUMBERS = ("queries", "distractors", "seed", "jobs")
SWITCHES = ("whole",)
SAID_EVERY_S = 60.0


def main(argv=None):
    """Runs the command; the exit code is 3 if a system that was named was left out."""
    args = _parser().parse_args(argv)
    chosen = _chosen(args)
    out = Path(args.out or f"benchmark-{Path(args.suite).stem}")
    if not args.report:
        if args.add:
            _finished(out)
        else:
            _clear(out, args.overwrite)
    from a2v.benchmarking import suites  # late: TensorFlow takes seconds to start

    named, absent = [], []
    if not args.report:
        named = chosen.get("systems", [])
        asked = named or suites.default_systems(
            chosen["suite"], models_alone="distractors" in chosen
        )
        present, absent = _present(asked, suites.OWN.get(chosen["suite"], ()))
        _run(chosen | {"systems": present}, out, add=args.add)
    for file in suites.publish(out):
        print(file)
    return 3 if absent and named else 0


def _clear(out, overwrite):
    """Refuses an output that is in the way, or removes an earlier run; one under way may go on."""
    from a2v.benchmarking.runner import ANSWERS, PROGRESS

    done = (out / ANSWERS).exists() or (out / f"{ANSWERS}.gz").exists()
    begun = (out / PROGRESS).exists()
    if out.exists() and any(out.iterdir()) and not (done or begun or (out / "corpus").exists()):
        raise A2VError(f"{out}: holds something else than a benchmark; choose another --out")
    if done and not overwrite:
        raise A2VError(f"{out}: holds a finished run; use --report, --add or --overwrite")
    if overwrite:
        shutil.rmtree(out, ignore_errors=True)


def _finished(out):
    """Refuses to add to what is no finished run."""
    from a2v.benchmarking.runner import ANSWERS

    if not ((out / ANSWERS).exists() or (out / f"{ANSWERS}.gz").exists()):
        raise A2VError(f"{out}: holds no finished run to add to; run the suite without --add")


def _present(names, own):
    """Parts systems into those that are installed, as a suite's own ones are, and the others."""
    from a2v.benchmarking import external, systems

    absent = []
    for name in names:
        if name in own:
            continue
        try:
            systems.create(name)
        except external.NotInstalled as error:
            print(f"a2v-benchmark: {error}; left out", file=sys.stderr)
            absent.append(name)
    if len(absent) == len(names):
        raise A2VError("no system is left to measure; install one, or name others")
    return [name for name in names if name not in absent], absent


def _run(chosen, out, *, add):
    from tqdm import tqdm

    from a2v.benchmarking import suites

    with tqdm(unit=" parts", disable=None, desc=chosen["suite"]) as bar:
        said = time.monotonic()

        def progress(done, total):
            nonlocal said
            bar.total = total
            bar.update(done - bar.n)
            # A log has no bar, and hours without a word would look like a standstill.
            if bar.disable and time.monotonic() - said > SAID_EVERY_S:
                said = time.monotonic()
                print(f"a2v-benchmark: {done} of {total} parts", file=sys.stderr)

        (suites.add if add else suites.run)(out=out, progress=progress, **chosen)


def _chosen(args):
    """The suite's settings: defaults, its file's, the flags'."""
    chosen = {"suite": args.suite, "seed": 0}
    if args.suite.endswith(".toml"):
        chosen |= read(Path(args.suite))
    if chosen["suite"] not in SUITES:
        raise A2VError(
            f"no suite {chosen['suite']!r}; {resources.nearest(chosen['suite'], SUITES)}"
        )
    flags = {key: getattr(args, key) for key in LISTS + NUMBERS + SWITCHES}
    chosen |= {key: value for key, value in flags.items() if value not in (None, [], False)}
    return chosen


def read(path):
    """Reads a suite's file: dict of settings.

    Raises:
        A2VError: it is missing, no TOML, holds an unknown setting, or names what is not there.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise A2VError(f"{path}: cannot be read ({error})") from None
    known = ("suite", *LISTS, *NUMBERS, *SWITCHES)
    for key in values:
        if key not in known:
            raise A2VError(f"{path}: no setting {key!r}; {resources.nearest(key, known)}")
    if "suite" not in values:
        raise A2VError(f"{path}: names no suite; {resources.nearest('', SUITES)}")
    for key in ("corpus", "noise", "rooms"):
        if key in values:
            values[key] = [place for entry in values[key] for place in _places(path, entry)]
    return values


def _places(path, entry):
    """The paths that an entry of a suite's file names: `$VARIABLE` and `*` are filled in."""
    named = os.path.expandvars(entry)
    if "$" in named:
        raise A2VError(f"{path}: {entry}: no such variable; set it to where the recordings are")
    found = sorted(glob.glob(str(path.parent / named)))
    if not found:
        raise A2VError(f"{path}: {entry}: nothing there ({path.parent / named})")
    return found


def _parser():
    parser = argparse.ArgumentParser(
        prog="a2v-benchmark",
        description="Puts the same queries to several systems, keeps every answer, and makes "
        "tables, figures and a page from them.",
    )
    parser.add_argument("suite", metavar="SUITE", help=f"{', '.join(SUITES)}, or a .toml file")
    parser.add_argument(
        "systems",
        nargs="*",
        metavar="SYSTEM",
        help="a model's name or a .tflite file (retrieval: with @ENGINE behind it where another "
        "is to search), wang, haitsma_kalker, fpcalc, chance, qmax (of covers), or a .toml file "
        "that names another program's commands (default: all built-in ones)",
    )
    parser.add_argument("--out", metavar="DIR", help="default: benchmark-SUITE")
    parser.add_argument("--corpus", nargs="+", metavar="IN", help="default: a composed one")
    parser.add_argument("--noise", nargs="+", metavar="IN", help="default: simulated")
    parser.add_argument("--rooms", nargs="+", metavar="IN", help="default: simulated")
    parser.add_argument("--queries", type=int, metavar="N", help="per length and degradation")
    parser.add_argument(
        "--lengths", dest="lengths_s", nargs="+", type=float, metavar="S", help="of clips, seconds"
    )
    parser.add_argument(
        "--conditions", dest="names", nargs="+", metavar="NAME", help="degradations"
    )
    parser.add_argument(
        "--whole", action="store_true", help="retrieval: leave no track out of the catalogue"
    )
    parser.add_argument(
        "--distractors",
        type=int,
        metavar="N",
        help="retrieval: hashes of changed train tracks to fill the catalogue up with",
    )
    parser.add_argument(
        "--sizes", nargs="+", type=int, metavar="N", help="growth: hashes in the catalogue"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="default: 0")
    parser.add_argument("--jobs", type=int, metavar="N", help="processes; default: one per core")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--report", action="store_true", help="only make the tables again")
    how.add_argument(
        "--add", action="store_true", help="ask SYSTEMs alone, and put them into the finished run"
    )
    how.add_argument("--overwrite", action="store_true", help="begin anew")
    return parser
