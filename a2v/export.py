"""Exports a run: SavedModel, TFLite in float32 and dynamic range, and the model card.

What is written has been run again on real audio and agreed with Keras; else nothing is written.
"""

import hashlib
import json
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from a2v import __version__, audio, cards, conversion, features, hashing, records, runtime, training
from a2v.calibration import calibrate
from a2v.errors import A2VError

FLOAT32, DYNAMIC = "model.tflite", "model.int8.tflite"
# Until queries of known truth fit better ones: a match must beat chance by three deviations.
UNFITTED = {"slope": 1.5, "intercept": -4.5}
# Share of bits that the dynamic-range file may have different from Keras.
MAX_FLIP_RATE = 0.03
# Sums in another order differ in the last digits; a bit whose embedding is this near to 0, in
# deviations of the embedding, is a toss-up.
TIE = 1e-4
CHECKED_S = 60.0


def export(
    run,
    out,
    *,
    summary="",
    note="",
    licence="Apache-2.0",
    calibration_queries=400,
    overwrite=False,
):
    """Exports the best weights of a run.

    Args:
        run: folder made by `a2v-train`.
        out: folder to make; its name becomes the model's.
        summary: str, one sentence for the card; the model's docstring's first line if empty.
        note: str, Markdown, where the training data comes from and under which licences.
        licence: str, of the weights.
        calibration_queries: int, queries that calibrate the probability of a match.
        overwrite: bool, replace what is there.

    Returns:
        dict, the card: also in `out/card.json`.

    Raises:
        A2VError: no finished run, an output in the way, a conversion that fails, operations
            beyond TFLite's own, or a file that does not agree with Keras. Nothing is written then.
    """
    run, out = Path(run), Path(out)
    model, settings = training.load(run)
    if out.exists() and any(out.iterdir() if out.is_dir() else [out]) and not overwrite:
        raise A2VError(f"{out}: exists; use --overwrite to replace it")
    layer = features.build(model.feature, **settings["feature_options"])
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".export-") as temporary:
        folder = Path(temporary) / "model"
        folder.mkdir()
        _convert(run, folder)
        shutil.copy(run / training.MODEL, folder / training.MODEL)
        metadata = _metadata(out.name, model, layer, settings)
        held = Held(settings["dataset"], metadata["downmix"])
        for file in (FLOAT32, DYNAMIC):
            attach(folder / file, metadata | {"quantised": file == DYNAMIC})
        fitted = None
        if len(held.paths) >= 2:
            encoder = runtime.Encoder(folder / FLOAT32)
            fitted = calibrate(encoder, held.paths, queries=calibration_queries)
        metadata["calibration"] = fitted or UNFITTED
        for file in (FLOAT32, DYNAMIC):
            attach(folder / file, metadata | {"quantised": file == DYNAMIC})
        card = _card(model, layer, settings, metadata, held, folder)
        card |= {"summary": summary or type(model).__doc__.split("\n")[0], "licence": licence}
        card["data"]["note"] = note or "Recordings of the user's own."
        (folder / cards.CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
        (folder / "README.md").write_text(cards.markdown(card), encoding="utf-8")
        if out.exists():
            shutil.rmtree(out)
        folder.rename(out)
    return card


def attach(path, metadata):
    """Puts `a2v.json` behind a TFLite file, as its only associated file."""
    data = Path(path).read_bytes()
    try:
        with zipfile.ZipFile(path) as archive:
            # What precedes the archive's first member is the flatbuffer.
            data = data[: archive.infolist()[0].header_offset]
    except zipfile.BadZipFile:
        pass  # fresh from the converter
    Path(path).write_bytes(data)
    member = zipfile.ZipInfo(runtime.METADATA_MEMBER)  # without the time: same model, same bytes
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, json.dumps(metadata, sort_keys=True), zipfile.ZIP_DEFLATED)


class Held:
    """Recordings of a dataset that were not trained on: the tune split, else none.

    Args:
        dataset: folder; it may be gone. downmix: str.
    """

    def __init__(self, dataset, downmix):
        self.dataset, self.downmix = dataset, downmix
        self.manifest = None
        self.split, self.paths = "", []
        if (Path(dataset) / records.MANIFEST).exists():
            self.manifest = records.Dataset(dataset).manifest
            tracks = [t for t in self.manifest["tracks"] if t["split"] == "tune"]
            self.split = "tune" if tracks else ""
            self.paths = [t["path"] for t in tracks if Path(t["path"]).exists()]

    def waveforms(self, seconds):
        """Real audio of about so many seconds, else noise: list of float32 `[n]`."""
        if not self.paths:
            return [np.random.default_rng(0).normal(0, 0.1, 16000 * 10).astype(np.float32)]
        each = max(1.0, seconds / len(self.paths))
        heard = [audio.load(path, downmix=self.downmix) for path in self.paths]
        length = round(each * audio.SAMPLE_RATE)
        return [w[len(w) // 2 : len(w) // 2 + length] for w in heard if len(w) >= 2 * length]

    def splits(self):
        """Tracks and hours of each split, for the card."""
        if not self.manifest:
            return {}
        counts = {}
        for track in self.manifest["tracks"]:
            entry = counts.setdefault(track["split"], {"tracks": 0, "hours": 0.0})
            entry["tracks"] += 1
            entry["hours"] += track["seconds"] / 3600
        return {
            k: {"tracks": v["tracks"], "hours": round(v["hours"], 3)} for k, v in counts.items()
        }


def _convert(run, folder):
    command = [sys.executable, "-m", "a2v.conversion", str(run), str(folder), FLOAT32, DYNAMIC]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise A2VError(f"{run}: conversion failed ({done.returncode}: {last}); nothing was written")
    shutil.rmtree(folder / "frozen")


def _metadata(name, model, layer, settings):
    weights = hashlib.sha256()
    for value in model.get_weights():
        weights.update(np.ascontiguousarray(value).tobytes())
    digest = features.digest(layer.definition())
    weights.update(digest.encode())
    dataset = Path(settings["dataset"]) / records.MANIFEST
    downmix = "first"
    if dataset.exists():
        downmix = json.loads(dataset.read_text(encoding="utf-8"))["downmix"]
    return {
        "format": runtime.FORMAT,
        "name": name,
        "model_id": weights.hexdigest()[:16],
        "sample_rate": audio.SAMPLE_RATE,
        "n_bits": model.n_bits,
        "window_s": features.WINDOW_S,
        "hop_s": features.HOP_S,
        "span_samples": layer.span(),
        "block_windows": model.block_windows,
        "block_samples": conversion.block_samples(model, layer),
        "downmix": downmix,
        "digest": digest,
        "calibration": UNFITTED,
    }


def _card(model, layer, settings, metadata, held, folder):
    waveforms = held.waveforms(CHECKED_S)
    encoders = {name: runtime.Encoder(folder / name) for name in (FLOAT32, DYNAMIC)}
    parity = {n: _parity(n, e, model, layer, waveforms) for n, e in encoders.items()}
    codes = np.concatenate([encoders[FLOAT32].hash(w) for w in _long_enough(waveforms)])
    sizes = {p.name: p.stat().st_size for p in sorted(folder.glob("model.*"))}
    saved = sum(p.stat().st_size for p in (folder / "saved_model").rglob("*") if p.is_file())
    private = ("dataset", "pipeline", "a2v")
    return {
        **metadata,
        "feature": model.feature,
        "definition": layer.definition(),
        "model": settings["model"],
        "files": sizes | {"saved_model": saved},
        "operations": operations(folder / FLOAT32),
        "data": {"splits": held.splits(), "measured_on": held.split or "noise"},
        "training": {k: v for k, v in settings.items() if k not in private},
        "hashes": hashing.statistics(codes),
        "parity": parity,
        "speed": _speed(encoders[FLOAT32]),
        "versions": {
            "a2v": __version__,
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "python": platform.python_version(),
        },
    }


def operations(path):
    """Names of the operations in every subgraph of a TFLite file, sorted.

    Raises:
        A2VError: one of them is not built into TFLite.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    # Without delegates, which would hide the operations that they take over.
    interpreter = Interpreter(
        model_path=str(path),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    found = set()
    for index in range(interpreter.num_subgraphs()):
        found |= {op["op_name"] for op in interpreter._get_ops_details(index)}
    foreign = sorted(name for name in found if name.startswith(("Flex", "Custom")))
    if foreign:
        raise A2VError(f"{path}: {', '.join(foreign)} are no built-in operations of TFLite")
    return sorted(found)


def _long_enough(waveforms):
    return [w for w in waveforms if len(w) >= features.WINDOW_S * audio.SAMPLE_RATE]


def _parity(name, encoder, model, layer, waveforms):
    """Compares a written file with Keras on the same audio; raises where it must not differ."""
    windows, flipped, largest = 0, 0, 0.0
    for waveform in _long_enough(waveforms):
        n_windows = encoder.windows(len(waveform))
        padded = np.pad(waveform, (0, layer.span()))
        expected = np.asarray(model.embed_waveform(layer, padded))[:n_windows]
        got = encoder.embed(waveform)
        codes = encoder.hash(waveform)
        if not np.array_equal(codes, hashing.pack(hashing.binarize(got))):
            raise A2VError(f"{name}: its hash is not the sign of its embedding")
        differs = hashing.binarize(got) != hashing.binarize(expected)
        if name == FLOAT32 and (differs & (np.abs(expected) > TIE * expected.std())).any():
            raise A2VError(f"{name}: {differs.sum()} bits differ from Keras; not written")
        windows += n_windows
        flipped += int(differs.sum())
        largest = max(largest, float(np.abs(got - expected).max()))
    rate = flipped / max(1, windows * model.n_bits)
    if rate > MAX_FLIP_RATE:
        raise A2VError(f"{name}: {rate:.2%} of bits differ from Keras, at most {MAX_FLIP_RATE:.0%}")
    return {
        "windows": windows,
        "bits_flipped": flipped / max(1, windows),
        "flip_rate": rate,
        "largest_difference": largest,
    }


def _speed(encoder):
    seconds = 10.0
    waveform = np.random.default_rng(0).normal(0, 0.1, round(seconds * encoder.sample_rate))
    waveform = waveform.astype(np.float32)
    encoder.hash(waveform)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        encoder.hash(waveform)
        times.append(time.perf_counter() - start)
    best = float(np.median(times))
    return {
        "ms_per_window": 1000 * best / encoder.windows(len(waveform)),
        "x_real_time": seconds / best,
    }
