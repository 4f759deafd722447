"""a2v-identify: finds clips in a library."""

import argparse
import itertools
import json
import sys
import time
from pathlib import Path

import numpy as np

from a2v import audio, engines, tracking
from a2v.chance import MAX_FALSE_ACCEPTS, PHASES
from a2v.errors import A2VError
from a2v.library import Library
from a2v.store import LibraryError

# What is longer is searched for everything that it holds.
LONG_S = 60.0
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
    with Library.open(args.library, engine=args.engine, uri=args.uri) as library:
        for clip in args.clips:
            try:
                answer = _identify(library, clip, args)
            except LibraryError:
                raise
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
        prog="a2v-identify",
        description="Find clips of one second and more in a library. Of a recording of more than "
        f"{LONG_S:.0f} s (a mix, a broadcast) all that it holds is listed.",
    )
    parser.add_argument("library", metavar="LIB", type=Path, help="a file made by a2v-index")
    parser.add_argument("clips", metavar="CLIP", nargs="+", help="a recording; - is standard input")
    parser.add_argument(
        "--top", metavar="N", type=count, help="matches per clip (1; all of a long recording)"
    )
    parser.add_argument(
        "--all", action="store_true", help="list all that is in a short clip, too, with its range"
    )
    parser.add_argument("--json", action="store_true", help="one object a line and clip")
    parser.add_argument(
        "--max-false-accepts",
        metavar="RATE",
        type=share,
        default=MAX_FALSE_ACCEPTS,
        help="of queries that no track holds, or of hours of them, so many may be answered "
        f"({MAX_FALSE_ACCEPTS:g}); 1 shows the best guesses",
    )
    parser.add_argument(
        "--phases",
        metavar="N",
        type=count,
        default=PHASES,
        help="beginnings tried within one hop (%(default)s); fewer are faster and miss more",
    )
    parser.add_argument(
        "--engine",
        choices=engines.NAMES,
        default=engines.AUTO,
        help="what searches: exact; faiss, candidates of it compared exactly; ball, the same for "
        "hashes of 32 bits; milvus, the same on a server; auto takes faiss, where it is installed, "
        "for large libraries",
    )
    parser.add_argument("--uri", help="where the server is, as http://127.0.0.1:19530")
    return parser


def _identify(library, clip, args):
    encoder = library.encoder
    began = time.perf_counter()
    blocks = audio.blocks(clip, sample_rate=encoder.sample_rate, downmix=encoder.downmix)
    name, first, samples, energy = audio.describe(clip), [], 0, 0.0
    while samples <= LONG_S * encoder.sample_rate and (block := next(blocks, None)) is not None:
        first.append(block)
        samples += len(block)
    everything = args.all or samples > LONG_S * encoder.sample_rate
    samples = 0

    def heard():
        nonlocal samples, energy
        for block in itertools.chain(first, blocks):
            samples += len(block)
            energy += float(np.square(block, dtype=np.float64).sum())
            yield block

    find = _passages if everything else _matches
    try:
        matches = find(library, heard(), args)
    except LibraryError:
        raise
    except A2VError as error:
        raise error if str(error).startswith(name) else A2VError(f"{name}: {error}") from None
    level = 10 * np.log10(energy / samples) if energy else -np.inf
    if level < audio.SILENCE_DBFS:
        _say(
            f"{name}: silent, {level:.1f} dBFS (silence ends at {audio.SILENCE_DBFS:.0f}); "
            "nothing to identify, give a louder clip"
        )
    return {
        "query": clip,
        "seconds": round(samples / encoder.sample_rate, 3),
        "ms": round(1000 * (time.perf_counter() - began), 1),
        "matches": matches,
    }


def _matches(library, blocks, args):
    """What a clip as a whole was taken from: list of dict."""
    found = library.identify(
        np.concatenate([np.zeros(0, np.float32), *blocks]),
        top=args.top or 1,
        max_false_accepts=args.max_false_accepts,
        phases=args.phases,
    )
    return [
        {
            "track": match.track,
            "path": match.path,
            "offset_s": round(match.offset_s, 4),
            "probability": round(match.probability, 4),
            "false_accepts": float(f"{match.false_accepts:.3g}"),
            "bit_error_rate": round(match.bit_error_rate, 4),
        }
        for match in found
    ]


def _passages(library, blocks, args):
    """All that is in a long recording: list of dict."""
    limit = {"max_false_accepts": args.max_false_accepts}
    found = tracking.listed(library.follow(blocks, **limit, phases=args.phases), **limit)
    best = sorted(found, key=lambda passage: -passage.score)[: args.top]
    return [passage.described() for passage in found if passage in best]


def _lines(answer, width):
    """One line per match, the clip named on the first; columns aligned over all clips."""
    query = answer["query"]
    if len(query) > width:
        query = "…" + query[1 - width :]
    if not answer["matches"]:
        return f"{query:<{width}}  no match"
    lines = []
    for match in answer["matches"]:
        where = passage(match) if "query_s" in match else _place(match)
        lines.append(f"{query:<{width}}  {100 * match['probability']:5.1f} %  {where}")
        query = ""
    return "\n".join(lines)


def _place(match):
    return f"{clock(match['offset_s']):>10}  {match['track']}"


def passage(described):
    """A passage, as `passages.Passage.described` has it, on a line: str."""
    query, reference = (
        " - ".join(f"{clock(edge):>10}" for edge in described[key])
        for key in ("query_s", "reference_s")
    )
    speed = "" if described["drift"] is None else f"  x {described['drift']:.4f}"
    mark = "  (alternative)" if described["alternative"] else ""
    return f"{query}  is  {reference}{speed}  {described['track']}{mark}"


def clock(offset_s):
    """A time as minutes and seconds: str."""
    minutes, seconds = divmod(round(abs(offset_s), 2), 60)
    return f"{'-' if offset_s < 0 else ''}{int(minutes)}:{seconds:05.2f}"


def count(text):
    """An argument that is a whole number from 1 on: int."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number from 1 on")
    return int(text)


def share(text):
    """An argument that is a probability: float."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}: give a probability from 0 to 1")
    return value


def _say(message):
    print(f"a2v-identify: {message}", file=sys.stderr)
