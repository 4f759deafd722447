"""Runs tasks over systems in several processes, keeps every answer, goes on where it was killed."""

import contextlib
import gzip
import hashlib
import json
import os
import platform
import subprocess
import zlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from a2v import audio, places, workers
from a2v.benchmarking import systems as systems_
from a2v.errors import A2VError

ANSWERS = "answers.jsonl"
PROGRESS = "progress.jsonl"
PACKAGES = ("a2v", "numpy", "scipy", "soundfile", "soxr")
PACKAGES += ("ai-edge-litert", "faiss-cpu", "keras", "tensorflow")


def run(
    out,
    names,
    catalogue,
    tasks,
    answered,
    *,
    head,
    noise,
    rooms,
    distractors=0,
    jobs=None,
    progress=None,
):
    """Indexes the catalogue with every system and answers every task.

    Args:
        out: Path of a folder: `index/`, and `answers.jsonl` when all is done.
        names: list of str, see `systems.create`.
        catalogue: list of corpora.Track.
        tasks: list of the suite's tasks, dataclasses with a `path`.
        answered: function `(task, systems, seed, *, noises, rooms)` to rows.
        head: dict, what the run is of; a run is resumed only where it is the same.
        noise, rooms: lists of files or folders.
        distractors: int, hashes made of the train tracks that are added to every catalogue.
        jobs: int, processes; one per core if `None`.
        progress: function `(done, total)`, of distractors first, then of tasks.

    Returns:
        list of dicts: the rows of `answers.jsonl`.

    Raises:
        A2VError: the folder holds another run, a system cannot be made, or takes no distractors.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    head = {"kind": "run", **head, "systems": list(names)}
    around = circumstances()  # of the code that begins, whatever is committed meanwhile
    done = _begin(out, head)
    for name in names if distractors else ():
        if not hasattr(systems_.create(name), "fill"):
            raise A2VError(f"{name}: takes no distractors; name models alone")
    about = [_index(out, name, catalogue) for name in names]
    if distractors:
        asked = {"seed": head["seed"], "jobs": jobs, "progress": progress}
        _fill(out, names, catalogue, distractors, **asked)
    pending = [(k, task) for k, task in enumerate(tasks) if k not in done]
    work = Asking(out, names, answered, head["seed"], noise, rooms)
    with (
        open(out / PROGRESS, "a", encoding="utf-8") as file,
        contextlib.closing(workers.mapped(work, pending, jobs=jobs)) as results,
    ):
        for (number, task), rows in results:
            if isinstance(rows, A2VError):
                raise A2VError(f"{task.path}: {rows}") if isinstance(rows, workers.Died) else rows
            file.write(json.dumps({"task": number, "rows": rows}) + "\n")
            file.flush()
            done[number] = rows
            if progress:
                progress(len(done), len(tasks))
    rows = [head | around, *about, *(row for k in sorted(done) for row in done[k])]
    places.write_whole(out / ANSWERS, "".join(json.dumps(row) + "\n" for row in rows))
    (out / PROGRESS).unlink()
    return rows


def read(path):
    """Reads an answers file, or, where it was packed away, the same with `.gz` behind its name.

    Args:
        path: Path.

    Returns:
        list of dicts.

    Raises:
        A2VError: it is missing or damaged.
    """
    path = Path(path)
    packed = path.with_name(path.name + ".gz")
    try:
        if packed.exists() and not path.exists():
            data = gzip.decompress(packed.read_bytes())
        else:
            data = path.read_bytes()
        rows = [json.loads(line) for line in data.decode("utf-8").splitlines()]
        if not rows or rows[0].get("kind") != "run":
            raise ValueError("no run in its first line")
        return rows
    except OSError as error:
        # gzip says what is wrong with a file's head in an OSError without `strerror`.
        why = error.strerror or error
        raise A2VError(f"{path}: cannot be read ({why}); run the suite first") from None
    except (EOFError, zlib.error, ValueError) as error:
        raise A2VError(f"{path}: damaged ({error}); run the suite again") from None


def _begin(out, head):
    """Rows by task of an earlier run that was killed; none where there was none."""
    file = out / PROGRESS
    if not file.exists():
        file.write_text(json.dumps(head) + "\n", encoding="utf-8")
        return {}
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    if not lines or json.loads(lines[0]) != head:
        raise A2VError(f"{out}: holds another run; use --overwrite, or another --out")
    whole = [line for line in lines if line.endswith("\n")]
    if len(whole) < len(lines):  # the last one was cut off by a kill
        places.write_whole(file, "".join(whole))
    return {row["task"]: row["rows"] for row in map(json.loads, whole[1:])}


def _index(out, name, catalogue):
    """Indexes with one system where that was not done: the system's row."""
    system = systems_.create(name)
    folder = out / "index" / name.replace(os.sep, "_")
    about = folder / "system.json"
    systems_.indexed(system, catalogue, folder)
    if not about.exists():
        row = {
            "kind": "system",
            "system": system.name,
            "audio_s": sum(systems_.audio_seconds(track.path) for track in catalogue),
            "bytes": system.n_bytes(),
            "threshold": system.threshold(),
            "model_id": getattr(system, "model_id", None),
        }
        places.write_whole(about, json.dumps(row))
    return json.loads(about.read_text(encoding="utf-8"))


def _fill(out, names, catalogue, count, **asked):
    """Adds distractors to the index of every system."""
    train = [track for track in catalogue if track.split == "train"]
    for name in names:
        place = out / "index" / name.replace(os.sep, "_")
        systems_.create(name).fill(train, count, place, **asked)


class Asking:
    """Puts tasks to systems; what `workers.mapped` works with.

    Args:
        out, names, answered, noise, rooms: as for `run`; seed: int.
    """

    def __init__(self, out, names, answered, seed, noise, rooms):
        self._out, self._names, self._answered, self._seed = Path(out), names, answered, seed
        self._noise, self._rooms = list(noise), list(rooms)
        self._opened = None

    def open(self):
        """Opens every index and loads what degrades."""
        systems = [systems_.create(name) for name in self._names]
        for name, system in zip(self._names, systems, strict=True):
            system.open(self._out / "index" / name.replace(os.sep, "_"))
        self._opened = systems, {"noises": loaded(self._noise), "rooms": loaded(self._rooms)}

    def __call__(self, item):
        """Rows of a task, given as (its number, itself)."""
        systems, sounds = self._opened
        return self._answered(item[1], systems, self._seed, **sounds)


def loaded(paths):
    """Waveforms of all recordings in files and folders: list of float32 `[n]`, empty for none."""
    return [audio.load(path) for path, _ in audio.find(paths)] if paths else []


def circumstances():
    """What a figure may depend on: dict of versions, commit and machine."""
    versions = {}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            versions[package] = version(package)
    asked = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short=12", "HEAD"]
    try:
        said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        said = ""
    cores = len(os.sched_getaffinity(0))
    machine = f"{platform.machine()}, {cores} core{'s' if cores > 1 else ''}"
    return {"versions": versions, "commit": said or "none", "machine": machine}


def corpus(run):
    """On what a run was made, for a sentence: str."""
    return f"Corpus {run['corpus']} (SHA-256 {run['corpus_sha256'][:12]}, seed {run['seed']})"


def provenance(run):
    """By which commit on which machine a run was made, for a sentence: str."""
    others = {}
    for name, commit in run.get("commits", {}).items():
        others.setdefault(commit, []).append(name)
    but = "".join(f", {', '.join(names)} by {commit}" for commit, names in others.items())
    return f"commit {run['commit']}{but}; {run['machine']}"


def checksum(tracks):
    """SHA-256 over the names and bytes of a corpus: hexadecimal str."""
    total = hashlib.sha256()
    for track in sorted(tracks, key=lambda track: track.track):
        with places.place(track.path).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(json.dumps([track.track, digest, track.split]).encode())
    return total.hexdigest()
