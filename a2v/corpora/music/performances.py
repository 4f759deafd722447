"""Performance: players, timing and room turn an arrangement into a recording."""

import numpy as np

from a2v.audio import SAMPLE_RATE
from a2v.corpora.music.ensembles import STYLES
from a2v.corpora.music.instruments import INSTRUMENTS
from a2v.corpora.music.tones import DRUMS, drum, tone

PEAK_DBFS = -3.0
FLOOR_DBFS = -72.0
STRUMMED = ("guitar", "harp", "banjo")


def clock(beats, generator, *, tempo, rubato, phrase):
    """When each beat falls: a tempo that wanders slowly and breathes with the phrases.

    Args:
        beats: int, length of the work.
        generator: np.random.Generator.
        tempo: float, beats a minute, kept on average.
        rubato: float, standard deviation of the tempo's logarithm; 0 = a metronome.
        phrase: float, beats in a phrase, whose end is taken slower.

    Returns:
        (beats float64 [n], seconds float64 [n]): a curve to interpolate in.
    """
    grid = np.arange(0, beats + 0.125, 0.25)
    wander = -np.cos(2 * np.pi * grid / phrase)
    for period in generator.uniform(9, 40, size=3):
        wander += 0.6 * np.sin(2 * np.pi * grid / period + generator.uniform(0, 2 * np.pi))
    ritardando = 1 + 3 * rubato * np.clip(1 - (beats - grid) / 4, 0, 1) ** 2
    steps = np.exp(-rubato * (wander - wander.mean())) * ritardando
    seconds = np.concatenate([[0.0], np.cumsum(steps[:-1])])
    return grid, seconds * beats * 60 / tempo / seconds[-1]


def perform(events, ensemble, generator, *, time, tail_s, straight):
    """Plays an arrangement and records it.

    Args:
        events: list of arrangements.Event.
        ensemble: ensembles.Ensemble.
        generator: np.random.Generator, for timing, touch and room.
        time: (beats, seconds), as `clock` returns it.
        tail_s: float, seconds to record after the last beat.
        straight: bool, half beats are not swung.

    Returns:
        float32 [n] at `SAMPLE_RATE`, peak at `PEAK_DBFS`.
    """
    swing = 0.0 if straight else STYLES[ensemble.style]["swing"]
    total = int(round((time[1][-1] + tail_s) * SAMPLE_RATE))
    dry = np.zeros(total, dtype=np.float32)
    players = {part: str(getattr(ensemble, part)) for part in ("lead", "second", "chords", "bass")}
    levels = dict(zip((*players, "drums"), ensemble.balance, strict=True))
    lag = {part: generator.normal(0, 0.006) for part in (*players, "drums")}
    rank, before = 0, None
    for event in events:
        voice = "drums" if event.part in DRUMS else event.part
        rank = rank + 1 if before == (event.part, event.beat) else 0
        before = (event.part, event.beat)
        swung = event.beat + (swing if abs(event.beat % 1 - 0.5) < 1e-6 else 0.0)
        onset, end = np.interp((swung, event.beat + 0.94 * event.beats), *time)
        roll = 0.016 * rank if players.get(voice) in STRUMMED else 0.002 * rank
        onset += generator.normal(0, 0.007) + lag[voice] + roll
        velocity = min(1.0, event.velocity * generator.lognormal(0, 0.08))
        if voice == "drums":
            wave = drum(event.part, velocity, generator)
        else:
            preset = INSTRUMENTS[players[voice]]
            if event.beat + event.beats >= time[0][-1]:
                # The last chord is left to ring.
                preset = preset | {"release_s": 0.7 * tail_s}
            wave = tone(
                440 * 2 ** ((event.pitch - 69) / 12),
                max(0.05, end - onset),
                velocity,
                generator,
                brightness=ensemble.brightness,
                **preset,
            )
        start = max(0, int(onset * SAMPLE_RATE))
        room = dry[start : start + len(wave)]
        room += np.float32(levels[voice]) * wave[: len(room)]
    return _record(dry, ensemble, generator)


def _record(dry, ensemble, generator):
    """Room, tone of the microphone, gentle limiting and noise floor; float32 [n]."""
    room = _room(generator, ensemble.room_s)
    size = 1 << (len(dry) + len(room)).bit_length()
    spectrum = np.fft.rfft(dry, size) * (1 + ensemble.wet * np.fft.rfft(room, size))
    low = _low(size, hertz=900)
    shelf = 10 ** (ensemble.shelf_db / 40)
    wave = np.fft.irfft(spectrum * (low / shelf + (1 - low) * shelf), size)[: len(dry)]
    wave = np.tanh(1.4 * wave / np.abs(wave).max())
    wave = wave + 10 ** (FLOOR_DBFS / 20) * generator.standard_normal(len(wave))
    return (wave * (10 ** (PEAK_DBFS / 20) / np.abs(wave).max())).astype(np.float32)


def _room(generator, room_s):
    """An impulse response without its direct sound; float64 [n], unit energy.

    Noise under an exponential, highs dying twice as fast as lows, after a few early reflections.
    """
    time = np.arange(int(1.1 * room_s * SAMPLE_RATE)) / SAMPLE_RATE
    noise = generator.standard_normal(len(time)) * (1 - np.exp(-time / 0.012))
    low = np.fft.irfft(np.fft.rfft(noise) * _low(len(noise), hertz=900), len(noise))
    response = low * 10 ** (-3 * time / room_s) + (noise - low) * 10 ** (-6 * time / room_s)
    early = (generator.uniform(0.004, 0.045, size=7) * SAMPLE_RATE).astype(int)
    response[early] += generator.choice((-1, 1), size=7) * generator.uniform(1.5, 5, size=7)
    return response / np.sqrt(np.sum(response**2))


def _low(size, *, hertz):
    """Gains of a low pass on the bins of an FFT of `size` samples, half at `hertz`; [bins]."""
    return 1 / (1 + (np.fft.rfftfreq(size, 1 / SAMPLE_RATE) / hertz) ** 2)
