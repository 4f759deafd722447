import keras
import librosa
import numpy as np
import pytest
import python_speech_features

from a2v import audio, features, filterbanks
from a2v.errors import A2VError

NAMES = list(features.FEATURES)
OTHER_SETTINGS = {
    "mfcc": {
        "n_mfcc": 20,
        "n_mels": 40,
        "frame_length": 320,
        "fft_length": 1024,
        "pre_emphasis": 0.95,
        "lifter": 30,
    },
    "chroma": {"n_chroma": 24, "frame_length": 1024, "fft_length": 4096},
    "logmel": {
        "n_mels": 32,
        "min_hz": 50.0,
        "max_hz": 6000.0,
        "frame_length": 512,
        "fft_length": 2048,
        "floor": 1e-6,
    },
    "pitch": {
        "n_semitones": 48,
        "low": 48,
        "frame_length": 2048,
        "fft_length": 8192,
        "floor": 1e-6,
    },
}
SETTINGS = [(name, key) for name in NAMES for key in OTHER_SETTINGS[name]]


def by_psf(waveform):
    """python_speech_features' MFCC of all whole frames, and which of them hold any sound.

    It replaces a power of zero alone by float64's epsilon, a2v any power below that: 150 dB below
    full scale, where decoders leave rounding noise.
    """
    n_frames = 1 + (len(waveform) - 400) // 160
    waveform = waveform[: (n_frames - 1) * 160 + 400].astype(np.float64)
    power, _ = python_speech_features.fbank(waveform, 16000, preemph=0.97)
    return python_speech_features.mfcc(waveform, 16000), power.min(axis=1) > np.finfo(float).eps


def by_librosa(waveform, *, n_fft=2048):
    """librosa's chroma: `[frames, 12]`."""
    chroma = librosa.feature.chroma_stft(
        y=waveform, sr=16000, n_fft=n_fft, hop_length=160, center=False, tuning=0.0
    )
    return chroma.T


def of(name, waveform, **options):
    return features.build(name, **options)(np.asarray(waveform, np.float32)).numpy()


@pytest.fixture(scope="module", params=["composed", "real"])
def recordings(request):
    """Waveforms of 10 s: a composed corpus, and real music where there is some."""
    paths = request.getfixturevalue(f"{request.param}_music")
    return [audio.load(path)[:160000] for path in paths]


def test_mfcc_agrees_with_python_speech_features(recordings):
    for waveform in recordings:
        expected, sound = by_psf(waveform)
        assert sound.mean() > 0.9
        difference = np.abs(of("mfcc", waveform) - expected)[sound]
        # float32 rounds an FFT's weakest bands, 70 dB below its strongest, by more than that.
        assert np.quantile(difference, 0.998) < 1e-4
        assert difference.max() < 1e-3


def test_mfcc_of_noise_agrees_with_python_speech_features_throughout():
    waveform = np.random.default_rng(0).normal(0, 0.1, 160000).astype(np.float32)
    np.testing.assert_allclose(of("mfcc", waveform), by_psf(waveform)[0], atol=1e-4)


def test_chroma_agrees_with_librosa(recordings):
    for waveform in recordings:
        np.testing.assert_allclose(of("chroma", waveform), by_librosa(waveform), atol=1e-3)


def test_logmel_is_the_logarithm_of_mel_band_power(recordings):
    filters = librosa.filters.mel(
        sr=16000, n_fft=1024, n_mels=128, fmin=100, fmax=7000, htk=True, norm=None
    )
    for waveform in recordings:
        frames = librosa.util.frame(waveform, frame_length=1024, hop_length=160).T
        power = np.abs(np.fft.rfft(frames * filterbanks.hann(1024))) ** 2
        expected = np.log(np.maximum(power @ filters.T, 1e-7))
        # Narrow bands far below the frame's loudest carry the rounding of a float32 transform.
        np.testing.assert_allclose(of("logmel", waveform), expected, atol=5e-3)


@pytest.mark.parametrize(("n_chroma", "fft_length"), [(12, 2048), (24, 4096), (36, 1000)])
def test_chroma_filters_are_those_of_librosa(n_chroma, fft_length):
    expected = librosa.filters.chroma(sr=16000, n_fft=fft_length, n_chroma=n_chroma, tuning=0.0)
    np.testing.assert_allclose(filterbanks.chroma(n_chroma, fft_length), expected.T, atol=1e-6)


def test_mel_filters_on_bins_are_those_of_python_speech_features():
    expected = python_speech_features.get_filterbanks(26, 512, 16000)
    np.testing.assert_allclose(filterbanks.mel_on_bins(26, 512), expected.T, atol=1e-6)


@pytest.mark.parametrize(("name", "n_features"), [("mfcc", 13), ("chroma", 12), ("logmel", 128)])
def test_shapes_are_those_announced(name, n_features):
    layer = features.build(name)
    assert layer.n_features == n_features
    waveform = np.random.default_rng(0).uniform(-1, 1, layer.span()).astype(np.float32)
    assert layer(waveform).shape == (100, n_features)
    assert layer(np.stack([waveform] * 3)).shape == (3, 100, n_features)
    assert layer.windows(waveform).shape == (1, 100, n_features)
    assert layer.windows(np.pad(waveform, (0, 3999))).shape == (1, 100, n_features)
    assert layer.windows(np.pad(waveform, (0, 4000))).shape == (2, 100, n_features)


def test_mfcc_span_is_one_second_and_a_frame():
    assert features.build("mfcc").span() == 16240
    assert (features.WINDOW_S, features.HOP_S) == (1.0, 0.25)


def hostile():
    """Waveforms of a second and a bit that numbers may break on."""
    n = 20000
    time = np.arange(n) / 16000
    return {
        "silence": np.zeros(n),
        "dc": np.ones(n),
        "impulse": np.eye(1, n, 5000)[0],
        "first sample": np.eye(1, n, 0)[0],
        "full scale": np.sign(np.sin(2 * np.pi * 997 * time)),
        "nyquist": (-1.0) ** np.arange(n),
        "noise": np.random.default_rng(0).uniform(-1, 1, n),
        "tiny": np.full(n, 1e-38),
        "one bit": np.where(np.arange(n) % 2, 2**-15, 0),
    }


@pytest.mark.parametrize("kind", hostile())
@pytest.mark.parametrize("name", NAMES)
def test_features_are_finite(name, kind):
    waveform = hostile()[kind].astype(np.float32)
    assert np.isfinite(of(name, waveform)).all()
    assert np.isfinite(features.build(name).windows(waveform).numpy()).all()


def assert_alike(got, expected):
    """Equal but for rounding, which depends on the processor and goes with the size of the values.

    Cepstra, as large as 60, come out of larger sums.
    """
    np.testing.assert_allclose(got, expected, atol=1e-6 * max(10, np.abs(expected).max()))


@pytest.mark.parametrize("name", NAMES)
def test_windows_alone_equal_those_in_the_recording(name, composed_music):
    layer = features.build(name)
    waveform = audio.load(composed_music[0])[:80000]
    windows = layer.windows(waveform).numpy()
    assert len(windows) == 1 + (len(waveform) - layer.span()) // 4000
    for i, window in enumerate(windows):
        alone = waveform[4000 * i :][: layer.span()]
        assert_alike(layer(alone).numpy(), window)
        assert_alike(layer.windows(alone).numpy()[0], window)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_does_not_depend_on_its_neighbours(name):
    generator = np.random.default_rng(0)
    loud, quiet = generator.normal(0, (1, 1e-4), (20000, 2)).T.astype(np.float32)
    together = of(name, np.stack([loud, quiet]))
    assert_alike(together[0], of(name, loud))
    assert_alike(together[1], of(name, quiet))


@pytest.mark.parametrize("name", NAMES)
def test_get_config_makes_the_same_layer(name):
    for options in ({}, OTHER_SETTINGS[name]):
        layer = features.build(name, **options)
        again = type(layer).from_config(layer.get_config())
        assert again.definition() == layer.definition()
        waveform = hostile()["noise"].astype(np.float32)
        np.testing.assert_array_equal(again(waveform), layer(waveform))
        assert {key: getattr(layer, key) for key in options} == options


@pytest.mark.parametrize("name", NAMES)
def test_layer_survives_saving(name, tmp_path):
    inputs = keras.Input((None,))
    model = keras.Model(inputs, features.build(name, **OTHER_SETTINGS[name])(inputs))
    model.save(tmp_path / "model.keras")
    waveform = hostile()["noise"].astype(np.float32)[None]
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(waveform), model(waveform))


@pytest.mark.parametrize(("name", "key"), SETTINGS)
def test_every_setting_changes_definition_and_digest(name, key):
    options = {key: OTHER_SETTINGS[name][key]}
    if key == "frame_length":
        options["fft_length"] = features.build(name).fft_length
    plain, changed = features.build(name), features.build(name, **options)
    assert changed.definition() != plain.definition()
    assert features.digest(changed.definition()) != features.digest(plain.definition())


def test_digest_is_that_of_the_definition_alone():
    layers = [kind(name=f"any-{name}") for name, kind in features.FEATURES.items()]
    digests = [features.digest(layer.definition()) for layer in layers]
    assert digests == [features.digest(features.build(name).definition()) for name in NAMES]
    assert len(set(digests)) == len(NAMES) and {len(digest) for digest in digests} == {12}
    assert features.digest({"a": 1, "b": 2}) == features.digest({"b": 2, "a": 1})


def test_layers_have_nothing_to_train():
    for name in NAMES:
        layer = features.build(name)
        layer(np.zeros(20000, np.float32))
        assert layer.weights == []


def test_unknown_feature_is_refused():
    with pytest.raises(A2VError, match="feature 'mffc': use one of mfcc, chroma, logmel"):
        features.build("mffc")


def test_fft_shorter_than_the_frame_is_refused():
    with pytest.raises(A2VError, match="fft_length 256: use frame_length, 400, or more"):
        features.build("mfcc", fft_length=256)


@pytest.mark.parametrize("midi", [45, 57, 69, 81, 100])
def test_pitch_is_loudest_in_the_middle_third_of_its_semitone(midi):
    t = np.arange(8192) / 16000
    for cents, third in ((0, 1), (-33, 0), (33, 2)):
        tone = np.sin(2 * np.pi * 440 * 2 ** ((midi - 69 + cents / 100) / 12) * t)
        loudest = of("pitch", tone).mean(axis=0).argmax()
        assert abs(loudest - (3 * (midi - 36) + third)) <= (midi < 60)  # bins are wide in the bass


def test_bands_of_pitch_pass_noise_alike():
    noise = np.random.default_rng(0).standard_normal(160000)
    levels = of("pitch", noise).mean(axis=0)
    assert np.ptp(levels[36:]) < 0.7
