"""The conditions under which benchmarks hear an excerpt, by name, in its place within the track.

Noises and rooms are recordings where some are given. Otherwise they are made up here, from seeds
that training cannot draw, so that no model has met them.
"""

import functools
import io
import math

import numpy as np
import soundfile
import soxr
from keras import ops
from scipy.signal import correlate

from a2v import degrade, surroundings
from a2v.audio import SAMPLE_RATE
from a2v.errors import A2VError

NAMES = (
    *("clean", "20 dB", "15 dB", "10 dB", "5 dB", "0 dB", "-3 dB"),
    *("room", "room + 10 dB", "room + 5 dB", "room + 0 dB"),
    *("MP3 64k", "Opus 16k", "telephone", "8 kHz", "-20 dB gain", "+12 dB clipping"),
    *("speed -5 %", "speed -2 %", "speed +2 %", "speed +5 %"),
    *("tempo -5 %", "tempo +5 %", "pitch -1", "pitch +1"),
)
# Samples heard by encoders, filters and stretchers before and after what is asked for: a multiple
# of 100, so that it is whole at every speed and at 44.1 kHz.
CONTEXT = 4000
# 25 ms of a noise so far below its mean level count as silence.
QUIET_FRAME, QUIET_DB = 400, -40.0
# libsndfile takes a level in place of a bit rate: MP3 at 44.1 kHz goes from 320 (0) to 32 kbit/s
# (1), Opus with one channel from 256 to 6 kbit/s.
CODECS = {
    "MP3 64k": {
        "samplerate": 44100,
        "format": "MP3",
        "subtype": "MPEG_LAYER_III",
        "compression_level": (320 - 64) / (320 - 32),
        "bitrate_mode": "CONSTANT",
    },
    "Opus 16k": {
        "samplerate": 16000,
        "format": "OGG",
        "subtype": "OPUS",
        "compression_level": (256 - 16) / (256 - 6),
    },
}


def heard(waveform, start, length, name, generator, *, noises, rooms):
    """An excerpt of a track as it is heard under a condition.

    What lies before and after the excerpt takes part where it would: it reverberates into it,
    fills the encoder's first frame, and is what a faster copy reaches into. Beyond the track's
    ends there is silence. Sample 0 of the result is sample `start` of the track in all of them.

    - `N dB`: noise that far below the excerpt's own RMS: a random noise from a random place on,
      from the beginning again where it is too short, its silent stretches left out.
    - `room`, `room + N dB`: a random room, its whole impulse response from the direct sound (its
      peak) on, scaled to energy 1; then noise that far below the reverberant excerpt's RMS.
    - `MP3 64k`: LAME at 44.1 kHz, constant 64 kbit/s. `Opus 16k`: libopus at 16 kHz, whose bit
      rate is variable and only aimed at: files of music hold 17 to 18 kbit/s, of white noise 13.
      Both are really encoded and decoded, one channel, their delay removed.
    - `telephone`: 300 to 3400 Hz, flanks of 72 dB an octave. `8 kHz`: resampled to that and back.
    - `+12 dB clipping`: the excerpt's peak raised 12 dB above full scale, then clipped there.
    - `speed +N %`: played that much faster, so that the pitch rises. `tempo +N %`: the same, the
      pitch kept. `pitch +N`: semitones, the tempo kept.

    Noise and reverberation may pass full scale; scale down before writing integers.

    Args:
        waveform: float32 `[n]`, the whole track at 16 kHz.
        start, length: int, samples, where the excerpt begins and how much is to be heard.
        name: str, one of `NAMES`.
        generator: `numpy.random.Generator`. Every condition advances it alike, and all that are
            given the same state share their noise and their room.
        noises: list of float32 `[m]`; babble, coloured and modulated noises where it is empty.
        rooms: list of float32 `[m]`, impulse responses; simulated ones where it is empty.

    Returns:
        float32 `[length]`.

    Raises:
        A2VError: an unknown name, an excerpt that begins outside of the track or has no length,
            or only silent noises or rooms.
    """
    if name not in NAMES:
        raise A2VError(f"condition {name!r} is unknown; use one of: {', '.join(NAMES)}")
    if not 0 <= start < len(waveform) or length < 1:
        raise A2VError(
            f"an excerpt of {length} samples from sample {start} on, of a track of {len(waveform)}:"
            " begin within the track and ask for 1 sample or more"
        )
    seed = int(generator.integers(2**63))
    if name.startswith("room"):
        draw = _branch(seed, 0)
        sound = _reverberant(waveform, start, length, _room(rooms, draw))
    else:
        sound = _OPERATIONS.get(name, _cut)(waveform, start, length)
    if name in _SNR_DB:
        draw = _branch(seed, 1)
        sound = degrade.add_noise(sound, _noise(noises, length, draw), snr_db=_SNR_DB[name])
    return np.array(sound, np.float32)


def encoded(waveform, name):
    """Encodes with one of the `CODECS`.

    Args:
        waveform: float32 `[n]` at the codec's `samplerate`.
        name: str, `"MP3 64k"` or `"Opus 16k"`.

    Returns:
        bytes, the file.
    """
    file = io.BytesIO()
    soundfile.write(file, waveform, **CODECS[name])
    return file.getvalue()


def _branch(seed, number):
    """A generator that no plain seed gives, so that it draws nothing that training draws."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))


def _cut(waveform, start, length):
    """Samples `[start, start + length)`, zeros where there are none: float32 `[length]`."""
    inside = np.asarray(waveform[max(start, 0) : max(start + length, 0)], np.float32)
    before = min(max(-start, 0), length)
    return np.pad(inside, (before, length - before - len(inside)))


def _within(operation, *, rate=1.0, **settings):
    """Makes an operation on an excerpt, `rate` samples for one, hear what is around it."""

    def apply(waveform, start, length):
        around = round(CONTEXT * rate)
        piece = _cut(waveform, start - around, math.ceil(length * rate) + 2 * around)
        return _cut(operation(piece, **settings), CONTEXT, length)

    return apply


def _coded(piece, *, name):
    rate = CODECS[name]["samplerate"]
    original = soxr.resample(piece, SAMPLE_RATE, rate)
    decoded, _ = soundfile.read(io.BytesIO(encoded(original, name)), dtype="float32")
    decoded = _cut(decoded, _codec_delay(name), len(original))
    return soxr.resample(decoded, rate, SAMPLE_RATE)


@functools.cache
def _codec_delay(name):
    """Samples by which a codec's output comes late, at its own rate: versions differ in it."""
    rate = CODECS[name]["samplerate"]
    noise = 0.1 * np.random.default_rng(0).standard_normal(SAMPLE_RATE).astype(np.float32)
    original = soxr.resample(noise, SAMPLE_RATE, rate)
    decoded, _ = soundfile.read(io.BytesIO(encoded(original, name)), dtype="float32")
    return int(np.argmax(correlate(decoded, original))) - (len(original) - 1)


def _limited(piece, *, low_hz, high_hz, steepness):
    fft_length = 1 << (piece.shape[-1] - 1).bit_length()
    response = degrade.band_response(low_hz, high_hz, fft_length // 2 + 1, steepness=steepness)
    spectrum = response, ops.zeros_like(response)
    return np.asarray(degrade.filtered(piece, spectrum=spectrum, fft_length=fft_length))


def _narrow(piece):
    return soxr.resample(soxr.resample(piece, SAMPLE_RATE, 8000), 8000, SAMPLE_RATE)


def _clipped(waveform, start, length):
    clipped = np.asarray(degrade.clip(_cut(waveform, start, length), drive_db=12.0))
    return clipped / (np.max(np.abs(clipped)) or 1.0)


def _played(piece, *, speed):
    return soxr.resample(piece, round(SAMPLE_RATE * speed), SAMPLE_RATE)


def _stretched(piece, *, tempo):
    try:
        from python_stretch.Signalsmith import Stretch
    except ImportError:
        raise A2VError("no python-stretch here; `pip install 'a2v[benchmark]'`") from None
    # It draws phases at random, and takes its own latency out of a whole recording.
    stretch = Stretch(0)
    stretch.preset(1, float(SAMPLE_RATE))
    stretch.timeFactor = tempo
    return stretch.process(piece[None])[0]


def _shifted(piece, *, semitones):
    # The stretcher's own pitch shift is up to 13 cents off at 110 Hz; this one is within 0.2.
    factor = 2.0 ** (semitones / 12)
    return _played(_stretched(piece, tempo=1 / factor), speed=factor)


_OPERATIONS = {
    **{name: _within(_coded, name=name) for name in CODECS},
    "telephone": _within(_limited, low_hz=300.0, high_hz=3400.0, steepness=12),
    "8 kHz": _within(_narrow),
    "-20 dB gain": lambda *excerpt: degrade.gain(_cut(*excerpt), gain_db=-20.0),
    "+12 dB clipping": _clipped,
    **{
        f"speed {round(100 * speed - 100):+d} %": _within(_played, rate=speed, speed=speed)
        for speed in (0.95, 0.98, 1.02, 1.05)
    },
    **{
        f"tempo {round(100 * tempo - 100):+d} %": _within(_stretched, rate=tempo, tempo=tempo)
        for tempo in (0.95, 1.05)
    },
    "pitch -1": _within(_shifted, semitones=-1),
    "pitch +1": _within(_shifted, semitones=1),
}
_SNR_DB = {
    **{f"{snr_db} dB": float(snr_db) for snr_db in (20, 15, 10, 5, 0, -3)},
    **{f"room + {snr_db} dB": float(snr_db) for snr_db in (10, 5, 0)},
}


def _reverberant(waveform, start, length, impulse):
    # What the circular convolution brings round to the start ends within the context.
    context = len(impulse) - 1
    piece = _cut(waveform, start - context, context + length)
    fft_length = 1 << (len(piece) - 1).bit_length()
    spectrum = ops.rfft(impulse, fft_length=fft_length)
    wet = degrade.filtered(piece, spectrum=spectrum, fft_length=fft_length)
    return np.asarray(wet)[context:]


def _room(rooms, draw):
    """A random room's impulse response from its peak on, of energy 1: float32 `[m]`."""
    rooms = rooms if len(rooms) else _simulated_rooms()
    for index in draw.permutation(len(rooms)):
        impulse = rooms[index][np.argmax(np.abs(rooms[index])) :]
        if impulse[0]:
            root = np.sqrt(np.sum(np.square(impulse, dtype=np.float64)))
            return np.asarray(impulse * np.sign(impulse[0]) / root, np.float32)
    raise A2VError(f"{len(rooms)} rooms, all silent; give other recordings")


def _noise(noises, length, draw):
    """A random place of a random noise: float32 `[length]`, without silence."""
    noises = noises if len(noises) else _simulated_noises()
    for index in draw.permutation(len(noises)):
        audible = _audible(noises[index])
        if len(audible):
            return audible[(draw.integers(len(audible)) + np.arange(length)) % len(audible)]
    raise A2VError(f"{len(noises)} noises, all silent; give other recordings")


def _audible(noise):
    """A noise without its silent stretches: float32 `[m]`, with m = 0 for silence."""
    power = np.square(noise, dtype=np.float64)
    starts = np.arange(0, len(noise), QUIET_FRAME)
    frames = np.add.reduceat(power, starts) / np.diff(starts, append=len(noise))
    loud = frames > np.mean(power) * 10 ** (QUIET_DB / 10)
    return np.asarray(noise, np.float32)[np.repeat(loud, QUIET_FRAME)[: len(noise)]]


@functools.cache
def _simulated_rooms():
    return surroundings.simulated_rooms(_branch(0, 2), count=16)


@functools.cache
def _simulated_noises():
    draw = _branch(0, 3)
    babble = [_babble(draw, voices) for voices in (3, 4, 5, 6, 8, 10)]
    # White and pink, without the half of pink noise that nobody hears.
    coloured = surroundings.coloured_noises(draw, count=4)[:2]
    coloured = _limited(coloured, low_hz=50.0, high_hz=8000.0, steepness=4)
    return [*babble, *coloured, *surroundings.simulated_noises(draw, count=4)]


def _babble(draw, voices, *, n=surroundings.NOISE_SAMPLES):
    """People who talk at once: pulses of a moving pitch through three vowels, by the syllable."""
    hz = np.fft.rfftfreq(n, 1 / SAMPLE_RATE)
    crowd = np.zeros(n)
    for _ in range(voices):
        syllables = np.linspace(0, n / SAMPLE_RATE * draw.uniform(3, 6), n)

        def moving(low, high, at=syllables):
            knots = draw.uniform(low, high, math.ceil(at[-1]) + 1)
            return np.interp(at, np.arange(len(knots)), knots)

        pitch_hz = draw.uniform(90, 230) * 2 ** moving(-0.25, 0.25)
        pulses = np.diff(np.floor(np.cumsum(pitch_hz) / SAMPLE_RATE), prepend=0)
        breath = np.fft.rfft(pulses + 0.03 * draw.standard_normal(n))
        loudness = moving(0, 1) ** 2 * draw.uniform(0.3, 1)
        for _ in range(3):
            formants_hz = draw.uniform((300, 900, 2400), (900, 2400, 3500))[:, None]
            gains = np.array([[1.0], [0.5], [0.2]]) / (1 + ((hz - formants_hz) / 80) ** 2)
            crowd += loudness * moving(0, 1) * np.fft.irfft(breath * gains.sum(axis=0), n)
    return (crowd / np.sqrt(np.mean(crowd**2))).astype(np.float32)
