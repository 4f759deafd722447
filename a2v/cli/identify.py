"""a2v-identify: finds clips in a library."""

import argparse
import json
import sys
import time
from pathlib import Path

from a2v import audio, engines
from a2v.errors import A2VError
from a2v.library import Library
from a2v.matching import MIN_PROBABILITY

_WIDEST = 40


def main(argv=None):
    """Parses, asks the library about each clip, prints.

    Args:
        argv: list of str; `None` takes the process's own.

    Returns:
        int: 0 a clip matched, 1 none did, 2 no clip could be read, 3 some could not.

    Raises:
        A2VError: the library cannot be used.
    """
    args = _parser().parse_args(argv)
    width = min(_WIDEST, max(map(len, args.clips)))
    matched = failed = 0
    with Library.open(args.library, engine=args.engine) as library:
        for clip in args.clips:
            try:
                answer = _identify(library, clip, args)
            except A2VError as error:
                _say(error)
                failed += 1
                continue
            matched += bool(answer["matches"])
            text = json.dumps(answer, ensure_ascii=False) if args.json else _lines(answer, width)
            print(text, flush=True)
    if failed:
        return 2 if failed == len(args.clips) else 3
    return 0 if matched else 1


def _parser():
    parser = argparse.ArgumentParser(
        prog="a2v-identify", description="Find clips of one second and more in a library."
    )
    parser.add_argument("library", metavar="LIB", type=Path, help="a file made by a2v-index")
    parser.add_argument("clips", metavar="CLIP", nargs="+", help="a recording; - is standard input")
    parser.add_argument("--top", metavar="N", type=_count, default=1, help="matches per clip (1)")
    parser.add_argument("--json", action="store_true", help="one object a line and clip")
    parser.add_argument(
        "--min-probability",
        metavar="P",
        type=_share,
        default=MIN_PROBABILITY,
        help=f"less probable is no match ({MIN_PROBABILITY}); 0 shows the best guesses",
    )
    parser.add_argument(
        "--phases",
        metavar="N",
        type=_count,
        default=4,
        help="beginnings tried within one hop (4); fewer are faster and miss more",
    )
    parser.add_argument(
        "--engine",
        choices=engines.NAMES,
        default=engines.AUTO,
        help="what searches: exact; faiss, candidates of it compared exactly; auto takes faiss, "
        "where it is installed, for large libraries",
    )
    return parser


def _identify(library, clip, args):
    encoder = library.encoder
    began = time.perf_counter()
    waveform = audio.load(clip, sample_rate=encoder.sample_rate, downmix=encoder.downmix)
    name = audio.describe(clip)
    try:
        matches = library.identify(
            waveform, top=args.top, min_probability=args.min_probability, phases=args.phases
        )
    except A2VError as error:
        raise A2VError(f"{name}: {error}") from None
    level = audio.level_dbfs(waveform)
    if level < audio.SILENCE_DBFS:
        _say(
            f"{name}: silent, {level:.1f} dBFS (silence ends at {audio.SILENCE_DBFS:.0f}); "
            "nothing to identify, give a louder clip"
        )
    return {
        "query": clip,
        "seconds": round(len(waveform) / encoder.sample_rate, 3),
        "ms": round(1000 * (time.perf_counter() - began), 1),
        "matches": [
            {
                "track": match.track,
                "path": match.path,
                "offset_s": round(match.offset_s, 4),
                "probability": round(match.probability, 4),
                "bit_error_rate": round(match.bit_error_rate, 4),
            }
            for match in matches
        ],
    }


def _lines(answer, width):
    """One line per match, the clip named on the first; columns aligned over all clips."""
    query = answer["query"]
    if len(query) > width:
        query = "…" + query[1 - width :]
    if not answer["matches"]:
        return f"{query:<{width}}  no match"
    lines = []
    for match in answer["matches"]:
        lines.append(
            f"{query:<{width}}  {100 * match['probability']:5.1f} %  "
            f"{_clock(match['offset_s']):>10}  {match['track']}"
        )
        query = ""
    return "\n".join(lines)


def _clock(offset_s):
    minutes, seconds = divmod(round(abs(offset_s), 2), 60)
    return f"{'-' if offset_s < 0 else ''}{int(minutes)}:{seconds:05.2f}"


def _count(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number from 1 on")
    return int(text)


def _share(text):
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}: give a probability from 0 to 1")
    return value


def _say(message):
    print(f"a2v-identify: {message}", file=sys.stderr)
