"""`a2v-demo`: the whole chain, by the commands that a user would type."""

import argparse
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from a2v import audio, corpora, decoders, resources
from a2v.corpora import manifest
from a2v.errors import A2VError
from a2v.library import Library

CLIP_S = 5.0
SNR_DB = 10.0
N_KNOWN, N_UNKNOWN = 40, 20
SHOWN = 6
# Small enough for a minute of training, large enough to learn something from it.
WORKS, COVERS, SECONDS = 12, 1, 30
EPOCHS, BATCH_SIZE = 12, 64
# Of somebody's own music: so much audio, from so many recordings at least.
MUSIC_S, LEAST = 900.0, 6


def main(argv=None):
    """Runs the chain; exit code 1 if the shipped model found less than half of the clips."""
    args = _parser().parse_args(argv)
    out = Path(args.out)
    if out.exists() and any(out.iterdir()) and not (out / "clips").exists():
        raise A2VError(f"{out}: holds something else than a demo; choose another --out")
    (out / "clips").mkdir(parents=True, exist_ok=True)
    if args.music is None:
        numbers = ["--works", WORKS, "--covers", COVERS, "--seconds", SECONDS]
        corpus = out / "music" / "manifest.csv"
        _call("synthesize", corpus.parent, *numbers, "--overwrite")
    else:
        corpus = _some(args.music, out)
    _call("preprocess", corpus, "--out", out / "dataset", "--overwrite")
    sizes = ["--epochs", args.epochs, "--batch-size", BATCH_SIZE]
    _call("train", out / "dataset", "--out", out / "run", *sizes, "--overwrite")
    _call("export", out / "run", "--out", out / "fresh", "--overwrite")
    models = {"shipped": resources.DEFAULT_MODEL, "fresh": out / "fresh" / "model.tflite"}
    answers, clips = {}, None
    for name, model in models.items():
        library = out / f"{name}.a2v"
        library.unlink(missing_ok=True)
        # A model trained for a minute may take different music for copies.
        _call("index", library, "add", corpus, "--model", model, "--allow-copies")
        if clips is None:
            known, unknown = _parted(library)
            clips = _cut(known, N_KNOWN, out, "known") | _cut(unknown, N_UNKNOWN, out, "unknown")
        # These were indexed, too: taken out again, they are music that the library has not heard.
        _call("index", library, "remove", *sorted({track for track, _ in unknown}), quiet=True)
        answers[name] = _identify(library, clips)
    return _report(out, clips, answers)


def _parser():
    parser = argparse.ArgumentParser(
        prog="a2v-demo",
        description="Recordings, TFRecords, training, export, library, identification of noisy "
        "clips: with the shipped model, and with one trained for a minute.",
    )
    parser.add_argument("--music", metavar="DIR", help="recordings (default: composed ones)")
    parser.add_argument("--out", metavar="DIR", default="demo", help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="default: %(default)s")
    return parser


def _some(folder, out):
    """A manifest of recordings from all over a folder, as many as a demo has time for."""
    found = corpora.tracks([Path(folder).expanduser()])  # make hands ~ over as it is
    chosen, seconds = [], 0.0
    for k in np.random.default_rng(0).permutation(len(found)):
        try:
            with decoders.opened(found[k].path) as recording:
                length = recording.seconds
        except A2VError:
            continue
        if seconds + length <= MUSIC_S or len(chosen) < LEAST:
            chosen.append(found[k])
            seconds += length
        if seconds >= MUSIC_S and len(chosen) >= LEAST:
            break
    if not chosen:
        raise A2VError(f"{folder}: none of its {len(found)} files can be read; give recordings")
    print(f"{len(chosen)} of {len(found)} recordings, {seconds / 60:.0f} min", file=sys.stderr)
    manifest.write(out / "music.csv", chosen)
    return out / "music.csv"


def _call(verb, *arguments, quiet=False, capture=False):
    """Runs one command as a user would; recordings of no use to it (exit 3) are no failure."""
    words = [str(argument) for argument in arguments]
    typed = shlex.join([f"a2v-{verb}", *words])
    if not capture:
        shown = typed if len(typed) < 160 else f"{typed[:150]} …"
        print(f"\n$ {shown}", file=sys.stderr, flush=True)
    began = time.monotonic()
    piped = subprocess.PIPE if quiet or capture else sys.stderr
    command = [sys.executable, "-m", "a2v", verb, *words]
    done = subprocess.run(command, stdout=piped, text=True, check=False)
    if done.returncode not in ((0, 1, 3) if capture else (0, 3)):
        raise A2VError(f"{typed}: ended with exit code {done.returncode}")
    if not capture:
        print(f"  ({time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True)
    return done.stdout


def _parted(library):
    """Three quarters of the tracks to keep, the rest to take out: lists of (track, path)."""
    with Library.open(library) as opened:
        tracks = sorted((entry.track, entry.path) for entry in opened.tracks())
    if len(tracks) < 2:
        raise A2VError(f"{library}: {len(tracks)} tracks; the demo needs two recordings or more")
    kept = min(len(tracks) - 1, round(len(tracks) * 3 / 4))
    return tracks[:kept], tracks[kept:]


def _cut(tracks, count, out, kind):
    """Cuts noisy excerpts that begin anywhere: dict of file to (track or None, start in s)."""
    import soundfile

    from a2v.calibration import with_noise

    generator = np.random.default_rng([count, len(tracks)])
    clips = {}
    for k in range(count):
        track, path = tracks[k % len(tracks)]
        waveform = audio.load(path)
        length = min(len(waveform), round(CLIP_S * audio.SAMPLE_RATE))
        for _ in range(100):
            start = int(generator.integers(len(waveform) - length + 1))
            excerpt = waveform[start : start + length]
            if audio.level_dbfs(excerpt) > audio.SILENCE_DBFS:
                break
        file = out / "clips" / f"{kind}-{k:02}.wav"
        noisy = with_noise(excerpt, SNR_DB, generator)
        soundfile.write(file, noisy / max(1.0, np.abs(noisy).max()), audio.SAMPLE_RATE)
        clips[str(file)] = (track if kind == "known" else None, start / audio.SAMPLE_RATE)
    return clips


def _identify(library, clips):
    """The answers of `a2v-identify --json`, one a clip."""
    shown = shlex.join(["a2v-identify", str(library), str(Path(next(iter(clips))).parent)])
    print(f"\n$ {shown}/*.wav --json --max-false-accepts 1", file=sys.stderr)
    lines = _call("identify", library, *clips, "--json", "--max-false-accepts", 1, capture=True)
    return [json.loads(line) for line in lines.splitlines()]


def _report(out, clips, answers):
    """Prints the table of clips and the rates, and draws the figure."""
    from a2v.chance import MAX_FALSE_ACCEPTS
    from a2v.figures import draw_demo

    judged = {
        name: [
            _judged(*clip, answer, MAX_FALSE_ACCEPTS)
            for clip, answer in zip(clips.values(), given, strict=True)
        ]
        for name, given in answers.items()
    }
    widest = max(len(track or "") for track, _ in clips.values())
    print(f"\n{'clip':<14}  {'truth':<{widest + 10}}  shipped model, probability")
    files = list(clips.items())
    for k in [*range(SHOWN), *range(N_KNOWN, N_KNOWN + SHOWN // 2)]:
        file, (track, start_s) = files[k]
        truth = f"{track} at {start_s:.2f} s" if track else "not in the library"
        answer = judged["shipped"][k]
        said = (
            f"{answer['track']} at {answer['offset_s']:.2f} s, {answer['probability']:.3f}"
            if answer["accepted"]
            else f"no match, {answer['probability']:.3f}"
        )
        print(f"{Path(file).name:<14}  {truth:<{widest + 10}}  {said}")
    print(f"\n{CLIP_S:g} s clips at {SNR_DB:g} dB SNR            shipped   fresh")
    rates = {name: _rates(rows) for name, rows in judged.items()}
    for key, words in (
        ("found", "identified (track and offset)"),
        ("refused", "unknown: no match"),
    ):
        print(f"{words:<33}{rates['shipped'][key]:6.1f} %{rates['fresh'][key]:7.1f} %")
    text = json.dumps({"clips": judged, "rates": rates}, indent=1) + "\n"
    (out / "answers.json").write_text(text, encoding="utf-8")
    print(f"\nFigure: {draw_demo(out / 'demo.png', judged, files[SHOWN - 1], out / 'shipped.a2v')}")
    return 0 if rates["shipped"]["found"] >= 50 else 1


def _judged(track, start_s, answer, most):
    """One answer beside the truth."""
    best = answer["matches"][0] if answer["matches"] else None
    by_chance = best["false_accepts"] if best else 1.0
    right = bool(best) and best["track"] == track and abs(best["offset_s"] - start_s) <= 0.5
    return {
        "known": track is not None,
        "track": best and best["track"],
        "offset_s": best and best["offset_s"],
        "probability": best["probability"] if best else 0.0,
        "false_accepts": by_chance,
        "accepted": by_chance <= most,
        "right": right,
    }


def _rates(rows):
    """Known clips found, and unknown ones refused, in %."""
    found = [row["accepted"] and row["right"] for row in rows if row["known"]]
    refused = [not row["accepted"] for row in rows if not row["known"]]
    return {"found": 100 * np.mean(found), "refused": 100 * np.mean(refused)}
