import numpy as np
import pytest
from scipy.signal import correlate, fftconvolve

from a2v import conditions
from a2v.conditions import CODECS, NAMES
from a2v.errors import A2VError

RATE = 16000
START, LENGTH = 12345, 24000
SNR_DB = {name: float(name.split()[-2]) for name in NAMES if name.endswith(" dB")}
SPEED = {name: 1 + float(name.split()[1]) / 100 for name in NAMES if name.startswith("speed")}
TEMPO = {name: 1 + float(name.split()[1]) / 100 for name in NAMES if name.startswith("tempo")}
SEMITONES = {name: float(name.split()[1]) for name in NAMES if name.startswith("pitch")}
IN_TIME = [name for name in NAMES if name not in SPEED | TEMPO]


@pytest.fixture(scope="module")
def track(melody):
    return melody(4, 4.0)


@pytest.fixture(scope="module")
def noises(melody):
    return [melody(8, 2.5), np.random.default_rng(9).standard_normal(20000).astype(np.float32)]


@pytest.fixture(scope="module")
def rooms():
    draw = np.random.default_rng(2)
    tail = 0.1 * draw.standard_normal((2, 6000)) * np.exp(-np.arange(6000) / 1200)
    tail[:, 300] = [1.0, -1.0]  # the direct sound, after what a recording begins with
    return list(tail.astype(np.float32))


@pytest.fixture(scope="module")
def hear(noises, rooms):
    """A function: a track under a condition, from a seed."""

    def heard(waveform, name, *, start=START, length=LENGTH, seed=3, **given):
        draw = np.random.default_rng(seed)
        given = {"noises": noises, "rooms": rooms, **given}
        return conditions.heard(waveform, start, length, name, draw, **given)

    return heard


def level_db(waveform):
    return 10 * np.log10(np.mean(np.square(waveform, dtype=np.float64)))


def tone(hz, seconds=4.0):
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(seconds * RATE) / RATE)).astype(np.float32)


def frequency(waveform):
    """The frequency of a tone, Hz: the top of the parabola through its spectrum's peak in dB."""
    levels = np.log(np.abs(np.fft.rfft(waveform * np.hanning(len(waveform)))))
    peak = int(np.argmax(levels))
    left, top, right = levels[peak - 1 : peak + 2]
    return (peak + 0.5 * (left - right) / (left - 2 * top + right)) * RATE / len(waveform)


def burst_at(second, seconds=4.0):
    """Silence with a tone of 10 ms in it, its middle there."""
    time = np.arange(seconds * RATE) / RATE - second
    taper = np.where(np.abs(time) < 0.005, np.cos(np.pi * time / 0.01) ** 2, 0)
    return (0.5 * np.cos(2 * np.pi * 2000 * time) * taper).astype(np.float32)


def middle_s(waveform):
    """Where the energy of one burst lies, s."""
    energy = np.square(waveform, dtype=np.float64)
    return np.sum(energy * np.arange(len(energy))) / np.sum(energy) / RATE


@pytest.mark.parametrize("name", NAMES)
def test_condition_gives_finite_samples_and_keeps_its_arguments(name, hear, track, noises, rooms):
    before = [array.copy() for array in (track, *noises, *rooms)]
    got = hear(track, name)
    assert (got.shape, got.dtype) == ((LENGTH,), np.float32)
    assert np.isfinite(got).all()
    got[:] = np.nan  # which would show in what it shares memory with
    for array, original in zip((track, *noises, *rooms), before, strict=True):
        np.testing.assert_array_equal(array, original)


@pytest.mark.parametrize("name", NAMES)
def test_condition_is_the_same_for_the_same_state_of_the_generator(name, hear, track):
    np.testing.assert_array_equal(hear(track, name), hear(track, name))


@pytest.mark.parametrize("name", NAMES[1:])
def test_condition_changes_the_sound(name, hear, track):
    clean, got = hear(track, "clean"), hear(track, name)
    assert level_db(got - clean) > level_db(clean) - 35


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("start", [0, 63999])
def test_what_lies_outside_the_track_is_silent(name, start, hear, track):
    got = hear(track, name, start=start, length=8000)
    assert np.isfinite(got).all()
    if start and name in ("clean", "-20 dB gain", "+12 dB clipping"):
        assert got[0] and not got[1:].any()
    elif start and name not in SNR_DB | {"room": 0.0}:
        # Filters and decoders ring on for a while, and no longer.
        assert np.abs(got[4000:]).max() < 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_silence_stays_silent(name, hear):
    got = hear(np.zeros(4 * RATE, np.float32), name)
    assert np.abs(got).max() < 1e-4


def test_every_condition_advances_the_generator_alike(track, noises, rooms):
    states = set()
    for name in ("clean", "5 dB", "room + 5 dB", "Opus 16k"):
        draw = np.random.default_rng(0)
        conditions.heard(track, 0, 1600, name, draw, noises=noises, rooms=rooms)
        states.add(draw.integers(2**63))
    assert len(states) == 1
    assert states != {np.random.default_rng(0).integers(2**63)}


def test_clean_is_the_very_samples(hear, track):
    np.testing.assert_array_equal(hear(track, "clean"), track[START : START + LENGTH])


@pytest.mark.parametrize("name", SNR_DB)
@pytest.mark.parametrize("given", [{}, {"noises": [], "rooms": []}], ids=["recorded", "made up"])
def test_measured_snr_is_the_asked_one(name, given, hear, track):
    signal = hear(track, "room" if name.startswith("room") else "clean", **given)
    noise = hear(track, name, **given) - signal
    assert level_db(signal) - level_db(noise) == pytest.approx(SNR_DB[name], abs=0.1)


def test_one_state_gives_one_noise_at_every_snr(hear, track):
    clean = hear(track, "clean")
    noise = {name: hear(track, name) - clean for name in ("10 dB", "0 dB")}
    np.testing.assert_allclose(noise["0 dB"], 10**0.5 * noise["10 dB"], atol=1e-5)
    other = hear(track, "0 dB", seed=4) - clean
    assert np.abs(np.corrcoef(other, noise["0 dB"])[0, 1]) < 0.5


def test_silent_stretches_of_a_noise_are_left_out(hear, track):
    bark = np.zeros(5 * RATE, np.float32)
    bark[30000:32000] = np.random.default_rng(5).standard_normal(2000)
    for seed in range(4):
        noise = hear(track, "0 dB", seed=seed, noises=[np.zeros(900), bark]) - hear(track, "clean")
        levels = np.square(noise[: LENGTH // 400 * 400].reshape(-1, 400)).mean(axis=1)
        assert levels.min() > 0.5 * levels.mean()


def test_short_noise_begins_again(hear, track):
    short = np.random.default_rng(5).standard_normal(4000).astype(np.float32)
    noise = hear(track, "0 dB", noises=[short]) - hear(track, "clean")
    np.testing.assert_allclose(noise[4000:], noise[:-4000], atol=1e-5)


def test_made_up_noises_and_rooms_differ_from_draw_to_draw(hear, track):
    for name in ("0 dB", "room"):
        drawn = {hear(track, name, seed=seed, noises=[], rooms=[]).tobytes() for seed in range(12)}
        assert len(drawn) > 6


def test_made_up_noises_are_heard_where_music_is(hear, track):
    clean = hear(track, "clean")
    hz = np.fft.rfftfreq(LENGTH, 1 / RATE)
    for seed in range(12):
        noise = hear(track, "0 dB", seed=seed, noises=[]) - clean
        power = np.square(np.abs(np.fft.rfft(noise * np.hanning(LENGTH))))
        assert power[hz > 50].sum() > 0.95 * power.sum()
        assert power[hz < 4000].sum() > 0.4 * power.sum()


def test_room_is_the_convolution_of_the_track_from_its_direct_sound_on(hear, track, rooms):
    room = rooms[1][300:]
    expected = -fftconvolve(track, room)[START : START + LENGTH] / np.sqrt(np.sum(room**2))
    got = hear(track, "room", rooms=rooms[1:])
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_room_lets_what_came_before_sound_on_and_nothing_that_comes_after(hear, rooms):
    before = hear(burst_at(0.9), "room", start=RATE)
    assert np.abs(before[:4000]).max() > 1e-3
    after = hear(burst_at(2.6), "room", start=RATE)
    assert np.abs(after).max() < 1e-6


@pytest.mark.parametrize("name", IN_TIME)
def test_measured_delay_is_0(name, hear):
    noise = np.random.default_rng(6).standard_normal(4 * RATE)
    waveform = (0.05 * fftconvolve(noise, 0.9 ** np.arange(50), "same")).astype(np.float32)
    got, clean = hear(waveform, name), hear(waveform, "clean")
    if name in SEMITONES:  # the waveforms differ, their loudness does not
        got, clean = (np.convolve(np.abs(w), np.hanning(400), "same") for w in (got, clean))
        got, clean = got - got.mean(), clean - clean.mean()
    late = int(np.argmax(correlate(got, clean))) - (len(clean) - 1)
    assert abs(late) <= (80 if name in SEMITONES else 1 if name in CODECS else 0)


@pytest.mark.parametrize(
    ("name", "low", "high"), [("MP3 64k", 64000, 66000), ("Opus 16k", 13000, 20000)]
)
def test_encoded_size_gives_the_bit_rate(name, low, high, melody):
    rate = CODECS[name]["samplerate"]
    waveform = np.interp(np.arange(6 * rate) / rate, np.arange(6 * RATE) / RATE, melody(1, 6.0))
    bits = 8 * len(conditions.encoded(waveform.astype(np.float32), name)) / 6
    assert low < bits < high


def test_codec_that_comes_late_is_aligned(track, monkeypatch):
    # A frame of 24 kbit/s has no room for the header that states the encoder's delay.
    slow = {**CODECS["MP3 64k"], "samplerate": RATE, "compression_level": 0.9}
    monkeypatch.setitem(CODECS, "slow", slow)
    assert conditions._codec_delay("slow") > 500
    decoded = conditions._coded(track, name="slow")
    assert int(np.argmax(correlate(decoded, track))) - (len(track) - 1) == 0


def test_better_codec_is_closer_to_the_original(hear, track):
    clean = hear(track, "clean")
    error = {}
    for name in CODECS:
        got = hear(track, name)
        got = got * np.dot(got, clean) / np.dot(got, got)
        error[name] = level_db(clean - got) - level_db(clean)
    assert error["MP3 64k"] < error["Opus 16k"] < -3


@pytest.mark.parametrize(
    ("name", "hz", "low_db", "high_db"),
    [
        ("telephone", 100, -200, -60),
        ("telephone", 300, -3.1, -2.9),
        ("telephone", 1000, -0.01, 0.01),
        ("telephone", 3400, -3.1, -2.9),
        ("telephone", 4600, -200, -30),
        ("8 kHz", 1000, -0.01, 0.01),
        ("8 kHz", 3400, -0.1, 0.1),
        ("8 kHz", 4600, -200, -60),
        ("-20 dB gain", 1000, -20.001, -19.999),
    ],
)
def test_band_and_gain_are_the_asked_ones(name, hz, low_db, high_db, hear):
    waveform = tone(hz)
    change = level_db(hear(waveform, name)) - level_db(hear(waveform, "clean"))
    assert low_db < change < high_db


def test_clipping_raises_the_peak_12_db_above_full_scale(hear, track):
    clean = hear(track, "clean")
    raised = clean / np.abs(clean).max() * 10 ** (12 / 20)
    np.testing.assert_allclose(hear(track, "+12 dB clipping"), np.clip(raised, -1, 1), atol=1e-5)


@pytest.mark.parametrize("name", SPEED | TEMPO | SEMITONES)
def test_measured_pitch_is_the_asked_one(name, hear):
    factor = SPEED.get(name, 2 ** (SEMITONES.get(name, 0.0) / 12))
    assert frequency(hear(tone(1000), name)) == pytest.approx(1000 * factor, abs=0.1)


@pytest.mark.parametrize("name", SPEED | TEMPO | SEMITONES)
@pytest.mark.parametrize("second", [0.1, 0.8, 1.35])
def test_event_comes_when_the_asked_speed_brings_it(name, second, hear):
    rate = (SPEED | TEMPO).get(name, 1.0)
    got = hear(burst_at(START / RATE + second), name)
    within_s = 0.1 / RATE if name in SPEED else 0.005
    assert middle_s(got) == pytest.approx(second / rate, abs=within_s)


@pytest.mark.parametrize("name", ["telephone", "8 kHz", "room", *SPEED])
def test_neighbouring_excerpts_join_without_a_seam(name, hear, track):
    rate = SPEED.get(name, 1.0)
    whole = hear(track, name, start=8000, length=20000)
    parts = [hear(track, name, start=8000 + round(k * rate), length=10000) for k in (0, 10000)]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=2e-4)


def test_unknown_name_is_an_error_that_lists_the_names(hear, track):
    with pytest.raises(A2VError, match="'12 dB' is unknown; use one of: clean, 20 dB, .*pitch .1"):
        hear(track, "12 dB")


@pytest.mark.parametrize(("start", "length"), [(-1, 10), (64000, 10), (0, 0)])
def test_excerpt_outside_of_the_track_is_an_error(start, length, hear, track):
    with pytest.raises(A2VError, match="begin within the track"):
        hear(track, "clean", start=start, length=length)


def test_only_silent_noises_or_rooms_are_an_error(hear, track):
    with pytest.raises(A2VError, match="2 noises, all silent"):
        hear(track, "0 dB", noises=[np.zeros(900), np.zeros(100)])
    with pytest.raises(A2VError, match="1 rooms, all silent"):
        hear(track, "room", rooms=[np.zeros(900)])
