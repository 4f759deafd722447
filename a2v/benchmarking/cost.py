"""P6, cost: time, memory and bytes of models and of search, beside peers in the same run.

Every side hashes the same recordings in a process of its own, in turn, repeat by repeat, with one
thread per library; all engines search the same catalogue for the same queries in one process, in
turn. Seconds are those of one core; elapsed ones are kept beside them.
"""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from a2v import audio, resources, runtime
from a2v.benchmarking import cost_process, cost_tables
from a2v.errors import A2VError

SIZES = (10**5, 10**6)
LENGTHS_S = (1.0, 5.0, 10.0)
TRACKS = 12
CLASSICS = ("wang", "haitsma_kalker")
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")} | {
    "VECLIB_MAXIMUM_THREADS": "1"
}


def measure(models, tracks, *, seed, sizes=SIZES, repeats=5, progress=None):
    """Measures what models cost, and what their peers do.

    The peers of hashing are `a2v.classics` and, where it is installed, `fpcalc`; those of search a
    plain scan in NumPy and, where the package is installed, FAISS. The catalogue is made of hashes
    of the recordings, and of copies of them with a random quarter of the bits flipped.

    Args:
        models: list of str or Path, shipped models' names or `.tflite` files; a `.int8.tflite`
            file of the same name beside one is measured, too.
        tracks: list of corpora.Track; at most `TRACKS` are drawn, silent ones, repeated ones and
            those shorter than the longest query and a second passed over.
        seed: int; what is drawn depends on it and on the tracks alone.
        sizes: ints, hashes in the catalogue; 10 ** 7 takes minutes.
        repeats: int.
        progress: function `(done, total)`, of processes.

    Returns:
        list of dicts, rows of the answers file by kind: `cost`, what was drawn and where; of each
        model `model`; of each side and repeat `hashing`; of each model and size `catalogue`, of
        each of its engines, lengths and repeats `search`.

    Raises:
        A2VError: two models of one name, no track that is long enough, or a process failed.
    """
    if repeats < 1 or not sizes or min(sizes) < 1:
        raise A2VError(f"{repeats} repeats, sizes {list(sizes)}: give numbers from 1 on")
    rows = [_model(resources.saved_model(name)) for name in models]
    names = [row["system"] for row in rows]
    if not names or len(set(names)) < len(names):
        raise A2VError(f"models: {', '.join(names) or 'none'}; give some, of different names")
    chosen = _chosen(tracks, np.random.default_rng([seed, 8]))
    paths = [str(track.path) for track in chosen]
    sides = _sides(rows)
    total = repeats * len(sides) + len(rows) * len(sizes)
    done = _counted(total, progress)
    window_s = max(row["window_s"] for row in rows)
    made = []
    for repeat in range(repeats):
        for about, side in sides:
            order = {"task": "hashing", **side, "paths": paths, "window_s": window_s}
            made.append({"kind": "hashing", **about, "repeat": repeat, **_measured(order)})
            done()
    order = {"task": "searching", "paths": paths, "lengths_s": LENGTHS_S, "repeats": repeats}
    for row in rows:
        for size in sizes:
            found = _measured(order | {"model": row["path"], "size": int(size), "seed": seed})
            made += _search_rows({"system": row["system"], "codes": int(size)}, found)
            done()
    models = [{key: value for key, value in row.items() if key != "path"} for row in rows]
    return [_circumstances(chosen, made, repeats), *models, *made]


def parts(rows):
    """All tables of a run, with what they hold for.

    Args:
        rows: list of dicts: those of `measure`, and the run's own where there is one.

    Returns:
        list of str, Markdown; every line of a table holds a ratio to a peer, and what has no peer
        has no line.
    """
    return cost_tables.sections(rows)


def _model(path):
    """A model's row, and the path of its file."""
    metadata = runtime.read_metadata(path.read_bytes(), name=str(path))
    files = [path, path.with_suffix(".int8.tflite")]
    return {
        "kind": "model",
        "system": metadata["name"],
        "path": str(path),
        **{key: metadata[key] for key in ("model_id", "n_bits", "window_s", "hop_s")},
        "files": {file.name: file.stat().st_size for file in files if file.is_file()},
    }


def _sides(models):
    """All that hash: pairs of what their rows say, and what they are made with."""
    sides = []
    for row in models:
        for file in row["files"]:
            given = [str(Path(row["path"]).with_name(file))]
            about = {"system": row["system"], "file": file}
            sides.append((about, {"side": "model", "given": given}))
    for name in CLASSICS:
        sides.append(({"system": name, "file": None}, {"side": "classic", "given": [name]}))
    if shutil.which("fpcalc"):
        sides.append(({"system": "fpcalc", "file": None}, {"side": "fpcalc", "given": []}))
    return sides


def _chosen(tracks, generator):
    """Up to `TRACKS` recordings that every side can index and every query be cut from."""
    least = round((max(LENGTHS_S) + 1) * audio.SAMPLE_RATE)
    taken, seen = [], set()
    for k in generator.permutation(len(tracks)):
        waveform = audio.load(tracks[k].path)
        digest = hashlib.sha256(waveform).digest()
        loud = len(waveform) >= least and audio.level_dbfs(waveform) > audio.SILENCE_DBFS
        if loud and digest not in seen:
            taken.append(tracks[k])
            seen.add(digest)
        if len(taken) == TRACKS:
            break
    if not taken:
        raise A2VError(
            f"{len(tracks)} tracks, none of {least / audio.SAMPLE_RATE:g} s that is not silent; "
            "give longer ones"
        )
    return taken


def _measured(order):
    """What a process of its own says to an order."""
    command = [sys.executable, "-m", cost_process.__name__, json.dumps(order)]
    done = subprocess.run(
        command, env=os.environ | ONE_THREAD, capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise A2VError(f"measuring {order['task']} failed: {last[0]}")
    return json.loads(done.stdout.splitlines()[-1])


def _search_rows(about, found):
    made = {key: found[key] for key in ("real", "tracks", "faiss")}
    queries = [{"kind": "search", **about, **query} for query in found["queries"]]
    return [{"kind": "catalogue", **about, **made}, *queries]


def _counted(total, progress):
    """A function that counts a process that has ended."""
    ended = 0

    def done():
        nonlocal ended
        ended += 1
        if progress:
            progress(ended, total)

    return done


def _circumstances(chosen, made, repeats):
    said = ""
    if shutil.which("fpcalc"):
        asked = ["fpcalc", "-version"]
        said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "kind": "cost",
        "tracks": [track.track for track in chosen],
        "audio_s": made[0]["audio_s"],
        "repeats": repeats,
        "processor": _processor(),
        "fpcalc": said or None,
    }


def _processor():
    """The processor's name: str."""
    listed = Path("/proc/cpuinfo")
    for line in listed.read_text().splitlines() if listed.exists() else ():
        if line.startswith("model name"):
            return line.split(": ", 1)[1]
    return platform.processor() or platform.machine()
