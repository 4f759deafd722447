"""Recordings to TFRecords: plan the shards, decode and window through tf.data, write, resume.

A shard is the unit of work: it is written under a temporary name, described by a small JSON file
in `.progress/`, then renamed. What is renamed is never touched again, so a killed run resumes
with the first shard that is missing and ends in the same bytes.
"""

import hashlib
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tensorflow as tf

from a2v import audio, decoding, features, records
from a2v.errors import A2VError

SPLITS = ("train", "tune", "test")
PROGRESS = ".progress"


def preprocess(
    tracks,
    out,
    *,
    feature_names=("mfcc",),
    feature_options=None,
    hop_s=features.HOP_S,
    margin_s=0.0,
    shards=16,
    splits=(0.8, 0.1, 0.1),
    downmix="first",
    jobs=None,
    resume=False,
    overwrite=False,
    progress=None,
):
    """Writes a dataset of windows.

    Args:
        tracks: list of `a2v.corpora.Track`; tracks without a split get one by their work.
        out: folder to make.
        feature_names: names from `features.FEATURES`, or `waveform`.
        feature_options: dict of feature name to keyword arguments of its layer.
        hop_s: float, seconds between windows, a multiple of 0.25.
        margin_s: float, seconds of audio kept before and after each `waveform` window, zeros
            beyond the recording's ends.
        shards: int, TFRecord files of the train split; the others get in proportion.
        splits: fractions of works for train, tune and test, where the tracks name none.
        downmix: `first` or `mean`.
        jobs: int, tracks decoded at a time; `None` takes all cores.
        resume: bool, go on with an interrupted run.
        overwrite: bool, replace what is there.
        progress: function `(seconds_done, seconds_in_all)`.

    Returns:
        dict, the manifest: also in `out/dataset.json`. Its `rejected` lists
        `{"track", "path", "reason"}` for what could not be used.

    Raises:
        A2VError: bad arguments, an output that is in the way, another plan under way, no usable
            track, a full disk.
    """
    out = Path(out)
    hop = round(hop_s / features.HOP_S)
    if hop < 1 or abs(hop * features.HOP_S - hop_s) > 1e-9:
        raise A2VError(f"hop_s = {hop_s}: use a multiple of {features.HOP_S}")
    windower = Windower(feature_names, feature_options or {}, hop, margin_s)
    settings = {
        "format": records.FORMAT,
        "sample_rate": audio.SAMPLE_RATE,
        "downmix": downmix,
        "window_s": features.WINDOW_S,
        "hop_s": hop_s,
        "features": windower.described(),
    }
    try:
        _prepare(out, resume, overwrite)
        scanned, rejected = _scan(assign_splits(tracks, splits), jobs)
        plan = _plan(scanned, shards)
        _hold_plan(out, {**settings, "shards": plan, "rejected": rejected})
        pending = [s for s in plan if not (out / s["name"]).exists()]
        _write_shards(out, pending, windower, downmix, jobs, progress)
        manifest = _manifest(out, settings, plan, rejected)
        records.write_whole(out / records.MANIFEST, json.dumps(manifest, indent=1) + "\n")
        shutil.rmtree(out / PROGRESS)
    except (OSError, tf.errors.OpError) as error:
        raise A2VError(
            f"{out}: cannot write ({error}); make room or choose another folder, then go on "
            "with --resume"
        ) from error
    return manifest


class Windower:
    """Turns a recording's waveform into windows of all features asked for.

    Args:
        names: feature names; options: dict of name to layer keyword arguments.
        hop: int, windows advance by this many times 0.25 s.
        margin_s: float, seconds of context on both sides of `waveform` windows.
    """

    def __init__(self, names, options, hop, margin_s):
        self.layers = {n: features.build(n, **options.get(n, {})) for n in names if n != "waveform"}
        self.hop = hop
        self.margin = round(margin_s * audio.SAMPLE_RATE)
        self.names = list(names)
        self.wave_span = features.build("logmel", **options.get("logmel", {})).span()

    @property
    def hop_samples(self):
        """Samples between two windows."""
        return self.hop * features.HOP_FRAMES * features.FRAME_STEP

    def span(self):
        """Samples that the longest feature's window covers."""
        spans = [layer.span() for layer in self.layers.values()]
        return max(spans + ([self.wave_span] if "waveform" in self.names else []))

    def described(self):
        """Definition, digest and window shape of each feature, JSON-ready."""
        described = {}
        for name in self.names:
            if name == "waveform":
                shape = [self.wave_span + 2 * self.margin]
                definition = {"layer": "Waveform", "sample_rate": audio.SAMPLE_RATE}
            else:
                layer = self.layers[name]
                shape = [features.WINDOW_FRAMES, layer.n_features]
                definition = layer.definition()
            digest = features.digest(definition)
            described[name] = {"digest": digest, "shape": shape, "definition": definition}
        return described

    def windows(self, waveform, *, before=0, after=0):
        """Windows of one recording, or of a piece of it.

        Args:
            waveform: float32 `[n]`; its first `before` and last `after` samples are only context
                for the margins.

        Returns:
            dict of feature name to tensor `[windows, ...]`; no windows below 1 s.
        """
        step = features.HOP_FRAMES * features.FRAME_STEP
        context = waveform
        waveform = waveform[before : tf.shape(waveform)[0] - after]
        n = tf.shape(waveform)[0]
        window = round(features.WINDOW_S * audio.SAMPLE_RATE)
        count = tf.maximum(0, 1 + (n - window) // step)
        # Zeros complete the last window's frames; at least one window is always computed.
        missing = tf.maximum(self.span() - window, self.span() - n)
        padded = tf.pad(waveform, [[0, missing]])
        result = {}
        for name in self.names:
            if name == "waveform":
                zeros = [self.margin - before, self.margin - after + missing]
                wide = tf.pad(context, [zeros])
                windows = tf.signal.frame(wide, self.wave_span + 2 * self.margin, step)
            else:
                windows = self.layers[name].windows(padded)
            result[name] = windows[:count][:: self.hop]
        return result


def assign_splits(tracks, splits):
    """Gives each track without a split that of its work, by a hash of the work's name.

    Args:
        tracks: list of `Track`; splits: fractions of train, tune, test, in works.

    Returns:
        list of dicts, one a track, `split` filled in. With three works or more, each split with
        a fraction above 0 gets one at least.
    """
    entries = [vars(track) | {"work": track.work or track.track} for track in tracks]
    for entry in entries:
        if entry["split"] and entry["split"] not in SPLITS:
            raise A2VError(
                f"{entry['track']}: split {entry['split']!r}; use {', '.join(SPLITS)} or none"
            )
    works = {e["work"] for e in entries if not e["split"]}
    works = sorted(works, key=lambda work: hashlib.sha256(work.encode()).digest())
    wanted = [round(len(works) * fraction) for fraction in splits]
    if len(works) >= 3:
        wanted = [max(1, n) if fraction else 0 for n, fraction in zip(wanted, splits, strict=True)]
    n_held = min(wanted[1] + wanted[2], len(works))
    split_of = {work: "train" for work in works[n_held:]}
    split_of |= {work: "tune" for work in works[: wanted[1]]}
    split_of |= {work: "test" for work in works[wanted[1] : n_held]}
    return [e if e["split"] else e | {"split": split_of[e["work"]]} for e in entries]


def _prepare(out, resume, overwrite):
    if out.exists() and not out.is_dir():
        raise A2VError(f"{out}: is a file; choose another folder")
    if out.exists() and any(out.iterdir()):
        if overwrite:
            if not ((out / records.MANIFEST).exists() or (out / PROGRESS).exists()):
                raise A2VError(f"{out}: holds something else than a dataset; not overwritten")
            shutil.rmtree(out)
        elif not resume:
            raise A2VError(f"{out}: exists; use --resume to go on or --overwrite to replace it")
    (out / PROGRESS).mkdir(parents=True, exist_ok=True)
    for left in out.glob("*.tmp"):
        left.unlink()


def _scan(entries, jobs):
    """Probes each file without decoding it: usable entries, and rejected ones with a reason."""
    with ThreadPoolExecutor(jobs or os.cpu_count()) as pool:
        probes = list(pool.map(decoding.probe, [e["path"] for e in entries]))
    usable, rejected, seen = [], [], {}
    for entry, found in zip(entries, probes, strict=True):
        reason = found.get("reason")
        if not reason and found["sha256"] in seen:
            reason = f"duplicate: the same bytes as {seen[found['sha256']]}"
        if reason:
            rejected.append(_rejection(entry, reason))
        else:
            seen[found["sha256"]] = entry["track"]
            usable.append(entry | found)
    if not usable:
        raise A2VError(
            "no usable recording: " + "; ".join(f"{r['path']}: {r['reason']}" for r in rejected[:5])
        )
    return usable, rejected


def _rejection(entry, reason):
    return {"track": entry["track"], "path": entry["path"], "reason": reason}


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


def _hold_plan(out, plan):
    """Keeps the plan of this run, and refuses to go on with another one's shards."""
    file, text = out / PROGRESS / "plan.json", json.dumps(plan)
    if file.exists() and file.read_text(encoding="utf-8") != text:
        raise A2VError(f"{out}: was begun with other files or settings; use --overwrite")
    if not file.exists():
        if (out / records.MANIFEST).exists():
            done = json.loads((out / records.MANIFEST).read_text(encoding="utf-8"))
            if done["plan"] != hashlib.sha256(text.encode()).hexdigest():
                raise A2VError(f"{out}: was made from other files or settings; use --overwrite")
            for shard in done["shards"]:
                _keep_result(out, shard["name"], _result_of(done, shard))
        records.write_whole(file, text)


def _result_of(manifest, shard):
    mine = [t for t in manifest["tracks"] if t["shard"] == shard["name"]]
    gone = [r for r in manifest["rejected"] if r.get("shard") == shard["name"]]
    return {"shard": shard, "tracks": mine, "rejected": gone}


def _keep_result(out, name, result):
    records.write_whole(out / PROGRESS / f"{name}.json", json.dumps(result))


def _write_shards(out, pending, windower, downmix, jobs, progress):
    total = sum(e["seconds"] for shard in pending for e in shard["tracks"])
    done = 0.0
    for shard in pending:
        # Decoding inside the graph cannot tell which file failed; when one does, the shard is
        # made again by the decoder that names it.
        try:
            done = _write_shard(out, shard, windower, downmix, jobs, progress, (done, total))
        except decoding.GraphDecodingError:
            plain = shard | {"tracks": [e | {"decoder": "python"} for e in shard["tracks"]]}
            done = _write_shard(out, plain, windower, downmix, jobs, progress, (done, total))


def _write_shard(out, shard, windower, downmix, jobs, progress, spent):
    done, total = spent
    temporary = out / (shard["name"] + ".tmp")
    tracks, rejected, n_records = [], [], 0
    with tf.io.TFRecordWriter(str(temporary)) as writer:
        stream = decoding.stream(shard["tracks"], windower, downmix=downmix, jobs=jobs)
        for entry, reason, batches in stream:
            written = 0
            for windows in batches:
                written += _write_windows(writer, entry, windows, written, windower)
            reason = reason()
            if reason:
                rejected.append(_rejection(entry, reason) | {"shard": shard["name"]})
            else:
                kept = ("track", "work", "artist", "genre", "split", "path", "seconds", "sha256")
                tracks.append(
                    {k: entry[k] for k in kept} | {"windows": written, "shard": shard["name"]}
                )
                n_records += written
            done += entry["seconds"]
            if progress:
                progress(done, total)
    summary = {
        "name": shard["name"],
        "split": shard["split"],
        "records": n_records,
        "checksum": records.checksum(temporary),
    }
    _keep_result(out, shard["name"], {"shard": summary, "tracks": tracks, "rejected": rejected})
    os.replace(temporary, out / shard["name"])
    return done


def _write_windows(writer, entry, windows, first, windower):
    count = len(next(iter(windows.values())))
    for i in range(count):
        start_s = (first + i) * windower.hop_samples / audio.SAMPLE_RATE
        values = {name: value[i] for name, value in windows.items()}
        writer.write(records.example(entry["track"], start_s, values))
    return count


def _manifest(out, settings, plan, rejected):
    text = (out / PROGRESS / "plan.json").read_text(encoding="utf-8")
    results = [
        json.loads((out / PROGRESS / f"{shard['name']}.json").read_text(encoding="utf-8"))
        for shard in plan
    ]
    return {
        **settings,
        "plan": hashlib.sha256(text.encode()).hexdigest(),
        "shards": [r["shard"] for r in results],
        "tracks": [t for r in results for t in r["tracks"]],
        "rejected": rejected + [x for r in results for x in r["rejected"]],
    }
