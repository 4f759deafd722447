"""The laws of the zoo, held by the weights that come with a2v."""

import json

import numpy as np
import pytest

from a2v import audio, cards, export, features, models, parity, resources, runs, runtime
from a2v.errors import A2VError

NAMES = resources.saved_models()
FILES = [(name, file) for name in NAMES for file in (export.FLOAT32, export.DYNAMIC)]


@pytest.fixture(scope="module")
def waveform(corpus):
    """Long enough for a block of windows, which another graph than that of one computes."""
    return audio.load(corpus[0].path)


@pytest.fixture(scope="module")
def encoder():
    """A function: the encoder of a shipped file, opened once."""
    opened = {}

    def encode(name, file):
        if (name, file) not in opened:
            path = resources.saved_model(name).with_name(file)
            opened[name, file] = runtime.Encoder(path)
        return opened[name, file]

    return encode


def test_every_model_is_shipped():
    assert NAMES == models.names()


@pytest.mark.parametrize(("name", "file"), FILES)
def test_a_recording_has_the_same_hashes_each_time(name, file, encoder, waveform):
    one = encoder(name, file)
    codes = one.hash(waveform)
    assert codes.shape == (one.windows(len(waveform)), one.n_bits // 8)
    assert len(np.unique(codes, axis=0)) > len(codes) / 2
    np.testing.assert_array_equal(one.hash(waveform), codes)
    np.testing.assert_array_equal(runtime.Encoder(one.data).hash(waveform), codes)


@pytest.mark.parametrize(("name", "file"), FILES)
def test_a_window_embeds_alike_alone_and_in_a_block(name, file, encoder, waveform):
    one = encoder(name, file)
    hop, span = round(one.hop_s * one.sample_rate), one.metadata["span_samples"]
    together = one.embed(waveform)
    assert one.metadata["block_windows"] >= len(together) > 20
    chosen = range(0, len(together) - 2, 5)
    alone = np.stack([one.embed(waveform[k * hop : k * hop + span])[0] for k in chosen])
    flipped = np.mean((together[list(chosen)] > 0) != (alone > 0))
    # A bit at 0 is a toss-up, and what is quantised rounds with what else is in its block.
    assert flipped <= (0.005 if file == export.FLOAT32 else parity.MAX_FLIP_RATE)


@pytest.mark.parametrize(("name", "file"), FILES)
def test_silence_is_one_hash_that_is_told_for_it(name, file, encoder):
    one = encoder(name, file)
    silence = np.zeros(round((one.window_s + 8) * one.sample_rate), np.float32)
    assert np.isfinite(one.embed(silence)).all()
    assert not one.audible(silence).any()
    assert len(np.unique(one.hash(silence), axis=0)) == 1


@pytest.mark.parametrize("name", NAMES)
def test_what_is_shorter_than_a_window_is_refused(name, encoder, waveform):
    one = encoder(name, export.FLOAT32)
    window = round(one.window_s * one.sample_rate)
    assert len(one.hash(waveform[:window])) == 1
    for samples in (0, 1, window - 1):
        with pytest.raises(A2VError, match="give a longer recording"):
            one.hash(waveform[:samples])


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_all_files_of_a_model_agree(name, encoder, waveform):
    folder = resources.saved_model(name).parent
    one = encoder(name, export.FLOAT32)
    model = runs.load_model(folder / "model.keras")
    card = json.loads((folder / cards.CARD).read_text(encoding="utf-8"))
    layer = features.build(model.feature, **card["training"]["feature_options"])
    assert models.model_id(model, layer) == one.model_id
    held = parity.Reference(model, layer, [waveform])
    held.encoder(name, one, exact=True)
    held.encoder(name, encoder(name, export.DYNAMIC), exact=False)
    held.saved_model(name, folder / "saved_model")
