"""The flags of commands whose work may be done by others."""

import argparse

from a2v import workers


def arguments(parser, jobs_help):
    """Adds `--engine`, `--jobs` and `--address`."""
    parser.add_argument(
        "--engine",
        choices=workers.NAMES,
        default=workers.LOCAL,
        help="who does the work: processes of this machine, or Ray's, of many (%(default)s)",
    )
    parser.add_argument("--jobs", type=count, metavar="N", help=jobs_help)
    parser.add_argument(
        "--address", metavar="HOST:PORT", help="of the Ray cluster (default: one that is found)"
    )


def count(text):
    """A whole number from 1 on, for `type`."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number of 1 or more")
    return int(text)
