import functools
import json
import os
import re
import shutil
import stat
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from a2v import (
    attached,
    audio,
    calibration,
    cards,
    chance,
    conversion,
    export,
    features,
    hashing,
    holdout,
    models,
    parity,
    runs,
    runtime,
)
from a2v.discriminant import Discriminant
from a2v.errors import A2VError
from a2v.holdout import Holdout

# The smallest model is exported by every test run, the others by the slow ones.
NAMES = [n if n == "lstm128" else pytest.param(n, marks=pytest.mark.slow) for n in models.names()]


def tree(folder):
    """`{relative path: bytes}` of all files below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="session")
def saved(trained, tmp_path_factory):
    """A function: the folder of an exported short run, made when first asked for."""
    folder = tmp_path_factory.mktemp("saved")

    def make(name):
        if not (folder / name).exists():
            export.export(trained(name), folder / name, calibration_queries=10)
        return folder / name

    return make


@pytest.fixture(scope="module")
def zoo(trained):
    """A function: the Keras model of a short run and its feature layer."""

    @functools.cache
    def load(name):
        model, _ = runs.load(trained(name))
        return model, features.build(model.feature)

    return load


@pytest.fixture(scope="module")
def embed(zoo):
    """A function: what Keras embeds a waveform of any length to, float32 `[windows, d]`."""

    @functools.cache
    def traced(name):
        signature = [tf.TensorSpec([None], tf.float32)]
        model, layer = zoo(name)
        return tf.function(lambda w: model.embed_waveform(layer, w), input_signature=signature)

    def run(name, waveform):
        windows = 1 + (len(waveform) - 16000) // 4000
        return traced(name)(np.pad(waveform, (0, 20000))).numpy()[:windows]

    return run


@pytest.fixture
def unconverted(saved, monkeypatch):
    """Lets exports of the lstm128 run take its converted files instead of converting again."""
    folder = saved("lstm128")

    def convert(run, out):
        shutil.copytree(folder / "saved_model", out / "saved_model")
        for name in (export.FLOAT32, export.DYNAMIC):
            shutil.copy(folder / name, out / name)

    monkeypatch.setattr(export, "_convert", convert)


def assert_same_bits(codes, expected):
    sure = np.abs(expected) > parity.TIE * expected.std()
    assert (hashing.unpack(codes) == (expected > 0))[sure].all()
    assert sure.mean() > 0.99


@pytest.mark.parametrize("name", NAMES)
def test_tflite_gives_the_bits_of_keras(name, saved, embed, corpus):
    encoder = runtime.Encoder(saved(name) / export.FLOAT32)
    for track in corpus[::3]:
        waveform = audio.load(track.path)
        for heard in (waveform, waveform[1234:], waveform[: 16000 * 2], waveform[:16000]):
            expected = embed(name, heard)
            assert_same_bits(encoder.hash(heard), expected)
            np.testing.assert_allclose(encoder.embed(heard), expected, atol=1e-3 * expected.std())


@pytest.mark.slow
@pytest.mark.parametrize("name", models.names())
def test_tflite_gives_the_bits_of_keras_on_real_music(name, saved, embed, real_music):
    encoder = runtime.Encoder(saved(name) / export.FLOAT32)
    for path in real_music:
        waveform = audio.load(path)[: 16000 * 10]
        assert_same_bits(encoder.hash(waveform), embed(name, waveform))


@pytest.mark.parametrize("name", NAMES)
def test_dynamic_range_flips_few_bits(name, saved, zoo, corpus):
    full, small = (runtime.Encoder(saved(name) / file) for file in (export.FLOAT32, export.DYNAMIC))
    flips = []
    for track in corpus:
        waveform = audio.load(track.path)
        flips.append(hashing.hamming(full.hash(waveform), small.hash(waveform)) / full.n_bits)
    assert np.concatenate(flips).mean() < parity.MAX_FLIP_RATE
    # Operations on smaller weights take some bytes of their own: audio_words has few weights.
    assert len(small.data) < 1.02 * len(full.data)
    model, layer = zoo(name)
    if 4 * model.encoder.count_params() > 0.5 * len(full.data):
        # What belongs to the front end stays as it is.
        front = sum(a.nbytes for a in vars(layer).values() if isinstance(a, np.ndarray))
        assert len(small.data) - front < 0.5 * (len(full.data) - front)


@pytest.mark.parametrize("name", NAMES)
def test_every_subgraph_is_made_of_built_in_operations(name, saved, zoo):
    model, layer = zoo(name)
    layers = list(model.encoder._flatten_layers())
    for file in (export.FLOAT32, export.DYNAMIC):
        found = parity.operations(saved(name) / file)
        assert ("RFFT2D" in found) != isinstance(layer, features.LogMel)  # see spectrum.py
        assert ("WHILE" in found) == any(isinstance(x, keras.layers.RNN) for x in layers)
        assert ("CONV_2D" in found) == any(isinstance(x, keras.layers.Conv2D) for x in layers)
        assert set(found) <= set(vars(parity.schema.BuiltinOperator))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seconds", [1.02, 1.5, 4.321])
def test_saved_model_agrees_with_keras_at_any_length(name, seconds, saved, zoo, embed, corpus):
    _, layer = zoo(name)
    signatures = tf.saved_model.load(saved(name) / "saved_model").signatures
    assert {"embed", "features", "hash"} <= signatures.keys()
    waveform = audio.load(corpus[0].path)[: max(layer.span(), round(seconds * 16000))]
    got = {
        key: next(iter(run(waveform=tf.constant(waveform)).values())).numpy()
        for key, run in signatures.items()
    }
    expected = embed(name, waveform)[: len(got["embed"])]
    np.testing.assert_allclose(got["embed"], expected, atol=1e-3 * expected.std())
    assert_same_bits(got["hash"], expected)
    np.testing.assert_allclose(got["features"], layer.windows(waveform), atol=1e-3)


# Bytes of `saved_model.pb`: the graph of three signatures has no more, unless it holds constants.
GRAPH = 300_000


@pytest.mark.parametrize("name", NAMES)
def test_saved_model_holds_each_number_once(name, tmp_path):
    model = models.build(name)
    layer = features.build(model.feature)
    conversion.write_saved_model(model, layer, tmp_path)
    arrays = [value for value in vars(layer).values() if isinstance(value, np.ndarray)]
    expected = sum(value.nbytes for value in [*model.encoder.get_weights(), *arrays])
    reader = tf.train.load_checkpoint(tmp_path / "variables" / "variables")
    keys = [key for key in reader.get_variable_to_shape_map() if "VARIABLE" in key]
    assert sum(np.asarray(reader.get_tensor(key)).nbytes for key in keys) == expected
    sizes = {key: len(data) for key, data in tree(tmp_path).items()}
    assert sizes["saved_model.pb"] < GRAPH
    if expected > 4 * GRAPH:  # else the graph is a good part of it
        assert sum(sizes.values()) < 1.3 * expected


def test_saved_model_is_a_layer_for_keras(tmp_path, melody):
    model = models.build("lstm128")
    layer = features.build(model.feature)
    conversion.write_saved_model(model, layer, tmp_path)
    waveform = melody(0, 1.5)
    got = keras.layers.TFSMLayer(tmp_path, call_endpoint="embed")(waveform)
    np.testing.assert_allclose(got, model.embed_waveform(layer, waveform), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_folder_is_whole_and_names_nothing_of_this_machine(name, saved, trained, dataset):
    folder = saved(name)
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "card.json",
        "model.int8.tflite",
        "model.keras",
        "model.tflite",
        "saved_model",
    ]
    private = [str(trained(name)), str(dataset), str(Path(export.__file__).parent), sys.prefix]
    private += [str(Path.home()), str(folder)]
    for path, data in tree(folder).items():
        for text in private:
            assert text.encode() not in data, f"{path} holds {text}"


@pytest.mark.parametrize("name", NAMES)
def test_card_tells_data_settings_sizes_and_agreement(name, saved, trained, zoo):
    card = json.loads((saved(name) / "card.json").read_text(encoding="utf-8"))
    encoder = runtime.Encoder(saved(name) / export.FLOAT32)
    assert encoder.metadata.items() <= (card | {"quantised": False}).items()
    assert card["name"] == name
    assert card["data"]["splits"]["train"]["tracks"] == 4
    assert card["data"]["measured_on"] == "tune split"
    settings = runs.load(trained(name))[1]
    assert card["training"]["history"] == settings["history"]
    assert card["training"]["learning_rate"] == settings["learning_rate"]
    for file in (export.FLOAT32, export.DYNAMIC, "model.keras"):
        assert card["files"][file] == (saved(name) / file).stat().st_size
    assert card["parity"][export.FLOAT32]["flip_rate"] < 1e-3
    assert set(card["parity"]) == {export.FLOAT32, export.DYNAMIC, "saved_model"}
    assert card["parity"]["saved_model"]["windows"] > 20
    assert 0 < card["speed"]["ms_per_window"] < 100
    assert card["licence"] == "Apache-2.0"
    readme = (saved(name) / "README.md").read_text(encoding="utf-8")
    assert readme.startswith(f"# {name}\n")
    assert card["parameters"] == zoo(name)[0].encoder.count_params()
    assert f"The encoder has {card['parameters']:,} parameters." in readme
    assert "Begun with" not in readme
    begun = card | {"training": card["training"] | {"initial": "0123456789abcdef"}}
    assert "Begun with the weights `0123456789abcdef`." in cards.markdown(begun)
    sentence = r"^2 epochs in [\d.]+ (s|min); at the end loss \S+, val_loss"
    if not card["training"]["history"]:
        sentence = r"^Measured on the train split in one pass, in [\d.]+ (s|min); nothing is learnt"
    assert re.search(sentence, readme, re.M)
    assert card["model_id"] in readme and "Agreement with Keras, on the tune split" in readme
    assert not re.search(r"\bnan\b|None|\{|\}", readme.split("```")[0] + readme.split("```")[2])


def test_float32_and_dynamic_range_are_one_model(saved):
    full, small = (
        runtime.Encoder(saved("lstm128") / file) for file in (export.FLOAT32, export.DYNAMIC)
    )
    assert full.model_id == small.model_id
    assert (full.metadata["quantised"], small.metadata["quantised"]) == (False, True)


def test_lstm128_is_small_and_fast(saved):
    folder = saved("lstm128")
    assert (folder / export.FLOAT32).stat().st_size <= 350_000
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    assert card["speed"]["ms_per_window"] < 20  # 2 on an idle core; tests share it


@pytest.mark.slow
def test_conversion_of_one_run_gives_the_same_bytes(saved, trained, tmp_path):
    export.export(trained("lstm128"), tmp_path / "lstm128", calibration_queries=10)
    first, second = tree(saved("lstm128")), tree(tmp_path / "lstm128")
    assert first.keys() == second.keys()
    different = {name for name in first if first[name] != second[name]}
    # Times are measured anew. TensorFlow draws a number for a SavedModel's fingerprint, and lists
    # its functions and its variables' owners in any order.
    assert different <= {"card.json", "README.md"} | {n for n in first if "saved_model/" in n}


def test_metadata_may_be_attached_again_and_again(saved, tmp_path):
    path = tmp_path / "model.tflite"
    shutil.copy(saved("lstm128") / export.FLOAT32, path)
    metadata = runtime.Encoder(path).metadata
    before = path.read_bytes()
    attached.attach(path, metadata)
    assert path.read_bytes() == before
    attached.attach(path, metadata | {"name": "another"})
    attached.attach(path, metadata | {"name": "another"})
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == [attached.METADATA_MEMBER]
    assert runtime.Encoder(path).name == "another"
    attached.attach(path, metadata)
    assert path.read_bytes() == before


def test_bare_tflite_file_gets_its_metadata(saved, tmp_path):
    data = (saved("lstm128") / export.FLOAT32).read_bytes()
    with zipfile.ZipFile(saved("lstm128") / export.FLOAT32) as archive:
        bare = data[: archive.infolist()[0].header_offset]
    (tmp_path / "bare.tflite").write_bytes(bare)
    attached.attach(tmp_path / "bare.tflite", attached.read_metadata(data))
    assert (tmp_path / "bare.tflite").read_bytes() == data


def tampered(folder):
    """The weights of a run, a little off: the files that were converted before no longer agree."""
    model, _ = runs.load(folder)
    model.set_weights([weight + 0.05 * (weight.ndim == 2) for weight in model.get_weights()])
    model.save(folder / runs.MODEL)


def test_run_that_does_not_agree_writes_nothing(trained, unconverted, tmp_path):
    shutil.copytree(trained("lstm128"), tmp_path / "run")
    tampered(tmp_path / "run")
    with pytest.raises(A2VError, match="model.tflite: .* bits differ from Keras; not written"):
        export.export(tmp_path / "run", tmp_path / "out", calibration_queries=0)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_folder_that_cannot_be_put_in_its_place_leaves_what_was_there(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "model.keras").write_text("before")
    with pytest.raises(OSError):
        export._swap(tmp_path / "missing", out, tmp_path / "before")
    assert (out / "model.keras").read_text() == "before"


def test_disagreement_leaves_the_model_before_in_its_place(trained, unconverted, tmp_path):
    shutil.copytree(trained("lstm128"), tmp_path / "run")
    export.export(tmp_path / "run", tmp_path / "out", calibration_queries=0)
    before = tree(tmp_path / "out")
    tampered(tmp_path / "run")
    with pytest.raises(A2VError, match="not written"):
        export.export(tmp_path / "run", tmp_path / "out", calibration_queries=0, overwrite=True)
    assert tree(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]


def test_overhang_is_kept_in_the_files_and_told_by_the_card(trained, unconverted, tmp_path):
    out = tmp_path / "out"
    export.export(trained("lstm128"), out, overhang_s=0.5, calibration_queries=0)
    assert runtime.Encoder(out / export.FLOAT32).overhang_s == 0.5
    assert "may hang over its ends by 0.5 s" in (out / "README.md").read_text(encoding="utf-8")
    export.export(trained("lstm128"), out, calibration_queries=0, overwrite=True)
    assert runtime.Encoder(out / export.FLOAT32).overhang_s == 0
    assert "hang over" not in (out / "README.md").read_text(encoding="utf-8")
    for wrong in (-0.25, 1.0):
        with pytest.raises(A2VError, match=f"overhang_s {wrong:g}: use 0 or more, below 1 s"):
            export.export(trained("lstm128"), tmp_path / "other", overhang_s=wrong)


def test_discriminant_is_that_of_train_recordings(
    trained, unconverted, melody, tmp_path, monkeypatch
):
    out, heard = tmp_path / "out", [melody(51, 30), melody(52, 30)]
    monkeypatch.setattr(Holdout, "others", property(lambda self: heard))
    monkeypatch.setattr(export, "RECORDINGS", 2)
    export.export(trained("lstm128"), out, shrinkage=0.5, calibration_queries=0)
    said = " ".join((out / "README.md").read_text(encoding="utf-8").split())
    assert "over the train split's music (shrinkage 0.5)" in said
    encoder = runtime.Encoder(out / export.FLOAT32)
    expected = Discriminant.learnt([(encoder.hash(w), encoder.audible(w)) for w in heard], 0.5)
    assert encoder.discriminant.saved() == expected.saved()
    assert runtime.Encoder(out / export.DYNAMIC).discriminant.saved() == expected.saved()
    with pytest.raises(A2VError, match="shrinkage -1: use 0 or more"):
        export.export(trained("lstm128"), tmp_path / "other", shrinkage=-1.0)
    monkeypatch.setattr(export, "RECORDINGS", 3)
    card = export.export(
        trained("lstm128"), out, shrinkage=0.5, calibration_queries=0, overwrite=True
    )
    assert card["shrinkage"] == 0
    assert runtime.Encoder(out / export.FLOAT32).discriminant is None


@pytest.fixture(scope="module")
def reference(zoo, corpus):
    """What Keras says of some audio, and answers that agree with it."""
    held = parity.Reference(*zoo("lstm128"), [audio.load(corpus[0].path)])
    codes = [hashing.pack(hashing.binarize(e)) for e in held.embeddings]
    return held, list(zip([e.copy() for e in held.embeddings], codes, strict=True))


def test_parity_counts_what_flipped(reference):
    held, answers = reference
    found = held.compare("x", answers, exact=True)
    assert (found["bits_flipped"], found["flip_rate"], found["largest_difference"]) == (0, 0, 0)
    (embedding, _), *_ = answers
    turned = embedding.copy()
    turned[0, np.abs(embedding[0]).argmax()] *= -1
    answer = [(turned, hashing.pack(hashing.binarize(turned)))]
    found = held.compare("x", answer, exact=False)
    assert found["bits_flipped"] == pytest.approx(1 / len(embedding))
    with pytest.raises(A2VError, match="x: 1 bits differ from Keras; not written"):
        held.compare("x", answer, exact=True)
    answer = [(-embedding, hashing.pack(hashing.binarize(-embedding)))]
    with pytest.raises(A2VError, match="x: 100.00% of the bits differ from Keras, at most 3%"):
        held.compare("x", answer, exact=False)
    with pytest.raises(A2VError, match="its hash is not the sign of its embedding"):
        held.compare("x", [(embedding, answer[0][1])], exact=True)


def test_custom_operations_are_refused(saved, tmp_path):
    schema = parity.schema
    model = schema.ModelT.InitFromPackedBuf((saved("lstm128") / export.FLOAT32).read_bytes(), 0)
    code = model.operatorCodes[0]
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = b"FlexTensorListReserve"
    import flatbuffers

    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    (tmp_path / "flex.tflite").write_bytes(bytes(builder.Output()))
    with pytest.raises(A2VError, match="flex.tflite: FlexTensorListReserve is not built into"):
        parity.operations(tmp_path / "flex.tflite")


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("echo ValueError: no such operation >&2; exit 1", "1: ValueError: no such operation"),
        ("kill -ABRT $$", "-6: no message"),
        ("kill -KILL $$", "-9: no message"),
    ],
)
def test_conversion_that_fails_leaves_nothing_behind(text, message, trained, tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(sys, "executable", script(tmp_path / "python", text))
    run = trained("lstm128")
    with pytest.raises(A2VError, match=re.escape(f"conversion failed ({message})")):
        export.export(run, tmp_path / "out" / "model")
    assert list((tmp_path / "out").iterdir()) == []


def test_leftovers_of_a_killed_export_are_cleared_away(trained, unconverted, tmp_path):
    (tmp_path / ".out.tmp" / "model" / "saved_model").mkdir(parents=True)
    export.export(trained("lstm128"), tmp_path / "out", calibration_queries=0)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_existing_output_is_replaced_only_when_asked(trained, unconverted, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "old.txt").write_text("old")
    with pytest.raises(A2VError, match="out: holds something else than an exported model"):
        export.export(trained("lstm128"), out, overwrite=True)
    (out / "card.json").write_text("{}")
    with pytest.raises(A2VError, match="out: exists; use --overwrite to replace it"):
        export.export(trained("lstm128"), out)
    assert (out / "old.txt").read_text() == "old"
    export.export(trained("lstm128"), out, calibration_queries=0, overwrite=True)
    assert not (out / "old.txt").exists()
    assert (out / "card.json").exists()
    (tmp_path / "file").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(A2VError, match="is a file; choose a folder"):
            export.export(trained("lstm128"), tmp_path / "file", overwrite=overwrite)
    with pytest.raises(A2VError, match="cannot write"):
        export.export(trained("lstm128"), tmp_path / "file" / "out")
    assert (tmp_path / "file").read_text() == "mine"


def test_run_without_its_dataset_is_measured_on_noise(trained, unconverted, tmp_path):
    shutil.copytree(trained("lstm128"), tmp_path / "run")
    file = tmp_path / "run" / runs.SETTINGS
    settings = json.loads(file.read_text()) | {"dataset": str(tmp_path / "gone")}
    file.write_text(json.dumps(settings))
    card = export.export(tmp_path / "run", tmp_path / "out")
    assert card["data"]["measured_on"] == "noise"
    assert card["calibration"] == chance.THEORY
    readme = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "Agreement with Keras, on the noise" in readme
    assert "probabilities are rough" in readme


def test_what_is_no_run_is_refused(trained, tmp_path):
    with pytest.raises(A2VError, match="no finished run"):
        export.export(tmp_path, tmp_path / "out")
    shutil.copytree(trained("lstm128"), tmp_path / "run")
    (tmp_path / "run" / runs.MODEL).write_text("not a model")
    with pytest.raises(A2VError, match="model.keras: no Keras model that a2v knows"):
        export.export(tmp_path / "run", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_held_out_recordings_shorter_than_asked_are_heard_whole(dataset, corpus, monkeypatch):
    held = holdout.Holdout(dataset, "first")
    assert [len(w) for w in held.waveforms] == [
        len(audio.load(t.path)) for t in corpus if t.split == "tune"
    ]
    assert [len(w) for w in held.excerpts()] == [len(w) for w in held.waveforms]
    monkeypatch.setattr(holdout, "CHECKED_S", 4.0)
    assert [len(w) for w in held.excerpts()] == [32000, 32000]
    monkeypatch.setattr(holdout, "HEARD", 1)
    monkeypatch.setattr(holdout, "HEARD_S", 3.0)
    assert [len(w) for w in holdout.Holdout(dataset, "first").waveforms] == [48000]
    monkeypatch.setattr(holdout, "LEAST_S", 1e6)
    assert holdout.Holdout(dataset, "first").source == "noise"


def test_block_covers_the_frames_of_its_windows(zoo):
    model, layer = zoo("lstm128")
    for windows in conversion.SIGNATURES.values():
        block = np.zeros(conversion.samples(layer, windows), np.float32)
        assert len(model.embed_waveform(layer, block)) == windows


def test_calibration_tells_right_answers_from_wrong_ones(saved, corpus):
    encoder = runtime.Encoder(saved("lstm128") / export.FLOAT32)
    waveforms = [audio.load(track.path) for track in corpus]
    options = {"others": waveforms[:1], "queries": 60}
    found = calibration.calibrate(encoder, waveforms[1:], **options)
    assert found["slope"] > 0 and found["scale"][0] != 0
    assert 0 < found["right"] < found["queries"]
    assert calibration.calibrate(encoder, waveforms[1:], **options) == found


@pytest.mark.parametrize("snr_db", [10.0, 0.0])
def test_calibration_noise_has_the_asked_level(snr_db, melody):
    waveform = melody(0, 3.0)
    got = calibration.with_noise(waveform, snr_db, np.random.default_rng(0))
    measured = audio.level_dbfs(waveform) - audio.level_dbfs(got - waveform)
    assert measured == pytest.approx(snr_db, abs=0.1)
    assert calibration.with_noise(waveform, None, None) is waveform


def test_command_writes_the_table_of_all_models(saved, call, tmp_path):
    folder = saved("lstm128").parent
    done = call("export", "--table", folder)
    assert (done.returncode, done.stdout) == (0, f"{folder}/README.md\n"), done.stderr
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert text == cards.table(folder)
    parameters = f"{models.build('lstm128').encoder.count_params():,}"
    size = (folder / "lstm128" / export.FLOAT32).stat().st_size
    row = f"[`lstm128`](lstm128/README.md) | mfcc | 128 | {parameters} | {size / 1000:.0f} kB"
    assert row in text
    assert re.search(r"\d (s|min) \| 4 tracks, 0\.0 h \|$", text, re.MULTILINE)
    done = call("export", "--table", folder, "--results", tmp_path)
    assert done.returncode == 2
    assert "answers.jsonl: cannot be read" in done.stderr
    assert (folder / "README.md").read_text(encoding="utf-8") == text
    done = call("export", tmp_path, "--out", tmp_path / "x", "--results", tmp_path)
    assert done.returncode == 2
    assert "--results belongs to --table" in done.stderr
    done = call("export", "--table", tmp_path)
    assert done.returncode == 2
    assert "no folder with a card.json in it" in done.stderr


@pytest.mark.slow
def test_command_exports_a_run(trained, call, tmp_path):
    (tmp_path / "note.md").write_text("Composed music.")
    (tmp_path / "tiny.toml").write_text(
        '[features]\nname = "mfcc"\n[model]\nname = "lstm128"\n'
        '[export]\ncalibration_queries = 10\nsummary = "A tiny one."\n'
    )
    shutil.copytree(trained("lstm128"), tmp_path / "run")
    file = tmp_path / "run" / runs.SETTINGS
    settings = json.loads(file.read_text()) | {"pipeline": str(tmp_path / "tiny.toml")}
    file.write_text(json.dumps(settings))
    arguments = ["export", tmp_path / "run", "--out", tmp_path / "mine"]
    done = call(*arguments, "--note", tmp_path / "note.md", timeout=300)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[-1] for line in lines] == [
        f"{tmp_path}/mine/{name}"
        for name in ("model.int8.tflite", "model.keras", "model.tflite", "saved_model")
    ]
    readme = (tmp_path / "mine" / "README.md").read_text(encoding="utf-8")
    assert "A tiny one." in readme
    assert "Composed music." in readme
    assert "fitted on 10 queries" in readme or "not fitted" in readme
    again = call(*arguments)
    assert (again.returncode, again.stdout) == (2, "")
    assert "a2v-export: " in again.stderr and "use --overwrite" in again.stderr
    missing = call(*arguments, "--note", tmp_path / "none.md")
    assert missing.returncode == 2
    assert "none.md: cannot be read as text" in missing.stderr
    assert call("export").returncode == 2
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


@pytest.mark.parametrize("name", NAMES)
def test_a_window_alone_hashes_as_in_a_block(name, saved, zoo, corpus):
    _, layer = zoo(name)
    encoder = runtime.Encoder(saved(name) / export.FLOAT32)
    waveform = audio.load(corpus[0].path)[: 12 * audio.SAMPLE_RATE]
    hop = round(encoder.hop_s * encoder.sample_rate)
    alone = [encoder.embed(waveform[k * hop :][: layer.span()]) for k in range(20)]
    np.testing.assert_allclose(
        np.concatenate([rows[:1] for rows in alone]), encoder.embed(waveform)[:20], atol=1e-5
    )
