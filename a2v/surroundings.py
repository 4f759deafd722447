"""Rooms and noises to degrade recordings with: simulated ones, and those of files."""

import numpy as np
from scipy.signal import oaconvolve

from a2v import audio
from a2v.errors import A2VError

ROOM_SAMPLES = 16000
NOISE_SAMPLES = 80000
SIMULATED = 64  # rooms, and noises of each kind, that are made up
# Simulated rooms: seconds in which reverberation falls by 60 dB, its energy over direct sound, dB.
DECAY_S, REVERB_DB = (0.15, 1.5), (-15.0, 3.0)


def simulated_rooms(generator, *, count=SIMULATED, decay_s=DECAY_S, reverb_db=REVERB_DB):
    """Impulse responses of made-up rooms: a direct sound, then shaped exponential noise.

    Args:
        generator: `numpy.random.Generator`.
        decay_s: (low, high), s, in which the reverberation falls by 60 dB.
        reverb_db: (low, high), dB, its energy over the direct sound's.

    Returns:
        float32 `[count, 16000]`, direct sound at sample 0.
    """
    t = np.arange(ROOM_SAMPLES) / audio.SAMPLE_RATE
    rooms = generator.standard_normal((count, ROOM_SAMPLES))
    rooms *= 10 ** (-3 * t / generator.uniform(*decay_s, (count, 1)))
    rooms /= np.sqrt(np.sum(rooms**2, axis=1, keepdims=True))
    rooms *= 10 ** (generator.uniform(*reverb_db, (count, 1)) / 20)
    rooms[:, 0] = 1
    return rooms.astype(np.float32)


def simulated_noises(generator, *, count=SIMULATED):
    """Noises where no recordings are given: babble-like, modulated and steady coloured noise.

    Args:
        generator: `numpy.random.Generator`.

    Returns:
        float32 `[count, 80000]`.
    """
    bins = NOISE_SAMPLES // 2 + 1
    hz = np.linspace(1, audio.SAMPLE_RATE / 2, bins)
    noises = []
    for _ in range(count):
        centre, width = 10 ** generator.uniform(2.3, 3.5), generator.uniform(0.3, 2.0)
        shape = np.exp(-0.5 * (np.log2(hz / centre) / width) ** 2)
        spectrum = shape * (generator.standard_normal((2, bins)).T @ [1, 1j])
        noise = np.fft.irfft(spectrum, NOISE_SAMPLES)
        rate = generator.uniform(1, 8)
        noise *= _joined(generator.uniform(0, 1, int(5 * rate) + 2) ** generator.choice([0, 1, 3]))
        noises.append(noise)
    return _levelled(noises)


def pitched_noises(generator, *, count=SIMULATED):
    """Noises with partials: engines, saws, voices of animals and people, alarms.

    One to three sources, each of a pitch of 40 to 2000 Hz that holds, wavers or glides, of random
    partials, rough or smooth, lasting or in bursts, with some hiss of its own loudness.

    Args:
        generator: `numpy.random.Generator`.

    Returns:
        float32 `[count, 80000]`.
    """
    noises = []
    for _ in range(count):
        noise = np.zeros(NOISE_SAMPLES)
        for _ in range(generator.integers(1, 4)):
            noise += _pitched(generator) * generator.uniform(0.2, 1)
        noises.append(noise)
    return _levelled(noises)


def rough_noises(generator, *, count=SIMULATED):
    """Noises without partials: motors, blades, applause, fire, machines.

    Spectra go up and down at random from octave to octave. A third are steady, a third come in 5
    to 80 pulses a second, even or uneven, and a third in as many clicks, each of which dies away.

    Args:
        generator: `numpy.random.Generator`.

    Returns:
        float32 `[count, 80000]`.
    """
    octaves = np.linspace(-7, 0, 8)  # below 8 kHz
    at = np.log2(np.arange(1, NOISE_SAMPLES // 2 + 2) / (NOISE_SAMPLES // 2 + 1))
    noises = []
    for _ in range(count):
        hiss = generator.standard_normal(NOISE_SAMPLES) * _loudness(generator)
        gains_db = generator.uniform(-20, 20, 8) + octaves * generator.uniform(-2, 6)
        shape = 10 ** (np.interp(at, octaves, gains_db) / 20)
        noises.append(np.fft.irfft(np.fft.rfft(hiss) * shape, NOISE_SAMPLES))
    return _levelled(noises)


def varied(noises, generator, *, copies=3):
    """More noises out of few: played up to an octave faster or slower, through equalisers.

    Args:
        noises: float32 `[n, 80000]`.
        generator: `numpy.random.Generator`.
        copies: int, 0 or more, of each noise.

    Returns:
        float32 `[(1 + copies) n, 80000]`, the noises themselves first, RMS 1.
    """
    octaves = np.linspace(-7, 0, 8)  # below 8 kHz
    hz = np.linspace(1, audio.SAMPLE_RATE / 2, NOISE_SAMPLES // 2 + 1)
    at = np.arange(NOISE_SAMPLES)
    made = [noises]
    for _ in range(copies):
        rows = []
        for noise in noises:
            heard = np.interp(at * 2 ** generator.uniform(-1, 1), at, noise, period=NOISE_SAMPLES)
            gains_db = np.interp(np.log2(hz / hz[-1]), octaves, generator.uniform(-12, 12, 8))
            rows.append(np.fft.irfft(np.fft.rfft(heard) * 10 ** (gains_db / 20), NOISE_SAMPLES))
        made.append(_levelled(rows))
    return np.concatenate(made)


def coloured_noises(generator, *, count=SIMULATED):
    """Steady noises whose spectra fall by 0 (white) to 9 dB an octave: float32 `[count, 80000]`."""
    bins = NOISE_SAMPLES // 2 + 1
    slopes = np.linspace(0, 1.5, count)[:, None]
    spectra = generator.standard_normal((count, bins, 2)) @ [1, 1j]
    return _levelled(np.fft.irfft(spectra * np.arange(1, bins + 1) ** -slopes, NOISE_SAMPLES))


def recorded_noises(paths):
    """Loads noises, cut or repeated to 5 s, RMS 1: float32 `[files, 80000]`."""
    return _levelled([np.resize(waveform, NOISE_SAMPLES) for waveform in _loaded(paths)])


def recorded_rooms(paths):
    """Loads impulse responses, from their peak on, that at 1: float32 `[files, 16000]`."""
    rooms = []
    for waveform in _loaded(paths):
        peak = int(np.argmax(np.abs(waveform)))
        direct = waveform[peak : peak + ROOM_SAMPLES] / waveform[peak]
        rooms.append(np.pad(direct, (0, ROOM_SAMPLES - len(direct))))
    return np.asarray(rooms, np.float32)


def _pitched(generator):
    """One source of `pitched_noises`: float64 `[80000]`, RMS about 1."""
    glide = generator.uniform(0, 1) * generator.choice([0, 0.1, 1])  # octaves
    turns = int(generator.choice([2, 10, 40]))
    waver = glide * _joined(generator.uniform(-1, 1, turns))
    roughness = generator.choice([0, 0.02, 0.2]) * generator.standard_normal(NOISE_SAMPLES // 50)
    hz = 40 * 50 ** generator.uniform() * 2 ** (waver + _joined(roughness))
    highest = max(1, int(audio.SAMPLE_RATE / 2 / hz.max()))
    partials = np.zeros(1025, complex)
    numbers = np.arange(1, min(highest, 1000) + 1)
    strength = numbers ** -generator.uniform(0, 1.5) * generator.uniform(0, 1, len(numbers))
    partials[numbers] = strength * np.exp(2j * np.pi * generator.uniform(0, 1, len(numbers)))
    cycle = np.fft.irfft(partials, 2048)
    tone = np.interp(np.cumsum(hz) / audio.SAMPLE_RATE, np.arange(2048) / 2048, cycle, period=1)
    tone /= np.sqrt(np.mean(tone**2))
    hiss = np.diff(generator.standard_normal(NOISE_SAMPLES + 1)) / np.sqrt(2)
    sound = tone + 10 ** (generator.uniform(-40, -5) / 20) * hiss
    bursts = generator.uniform(0, 1, int(generator.choice([5, 15, 50])))
    return sound * _joined(bursts ** generator.choice([0, 1, 3]))


def _loudness(generator):
    """How one of `rough_noises` swells and fades: float64 `[80000]`, above 0."""
    kind, rate = generator.integers(3), 5 * 16 ** generator.uniform()
    n = int(5 * rate)
    floor = 10 ** generator.uniform(-2, -0.5)
    if kind == 0:
        return np.ones(NOISE_SAMPLES)
    if kind == 1:
        uneven = generator.choice([0, 0.1, 0.5]) * generator.standard_normal(n)
        phase = n * np.linspace(0, 1, NOISE_SAMPLES) + _joined(uneven)
        return floor + (0.5 + 0.5 * np.cos(2 * np.pi * phase)) ** generator.choice([1, 3, 8])
    clicks = np.zeros(NOISE_SAMPLES)
    clicks[generator.integers(0, NOISE_SAMPLES, n)] = generator.exponential(1, n)
    t = np.arange(3200) / audio.SAMPLE_RATE
    ring = np.exp(-t / 10 ** generator.uniform(-3, -1.5))
    return floor * 0.3 + oaconvolve(clicks, ring)[:NOISE_SAMPLES]


def _joined(knots):
    """A curve through evenly spaced points: `[n]`, at least one, to float64 `[80000]`."""
    return np.interp(np.linspace(0, len(knots) - 1, NOISE_SAMPLES), range(len(knots)), knots)


def _levelled(noises):
    """Noises of RMS 1: float32 `[n, 80000]`."""
    noises = np.asarray(noises)
    level = np.sqrt(np.mean(np.square(noises), axis=1, keepdims=True) + 1e-20)
    return (noises / level).astype(np.float32)


def _loaded(paths):
    waveforms = [audio.load(file) for file, _ in audio.find(paths)]
    audible = [waveform for waveform in waveforms if np.any(waveform)]
    if not audible:
        raise A2VError(f"{', '.join(map(str, paths))}: only silence; give other recordings")
    return audible
