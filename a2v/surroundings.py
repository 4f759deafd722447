"""Rooms and noises to degrade recordings with: simulated ones, and those of files."""

import numpy as np

from a2v import audio
from a2v.errors import A2VError

ROOM_SAMPLES = 16000
NOISE_SAMPLES = 80000
SIMULATED = 64  # rooms and noises made where no files are given
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
        knots = generator.uniform(0, 1, int(5 * rate) + 2) ** generator.choice([0, 1, 3])
        noise *= np.interp(np.linspace(0, len(knots) - 1, NOISE_SAMPLES), range(len(knots)), knots)
        noises.append(noise / np.sqrt(np.mean(noise**2) + 1e-20))
    return np.asarray(noises, np.float32)


def coloured_noises(generator, *, count=SIMULATED):
    """Steady noises whose spectra fall by 0 (white) to 9 dB an octave: float32 `[count, 80000]`."""
    bins = NOISE_SAMPLES // 2 + 1
    slopes = np.linspace(0, 1.5, count)[:, None]
    spectra = generator.standard_normal((count, bins, 2)) @ [1, 1j]
    noises = np.fft.irfft(spectra * np.arange(1, bins + 1) ** -slopes, NOISE_SAMPLES)
    return (noises / np.sqrt(np.mean(noises**2, axis=1, keepdims=True))).astype(np.float32)


def recorded_noises(paths):
    """Loads noises, cut or repeated to 5 s, RMS 1: float32 `[files, 80000]`."""
    rows = [np.resize(w, NOISE_SAMPLES) / np.sqrt(np.mean(np.square(w))) for w in _loaded(paths)]
    return np.asarray(rows, np.float32)


def recorded_rooms(paths):
    """Loads impulse responses, from their peak on, that at 1: float32 `[files, 16000]`."""
    rooms = []
    for waveform in _loaded(paths):
        peak = int(np.argmax(np.abs(waveform)))
        direct = waveform[peak : peak + ROOM_SAMPLES] / waveform[peak]
        rooms.append(np.pad(direct, (0, ROOM_SAMPLES - len(direct))))
    return np.asarray(rooms, np.float32)


def _loaded(paths):
    waveforms = [audio.load(file) for file, _ in audio.find(paths)]
    audible = [waveform for waveform in waveforms if np.any(waveform)]
    if not audible:
        raise A2VError(f"{', '.join(map(str, paths))}: only silence; give other recordings")
    return audible
