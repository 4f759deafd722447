"""Exports a run: SavedModel, TFLite in float32 and dynamic range, and the model card.

What is written has been run again on real audio and agreed with Keras; else nothing is written.
"""

import json
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from a2v import (
    __version__,
    attached,
    audio,
    calibration,
    cards,
    chance,
    conversion,
    features,
    hashing,
    models,
    parity,
    records,
    runs,
    runtime,
)
from a2v.discriminant import Discriminant
from a2v.errors import A2VError
from a2v.holdout import Holdout
from a2v.places import place

FLOAT32, DYNAMIC = "model.tflite", "model.int8.tflite"
# Of 21 recordings a discriminant learnt what they are, of 74 what music is like; see the log of
# tries, benchmarks/experiments.md.
RECORDINGS = 64
# What a run's settings tell of one machine only, and of degrading.
PRIVATE = ("dataset", "pipeline", "a2v")
DEGRADING = ("noise", "rooms", "augmentation")


def export(
    run,
    out,
    *,
    summary="",
    note="",
    licence="Apache-2.0",
    overhang_s=0.0,
    shrinkage=0.0,
    calibration_queries=3000,
    overwrite=False,
):
    """Exports the best weights of a run.

    Args:
        run: folder made by `a2v-train`.
        out: folder to make; its name becomes the model's.
        summary: str, one sentence for the card; the model's docstring's first line if empty.
        note: str, Markdown, where the training data comes from and under which licences.
        licence: str, of the weights.
        overhang_s: float, s, up to which windows may hang over the ends of a clip that is asked,
            see `runtime.Encoder.fingerprint`.
        shrinkage: float, of the `discriminant.Discriminant` of train recordings, by which bits of a
            clip are then weighed; each by itself where it is 0, or where there are fewer than
            `RECORDINGS` of them.
        calibration_queries: int, queries that calibrate the probability of a match.
        overwrite: bool, replace what is there.

    Returns:
        dict, the card: also in `out/card.json`.

    Raises:
        A2VError: windows that would hang over whole, no finished run, an output in the way, a
            conversion that fails, operations beyond TFLite's own, or a file that does not agree
            with Keras. Nothing is written then.
    """
    if not 0 <= overhang_s < features.WINDOW_S:
        raise A2VError(f"overhang_s {overhang_s:g}: use 0 or more, below {features.WINDOW_S:g} s")
    if shrinkage < 0:
        raise A2VError(f"shrinkage {shrinkage:g}: use 0 or more")
    run, out = Path(run), Path(out)
    model, settings = runs.load(run)
    _check_place(out, overwrite)
    layer = features.build(model.feature, **settings["feature_options"])
    temporary = out.parent / f".{out.name}.tmp"
    try:
        shutil.rmtree(temporary, ignore_errors=True)  # of a run that was killed
        folder = temporary / "model"
        folder.mkdir(parents=True)
        _convert(run, folder)
        shutil.copy(run / runs.MODEL, folder / runs.MODEL)
        metadata = _metadata(out.name, model, layer, settings)
        held = Holdout(settings["dataset"], metadata["downmix"])
        heard = held.others if shrinkage else []
        shrinkage = shrinkage if len(heard) >= RECORDINGS else 0.0
        metadata |= {"overhang_s": overhang_s, "shrinkage": shrinkage}
        weighed_by = _discriminant(folder, metadata, heard, shrinkage) if shrinkage else None
        for file in (FLOAT32, DYNAMIC):
            attached.attach(folder / file, metadata, weighed_by)
        metadata["calibration"] = _calibrated(folder, held, calibration_queries)
        for file in (FLOAT32, DYNAMIC):
            attached.attach(folder / file, metadata | {"quantised": file == DYNAMIC}, weighed_by)
        card = _card(model, layer, settings, metadata, held, folder)
        card |= {"summary": summary or type(model).__doc__.split("\n")[0], "licence": licence}
        card["data"]["note"] = note or "Recordings of the user's own."
        (folder / cards.CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
        (folder / "README.md").write_text(cards.markdown(card), encoding="utf-8")
        _swap(folder, out, temporary / "before")
    except OSError as error:
        raise A2VError(f"{out}: cannot write ({error}); make room or choose another") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return card


def _swap(folder, out, before):
    """Puts a finished folder at its place; what was there stays unless that succeeds."""
    if out.exists():
        out.rename(before)
    try:
        folder.rename(out)
    except BaseException:
        if before.exists():
            before.rename(out)
        raise


def _check_place(out, overwrite):
    """Refuses an output that is in the way: only what an export made is ever replaced."""
    if not out.exists() or _is_empty(out):
        return
    if not out.is_dir():
        raise A2VError(f"{out}: exists; is a file; choose a folder")
    if not (out / cards.CARD).exists():
        raise A2VError(f"{out}: holds something else than an exported model; choose another folder")
    if not overwrite:
        raise A2VError(f"{out}: exists; use --overwrite to replace it")


def _convert(run, folder):
    command = [sys.executable, "-m", "a2v.conversion", str(run), str(folder), FLOAT32, DYNAMIC]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise A2VError(f"{run}: conversion failed ({done.returncode}: {last}); nothing was written")


def _metadata(name, model, layer, settings):
    dataset = place(settings["dataset"]) / records.MANIFEST
    downmix = "first"
    if dataset.exists():
        downmix = json.loads(dataset.read_text(encoding="utf-8"))["downmix"]
    return {
        "format": attached.FORMAT,
        "name": name,
        "model_id": models.model_id(model, layer),
        "sample_rate": audio.SAMPLE_RATE,
        "n_bits": model.n_bits,
        "window_s": features.WINDOW_S,
        "hop_s": features.HOP_S,
        "span_samples": layer.span(),
        "block_windows": conversion.SIGNATURES["hash"],
        "block_samples": conversion.samples(layer, conversion.SIGNATURES["hash"]),
        "turns_with_key": model.turns_with_key,
        "downmix": downmix,
        "digest": features.digest(layer.definition()),
        "calibration": chance.THEORY,
    }


def _discriminant(folder, metadata, waveforms, shrinkage):
    """`discriminant.Discriminant` of recordings."""
    attached.attach(folder / FLOAT32, metadata)
    encoder = runtime.Encoder(folder / FLOAT32)
    hashes = [(encoder.hash(heard), encoder.audible(heard)) for heard in waveforms]
    return Discriminant.learnt(hashes, shrinkage)


def _calibrated(folder, held, queries):
    """Calibration of the float32 file, fitted where the held-out recordings allow it."""
    fitted = None
    waveforms, others = held.distinct(), held.others
    if len(waveforms) >= 2 and queries:
        encoder = runtime.Encoder(folder / FLOAT32)
        fitted = calibration.calibrate(encoder, waveforms, others=others, queries=queries)
    return fitted or chance.THEORY


def _card(model, layer, settings, metadata, held, folder):
    encoders = {name: runtime.Encoder(folder / name) for name in (FLOAT32, DYNAMIC)}
    reference = parity.Reference(model, layer, held.excerpts())
    agreement = {n: reference.encoder(n, e, exact=n == FLOAT32) for n, e in encoders.items()}
    agreement["saved_model"] = reference.saved_model("saved_model", folder / "saved_model")
    sizes = {p.name: p.stat().st_size for p in sorted(folder.glob("model.*"))}
    saved = sum(p.stat().st_size for p in (folder / "saved_model").rglob("*") if p.is_file())
    used = {op for name in encoders for op in parity.operations(folder / name)}
    # All of the model's options, so that a default that changes later changes no card.
    options = {k: v for k, v in model.get_config().items() if k != "name"}
    training_ = {k: v for k, v in settings.items() if k not in PRIVATE} | {"model_options": options}
    if model.dataset_feature != "waveform":  # never degraded
        training_ = {k: v for k, v in training_.items() if k not in DEGRADING}
    return {
        **metadata,
        "feature": model.feature,
        "definition": layer.definition(),
        "model": settings["model"],
        "parameters": model.encoder.count_params(),
        "files": sizes | {"saved_model": saved},
        "operations": sorted(used),
        "data": {"splits": held.splits(), "measured_on": held.source},
        "training": training_,
        "hashes": _statistics(encoders[FLOAT32], held),
        "parity": agreement,
        "speed": _speed(encoders[FLOAT32]),
        "versions": {
            "a2v": __version__,
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "python": platform.python_version(),
        },
    }


def _statistics(encoder, held):
    """Hash statistics of all audible windows that were not trained on."""
    codes, tracks = [], []
    for index, waveform in enumerate(held.waveforms):
        audible = encoder.audible(waveform)
        codes.append(encoder.hash(waveform)[audible])
        tracks += [index] * int(audible.sum())
    return hashing.statistics(np.concatenate(codes), tracks=tracks)


def _speed(encoder):
    seconds = 10.0
    waveform = np.random.default_rng(0).normal(0, 0.1, round(seconds * encoder.sample_rate))
    waveform = waveform.astype(np.float32)
    whole = _least_s(encoder, waveform)
    alone = _least_s(encoder, waveform[: round(encoder.window_s * encoder.sample_rate)])
    return {
        "ms_per_window": 1000 * whole / encoder.windows(len(waveform)),
        "ms_alone": 1000 * alone,
        "x_real_time": seconds / whole,
    }


def _least_s(encoder, waveform):
    """Seconds that hashing takes at least: whatever else runs on the machine only adds."""
    encoder.hash(waveform)
    times = []
    for _ in range(15):
        start = time.perf_counter()
        encoder.hash(waveform)
        times.append(time.perf_counter() - start)
    return min(times)


def _is_empty(path):
    return path.is_dir() and not any(path.iterdir())
