"""Sound of single notes: an additive tone generator, and drums of noise and sweeps."""

import numpy as np

from a2v.audio import SAMPLE_RATE


def harmonics(partials, *, tilt=1.0, even=1.0, pluck=0.0, stretch=0.0):
    """A harmonic spectrum, as keyword arguments of `tone`.

    Args:
        partials: int, how many.
        tilt: float, harmonic k has amplitude `k ** -tilt`.
        even: float, factor for even harmonics (small for a closed pipe).
        pluck: float in (0, 0.5], where along the string it is plucked; 0 = not plucked.
        stretch: float, inharmonicity of a stiff string: k sounds at `k * sqrt(1 + stretch * k²)`.

    Returns:
        dict: `ratios` and `gains`, float64 [partials].
    """
    order = np.arange(1, partials + 1)
    gains = order**-tilt * np.where(order % 2, 1.0, even)
    if pluck:
        gains = gains * np.abs(np.sin(np.pi * order * pluck)) / np.sin(np.pi * pluck)
    return {"ratios": order * np.sqrt(1 + stretch * order**2), "gains": gains}


def tone(
    frequency,
    seconds,
    velocity,
    generator,
    *,
    ratios,
    gains,
    formants=(),
    decay_s=None,
    damping=0.0,
    attack_s=0.003,
    release_s=0.1,
    bloom=0.0,
    swell=0.0,
    vibrato=(0.0, 5.5),
    tremolo=(0.0, 5.0),
    spread_cents=0.0,
    index=0.0,
    breath=0.0,
    knock=0.0,
    brightness=1.0,
):
    """Renders one note as a sum of partials, each with an envelope of its own.

    Args:
        frequency: float, Hz.
        seconds: float, how long the key is held; the release follows.
        velocity: float in [0, 1]; soft notes are duller, too.
        generator: np.random.Generator for phases, vibrato and noise.
        ratios: floats [k], frequencies of the partials as multiples of `frequency`.
        gains: floats [k], their amplitudes.
        formants: floats, Hz, resonances of the body.
        decay_s: float, time constant of low partials; `None` sustains.
        damping: float, how much faster partials decay, per kHz.
        attack_s: float, seconds.
        release_s: float, seconds.
        bloom: float, how much later the partials above speak, in attacks.
        swell: float, how much a held note grows and fades.
        vibrato: (depth in cents, rate in Hz).
        tremolo: (depth in [0, 1], rate in Hz).
        spread_cents: float, detuning of a second voice in unison; 0 = none.
        index: float, frequency modulation of every partial by the fundamental, dying away.
        breath: float, level of steady noise.
        knock: float, level of a burst of noise at the onset.
        brightness: float, factor for each octave above the fundamental, 1 = as it is.

    Returns:
        float32 [n] at `SAMPLE_RATE`, n = (seconds + release_s) * SAMPLE_RATE.
    """
    time = np.arange(int((seconds + release_s) * SAMPLE_RATE), dtype=np.float32) / SAMPLE_RATE
    soft = brightness * (0.65 + 0.45 * velocity)
    ratios, gains = _colour(frequency, np.asarray(ratios), np.asarray(gains), formants, soft)
    # What is held needs less than what dies away to be as loud.
    gains = gains * (0.2 if decay_s is None else 0.36)
    if spread_cents:
        apart = 2 ** (spread_cents * generator.uniform(0.7, 1.3) / 2400)
        ratios, gains = np.concatenate([ratios * apart, ratios / apart]), np.tile(gains / 1.4, 2)
    phase = _phase(frequency, time, generator, *vibrato)
    angle = ratios.astype(np.float32)[:, None] * phase  # [partials, n]
    angle += generator.uniform(0, 2 * np.pi, (len(ratios), 1)).astype(np.float32)
    if index:
        angle += np.float32(index * velocity) * np.exp(-2 * time) * np.sin(phase)
    dying = 0 * ratios if decay_s is None else (1 + damping * ratios * frequency / 1000) / decay_s
    loud = _envelopes(gains, time, dying, bloom and attack_s * (0.2 + bloom * ratios))
    # einsum, not a BLAS product: its order of summation does not depend on threads.
    wave = np.einsum("kn,kn->n", np.sin(angle), loud)
    wave *= 1 + np.float32(swell) * np.sin(np.float32(np.pi) * time / time[-1])
    depth, rate = tremolo
    wave *= 1 - np.float32(depth) * (0.5 - 0.5 * np.cos(np.float32(2 * np.pi * rate) * time))
    wave += _breath(time, generator, breath, knock)
    return np.float32(velocity) * wave * _gate(time, seconds, attack_s, release_s)


def _colour(frequency, ratios, gains, formants, brightness):
    """Partials that fit below Nyquist, through the body's resonances, at equal power."""
    fits = ratios * frequency < 0.46 * SAMPLE_RATE
    ratios, gains = ratios[fits], gains[fits] * brightness ** np.log2(np.maximum(ratios[fits], 1))
    power = np.sum(gains**2)
    if formants:
        octaves = np.log2(
            ratios[:, None] * frequency / np.asarray(formants)
        )  # [partials, formants]
        gains = gains * (0.35 + 1.6 * np.exp(-((octaves / 0.35) ** 2)).sum(axis=-1))
    return ratios, gains * np.sqrt(np.minimum(power, 2.0) / np.sum(gains**2))


def _phase(frequency, time, generator, vibrato_cents, vibrato_hz):
    """Phase of the fundamental, vibrato setting in after the onset; float32 [n], radians."""
    phase = 2 * np.pi * frequency * time
    if vibrato_cents:
        rate = 2 * np.pi * vibrato_hz * generator.uniform(0.93, 1.07)
        swing = frequency / vibrato_hz * (2 ** (vibrato_cents / 1200) - 1)
        fade = np.minimum(1, time / 0.35)
        phase = phase + swing * fade * np.sin(rate * time + generator.uniform(0, 2 * np.pi))
    return phase.astype(np.float32)


def _envelopes(gains, time, dying, late_s):
    """How loud each partial is: dying at its rate (1/s), speaking late; float32 [partials, n]."""
    loud = gains.astype(np.float32)[:, None] * np.ones_like(time)
    if dying.any():
        loud *= np.exp(-dying.astype(np.float32)[:, None] * time)
    if np.any(late_s):
        loud *= 1 - np.exp(-time / late_s.astype(np.float32)[:, None])
    return loud


def _breath(time, generator, breath, knock):
    """Noise of bow, breath or hammer; float32 [n]."""
    if not breath and not knock:
        return np.zeros(1, dtype=np.float32)
    loud = np.float32(breath) + np.float32(knock) * np.exp(-time / np.float32(0.012))
    n = len(time) if breath else min(len(time), 1600)
    noise = np.zeros_like(time)
    noise[:n] = generator.standard_normal(n, dtype=np.float32) * loud[:n]
    noise[1:] += noise[:-1]
    return noise


def _gate(time, seconds, attack_s, release_s):
    """Rise and fall between 0 and 1, both rounded; float32 [n]."""
    rise = np.clip(time / attack_s, 0, 1)
    fall = np.clip((np.float32(seconds + release_s) - time) / np.float32(release_s), 0, 1)
    return (rise * (2 - rise) * fall * fall).astype(np.float32)


def drum(name, velocity, generator):
    """Renders one stroke.

    Args:
        name: str, one of `DRUMS`.
        velocity: float in [0, 1].
        generator: np.random.Generator; no two strokes are the same.

    Returns:
        float32 [n] at `SAMPLE_RATE`.
    """
    length_s, sweep, noise = DRUMS[name]
    time = np.arange(int(length_s * SAMPLE_RATE)) / SAMPLE_RATE
    wave = np.zeros(len(time))
    if sweep:
        high, low, drop_s, ring_s, level = sweep
        tuned = generator.uniform(0.97, 1.03)
        turns = low * time + (high - low) * drop_s * (1 - np.exp(-time / drop_s))
        wave += level * np.sin(2 * np.pi * tuned * turns) * np.exp(-time / ring_s)
    if noise:
        low, high, attack_s, ring_s, level = noise
        hiss = _band(generator.standard_normal(len(time)), low, high)
        ring_s = ring_s * generator.uniform(0.85, 1.15) * (0.7 + 0.5 * velocity)
        wave += level * hiss * np.minimum(1, time / attack_s) * np.exp(-time / ring_s)
    return (velocity**1.3 * wave * np.minimum(1, (time[-1] - time) / 0.01)).astype(np.float32)


def _band(noise, low, high):
    """Keeps `low` to `high` Hz with the slopes of a second order Butterworth filter."""
    spectrum = np.fft.rfft(noise)
    hertz = np.fft.rfftfreq(len(noise), 1 / SAMPLE_RATE)
    hertz[0] = 1.0
    spectrum /= np.sqrt((1 + (low / hertz) ** 4) * (1 + (hertz / high) ** 4))
    return np.fft.irfft(spectrum, len(noise))


# Seconds, then the sweep (from Hz, to Hz, time constant of the drop, of the ring, level) and the
# noise (from Hz, to Hz, attack s, time constant s, level).
DRUMS = {
    "kick": (0.35, (150, 50, 0.03, 0.11, 1.0), (800, 3000, 0.001, 0.008, 0.3)),
    "soft kick": (0.3, (95, 55, 0.03, 0.09, 0.8), None),
    "snare": (0.3, (220, 180, 0.02, 0.06, 0.5), (900, 6000, 0.001, 0.075, 0.55)),
    "rim": (0.12, (1700, 1650, 0.01, 0.012, 0.5), (2000, 6000, 0.001, 0.01, 0.3)),
    "clap": (0.3, None, (900, 2800, 0.012, 0.07, 0.8)),
    "brush": (0.35, None, (1500, 6500, 0.03, 0.08, 0.3)),
    "hat": (0.12, None, (5200, 7600, 0.001, 0.028, 0.7)),
    "open hat": (0.5, None, (4800, 7600, 0.001, 0.16, 0.6)),
    "shaker": (0.15, None, (3800, 7400, 0.02, 0.035, 0.6)),
    "ride": (0.9, (3370, 3370, 0.1, 0.25, 0.06), (4000, 7600, 0.001, 0.22, 0.35)),
    "crash": (2.2, None, (2500, 7600, 0.004, 0.65, 0.7)),
    "tom": (0.45, (170, 105, 0.05, 0.16, 0.9), (400, 2000, 0.001, 0.02, 0.2)),
    "low tom": (0.5, (120, 72, 0.05, 0.18, 0.9), (300, 1500, 0.001, 0.02, 0.2)),
    "frame drum": (0.6, (130, 88, 0.02, 0.17, 0.9), (300, 2500, 0.001, 0.03, 0.35)),
    "slap": (0.15, (420, 330, 0.01, 0.03, 0.4), (1200, 5000, 0.001, 0.022, 0.6)),
    "block": (0.15, (900, 880, 0.01, 0.025, 0.6), (1500, 5000, 0.001, 0.006, 0.3)),
}
