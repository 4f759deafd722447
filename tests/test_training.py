import contextlib
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import time
import warnings
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from a2v import (
    checkpoints,
    features,
    models,
    precision,
    preprocessing,
    records,
    resources,
    runs,
    training,
)
from a2v.errors import A2VError, A2VWarning
from a2v.inputs import Inputs

DONE = {"adapting_s": 1.0, "history": []}  # what _run returns
SMALL = {"model": "lstm128", "model_options": {"units": 16}, "batch_size": 16}
PIPELINE = """
[features]
name = "mfcc"

[model]
name = "lstm128"
units = 16

[training]
epochs = 3
batch_size = 8
checkpoint_steps = 2
"""


def weights(run):
    model, _ = runs.load(run)
    return [np.asarray(weight) for weight in model.get_weights()]


def losses(history):
    """A history without its times, which no two runs share."""
    return [{key: value for key, value in e.items() if key != "seconds"} for e in history]


def assert_equal_weights(first, second):
    for one, other in zip(weights(first), weights(second), strict=True):
        np.testing.assert_array_equal(one, other)


def summaries(run):
    """`{(writer, tag): [(step, plugin, value), ...]}` of all event files of a run."""
    found = {}
    for file in sorted((run / "logs").glob("*/*.v2"), key=os.path.getmtime):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                plugin = value.metadata.plugin_data.plugin_name
                key = file.parent.name, value.tag
                found.setdefault(key, []).append(
                    (event.step, plugin, tf.make_ndarray(value.tensor))
                )
    return found


@pytest.fixture(scope="module")
def run(dataset, tmp_path_factory):
    """A finished small run of two epochs."""
    out = tmp_path_factory.mktemp("run") / "run"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        training.train(dataset, out, **SMALL, epochs=2, checkpoint_steps=3)
    return out


def test_run_leaves_weights_and_settings(run, dataset):
    model, settings = runs.load(run)
    assert (model.name, model.n_bits) == ("lstm128", 16)
    assert settings["dataset"] == str(dataset)
    assert settings["model_options"] == {"units": 16}
    assert [epoch["epoch"] for epoch in settings["history"]] == [0, 1]
    assert {"seconds", "loss", "val_loss"} <= settings["history"][0].keys()
    assert sorted(path.name for path in run.iterdir()) == [
        "checkpoints",
        "logs",
        "model.keras",
        "run.json",
    ]


def test_seconds_are_those_of_the_clock(dataset, tmp_path):
    began = time.monotonic()
    history = training.train(dataset, tmp_path / "run", **SMALL, epochs=2)
    seconds = [epoch["seconds"] for epoch in history]
    assert 0 < min(seconds)
    assert 0.1 * (time.monotonic() - began) < sum(seconds) < time.monotonic() - began


@pytest.mark.parametrize(("bfloat16_s", "computed_in"), [(0.5, "mixed_bfloat16"), (5, "float32")])
def test_mixed_precision_is_used_where_it_is_not_the_slower(monkeypatch, bfloat16_s, computed_in):
    took_s = {tf.bfloat16: bfloat16_s, tf.float32: 1.0}
    monkeypatch.setattr(precision, "_convolving_s", took_s.get)
    slower = pytest.warns(A2VWarning, match="5.0 times slower in bfloat16; float32 is used")
    with slower if computed_in == "float32" else contextlib.nullcontext():
        assert precision.affordable("mixed_bfloat16") == computed_in
    assert precision.affordable("float32") == "float32"


def test_time_of_a_convolution_is_measured():
    assert 0 < precision._convolving_s(tf.float32) < 10


def test_mixed_precision_leaves_a_float32_model(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "affordable", lambda asked: asked)  # however long it takes
    options = {"channels": (4, 4, 4, 4, 8), "n_bits": 8}
    small = {"model": "conv128", "model_options": options, "epochs": 1, "batch_size": 16}
    training.train(dataset, tmp_path / "run", **small, precision="mixed_bfloat16")
    model, settings = runs.load(tmp_path / "run")
    assert settings["precision"] == "mixed_bfloat16"
    assert {layer.compute_dtype for layer in model._flatten_layers()} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"
    with pytest.raises(A2VError, match="precision 'half'; use one of float32, mixed_bfloat16"):
        training.train(dataset, tmp_path / "other", **small, precision="half")


def test_weights_are_those_of_the_best_epoch(run, dataset):
    history = runs.load(run)[1]["history"]
    model, best = models.build("lstm128", units=16), run / "checkpoints" / "best.weights.h5"
    model.load_weights(best)
    for one, other in zip(model.get_weights(), weights(run), strict=True):
        np.testing.assert_array_equal(one, other)
    trainer = model.trainer()
    trainer.compile(loss=model.objective())
    inputs = Inputs(records.Dataset(dataset), model, runs.read_settings(run))
    reached = trainer.evaluate(inputs.validation(), verbose=0)
    assert reached == pytest.approx(min(epoch["val_loss"] for epoch in history), rel=1e-4)


@pytest.mark.slow
def test_same_seed_gives_the_same_weights(run, dataset, tmp_path):
    training.train(dataset, tmp_path / "again", **SMALL, epochs=2)
    assert_equal_weights(run, tmp_path / "again")


@pytest.mark.slow
def test_training_begins_with_given_weights(run, dataset, tmp_path):
    options = SMALL | {"epochs": 1, "learning_rate": 1e-9}
    history = training.train(dataset, tmp_path / "more", **options, initial=run)
    for one, other in zip(weights(tmp_path / "more"), weights(run), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    before = runs.read_settings(run)["history"][-1]
    np.testing.assert_allclose(history[0]["val_loss"], before["val_loss"], rtol=1e-3)
    first, layer = runs.load_model(run / "model.keras"), features.build("mfcc")
    settings = runs.read_settings(tmp_path / "more")
    assert settings["initial"] == models.model_id(first, layer)
    again = training.train(dataset, tmp_path / "more", **options, initial=run, resume=True)
    assert again == history
    with pytest.raises(A2VError, match="begun with initial = "):
        training.train(dataset, tmp_path / "more", **options, resume=True)


@pytest.mark.parametrize("name", ["samaf", "lstm_denoising"])
def test_training_begins_with_the_weights_of_the_model_it_extends(name, run):
    model, first = models.build(name, units=16), runs.load_model(run / "model.keras")
    training._begin_with(model, run, {})
    windows = np.random.default_rng(0).normal(size=(3, 100, 13)).astype(np.float32)
    np.testing.assert_array_equal(model(windows), first(windows))
    with pytest.raises(A2VError, match="or of the one it extends"):
        training._begin_with(models.build(name, units=32), run, {})
    with pytest.raises(A2VError, match="weights of a "):
        training._begin_with(models.build("lstm128"), resources.weights(name), {})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_options": {"units": 32}}, "weights of a lstm128, which a lstm128 of these opt"),
        ({"model_options": {"units": 16, "reverse": False}}, "or of the one it extends"),
        ({"model": "bilstm_chroma", "model_options": {}}, "weights of a lstm128"),
        ({"initial": "lstm129"}, "did you mean 'lstm128'"),
        ({"initial": "there/is/none.keras"}, "none.keras: no such file"),
    ],
    ids=str,
)
def test_initial_weights_that_do_not_fit_are_refused(changes, message, run, dataset, tmp_path):
    with pytest.raises(A2VError, match=message):
        training.train(dataset, tmp_path / "more", **(SMALL | {"initial": run} | changes))
    assert not (tmp_path / "more").exists()


def test_other_seed_gives_other_weights(run, dataset, tmp_path):
    training.train(dataset, tmp_path / "other", **SMALL, epochs=1, seed=1)
    pairs = zip(weights(run), weights(tmp_path / "other"), strict=True)
    assert not all(np.array_equal(one, other) for one, other in pairs)


@pytest.mark.parametrize(
    "left",
    [
        pytest.param(2, id="in mid-epoch"),
        pytest.param(0, id="while it was validated", marks=pytest.mark.slow),
    ],
)
def test_interrupted_run_goes_on_where_it_was(left, run, dataset, tmp_path, monkeypatch):
    out, steps = tmp_path / "run", inputs_of(dataset, "lstm128", batch_size=16).steps
    original, at = checkpoints.Checkpoints.on_train_batch_end, 0

    def interrupt(self, batch, logs=None):
        nonlocal at
        original(self, batch, logs)
        at += 1
        if at == 2 * steps - left:
            raise KeyboardInterrupt

    options = {**SMALL, "epochs": 2, "checkpoint_steps": 3}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checkpoints.Checkpoints, "on_train_batch_end", interrupt)
        training.train(dataset, out, **options)
    in_epoch = (steps - max(left, 1)) // 3 * 3  # the last step leaves none
    assert checkpoint(out) == steps + in_epoch
    file = next((out / "checkpoints").glob("0*/state.json"))
    state = json.loads(file.read_text())
    assert 0 < state["seconds"] < 100
    file.write_text(json.dumps(state | {"seconds": 1000.0}))
    began = time.monotonic()
    history = training.train(dataset, out, **options, resume=True)
    elapsed_s = time.monotonic() - began
    assert losses(history) == losses(runs.load(run)[1]["history"])
    assert history[0] == state["history"][0]
    assert 1000 < history[1]["seconds"] < 1000 + elapsed_s
    assert_equal_weights(run, out)


def settings_of(run):
    return json.loads((run / "run.json").read_text())


def test_finished_run_resumes_to_itself(run, dataset):
    before = (run / "run.json").read_bytes(), weights(run)
    training.train(dataset, run, **SMALL, epochs=2, resume=True)
    assert (run / "run.json").read_bytes() == before[0]
    for one, other in zip(weights(run), before[1], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_killed_run_goes_on_at_the_same_epoch_and_step(command, call, dataset, tmp_path):
    pipeline = tmp_path / "small.toml"
    pipeline.write_text(PIPELINE)
    arguments = ["train", dataset, "--pipeline", pipeline, "--seed", "7", "--out"]
    whole = call(*arguments, tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    out = tmp_path / "killed"
    child = subprocess.Popen(
        command(*arguments, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    steps = inputs_of(dataset, "lstm128").steps
    deadline = time.monotonic() + 100
    while checkpoint(out) <= steps + 3:  # in the middle of the second epoch
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.001)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    left = checkpoint(out)
    assert steps < left < 2 * steps
    assert not (out / "model.keras").exists()
    refused = call(*arguments, out)
    assert refused.returncode == 2
    assert "use --resume to go on" in refused.stderr
    resumed = call(*arguments, out, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stderr.count("Epoch") == 2  # the second and the third
    assert re.search(r"\n2 of 3 epochs in \d+ s, at most about \d+ s to go\n", resumed.stderr)
    assert re.search(r"\n3 of 3 epochs in \d+ s\n", resumed.stderr)
    assert resumed.stdout.replace(str(out), str(tmp_path / "whole")) == whole.stdout
    assert_equal_weights(tmp_path / "whole", out)
    assert losses(settings_of(out)["history"]) == losses(settings_of(tmp_path / "whole")["history"])


def checkpoint(run):
    """The global step of the last checkpoint, 0 if there is none."""
    found = [int(path.name) for path in (run / "checkpoints").glob("0*") if not path.suffix]
    return max(found, default=0)


def test_command_keeps_progress_and_results_apart(call, dataset, tmp_path):
    pipeline = tmp_path / "small.toml"
    pipeline.write_text(PIPELINE)
    arguments = ["train", dataset, "--pipeline", pipeline, "--epochs", 1, "--batch-size", 64]
    done = call(*arguments, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    losses, path = done.stdout.splitlines()
    assert losses.startswith("epoch   1  loss ")
    assert path == f"{tmp_path}/run/model.keras"
    assert "1/1 - " in done.stderr
    assert "Warning" not in done.stderr
    settings = settings_of(tmp_path / "run")
    assert settings["pipeline"] == str(pipeline)
    assert (settings["epochs"], settings["batch_size"]) == (1, 64)


def test_training_stops_when_nothing_gets_better(dataset, tmp_path):
    options = {**SMALL, "epochs": 9, "patience": 1, "schedule": "constant"}
    history = training.train(dataset, tmp_path / "run", **options, learning_rate=1e-30)
    assert len(history) == 2
    resumed = training.train(dataset, tmp_path / "run", **options, learning_rate=1e-30, resume=True)
    assert resumed == history


def test_model_without_anything_to_learn_is_done_once_it_is_adapted(dataset, tmp_path):
    options = {"model": "audio_words", "model_options": {"n_words": 64}, "epochs": 3}
    out = tmp_path / "run"
    assert training.train(dataset, out, **options) == []
    model, settings = runs.load(out)
    assert settings["history"] == []
    assert settings["adapting_s"] > 0
    assert np.ptp(model.codebook.get_weights()[0]) > 0  # the mean, zeros before
    assert (out / "logs" / "embeddings.tsv").exists()
    before = weights(out)
    assert training.train(dataset, out, **options, resume=True) == []
    for one, other in zip(weights(out), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_loss_that_is_no_number_ends_the_run(dataset, tmp_path):
    with pytest.raises(A2VError, match="epoch 1 ended with .*nan.* learning_rate below 1e"):
        training.train(dataset, tmp_path / "run", **SMALL, epochs=2, learning_rate=1e38)
    assert not (tmp_path / "run" / "model.keras").exists()


def test_tensorboard_shows_losses_bits_gradients_and_pictures(run):
    found = summaries(run)
    scalars = {key: [step for step, _, _ in points] for key, points in found.items()}
    assert scalars["train", "epoch/loss"] == [1, 2]
    assert scalars["validation", "epoch/loss"] == [1, 2]
    assert scalars["validation", "hash/collision_rate"] == [1, 2]
    assert scalars["train", "step/learning_rate"] == [10]
    assert scalars["train", "step/gradient_norm"] == [10]
    history = runs.load(run)[1]["history"]
    for (_, _, value), epoch in zip(found["train", "epoch/loss"], history, strict=True):
        assert value == pytest.approx(epoch["loss"])
    (_, _, loss), (_, _, norm) = (
        found["train", "step/loss"][0],
        found["train", "step/gradient_norm"][0],
    )
    assert 0.5 * history[1]["loss"] < loss < 2 * history[1]["loss"]
    assert 0 < norm < 100
    model, _ = runs.load(run)
    for variable in model.trainable_variables:
        assert ("train", f"variable_gradient_norm/{variable.path}") in found
    plugins = {tag: points[0][1] for (_, tag), points in found.items()}
    assert plugins["hash/bit_balance"] == plugins["hash/embedding"] == "histograms"
    assert plugins["window and reconstruction"] == "images"
    width, height, *pictures = found["validation", "window and reconstruction"][0][2]
    assert (int(width), int(height)) == (495, 540)
    assert len(pictures) == 4
    decoded = tf.io.decode_png(pictures[0]).numpy()
    assert decoded.shape == (540, 495, 3)
    assert decoded.std() > 10


def test_projector_names_the_track_of_each_embedding(run, dataset):
    folder = run / "logs"
    assert "tracks.tsv" in (folder / "projector_config.pbtxt").read_text()
    embeddings = np.loadtxt(folder / "embeddings.tsv", delimiter="\t")
    head, *rows = (folder / "tracks.tsv").read_text().splitlines()
    assert head.split("\t") == ["track", "work", "artist", "genre", "start_s"]
    held = [track["track"] for track in records.Dataset(dataset).tracks("tune")]
    assert embeddings.shape == (len(rows), 16)
    assert sorted({row.split("\t")[0] for row in rows}) == sorted(held)


@pytest.mark.slow
@pytest.mark.parametrize("name", models.names())
def test_every_model_trains_to_the_same_weights_twice(name, dataset, trained, tmp_path):
    first, second = trained(name), tmp_path / "again"
    training.train(dataset, second, model=name, epochs=2, batch_size=16, learning_rate=5e-3)
    assert_equal_weights(first, second)
    found = summaries(first)
    pictures = [tag for (_, tag), points in found.items() if points[0][1] == "images"]
    epochs = len(runs.load(first)[1]["history"])
    assert len(pictures) == min(epochs, 1)
    assert (("validation", "epoch/loss") in found) == (epochs > 0)


def test_model_file_holds_no_optimiser(run):
    size = sum(weight.size for weight in weights(run))
    assert (run / "model.keras").stat().st_size < 4 * size + 40_000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 3}, "begun with epochs = 2, now it is 3"),
        ({"model_options": {"units": 24}}, "begun with model_options = {'units': 16}"),
        ({"seed": 5}, "begun with seed = 0, now it is 5"),
    ],
)
def test_resume_with_other_settings_is_refused(changes, message, run, dataset):
    options = {**SMALL, "epochs": 2, **changes}
    with pytest.raises(A2VError, match=message):
        training.train(dataset, run, **options, resume=True)


def test_settings_with_tuples_may_be_resumed(dataset, tmp_path, monkeypatch):
    options = {"model": "conv128", "model_options": {"channels": (4, 4, 8, 8, 8)}}
    options |= {"augmentation": {"snr_db": (0.0, 10.0)}, "epochs": 1, "batch_size": 64}
    monkeypatch.setattr(training, "_run", lambda *_: DONE)
    training.train(dataset, tmp_path / "run", **options)
    assert training.train(dataset, tmp_path / "run", **options, resume=True) == []


def test_output_in_the_way_is_left_alone(run, dataset, tmp_path):
    with pytest.raises(A2VError, match="exists; use --resume to go on or --overwrite"):
        training.train(dataset, run, **SMALL)
    (tmp_path / "mine.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(A2VError, match="holds something else than a run"):
            training.train(dataset, tmp_path, **SMALL, overwrite=overwrite)
        with pytest.raises(A2VError, match="is a file; choose another folder"):
            training.train(dataset, tmp_path / "mine.txt", **SMALL, overwrite=overwrite)
    with pytest.raises(A2VError, match="cannot write"):
        training.train(dataset, tmp_path / "mine.txt" / "run", **SMALL)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_overwriting_begins_anew(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "_run", lambda *_: DONE)
    training.train(dataset, tmp_path / "run", **SMALL)
    (tmp_path / "run" / "model.keras").write_text("old")
    training.train(dataset, tmp_path / "run", **SMALL, seed=1, overwrite=True)
    assert settings_of(tmp_path / "run")["seed"] == 1
    assert not (tmp_path / "run" / "model.keras").exists()


def test_full_disk_is_a_sentence(dataset, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(training, "_run", full)
    with pytest.raises(A2VError, match="No space left on device.*; make room"):
        training.train(dataset, tmp_path / "run", **SMALL)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs 0: use 1 or more"),
        ({"batch_size": 0}, "batch_size 0: use 1 or more"),
        ({"seed": -1}, "seed -1: use 0 or more"),
        ({"learning_rate": 0.0}, r"learning_rate 0\.0: use a number above 0"),
        ({"schedule": "cosin"}, "schedule 'cosin'; use one of cosine, constant"),
        ({"model": "lstm"}, "no model 'lstm'; did you mean 'lstm128'?"),
        ({"model_options": {"decoder_input": "none"}}, "decoder_input = 'none'"),
        ({"feature_options": {"n_mels": 20}}, "mfcc of definition .*, the model wants"),
    ],
)
def test_bad_arguments_are_named_before_anything_is_written(changes, message, dataset, tmp_path):
    with pytest.raises(A2VError, match=message):
        training.train(dataset, tmp_path / "run", **{**SMALL, **changes})
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def few(corpus, tmp_path_factory):
    """A function: the folder of a dataset of two tracks, one's name no UTF-8, in one shard."""
    folder = tmp_path_factory.mktemp("few")

    def make(split):
        if not (folder / split).exists():
            names = (corpus[0].track, os.fsdecode(b"caf\xe9"))
            tracks = [replace(corpus[k], track=name, split=split) for k, name in enumerate(names)]
            preprocessing.preprocess(tracks, folder / split, feature_names=("mfcc",), shards=1)
        return folder / split

    return make


def test_dataset_of_other_features_is_refused(few, tmp_path):
    with pytest.raises(A2VError, match="holds mfcc, the model wants chroma; run a2v-preprocess"):
        training.train(few("train"), tmp_path / "run", model="bilstm_chroma")
    with pytest.raises(A2VError, match="the model wants waveform"):
        training.train(few("train"), tmp_path / "run", model="conv128")
    assert not (tmp_path / "run").exists()


def test_folder_without_a_dataset_is_refused(few, tmp_path):
    with pytest.raises(A2VError, match="no dataset.json in it; make it with a2v-preprocess"):
        training.train(tmp_path, tmp_path / "run", **SMALL)
    with pytest.raises(A2VError, match="0 windows to train on; add music"):
        training.train(few("tune"), tmp_path / "run", **SMALL)


def test_single_shard_without_held_out_tracks_trains(few, tmp_path):
    data = few("train")
    with pytest.raises(A2VError, match="nothing tells when to stop"):
        training.train(data, tmp_path / "run", **SMALL, patience=2)
    history = training.train(data, tmp_path / "run", **SMALL, epochs=1)
    assert "val_loss" not in history[0]
    assert ("validation", "hash/collision_rate") in summaries(tmp_path / "run")
    assert "caf\\udce9\t" in (tmp_path / "run" / "logs" / "tracks.tsv").read_text()
    runs.load(tmp_path / "run")


def inputs_of(folder, name, **settings):
    settings = {"seed": 3, "batch_size": 8, "feature_options": {}, "augmentation": {}} | settings
    return Inputs(records.Dataset(folder), models.build(name), settings)


def test_epoch_is_the_same_each_time_and_each_epoch_another(dataset):
    inputs = inputs_of(dataset, "lstm128")
    first, again, other = (list(inputs.epoch(k).as_numpy_iterator()) for k in (0, 0, 1))
    assert len(first) == inputs.steps == int(inputs.epoch(0).cardinality())
    for (x, _), (same, _) in zip(first, again, strict=True):
        np.testing.assert_array_equal(x, same)
    assert not np.array_equal(first[0][0], other[0][0])
    rest = list(inputs.epoch(0, skip=3).as_numpy_iterator())
    for (x, _), (same, _) in zip(first[3:], rest, strict=True):
        np.testing.assert_array_equal(x, same)


def test_the_end_of_an_epoch_is_not_waited_for(dataset):
    # Timed, it takes long epochs to be seen: 11 s after one of 30 s.
    assert inputs_of(dataset, "lstm128").epoch(0).options().autotune.enabled is False


def test_pairs_are_the_same_each_time_from_any_step_on(dataset):
    inputs = inputs_of(dataset, "conv128", batch_size=32)
    first = list(inputs.epoch(0).as_numpy_iterator())
    rest = list(inputs.epoch(0, skip=2).as_numpy_iterator())
    for (x, _), (same, _) in zip(first[2:], rest, strict=True):
        np.testing.assert_array_equal(x, same)
    held = [next(iter(inputs.validation()))[0].numpy() for _ in range(2)]
    np.testing.assert_array_equal(*held)


def test_silent_windows_are_left_out(corpus, write_wav, tmp_path):
    silence, tone = np.zeros(6 * 16000 + 8000), 0.1 * np.sin(np.arange(16000 * 6) * 0.3)
    tracks = []
    for split, level in (("train", 1.0), ("tune", 0.5)):
        path = write_wav(tmp_path / f"{split}.wav", np.concatenate([silence, level * tone]))
        tracks.append(replace(corpus[0], path=str(path), track=split, split=split))
    options = {"feature_names": ("waveform",), "margin_s": 0.5, "hop_s": 1.0}
    preprocessing.preprocess(tracks, tmp_path / "data", **options)
    inputs = inputs_of(tmp_path / "data", "conv128", batch_size=4)
    count = inputs.data.count("tune")
    assert 2 <= inputs.n_validation < count
    assert inputs.steps == inputs.data.count("train") // 4
    for data, steps in ((inputs.epoch(0), inputs.steps), (inputs.validation(), None)):
        batches = list(data.as_numpy_iterator())
        assert steps in (None, len(batches))
        for pairs, _ in batches:
            assert (pairs[:, 0].std(axis=(1, 2)) > 0.1).all()
    assert {float(b["start_s"].numpy().min()) for b in inputs.windows("tune")} != {0.0}


def test_music_of_which_nothing_is_heard_is_named(dataset, monkeypatch):
    monkeypatch.setattr(Inputs, "_is_audible", lambda *_: tf.constant(False))
    with pytest.raises(A2VError, match="none of its .* windows to train on .* not silent"):
        inputs_of(dataset, "conv128")


@pytest.mark.parametrize("seconds", [1.0, 1.3])
def test_tune_split_of_a_window_or_two(seconds, corpus, write_wav, melody, tmp_path):
    path = write_wav(tmp_path / "tune.wav", melody(5, seconds))
    tune = replace(corpus[0], path=str(path), track="tune", split="tune")
    options = {"feature_names": ("mfcc", "waveform"), "margin_s": 0.5}
    preprocessing.preprocess([corpus[0], tune], tmp_path / "data", **options)
    for name in ("lstm128", "conv128"):
        inputs = inputs_of(tmp_path / "data", name)
        if seconds == 1.0:
            assert inputs.validation() is None
        else:
            assert len(list(inputs.validation())) == 1
            assert next(iter(inputs.validation()))[0].shape[0] == 2


def test_unfinished_run_is_no_run(run, dataset, tmp_path):
    with pytest.raises(A2VError, match="no finished run .*; make it with a2v-train"):
        runs.load(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(A2VError, match="model.keras is missing.*; go on with a2v-train --resume"):
        runs.load(tmp_path)
    (tmp_path / "model.keras").write_bytes((run / "model.keras").read_bytes())
    with pytest.raises(A2VError, match="run.json is missing"):
        runs.load(tmp_path)


def test_keras_files_of_others_are_refused(tmp_path):
    path = tmp_path / "plain.keras"
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(path)
    with pytest.raises(A2VError, match="plain.keras: a Keras Sequential, not a model of a2v's zoo"):
        runs.load_model(path)
    for name, data in {"text.keras": b"hello", "empty.keras": b"", "text.txt": b"hello"}.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(A2VError, match=f"{name}: no Keras model that a2v knows") as raised:
            runs.load_model(tmp_path / name)
        assert len(str(raised.value).splitlines()) == 1
    truncated = path.read_bytes()[:1000]
    path.write_bytes(truncated)
    with pytest.raises(A2VError, match="no Keras model that a2v knows"):
        runs.load_model(path)


def test_module_needs_no_fixed_working_directory(run, monkeypatch, tmp_path):
    relative = os.path.relpath(run, tmp_path)
    monkeypatch.chdir(tmp_path)
    assert runs.load(Path(relative))[0].n_bits == 16


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_settings_that_are_none_are_named(run, dataset, text, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / "run.json").write_text(text)
    with pytest.raises(A2VError, match=r"run.json: damaged, or none that a2v-train wrote"):
        runs.load(copy)
    with pytest.raises(A2VError, match=r"run.json: damaged"):
        training.train(dataset, copy, model="lstm128", resume=True)


def test_a_file_in_place_of_a_run_is_told_so(run):
    with pytest.raises(A2VError, match="give the folder that a2v-train made, not a file in it"):
        runs.load(run / "model.keras")


def test_noise_for_a_model_that_degrades_nothing_is_refused(dataset, tmp_path):
    with pytest.raises(A2VError, match="lstm128 learns from clean mfcc and degrades nothing"):
        training.train(dataset, tmp_path / "run", model="lstm128", noise=["somewhere"])
    assert not (tmp_path / "run").exists()
