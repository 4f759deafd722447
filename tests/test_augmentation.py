import numpy as np
import pytest
import tensorflow as tf

from a2v import audio, features, surroundings
from a2v.augmentation import Augmentation
from a2v.errors import A2VError

MARGIN = 8000
LAYER = features.build("logmel")
N = LAYER.span() + 2 * MARGIN
# Degradations so small that, but for room and equaliser, a copy is its window.
UNHARMED = {"snr_db": (200.0, 200.0), "shift_s": 0.0, "speed": 0.0, "tempo": 0.0, "semitones": 0.0}


@pytest.fixture(scope="module")
def simulated():
    return Augmentation(LAYER, MARGIN)


@pytest.fixture(scope="module")
def waveforms(melody):
    return tf.constant(np.stack([melody(seed, N / 16000)[:N] for seed in range(6)]))


def seed(*numbers):
    return tf.constant(numbers, tf.int32)


def test_same_seed_gives_the_same_pairs(simulated, waveforms):
    first = simulated.pairs(waveforms, seed(3, 4))
    assert first.shape == (6, 2, 100, LAYER.n_features)
    np.testing.assert_array_equal(simulated.pairs(waveforms, seed(3, 4)), first)
    again = Augmentation(LAYER, MARGIN).pairs(waveforms, seed(3, 4))
    np.testing.assert_array_equal(again, first)


def test_noises_are_those_of_the_seed_however_rooms_reverberate():
    given = {"decay_s": (0.3, 4.0), "reverb_db": (-12.0, 10.0)}
    for own, changes in ((0, {}), (0, given), (5, given)):
        made = Augmentation(LAYER, MARGIN, seed=own, **changes)
        generator = np.random.default_rng(own)
        surroundings.simulated_rooms(generator, **changes)
        np.testing.assert_array_equal(
            made.noises[: surroundings.SIMULATED], surroundings.simulated_noises(generator)
        )


def test_each_step_and_each_window_is_degraded_anew(simulated, waveforms):
    same = tf.repeat(waveforms[:1], 6, axis=0)
    here, there = simulated.pairs(same, seed(0, 1)).numpy(), simulated.pairs(same, seed(0, 2))
    copies = np.concatenate([here[:, 1], there[:, 1]])
    for i in range(len(copies)):
        for j in range(i):
            assert np.abs(copies[i] - copies[j]).mean() > 0.1


def test_traced_pairs_are_those_of_eager_mode(simulated, waveforms):
    traced = tf.function(simulated.pairs, autograph=False)
    expected = simulated.pairs(waveforms, seed(1, 1))
    difference = np.abs(traced(waveforms, seed(1, 1)) - expected)
    assert np.median(difference) < 1e-3
    assert difference.mean() < 1e-2  # a frame may start a sample earlier: rounding


def test_first_of_a_pair_is_a_window_of_the_waveform(simulated, waveforms):
    clean = simulated.pairs(waveforms, seed(5, 5))[:, 0].numpy()
    for window, waveform in zip(clean, waveforms.numpy(), strict=True):
        frames = np.asarray(LAYER(waveform))
        # Windows start at any sample; the nearest frame is at most half a step away.
        distances = [
            np.abs(frames[start : start + 100] - window).mean() for start in range(len(frames) - 99)
        ]
        assert min(distances) < 0.5 * np.median(distances)


def test_copy_resembles_its_own_window_most(simulated, waveforms):
    window, copy = np.moveaxis(simulated.pairs(waveforms, seed(2, 9)).numpy(), 1, 0)
    right = 0
    for i, heard in enumerate(copy):
        shape = heard.mean(axis=0) - heard.mean()
        found = [np.corrcoef(shape, w.mean(axis=0) - w.mean())[0, 1] for w in window]
        right += int(np.argmax(found)) == i
    assert right >= 3  # of 6, by chance 1


@pytest.mark.parametrize("name", features.FEATURES)
def test_nothing_degraded_is_the_window_itself_but_for_room_and_equaliser(name, waveforms):
    layer = features.build(name)
    unharmed = Augmentation(layer, MARGIN, **UNHARMED)
    frames = unharmed.warped_frames(waveforms, tf.fill((6, 1), 100.0), seed(0, 0))
    cut = waveforms[:, 100 : 100 + layer.span()]
    np.testing.assert_allclose(layer.from_frames(frames), layer(cut), atol=1e-4)


def test_pairs_are_made_of_the_features_of_the_layer(waveforms):
    layer = features.build("mfcc")
    heard = waveforms[:, : layer.span() + 2 * MARGIN]
    pairs = Augmentation(layer, MARGIN, **UNHARMED).pairs(heard, seed(1, 2)).numpy()
    assert pairs.shape == (6, 2, 100, layer.n_features)
    # Room and equaliser remain; the latter is a constant in each cepstrum.
    window, copy = np.moveaxis(pairs - pairs.mean(axis=2, keepdims=True), 1, 0)
    distance = np.square(window[:, None] - copy).mean(axis=(2, 3))
    np.testing.assert_array_equal(distance.argmin(axis=0), range(6))


@pytest.mark.parametrize("step", range(20))
def test_silence_gives_finite_frames(simulated, step):
    silent = tf.zeros((6, N))
    pairs = simulated.pairs(silent, seed(0, step)).numpy()
    assert np.isfinite(pairs).all()


@pytest.mark.parametrize("step", range(5))
def test_full_scale_gives_finite_frames(simulated, step):
    square = np.where(np.arange(N) // 40 % 2, 1.0, -1.0).astype(np.float32)
    pairs = simulated.pairs(tf.constant(np.stack([square, -square] * 3)), seed(0, step)).numpy()
    assert np.isfinite(pairs).all()


@pytest.mark.parametrize("extreme", [{"speed": 0.3}, {"tempo": 0.3}, {"semitones": 4.0}], ids=str)
def test_strong_warps_read_within_the_waveform(extreme):
    # What lies outside is read as the outermost sample: it must not be heard.
    loud_ends = np.zeros((8, N), np.float32)
    loud_ends[:, [0, -1]] = 1.0
    strong = Augmentation(LAYER, MARGIN, snr_db=(200.0, 200.0), **extreme)
    shift = strong.shift_s * audio.SAMPLE_RATE
    for step in range(8):
        for start in (strong.reach - shift, 2 * MARGIN - strong.reach + shift):
            starts = tf.fill((8, 1), start)
            assert not np.any(strong.warped_frames(tf.constant(loud_ends), starts, seed(0, step)))


def test_too_small_a_margin_is_an_error():
    with pytest.raises(A2VError, match="margin of 0.25 s, the degradations want 0.32 s"):
        Augmentation(LAYER, 4000)
    with pytest.raises(A2VError, match="larger margin_s"):
        Augmentation(LAYER, 1000, shift_s=0.0, speed=0.2)
    Augmentation(LAYER, 4000, shift_s=0.125)


def test_longer_waveforms_are_degraded_whole(melody):
    margin = 24000
    long = Augmentation(LAYER, margin, snr_db=(200.0, 200.0))
    n = LAYER.span() + 2 * margin
    waveforms = tf.constant(np.stack([melody(seed, 5)[:n] for seed in range(2)]))
    degraded = long.degraded(waveforms, seed(0, 0))
    assert degraded.shape == waveforms.shape
    level = np.square(degraded.numpy()[:, -8000:]).mean(axis=1)
    assert (level > 1e-8).all()


def test_recorded_noise_is_heard_in_the_copy(write_wav, tmp_path, waveforms):
    tone = 0.5 * np.sin(2 * np.pi * 3000 * np.arange(16000) / 16000)
    path = write_wav(tmp_path / "noise.wav", tone)
    write_wav(tmp_path / "silence.wav", np.zeros(16000))
    noises = surroundings.recorded_noises([tmp_path])
    assert noises.shape == (1, surroundings.NOISE_SAMPLES)
    assert np.square(noises).mean() == pytest.approx(1, rel=1e-3)
    heard = Augmentation(LAYER, MARGIN, noise=[path], snr_db=(-20.0, -20.0))
    copies = [heard.degraded(waveforms, seed(0, step)).numpy() for step in range(4)]

    def pitch_hz(sounds):
        return np.abs(np.fft.rfft(sounds)).argmax(axis=1) * 16000 / sounds.shape[1]

    recorded = pitch_hz(heard.noises[: heard.kinds[1]].numpy())  # at several speeds
    assert recorded[0] == pytest.approx(3000)
    off = np.abs(pitch_hz(np.concatenate(copies)[:, :16000])[:, None] - recorded)
    assert (off.min(axis=1) < 2).sum() >= 6  # of 24; recorded noise is drawn for 42 % of them


def test_recordings_of_silence_are_an_error(write_wav, tmp_path):
    write_wav(tmp_path / "silence.wav", np.zeros(16000))
    with pytest.raises(A2VError, match="only silence"):
        Augmentation(LAYER, MARGIN, noise=[tmp_path])
    with pytest.raises(A2VError, match="only silence"):
        Augmentation(LAYER, MARGIN, rooms=[tmp_path])
    with pytest.raises(A2VError, match="no such file"):
        Augmentation(LAYER, MARGIN, rooms=[tmp_path / "none"])


def test_varispeed_moves_window_and_copy_alike_in_every_second_pair():
    n = 256
    mels = np.linspace(*(2595 * np.log10(1 + np.array([100, 7000]) / 700)), LAYER.n_mels + 2)
    loudest_band_hz = 700 * (10 ** (mels[1:-1] / 2595) - 1)
    tone = np.sin(2 * np.pi * 500 * np.arange(N) / 16000).astype(np.float32)
    tones = tf.constant(np.tile(tone, (n, 1)))
    plain = {**UNHARMED, "decay_s": (0.02, 0.02), "reverb_db": (-60.0, -60.0)}
    pairs = Augmentation(LAYER, MARGIN, **plain, varispeed=0.25).pairs(tones, seed(4, 4)).numpy()
    loudest = pairs.mean(axis=2).argmax(axis=-1)
    assert np.abs(loudest[:, 0] - loudest[:, 1]).max() <= 1  # bands; an equaliser tips the peak
    usual = LAYER(tones[:1, MARGIN:-MARGIN]).numpy().mean(axis=1).argmax()
    moved = np.mean(loudest[:, 0] != usual)
    assert 0.35 < moved < 0.65
    hz = np.array([loudest_band_hz[band] for band in loudest[:, 0]])
    assert 360 < hz.min() < 420
    assert 580 < hz.max() < 640


def test_varispeed_reads_within_the_waveform():
    loud_ends = np.zeros((64, N), np.float32)
    loud_ends[:, [0, -1]] = 1.0
    fast = Augmentation(LAYER, MARGIN, **UNHARMED, varispeed=0.3)
    silent = LAYER(np.zeros((1, LAYER.span()), np.float32))
    for step in range(4):
        windows = fast.pairs(tf.constant(loud_ends), seed(0, step))[:, 0]
        np.testing.assert_array_equal(windows, np.repeat(silent, 64, axis=0))


def test_mixed_pairs_hold_two_recordings_in_window_and_copy():
    n, hz = 64, 300 * 1.43 ** np.arange(8)
    t = np.arange(N) / 16000
    tones = np.stack([np.sin(2 * np.pi * hz[k % 8] * t) * (1 + k % 3) for k in range(n)])
    tones = tf.constant(tones.astype(np.float32))
    plain = {**UNHARMED, "decay_s": (0.02, 0.02), "reverb_db": (-60.0, -60.0)}
    bands = LAYER(tones[:8, MARGIN:-MARGIN]).numpy().mean(axis=1).argmax(axis=1)
    mixed = {}
    for share in (0.0, 0.5):
        made = Augmentation(LAYER, MARGIN, **plain, mixed=share).pairs(tones, seed(3, 3)).numpy()
        levels_db = 10 / np.log(10) * made.mean(axis=2)[:, :, bands]  # [n, 2, 8], at each tone
        levels_db -= levels_db.max(axis=2, keepdims=True)
        heard = levels_db[:, 0] > -15  # in the window; the copy's equaliser moves both
        assert levels_db[:, 1][heard].min() > -15 - 20
        assert heard.sum(axis=1).max() <= 2
        mixed[share] = np.mean(heard.sum(axis=1) == 2)
    assert mixed[0.0] == 0 and 0.25 < mixed[0.5] < 0.65


@pytest.mark.parametrize("partnered", [False, True])
def test_gaps_fall_silent_in_the_window_and_hold_noise_in_the_copy(partnered):
    music = np.random.default_rng(5).normal(scale=0.1, size=(2, 128, N)).astype(np.float32)
    music, partners = tf.constant(music[0]), tf.constant(music[1]) if partnered else None
    steady = {**UNHARMED, "decay_s": (0.02, 0.02), "reverb_db": (-60.0, -60.0)}

    def quiet(gaps, snr_db):
        """Frames 10 dB below the loudest: bool `[128, window or copy, frames]`."""
        augmentation = Augmentation(LAYER, MARGIN, **{**steady, "snr_db": (snr_db,) * 2}, gaps=gaps)
        made = augmentation.pairs(music, seed(7, 1), partners).numpy()
        levels_db = 10 / np.log(10) * made.mean(axis=3)
        return levels_db < levels_db.max(axis=2, keepdims=True) - 10

    assert not quiet(0.0, 0.0)[:, 0].any()
    alone, noisy = quiet(0.5, 200.0), quiet(0.5, 0.0)
    cut = alone[:, 0].mean(axis=1) > 0.1
    assert 0.35 < cut.mean() < 0.6
    assert (alone[cut, 0] == alone[cut, 1]).mean() > 0.9
    np.testing.assert_array_equal(noisy[:, 0], alone[:, 0])
    assert noisy[cut, 1].mean() < 0.5 * noisy[cut, 0].mean()
    assert noisy[:, 0].mean(axis=1).max() < 0.95  # there is something left to know it by


@pytest.mark.parametrize("share", ["mixed", "gaps"])
def test_shares_of_pairs_lie_between_none_and_all(share):
    for value in (-0.1, 1.5):
        with pytest.raises(A2VError, match=f"{share} {value}: use 0 to 1"):
            Augmentation(LAYER, MARGIN, **{share: value})


@pytest.mark.parametrize("change", ["speed", "tempo", "varispeed"])
def test_changes_that_leave_nothing_to_hear_are_refused(change):
    for value in (-0.1, 1.0):
        with pytest.raises(A2VError, match=f"{change} {value}: use 0 or more, below 1"):
            Augmentation(LAYER, MARGIN, **{change: value})
    with pytest.raises(A2VError, match=r"snr_db \[14, -4\]: give the lower level first"):
        Augmentation(LAYER, MARGIN, snr_db=(14, -4))


def test_varispeed_wants_its_margin():
    Augmentation(LAYER, MARGIN, shift_s=0.1, varispeed=0.25)
    with pytest.raises(A2VError, match="margin of 0.50 s, the degradations want 0.91"):
        Augmentation(LAYER, MARGIN, varispeed=0.7)
