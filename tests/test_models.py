import ast
import importlib.util
import inspect
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from a2v import audio, features, hashing, losses, models, records, runs, settings
from a2v.errors import A2VError
from a2v.inputs import Inputs

NAMES = models.names()
SETTINGS = {"seed": 0, "batch_size": 8, "feature_options": {}, "augmentation": {}}


def other_values(name):
    """`(argument, value)` for each keyword of a model, other than its default."""
    model = models.get(name)
    for key, parameter in inspect.signature(model.__init__).parameters.items():
        value = parameter.default
        if parameter.kind is not parameter.KEYWORD_ONLY:
            continue
        if key in model.choices:
            others = [word for word in model.choices[key] if word != value]
        elif isinstance(value, bool):
            others = [not value]
        elif isinstance(value, tuple):
            others = [tuple(number // 2 for number in value)]
        elif isinstance(value, int):
            others = [value // 16 * 8 or value // 2]  # whole bytes, where it may be bits
        else:
            others = [2 * value or 1.0]
        yield from ((key, other) for other in others)


OPTIONS = [(name, key, value) for name in NAMES for key, value in other_values(name)]


@pytest.fixture(scope="module")
def zoo():
    """A function: a model with its preset weights and its feature layer, built once."""
    built = {}

    def build(name):
        if name not in built:
            keras.utils.set_random_seed(0)
            model = models.build(name)
            built[name] = model, features.build(model.feature)
        return built[name]

    return build


@pytest.fixture(scope="module")
def waveform(corpus):
    return audio.load(corpus[0].path)[: 3 * audio.SAMPLE_RATE]


def windows_of(layer, waveform, hop=4000):
    """Each window from its own samples alone: float32 `[windows, 100, n_features]`."""
    starts = range(0, len(waveform) - layer.span() + 1, hop)
    return np.stack([np.asarray(layer(waveform[s : s + layer.span()])) for s in starts])


def batch_of(model, dataset):
    inputs = Inputs(records.Dataset(dataset), model, SETTINGS)
    model.adapt(inputs.windows("train").map(lambda batch: batch["windows"]))
    return next(iter(inputs.epoch(0)))


def losses_of(model, batch, *, steps, rate=3e-3):
    """The loss on one batch, step after step."""
    trainer = model.trainer()
    # Clipped, as `training` does: a batch of 8 can throw a recurrent model far off.
    trainer.compile(keras.optimizers.Adam(rate, global_clipnorm=1.0), loss=model.objective())
    return [float(trainer.train_on_batch(*batch)) for _ in range(steps)]


def assert_same_bits(got, expected):
    np.testing.assert_allclose(got, expected, atol=1e-4 * np.std(expected))
    sure = np.abs(expected) > 1e-4 * np.std(expected)
    assert ((got > 0) == (expected > 0))[sure].all()


@pytest.mark.parametrize("name", NAMES)
def test_config_makes_the_same_model(name, zoo):
    model, _ = zoo(name)
    again = type(model).from_config(model.get_config())
    assert again.get_config() == model.get_config()
    assert again.name == name
    shapes = [tuple(weight.shape) for weight in model.weights]
    assert [tuple(weight.shape) for weight in again.weights] == shapes


# Unrolling takes long: below, among the slow ones.
@pytest.mark.parametrize(("name", "key", "value"), [o for o in OPTIONS if o[1] != "unroll"])
def test_option_is_kept_in_the_config(name, key, value):
    model = models.build(name, **{key: value})
    again = type(model).from_config(model.get_config())
    assert again.get_config()[key] == value


@pytest.mark.parametrize("name", NAMES)
def test_saved_model_embeds_alike(name, zoo, waveform, tmp_path):
    model, layer = zoo(name)
    model.save(tmp_path / "model.keras")
    again = runs.load_model(tmp_path / "model.keras")
    windows = windows_of(layer, waveform)[:3]
    np.testing.assert_array_equal(again.embed(windows), model.embed(windows))


@pytest.mark.parametrize("name", NAMES)
def test_window_embeds_alike_alone_in_a_batch_and_in_a_stream(name, zoo, waveform):
    model, layer = zoo(name)
    windows = windows_of(layer, waveform)
    together = np.asarray(model.embed(windows))
    assert together.shape == (len(windows), model.n_bits)
    assert model.n_bits % 8 == 0
    backwards = np.asarray(model.embed(windows[::-1].copy()))[::-1]
    assert_same_bits(backwards, together)
    assert_same_bits(np.asarray(model.embed(windows[4:5])), together[4:5])
    assert_same_bits(np.asarray(model.embed_waveform(layer, waveform)), together)
    device = np.asarray(model.device_encoder()(layer, waveform[: layer.span()]))
    assert_same_bits(device, together[:1])


@pytest.mark.parametrize("name", NAMES)
def test_embedding_is_finite(name, zoo):
    model, layer = zoo(name)
    n = layer.span()
    impulse = np.zeros(n, np.float32)
    impulse[n // 2] = 1.0
    square = np.where(np.arange(n) // 50 % 2, 1.0, -1.0).astype(np.float32)
    for extreme in (np.zeros(n, np.float32), np.ones(n, np.float32), square, impulse):
        assert np.isfinite(np.asarray(model.embed_waveform(layer, extreme))).all()


@pytest.mark.parametrize("name", NAMES)
def test_weights_take_at_most_4_megabytes(name, zoo):
    model, _ = zoo(name)
    assert 4 * model.count_params() <= 4_000_000


@pytest.mark.parametrize("name", NAMES)
def test_training_decreases_the_loss(name, dataset):
    keras.utils.set_random_seed(0)
    model = models.build(name)
    if not model.trainable_weights:
        pytest.skip("adapts to data; nothing to train")
    found = losses_of(model, batch_of(model, dataset), steps=12)
    assert found[-1] < 0.95 * found[0]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "key", "value"), OPTIONS)
def test_option_trains_and_saves(name, key, value, dataset, tmp_path):
    keras.utils.set_random_seed(0)
    model = models.build(name, **{key: value})
    x, y = batch_of(model, dataset)
    if model.trainable_weights:
        found = losses_of(model, (x, y), steps=12)
        assert found[-1] < found[0]
    model.save(tmp_path / "model.keras")
    again = runs.load_model(tmp_path / "model.keras")
    windows = x[:, 0] if len(x.shape) == 4 else x
    np.testing.assert_array_equal(again.embed(windows), model.embed(windows))
    np.testing.assert_array_equal(again(windows), model(windows))


def test_lstm128_has_one_lstm_for_both_halves(zoo):
    model, _ = zoo("lstm128")
    lstms = [x for x in model._flatten_layers() if isinstance(x, keras.layers.LSTM)]
    assert len(lstms) == 1
    units, cepstra = 128, 13
    lstm = 4 * units * (cepstra + units + 1)
    read_out = cepstra * (units + 1)
    assert sum(weight.size for weight in map(np.asarray, model.trainable_weights)) == (
        lstm + read_out
    )
    assert model.encoder.get_layer("lstm") is model.get_layer("lstm")


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("decoder_input", models.get("lstm128").choices["decoder_input"])
def test_lstm128_decodes_from_the_hidden_state_alone(decoder_input, reverse, zoo, waveform):
    _, layer = zoo("lstm128")
    options = {"units": 8, "decoder_input": decoder_input, "reverse": reverse, "scaling": "none"}
    model = models.build("lstm128", **options)
    lstm, read_out = model.get_layer("lstm"), model.read_out
    windows = windows_of(layer, waveform)[:2]
    order = -1 if reverse else 1
    target = windows[:, ::order]
    cell = lstm.cell
    state = [np.asarray(model.encoder(windows)), np.zeros((2, 8), np.float32)]
    fed = np.zeros((2, 13), np.float32)
    expected = []
    for step in range(windows.shape[1]):
        _, state = cell(fed, state)
        expected.append(np.asarray(read_out(state[0])))
        if decoder_input == "teacher":
            fed = target[:, step]
        elif decoder_input == "feedback":
            fed = expected[-1]
    decoded = np.stack(expected, axis=1)[:, ::order]
    np.testing.assert_allclose(model(windows), decoded, atol=1e-5)


@pytest.mark.parametrize("layers", [1, 3])
def test_lstm_deep_decodes_from_the_last_hidden_state_alone(layers, zoo, waveform):
    model = models.build("lstm_deep", layers=layers, n_bits=8)
    lstms = [x for x in model._flatten_layers() if isinstance(x, keras.layers.LSTM)]
    assert len(lstms) == layers  # one stack for both halves
    windows = windows_of(zoo("lstm_deep")[1], waveform)[:2]
    embedding = np.asarray(model.encoder(windows))
    states = [[embedding, np.zeros((2, 8), np.float32)] for _ in range(layers)]
    expected = []
    for _ in range(windows.shape[1]):
        fed = np.zeros((2, 13), np.float32)
        for i in range(layers):
            fed, states[i] = model.get_layer(f"lstm{i + 1}").cell(fed, states[i])
        expected.append(np.asarray(model.get_layer("read_out")(fed)))
    np.testing.assert_allclose(model(windows), np.stack(expected[::-1], axis=1), atol=1e-5)


@pytest.mark.parametrize("name", ["conv128", "conv_lstm128", "cover128"])
def test_contrastive_model_does_not_hear_the_level(name, zoo, waveform):
    model, layer = zoo(name)
    frames = np.asarray(layer(waveform))
    louder = np.asarray(model.encoder((frames + 3.0)[None, :100]))
    np.testing.assert_allclose(louder, model.encoder(frames[None, :100]), atol=1e-4)


def test_cover128_turns_its_code_with_the_key(zoo):
    model, _ = zoo("cover128")
    generator = np.random.default_rng(0)
    frames = generator.normal(0, 1, (1, 100, 216)).astype(np.float32)
    # What lies at the rim falls out when it is transposed; octaves below and above are silent.
    frames[..., :72] = frames[..., -72:] = -8.0
    codes = [np.asarray(model.encoder(np.roll(frames, 3 * k, axis=-1)))[0, 0] for k in range(-3, 4)]
    for k, code in zip(range(-3, 4), codes, strict=True):
        distances = [np.abs(hashing.transpose(codes[3], j) - code).mean() for j in range(12)]
        assert int(np.argmin(distances)) == k % 12
        assert min(distances) < 0.5 * np.median(distances)


def test_conv_lstm128_is_conv128_but_for_what_follows_two_convolutions(zoo):
    convolutional, recurrent = zoo("conv128")[0], zoo("conv_lstm128")[0]
    for name in ("normalise", "conv1", "norm1", "conv2", "norm2", "balance"):
        one, other = (model.get_layer(name).get_config() for model in (convolutional, recurrent))
        assert one == other
    assert recurrent.objective().get_config() == convolutional.objective().get_config()
    assert recurrent.count_params() == pytest.approx(convolutional.count_params(), rel=0.05)


@pytest.mark.parametrize("name", ["samaf", "lstm_denoising"])
def test_autoencoder_with_another_objective_has_the_weights_of_lstm128(name, zoo, waveform):
    (plain, layer), (model, _) = zoo("lstm128"), zoo(name)
    shapes = [tuple(weight.shape) for weight in plain.weights]
    assert [tuple(weight.shape) for weight in model.weights] == shapes
    again = type(model).from_config(model.get_config())
    again.set_weights(plain.get_weights())
    windows = windows_of(layer, waveform)[:2]
    np.testing.assert_array_equal(again(windows), plain(windows))
    np.testing.assert_array_equal(again.embed(windows), plain.embed(windows))


def test_samaf_trains_on_what_it_embeds_and_reconstructs(zoo, waveform):
    model, layer = zoo("samaf")
    windows = windows_of(layer, waveform)[:4]
    pairs = np.stack([windows[:2], windows[2:]], axis=1)
    output = np.asarray(model.trainer()(pairs))
    parts = np.split(output, [windows[0].size, windows[0].size + model.n_bits], axis=1)
    for part, expected in zip(
        parts, (model(windows[:2]), model.embed(windows[:2]), model.embed(windows[2:])), strict=True
    ):
        np.testing.assert_allclose(part, np.reshape(expected, part.shape), atol=1e-5)


def test_lstm_denoising_learns_the_clean_window_from_its_aligned_copy(dataset):
    chosen = settings.read("lstm_denoising")["training"]["augmentation"]
    model = models.build("lstm_denoising")
    # Noise that cannot be heard: but for room and equaliser, the copy is the window.
    quiet = SETTINGS | {"augmentation": chosen | {"snr_db": (200.0, 200.0)}}
    inputs = Inputs(records.Dataset(dataset), model, quiet)
    assert inputs.augmentation.reach == 0
    x, y = (np.asarray(part) for part in next(iter(inputs.epoch(0))))
    x, y = (part[..., 1:] - part[..., 1:].mean(axis=1, keepdims=True) for part in (x, y))
    n, lags = x.shape[1], range(-3, 4)
    distance = [np.square(x[:, 3 + lag : n - 3 + lag] - y[:, 3:-3]).mean() for lag in lags]
    assert lags[int(np.argmin(distance))] == 0


def test_semantic32_draws_noise_in_training_alone(zoo, waveform, tmp_path):
    def outputs(model, count):
        return [np.asarray(model(windows, training=True)) for _ in range(count)]

    windows = windows_of(zoo("semantic32")[1], waveform)[:3]
    keras.utils.set_random_seed(5)
    model = models.build("semantic32", units=(16,))
    np.testing.assert_array_equal(model(windows), model(windows))
    first = outputs(model, 2)
    assert not np.allclose(*first)
    keras.utils.set_random_seed(5)
    again = models.build("semantic32", units=(16,))
    np.testing.assert_array_equal(outputs(again, 2), first)
    again.save_weights(tmp_path / "x.weights.h5")
    resumed = models.build("semantic32", units=(16,))
    resumed.load_weights(tmp_path / "x.weights.h5")
    np.testing.assert_array_equal(outputs(resumed, 2), outputs(model, 2))


def test_semantic32_noise_has_the_asked_deviation():
    layer = models.get("semantic32")(noise=3.0).get_layer("noise")
    drawn = np.asarray(layer(np.ones((200, 500), np.float32), training=True)) - 1
    assert abs(drawn.mean()) < 0.05
    assert drawn.std() == pytest.approx(3.0, abs=0.05)


@pytest.fixture(scope="module")
def words(dataset):
    """A function: an `audio_words` model adapted to the train split under a seed."""

    def build(seed, **options):
        keras.utils.set_random_seed(seed)
        model = models.build("audio_words", **options)
        batch_of(model, dataset)
        return model

    return build


def test_audio_words_counts_the_nearest_words(words, zoo, waveform):
    model = words(0)
    mean, components, codebook = model.codebook.get_weights()
    windows = windows_of(zoo("audio_words")[1], waveform)
    points = (windows - mean) @ components  # [windows, 100, k]
    distances = np.square(points[:, :, None] - codebook).sum(axis=-1)
    nearest = distances.argmin(axis=-1)
    counts = np.stack([np.bincount(row, minlength=1000) for row in nearest])
    shares = np.asarray(model.embed(windows)) + 0.005
    np.testing.assert_allclose(shares.sum(axis=-1), 1, atol=1e-4)
    assert ((shares > 0.005) == (counts > 0)).mean() > 0.995
    assert 0.5 * np.abs(shares - counts / 100).sum(axis=-1).mean() < 0.15  # frames on a border


def test_audio_words_components_are_those_of_largest_variance(words, dataset):
    model = words(0)
    inputs = Inputs(records.Dataset(dataset), model, SETTINGS)
    batches = [batch["windows"].numpy() for batch in inputs.windows("train")]
    frames = np.concatenate(batches).reshape(-1, 12)
    mean, components, _ = model.codebook.get_weights()
    np.testing.assert_allclose(mean, frames.mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(components.T @ components, np.eye(8), atol=1e-5)
    kept = ((frames - mean) @ components).var(axis=0)
    most = np.linalg.svd(frames - frames.mean(axis=0), compute_uv=False)[:8] ** 2 / len(frames)
    np.testing.assert_allclose(kept, most, rtol=1e-3)


def test_audio_words_adapts_as_its_seed_says(words):
    first, again, other = (words(seed, n_words=64) for seed in (3, 3, 4))
    for one, same in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, same)
    assert not np.array_equal(first.get_weights()[2], other.get_weights()[2])


def test_audio_words_restores_frames_the_better_the_more_words(words, dataset):
    errors = []
    for n_words in (8, 64, 512):
        model = words(0, n_words=n_words)
        x, y = batch_of(model, dataset)
        errors.append(float(model.objective()(y, model(x))))
    assert errors[0] > 1.5 * errors[1] > 2 * errors[2]


def test_audio_words_wants_as_many_frames_as_words():
    model = models.build("audio_words")
    frames = np.random.default_rng(0).random((3, 100, 12), dtype=np.float32)
    with pytest.raises(A2VError, match="300 different frames for 1000 words; add music"):
        model.adapt([frames])


def test_audio_words_draws_frames_from_all_windows_alike():
    batches = [np.full((4, 100, 1), i, np.float32) for i in range(50)]
    drawn = sys.modules[models.get("audio_words").__module__].sample(
        batches, 5000, np.random.default_rng(0)
    )
    counts = np.bincount(drawn[:, 0].astype(int), minlength=50)
    assert counts.sum() == 5000
    assert counts.min() > 60 and counts.max() < 140


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(A2VError, match=r"no model 'lstm12'; did you mean 'lstm128'\?"):
        models.get("lstm12")
    with pytest.raises(A2VError, match=r"lstm128: no argument 'unit'; did you mean 'units'\?"):
        models.build("lstm128", unit=64)
    with pytest.raises(A2VError, match=r"no preset 'publish'; did you mean 'published'\?"):
        models.build("lstm128", preset="publish")
    with pytest.raises(A2VError, match="decoder_input = 'none'; use one of zeros, teacher"):
        models.build("lstm128", decoder_input="none")
    with pytest.raises(A2VError, match="12 bits do not fill whole bytes"):
        models.build("lstm128", units=12)


@pytest.mark.parametrize("name", NAMES)
def test_presets_are_arguments(name):
    for preset, options in models.get(name).presets.items():
        config = models.build(name, preset=preset).get_config()
        assert options.items() <= config.items()


def test_models_and_losses_name_no_backend():
    files = [*Path(models.__file__).parent.glob("*.py"), Path(losses.__file__)]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
                assert not {"tensorflow", "jax", "torch"} & {name.split(".")[0] for name in names}


ON_JAX = """
import sys
import keras
import numpy as np
from a2v import features, models

assert keras.backend.backend() == "jax"
for name in models.names():
    model = models.build(name)
    waveform = np.load(sys.argv[1])
    layer = features.build(model.feature)
    windows = np.asarray(layer.windows(waveform))
    x = np.stack([windows, windows], 1) if len(model.trainer().input_shape) == 4 else windows
    trainer = model.trainer()
    trainer.compile("adam", loss=model.objective())
    assert np.isfinite(trainer.fit(x, x, epochs=2, verbose=0).history["loss"]).all()
    model.save(f"{sys.argv[2]}/{name}.keras")
    np.save(f"{sys.argv[2]}/{name}.npy", model.embed_waveform(layer, waveform))
"""


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="no JAX here")
def test_weights_from_jax_embed_alike_here(zoo, waveform, tmp_path):
    np.save(tmp_path / "waveform.npy", waveform)
    command = [sys.executable, "-c", ON_JAX, tmp_path / "waveform.npy", tmp_path]
    subprocess.run(command, check=True, env=os.environ | {"KERAS_BACKEND": "jax"}, timeout=600)
    for name in NAMES:
        model = runs.load_model(tmp_path / f"{name}.keras")
        layer = features.build(model.feature)
        got = np.asarray(model.embed_waveform(layer, waveform))
        np.testing.assert_allclose(got, np.load(tmp_path / f"{name}.npy"), atol=1e-4)


def test_slope_of_conv128_grows_in_training_alone(dataset, tmp_path):
    model = models.build("conv128", channels=(2, 2, 2, 2, 2), slope_growth=3.0)
    pairs, _ = batch_of(model, dataset)
    trainer = model.trainer()

    flat = np.reshape(pairs, (-1, *pairs.shape[2:]))
    plain = np.asarray(model(flat)).reshape(-1, 2, model.n_bits)
    for step in range(3):
        for _ in range(2):
            got = np.asarray(trainer(pairs, training=False))
            np.testing.assert_allclose(got, np.sqrt(1 + 3.0 * step) * plain, rtol=1e-4)
        trainer.get_layer("slope")(plain, training=True)
    # A run that was killed goes on with the slope it had.
    trainer.save_weights(tmp_path / "state.weights.h5")
    again = model.trainer()
    again.load_weights(tmp_path / "state.weights.h5")
    np.testing.assert_array_equal(again(pairs, training=False), trainer(pairs, training=False))
    assert float(again.get_layer("slope").step) == 3
    assert len(model.weights) == len(models.build("conv128").weights)
    plain = models.build("conv128").trainer()
    assert not any(layer.name == "slope" for layer in plain.layers)


def test_conv128_without_batch_normalisation_learns_a_bias_for_each_bit():
    model = models.build("conv128", batch_norm=False)
    assert model.layers[-1] is model.get_layer("projection")
    assert tuple(model.get_layer("projection").bias.shape) == (model.n_bits,)
    assert not models.build("conv128").get_layer("projection").use_bias
