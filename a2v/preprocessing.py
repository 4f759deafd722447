"""Recordings to TFRecords: plan the shards, decode and window through tf.data, write, resume.

A shard is the unit of work, see `shards`: a killed run resumes with the first one that is missing
and ends in the same bytes.
"""

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor

from a2v import audio, decoding, features, places, records, workers
from a2v import shards as shards_
from a2v.corpora.splits import FRACTIONS, SPLITS, assign
from a2v.errors import A2VError
from a2v.partners import FEATURE, Partners
from a2v.shards import Shards, rejection
from a2v.windowing import Windower


def preprocess(
    tracks,
    out,
    *,
    feature_names=("mfcc",),
    feature_options=None,
    hop_s=features.HOP_S,
    margin_s=0.0,
    partners=False,
    shards=16,
    splits=FRACTIONS,
    downmix="first",
    decoder="fastest",
    engine=workers.LOCAL,
    jobs=None,
    address=None,
    resume=False,
    overwrite=False,
    progress=None,
):
    """Writes a dataset of windows.

    Args:
        tracks: list of `a2v.corpora.Track`; tracks without a split get one by their work.
        out: folder to make, or its URL.
        feature_names: names from `features.FEATURES`, or `waveform`.
        feature_options: dict of feature name to keyword arguments of its layer.
        hop_s: float, seconds between windows, a multiple of 0.25.
        margin_s: float, seconds of audio kept before and after each `waveform` window, zeros
            beyond the recording's ends.
        partners: bool, keep beside each `waveform` window the same passage of another version of
            its work, as the feature `partner`; see `partners.Partners`.
        shards: int, TFRecord files of the train split; the others get in proportion.
        splits: fractions of works for train, tune and test, where the tracks name none.
        downmix: `first` or `mean`.
        decoder: `fastest`, or `tensorflow-io` (where its native operations load) or `libsndfile`
            for all that these can read.
        engine: str, who writes, one of `workers.NAMES`: this process, by tf.data, or a cluster,
            whose machines have to see recordings and `out` under the same names.
        jobs: int, recordings decoded at a time here, shards written at a time elsewhere; `None`
            takes all cores.
        address: str, where the engine's cluster is, see `workers.mapped`.
        resume: bool, go on with an interrupted run; also makes shards anew that are damaged.
        overwrite: bool, replace the dataset that is there.
        progress: function `(seconds_done, seconds_in_all)`.

    Returns:
        dict, the manifest: also in `out/dataset.json`. Its `rejected` lists
        `{"track", "path", "reason"}` for what could not be used.

    Raises:
        A2VError: bad arguments, an output that is in the way, another plan under way, no usable
            track, no partner where some are asked for, a full disk.
    """
    out = places.place(out)
    if downmix not in audio.DOWNMIXES:
        raise A2VError(f"downmix {downmix!r}: use one of {', '.join(audio.DOWNMIXES)}")
    if decoder not in decoding.NATIVE_OF:
        raise A2VError(f"decoder {decoder!r}: use one of {', '.join(decoding.NATIVE_OF)}")
    if shards < 1:
        raise A2VError(f"shards {shards}: use 1 or more")
    workers.check(engine, address)
    windows = {"names": list(feature_names), "options": feature_options}
    windows |= {"hop_s": hop_s, "margin_s": margin_s}
    windower = Windower(**windows)
    if partners and "waveform" not in windower.names:
        raise A2VError("partners are waveforms; ask for the feature waveform beside them")
    here = jobs or len(os.sched_getaffinity(0))
    settings = {
        "format": records.FORMAT,
        "sample_rate": audio.SAMPLE_RATE,
        "downmix": downmix,
        "window_s": features.WINDOW_S,
        "hop_s": hop_s,
        "features": windower.described(),
    }
    if partners:
        settings["features"][FEATURE] = settings["features"]["waveform"]
    entries = [vars(track) for track in assign(tracks, splits)]
    _check_place(out, resume, overwrite)
    usable, rejected = _scan(entries, decoder, here)
    if partners:
        Partners(usable, windower, downmix).check()
    plan = _plan(usable, shards)
    try:
        digest = _begin(out, {**settings, "shards": plan, "rejected": rejected}, overwrite)
        pending = [shard for shard in plan if not shards_.is_done(out, shard["name"])]
        given = {"downmix": downmix, "partnered": usable if partners else None}
        if engine == workers.LOCAL:
            work = Shards(out, windows, jobs=here, **given)
            work.open()
            done = work.written(pending)
        else:
            work = Shards(out, windows, jobs=1, **given)
            done = _elsewhere(work, pending, engine=engine, jobs=jobs, address=address)
        _follow(done, pending, progress)
        _clear(out)
        manifest = _manifest(out, settings, digest, plan, rejected)
        places.write_whole(out / records.MANIFEST, json.dumps(manifest, indent=1) + "\n")
        places.remove_tree(out / records.PROGRESS)
    except OSError as error:
        raise A2VError(
            f"{error.filename or out}: cannot write ({error.strerror or error}); make room or "
            "choose another folder, then go on with --resume"
        ) from error
    return manifest


def _check_place(out, resume, overwrite):
    """Refuses an output that is in the way or cannot be written, before any work is done."""
    if out.exists():
        if not out.is_dir():
            raise A2VError(f"{out}: is a file; choose another folder")
        if any(out.iterdir()):
            if not any((out / name).exists() for name in (records.MANIFEST, records.PROGRESS)):
                raise A2VError(f"{out}: holds something else than a dataset; choose another folder")
            if not resume and not overwrite:
                raise A2VError(f"{out}: exists; use --resume to go on or --overwrite to replace it")
    if places.is_remote(out):
        return
    place = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise A2VError(f"{out}: cannot write to {place}; choose another folder")


def _scan(entries, decoder, jobs):
    """Probes each file without decoding it: usable entries, and rejected ones with a reason."""
    native = decoding.NATIVE_OF[decoder] if decoding.native_operations() else frozenset()

    def probe(entry):
        try:
            return entry | decoding.probe(entry["path"], native=native)
        except decoding.Unusable as reason:
            return rejection(entry, reason)

    with ThreadPoolExecutor(jobs) as pool:
        probed = list(pool.map(probe, entries))
    usable, rejected, seen = [], [], {}
    for entry in probed:
        if "reason" in entry:
            rejected.append(entry)
        elif entry["sha256"] in seen:
            reason = f"duplicate: the same bytes as {seen[entry['sha256']]}"
            rejected.append(rejection(entry, reason))
        else:
            seen[entry["sha256"]] = entry["path"]
            usable.append(entry)
    if not usable:
        raise _nothing_usable(rejected)
    # As good as a shuffle: what lies together in a shard comes together in training, and
    # neighbours in a list are versions of one work, or the music of one collection.
    usable.sort(key=lambda entry: entry["sha256"])
    return usable, rejected


def _nothing_usable(rejected):
    named = [f"{r['path']}: {r['reason']}" for r in rejected[:5]]
    more = [f"and {len(rejected) - 5} more"] if len(rejected) > 5 else []
    return A2VError("no usable recording: " + "; ".join(named + more))


def _plan(entries, shards):
    """Deals the tracks of each split to its shards, one after the other."""
    n_train = max(1, sum(e["split"] == "train" for e in entries))
    plan = []
    for split in SPLITS:
        chosen = [e for e in entries if e["split"] == split]
        count = min(len(chosen), max(1, round(shards * len(chosen) / n_train)), 10 * shards)
        for index in range(count):
            name = records.shard_name(split, index, count)
            plan.append({"name": name, "split": split, "tracks": chosen[index::count]})
    return plan


def _begin(out, plan, overwrite):
    """Lays the plan of this run down, or finds it; refuses to go on with another one's shards.

    Returns:
        str, the plan's SHA-256.
    """
    progress, file = out / records.PROGRESS, out / records.PROGRESS / "plan.json"
    manifest = out / records.MANIFEST
    text = json.dumps(plan)
    digest = hashlib.sha256(text.encode()).hexdigest()
    # In this order: at any instant the folder is known for a dataset, and what is left of an old
    # one does not pass for a whole one or for part of the new one.
    progress.mkdir(parents=True, exist_ok=True)
    if overwrite:
        file.unlink(missing_ok=True)
        manifest.unlink(missing_ok=True)
    if manifest.exists():
        done = records.Dataset(out).manifest
        if done.get("plan") != digest:
            raise A2VError(f"{out}: was made from other files or settings; use --overwrite")
        for shard in done["shards"]:
            shards_.keep(out, _result_of(done, shard))
    elif file.exists():
        if file.read_text(encoding="utf-8") != text:
            raise A2VError(f"{out}: was begun with other files or settings; use --overwrite")
    else:
        for split in SPLITS:
            for left in out.glob(f"{split}-*-of-*.tfrecord"):
                left.unlink()
    _clear(out)
    places.write_whole(file, text)
    return digest


def _result_of(manifest, shard):
    mine = [t for t in manifest["tracks"] if t["shard"] == shard["name"]]
    gone = [r for r in manifest["rejected"] if r.get("shard") == shard["name"]]
    return {"shard": shard, "tracks": mine, "rejected": gone}


def _elsewhere(work, pending, **engine):
    """Has shards written by others; yields the seconds of each."""
    for shard, seconds in workers.mapped(work, pending, **engine):
        if isinstance(seconds, A2VError):
            raise A2VError(f"{shard['name']}: {seconds}") from seconds
        yield seconds


def _follow(done, pending, progress):
    """Reports the seconds of audio that come in as done."""
    total = sum(entry["seconds"] for shard in pending for entry in shard["tracks"])
    so_far = 0.0
    for seconds in done:
        so_far += seconds
        if progress:
            progress(so_far, total)


def _clear(out):
    """Deletes what workers that died had begun."""
    for pattern in ("*.tfrecord*.tmp", f"{records.MANIFEST}*.tmp"):
        for left in out.glob(pattern):
            left.unlink()


def _manifest(out, settings, digest, plan, rejected):
    results = [shards_.result(out, shard["name"]) for shard in plan]
    rejected = rejected + [x for r in results for x in r["rejected"]]
    tracks = [t for r in results for t in r["tracks"]]
    if not tracks:
        raise _nothing_usable(rejected)
    return {
        **settings,
        "plan": digest,
        "shards": [r["shard"] for r in results],
        "tracks": tracks,
        "rejected": rejected,
    }
