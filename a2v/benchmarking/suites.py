"""Suites by name: what each measures on which corpus, and the pages made from its answers."""

import json
import shutil
from pathlib import Path

from a2v import corpora, places, resources, runtime
from a2v.benchmarking import (
    additions,
    cost,
    cover_alignment,
    covers,
    growth,
    hashes,
    recommend,
    report,
    retrieval,
    runner,
    sure,
)
from a2v.benchmarking.systems import PEERS
from a2v.corpora import splits, synthetic
from a2v.errors import A2VError

# A corpus is composed where none is given: small, so that a suite on it takes minutes.
COMPOSED = {
    "retrieval": {"works": 24, "covers": 1, "seconds": 40.0},
    "covers": {"works": 20, "covers": 3, "seconds": 60.0},
    "hashes": {"works": 12, "covers": 0, "seconds": 40.0},
    "recommend": {"works": 21, "covers": 2, "seconds": 30.0},
    "cost": {"works": 6, "covers": 0, "seconds": 60.0},
    "sure": {"works": 24, "covers": 0, "seconds": 40.0},
    "growth": {"works": 6, "covers": 0, "seconds": 60.0},
}
MODULES = {
    "retrieval": retrieval,
    "covers": covers,
    "hashes": hashes,
    "recommend": recommend,
    "cost": cost,
    "sure": sure,
    "growth": growth,
}
NAMES = tuple(MODULES)
# Speeds are compared within one run alone.
SIDE_BY_SIDE = {"cost", "growth"}
TASKS = {"queries", "lengths_s", "names", "whole", "distractors"}  # settings of the retrieval suite
# The settings that are a suite's own.
OPTIONS = {"retrieval": TASKS, "sure": {"queries"}, "growth": {"queries", "sizes"}}
ADDED = "added"  # folder of a run that is to be added, within the finished one's
# Systems that one suite alone knows, and that need nothing to be installed.
OWN = {"covers": (cover_alignment.QMAX,)}


def default_systems(suite, *, models_alone=False):
    """What a suite asks where nothing is named: every shipped model, and all peers it can ask."""
    if models_alone:
        return resources.saved_models()
    peers = PEERS if suite == "retrieval" else OWN.get(suite, ())
    return [*resources.saved_models(), *peers]


def run(
    suite,
    out,
    *,
    systems,
    corpus=None,
    noise=(),
    rooms=(),
    seed=0,
    jobs=None,
    progress=None,
    **options,
):
    """Runs a suite and writes its answers.

    Args:
        suite: str, one of `NAMES`.
        out: Path of a folder; it gets `answers.jsonl`.
        systems: list of str, see `systems.create`, `OWN` and `default_systems`.
        corpus: list of files, folders, manifests; a composed corpus if `None`.
        noise, rooms: lists of files or folders; simulated ones where empty.
        seed: int; jobs: int, processes.
        progress: function `(done, total)`.
        options: `queries`, `lengths_s`, `names` (degradations), `whole` (bool, leave no track out
            of the catalogue) and `distractors` (int, hashes to fill it up with, see
            `distractors.add`) of the retrieval suite; `queries` of the suites sure and growth,
            `sizes` (ints, hashes in the catalogues) of growth.

    Returns:
        list of dicts, the rows.

    Raises:
        A2VError: the corpus has too few tracks for the suite, a system cannot be made, or a setting
            is none of this suite.
    """
    out = Path(out)
    for name in options.keys() - OPTIONS.get(suite, set()):
        takers = ", ".join(other for other, names in OPTIONS.items() if name in names)
        raise A2VError(f"suite {suite}: has no setting {name}; {takers or 'none'} has")
    out.mkdir(parents=True, exist_ok=True)
    tracks = _tracks(suite, out, corpus, seed)
    head = _head(suite, corpus, tracks, seed)
    if suite == "retrieval":
        asked = {"noise": noise, "rooms": rooms, "jobs": jobs, "progress": progress}
        return _retrieval(out, head, tracks, options, systems=systems, **asked)
    # No model has met a composed work, so all of them may be asked for.
    split = "test" if corpus else None
    if suite == "covers":
        # Nothing is set on the tune split here.
        asked = ("tune", "test") if corpus else None
        rows = _covers(head, tracks, systems=systems, splits=asked, jobs=jobs, progress=progress)
    elif suite == "recommend":
        rows = _recommend(head, tracks, systems=systems, split=split, progress=progress)
    elif suite == "cost":
        rows = _speeds(cost, head, tracks, systems=systems, progress=progress)
    elif suite == "growth":
        rows = _speeds(growth, head, tracks, systems=systems, progress=progress, **options)
    elif suite == "sure":
        asked = {"noises": runner.loaded(noise), **options}
        rows = _sure(head, tracks, systems=systems, progress=progress, **asked)
    else:
        asked = {"noises": runner.loaded(noise), "rooms": runner.loaded(rooms)}
        rows = _hashes(head, tracks, systems=systems, split=split, progress=progress, **asked)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    places.write_whole(out / runner.ANSWERS, text)
    return rows


def add(suite, out, **options):
    """Asks further systems, or some anew, and puts them into a finished run.

    Args:
        suite: str; out: Path of the finished run's folder; options: as for `run`.

    Returns:
        list of dicts, all rows.

    Raises:
        A2VError: as `run`; the finished run is of other tasks; the suite compares speeds, which
            have to be measured side by side.
    """
    if suite in SIDE_BY_SIDE:
        raise A2VError(f"{suite}: speeds are compared within one run; measure all systems anew")
    out = Path(out)
    before = runner.read(out / runner.ANSWERS)
    corpus, seed = options.get("corpus"), options.get("seed", 0)
    head = _head(suite, corpus, _tracks(suite, out, corpus, seed), seed)
    asked = {key: options[key] for key in TASKS if key in options}
    additions.check(before[0], head | asked, head.keys() | TASKS)  # before hours are spent
    beside = out / ADDED
    if (out / "corpus").exists() and not (beside / "corpus").exists():
        beside.mkdir(exist_ok=True)
        (beside / "corpus").symlink_to((out / "corpus").resolve())
    rows = additions.merged(before, run(suite, beside, **options))
    places.write_whole(out / runner.ANSWERS, "".join(json.dumps(row) + "\n" for row in rows))
    (out / f"{runner.ANSWERS}.gz").unlink(missing_ok=True)
    shutil.rmtree(beside)
    return rows


def publish(out):
    """Makes tables, figures and a page from the answers in a folder.

    Args:
        out: Path, a folder that `run` wrote to.

    Returns:
        list of Path: what was written.
    """
    rows = runner.read(Path(out) / runner.ANSWERS)
    made, suite = MODULES[rows[0]["suite"]], rows[0]["suite"]
    return report.write(out, title=f"a2v: {suite}", parts=made.parts(rows))


def _retrieval(out, head, tracks, chosen, *, systems, noise, rooms, jobs, progress):
    chosen = dict(chosen)
    whole = {"whole": True} if chosen.pop("whole", False) else {}
    more = {"distractors": chosen.pop("distractors")} if chosen.get("distractors") else {}
    catalogue, unknown = retrieval.parted(tracks, head["seed"], **whole)
    return runner.run(
        out,
        systems,
        catalogue,
        retrieval.tasks(catalogue, unknown, **chosen),
        retrieval.answered,
        head=head | {"tracks": len(catalogue), "unknown": len(unknown)} | chosen | whole | more,
        **more,
        noise=noise,
        rooms=rooms,
        jobs=jobs,
        progress=progress,
    )


def _covers(head, tracks, *, systems, splits, jobs, progress):
    found = covers.versions(tracks, splits=splits)
    head = head | {"tracks": sum(version.original for version in found)}
    rows = [head | runner.circumstances()]
    for done, name in enumerate(systems):

        def counted(part, total, done=done):
            if progress:
                progress(done * total + part, len(systems) * total)

        if name in OWN["covers"]:
            rows += covers.baseline(found, progress=counted)
        else:
            rows += covers.answers(_encoder(name), found, jobs=jobs, progress=counted)
    return rows


def _hashes(head, tracks, *, systems, split, noises, rooms, progress):
    asked = [track for track in tracks if split in (None, track.split)]
    encoders = [_encoder(name) for name in systems]
    own = {"noises": noises, "rooms": rooms, "progress": progress}
    rows = hashes.measure(encoders, asked, seed=head["seed"], **own)
    return [head | {"tracks": len(asked)} | runner.circumstances(), *rows]


def _recommend(head, tracks, *, systems, split, progress):
    # Those of the tune split set thresholds and are asked for nothing else.
    asked = [track for track in tracks if split is None or track.split in (split, "tune")]
    encoders = [_encoder(name) for name in systems]
    rows = recommend.measure(encoders, asked, seed=head["seed"], progress=progress)
    return [head | {"tracks": len(asked)} | runner.circumstances(), *rows]


def _speeds(module, head, tracks, *, systems, **asked):
    rows = module.measure(systems, tracks, seed=head["seed"], **asked)
    return [head | {"tracks": len(tracks)} | runner.circumstances(), *rows]


def _sure(head, tracks, *, systems, progress, **asked):
    encoders = [_encoder(name) for name in systems]
    rows = sure.measure(encoders, tracks, seed=head["seed"], progress=progress, **asked)
    return [head | {"tracks": len(tracks)} | runner.circumstances(), *rows]


def _head(suite, corpus, tracks, seed):
    return {
        "kind": "run",
        "suite": suite,
        "corpus": ", ".join(Path(path).name for path in corpus or ["composed"]),
        "corpus_sha256": runner.checksum(tracks),
        "seed": seed,
    }


def _encoder(name):
    return runtime.Encoder(resources.saved_model(name))


def _tracks(suite, out, corpus, seed):
    if corpus:
        return splits.assign(corpora.tracks(corpus))
    folder = out / "corpus"
    if not (folder / "manifest.csv").exists():
        synthetic.compose(folder, **COMPOSED[suite], seed=seed, overwrite=True)
    return corpora.tracks([folder / "manifest.csv"])
