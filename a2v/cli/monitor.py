"""a2v-monitor: reports what a live source plays."""

import argparse
import contextlib
import datetime
import json
import math
import signal
import threading
from pathlib import Path

from a2v import streams
from a2v.chance import MAX_FALSE_ACCEPTS, PHASES
from a2v.cli.identify import count, passage, share
from a2v.errors import A2VError
from a2v.library import Library

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def main(argv=None):
    """Parses, listens, prints one line an event.

    Args:
        argv: list of str; `None` takes the process's own.

    Returns:
        int: 0, the source has ended, or SIGINT or SIGTERM ended it.

    Raises:
        A2VError: the library cannot be used, or nothing was heard at all.
    """
    parser = _parser()
    args = parser.parse_args(argv)
    if bool(args.raw) != bool(args.rate):
        parser.error("give --raw and --rate together")
    pcm = streams.Pcm(args.raw, args.rate, args.channels) if args.raw else None
    stop = threading.Event()
    with _ended_by_signals(stop), Library.open(args.library) as library:
        blocks = streams.blocks(
            args.source,
            sample_rate=library.encoder.sample_rate,
            downmix=library.encoder.downmix,
            pcm=pcm,
            stop=stop,
            give_up_s=args.give_up,
            device=args.device,
        )
        options = {"max_false_accepts": args.max_false_accepts, "phases": args.phases}
        try:
            for event in library.follow(blocks, **options, live=True):
                print(_json(event) if args.json else _line(event), flush=True)
        except A2VError:
            # Where it is ended at once, there may be too little to hash.
            if not stop.is_set():
                raise
    return 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="a2v-monitor",
        description="Report when tracks of a library begin and end in what a live source plays. "
        "Ctrl-C ends it, and what is open is reported.",
    )
    parser.add_argument("library", metavar="LIB", type=Path, help="a file made by a2v-index")
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="- (standard input), mic, an http(s) URL, or a file, which is followed as it grows",
    )
    parser.add_argument("--json", action="store_true", help="one object a line and event")
    parser.add_argument(
        "--raw", choices=streams.CODINGS, help="the source is such samples without a header"
    )
    parser.add_argument("--rate", metavar="HZ", type=count, help="of raw samples")
    parser.add_argument("--channels", metavar="N", type=count, default=1, help="of them (1)")
    parser.add_argument(
        "--device", metavar="NAME", type=_device, help="microphone, as sounddevice names it"
    )
    parser.add_argument(
        "--give-up",
        metavar="S",
        type=_seconds,
        default=math.inf,
        help="a file that has not grown for so long, or a station that has not come back, has "
        "ended (never)",
    )
    parser.add_argument(
        "--max-false-accepts",
        metavar="RATE",
        type=share,
        default=MAX_FALSE_ACCEPTS,
        help="so many wrong events may be reported in an hour that no track holds "
        f"({MAX_FALSE_ACCEPTS:g})",
    )
    parser.add_argument(
        "--phases",
        metavar="N",
        type=count,
        default=PHASES,
        help="beginnings tried within one hop (%(default)s); fewer are faster and miss more",
    )
    return parser


@contextlib.contextmanager
def _ended_by_signals(stop):
    """Sets the event at the first signal; a second one does what it always does."""
    before = {}

    def end(number, _):
        stop.set()
        signal.signal(number, before[number])

    for number in _SIGNALS:
        before[number] = signal.signal(number, end) or signal.SIG_DFL
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _json(event):
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    head = {"event": event.kind, "number": event.passage.number, "time": now}
    return json.dumps(head | event.passage.described(), ensure_ascii=False)


def _line(event):
    described = event.passage.described()
    return f"{event.kind}  {100 * described['probability']:5.1f} %  {passage(described)}"


def _device(text):
    return int(text) if text.isdecimal() else text


def _seconds(text):
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not value >= 0:
        raise argparse.ArgumentTypeError(f"{text!r}: give seconds from 0 on")
    return value
