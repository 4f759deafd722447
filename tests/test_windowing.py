import numpy as np
import pytest
import tensorflow as tf

from a2v import features
from a2v.errors import A2VError
from a2v.windowing import Windower

SPAN = features.build("logmel").span()  # of a waveform window


def noise(n, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, n).astype(np.float32)


def windows(windower, waveform):
    return windower.windows(windower.segment(tf.constant(waveform)).numpy())


@pytest.mark.parametrize("names", [["mfcc"], ["waveform"], ["chroma", "waveform", "logmel"]])
@pytest.mark.parametrize("hop", [1, 4])
def test_the_last_window_is_the_last_whole_second(hop, names):
    windower = Windower(names, hop_s=0.25 * hop, margin_s=0.1)
    for n in (16000, 16001, 19999, 20000, 31999, 32000, 70123):
        count = 1 + (n - 16000) // (4000 * hop)
        assert windower.count(n) == count
        assert {len(value) for value in windows(windower, noise(n)).values()} == {count}


def test_shorter_recordings_have_none():
    windower = Windower(["mfcc"])
    assert [windower.count(n) for n in (0, 1, 15999)] == [0, 0, 0]


@pytest.mark.parametrize("name", features.FEATURES)
def test_windows_are_those_of_the_layer(name):
    windower = Windower([name])
    layer = windower.layers[name]
    waveform = noise(50000)
    expected = layer.windows(np.pad(waveform, (0, layer.span() - 16000))).numpy()
    np.testing.assert_allclose(windows(windower, waveform)[name], expected, atol=1e-5)


@pytest.mark.parametrize("hop", [1, 4])
@pytest.mark.parametrize("margin", [0, 1600, 8000])
def test_waveform_windows_have_their_surroundings(margin, hop):
    waveform = noise(70000)
    windower = Windower(["waveform"], hop_s=0.25 * hop, margin_s=margin / 16000)
    got = windows(windower, waveform)["waveform"]
    around = np.pad(waveform, (margin, margin + SPAN))
    for i, window in enumerate(got):
        start = 4000 * hop * i
        np.testing.assert_array_equal(window, around[start : start + SPAN + 2 * margin])


def test_features_side_by_side_equal_those_alone():
    names = ["waveform", *features.FEATURES]
    together = windows(Windower(names, margin_s=0.25), noise(45678))
    assert list(together) == names
    for name in names:
        alone = windows(Windower([name], margin_s=0.25), noise(45678))
        np.testing.assert_allclose(alone[name], together[name], atol=1e-5)


def test_described_is_what_comes_out():
    windower = Windower(["mfcc", "waveform"], {"mfcc": {"n_mfcc": 20}}, margin_s=0.5)
    described = windower.described()
    got = windows(windower, noise(20000))
    assert {n: list(v.shape[1:]) for n, v in got.items()} == {
        "mfcc": [100, 20],
        "waveform": [SPAN + 16000],
    }
    assert {n: d["shape"] for n, d in described.items()} == {
        "mfcc": [100, 20],
        "waveform": [SPAN + 16000],
    }
    layer = features.build("mfcc", n_mfcc=20)
    assert described["mfcc"]["definition"] == layer.definition()
    assert described["mfcc"]["digest"] == features.digest(layer.definition())


@pytest.mark.parametrize(
    ("names", "options", "sentence"),
    [
        (["mfc"], {}, "feature 'mfc': use one of mfcc, chroma, logmel, pitch, waveform"),
        ([""], {}, "feature '': use one of"),
        ([], {}, "feature '': use one of"),
        (["mfcc"], {"hop_s": 0.1}, "hop_s = 0.1: use a multiple of 0.25"),
        (["mfcc"], {"hop_s": 0.0}, "hop_s = 0.0: use a multiple of 0.25"),
        (["mfcc"], {"margin_s": -1.0}, "margin_s = -1.0: use 0 or more"),
    ],
)
def test_bad_settings_are_refused(names, options, sentence):
    with pytest.raises(A2VError, match=sentence):
        Windower(names, **options)
