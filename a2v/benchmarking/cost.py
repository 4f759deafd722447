"""P6, cost: time, memory and bytes of models, beside peers in the same run.

Every side hashes the same recordings in a process of its own, in turn, repeat by repeat, with one
thread per library. Seconds are those of one core; elapsed ones are kept beside them. What search
costs is the suite `growth`.
"""

import shutil
import subprocess
from pathlib import Path

import numpy as np

from a2v import attached, resources
from a2v.benchmarking import cost_process, cost_tables, processes
from a2v.errors import A2VError

# The shortest recording: what searches a clip of 10 s needs one longer than that.
LEAST_S = 11.0
TRACKS = 12
CLASSICS = ("wang", "haitsma_kalker")


def measure(models, tracks, *, seed, repeats=5, progress=None):
    """Measures what models cost, and what their peers do.

    The peers are `a2v.classics` and, where it is installed, `fpcalc`.

    Args:
        models: list of str or Path, shipped models' names or `.tflite` files; a `.int8.tflite`
            file of the same name beside one is measured, too.
        tracks: list of corpora.Track; at most `TRACKS` are drawn, silent ones, repeated ones and
            those shorter than `LEAST_S` passed over.
        seed: int; what is drawn depends on it and on the tracks alone.
        repeats: int.
        progress: function `(done, total)`, of processes.

    Returns:
        list of dicts, rows of the answers file by kind: `cost`, what was drawn and where; of each
        model `model`; of each side and repeat `hashing`.

    Raises:
        A2VError: two models of one name, no track that is long enough, or a process failed.
    """
    if repeats < 1:
        raise A2VError(f"{repeats} repeats: give a number from 1 on")
    rows = [_model(resources.saved_model(name)) for name in models]
    names = [row["system"] for row in rows]
    if not names or len(set(names)) < len(names):
        raise A2VError(f"models: {', '.join(names) or 'none'}; give some, of different names")
    generator = np.random.default_rng([seed, 8])
    chosen = processes.drawn(tracks, generator, least_s=LEAST_S, most=TRACKS)
    paths = [str(track.path) for track in chosen]
    sides = _sides(rows)
    done = processes.counter(repeats * len(sides), progress)
    window_s = max(row["window_s"] for row in rows)
    made = []
    for repeat in range(repeats):
        for about, side in sides:
            order = {**side, "paths": paths, "window_s": window_s}
            found = processes.ask(cost_process, "hashing", **order)
            made.append({"kind": "hashing", **about, "repeat": repeat, **found})
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
    metadata = attached.read_metadata(path.read_bytes(), name=str(path))
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
        "processor": processes.processor(),
        "fpcalc": said or None,
    }
