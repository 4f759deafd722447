"""The orchestra: presets of `tones.tone`, by instrument."""

from a2v.corpora.music.tones import harmonics

_TUBE = {
    "ratios": (0.5, 1.0, 1.19, 1.56, 2.0, 2.51, 2.66, 3.01, 4.1),
    "gains": (0.35, 1.0, 0.3, 0.2, 0.9, 0.2, 0.25, 0.3, 0.2),
}
_DRAWBARS = {
    "ratios": (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0),
    "gains": (0.5, 1.0, 0.35, 0.7, 0.35, 0.3, 0.12, 0.15, 0.12),
}

INSTRUMENTS = {
    "guitar": dict(harmonics(16, pluck=0.18), decay_s=0.8, damping=0.7, release_s=0.09, knock=0.05),
    "harp": dict(
        harmonics(12, tilt=1.5, pluck=0.42), decay_s=1.1, damping=0.5, release_s=0.5, knock=0.02
    ),
    "banjo": dict(
        harmonics(18, tilt=0.6, pluck=0.1), decay_s=0.28, damping=0.4, release_s=0.06, knock=0.1
    ),
    "piano": dict(
        harmonics(14, tilt=1.25, pluck=0.12, stretch=4e-4),
        decay_s=1.0,
        damping=0.6,
        release_s=0.15,
        spread_cents=1.2,
        knock=0.05,
    ),
    "electric piano": dict(
        ratios=(1.0, 2.0, 14.0),
        gains=(1.0, 0.12, 0.07),
        decay_s=1.3,
        damping=0.35,
        release_s=0.12,
        index=1.3,
        tremolo=(0.25, 4.6),
        knock=0.01,
    ),
    "fiddle": dict(
        harmonics(18, tilt=0.95),
        formants=(480, 1250, 2900),
        swell=0.4,
        attack_s=0.06,
        release_s=0.12,
        bloom=0.1,
        vibrato=(22, 5.7),
        breath=0.006,
    ),
    "cello": dict(
        harmonics(18, tilt=1.2),
        formants=(250, 600, 1500),
        swell=0.4,
        attack_s=0.08,
        release_s=0.15,
        bloom=0.1,
        vibrato=(16, 5.0),
        breath=0.004,
    ),
    "strings": dict(
        harmonics(12, tilt=1.25),
        formants=(400, 1200, 2600),
        swell=0.4,
        attack_s=0.16,
        release_s=0.35,
        vibrato=(9, 5.2),
        spread_cents=7,
    ),
    "clarinet": dict(
        harmonics(13, tilt=0.9, even=0.12),
        swell=0.4,
        attack_s=0.045,
        release_s=0.08,
        bloom=0.2,
        vibrato=(5, 4.8),
        breath=0.004,
    ),
    "flute": dict(
        harmonics(6, tilt=2.1),
        swell=0.4,
        attack_s=0.06,
        release_s=0.09,
        vibrato=(10, 5.1),
        tremolo=(0.15, 5.1),
        breath=0.016,
    ),
    "trumpet": dict(
        harmonics(16, tilt=0.55),
        formants=(1200, 1900),
        swell=0.4,
        attack_s=0.035,
        release_s=0.07,
        bloom=0.5,
        vibrato=(8, 5.4),
    ),
    "organ": dict(
        _DRAWBARS,
        attack_s=0.008,
        release_s=0.05,
        vibrato=(5, 6.3),
        tremolo=(0.12, 6.3),
        knock=0.04,
    ),
    "reed organ": dict(
        harmonics(16, tilt=0.75),
        formants=(700, 1800),
        attack_s=0.05,
        release_s=0.1,
        spread_cents=9,
    ),
    "vibraphone": dict(
        ratios=(1.0, 4.0, 10.0),
        gains=(1.0, 0.25, 0.08),
        decay_s=1.8,
        damping=0.5,
        release_s=0.4,
        tremolo=(0.5, 5.5),
        knock=0.02,
    ),
    "marimba": dict(
        ratios=(1.0, 3.93, 9.2),
        gains=(1.0, 0.3, 0.12),
        decay_s=0.25,
        damping=1.0,
        release_s=0.2,
        knock=0.08,
    ),
    "bell": dict(_TUBE, decay_s=1.4, damping=0.35, release_s=0.8, knock=0.03),
    "synth": dict(
        harmonics(20, tilt=0.9), decay_s=1.2, damping=1.5, release_s=0.08, spread_cents=8
    ),
    "square": dict(
        harmonics(15, even=0.02), attack_s=0.006, release_s=0.06, bloom=0.1, vibrato=(10, 6.0)
    ),
    "pad": dict(
        harmonics(10, tilt=1.4), attack_s=0.25, release_s=0.5, spread_cents=11, tremolo=(0.1, 0.7)
    ),
    "upright bass": dict(
        harmonics(14, tilt=1.3, pluck=0.3), decay_s=0.55, damping=1.5, release_s=0.08, knock=0.06
    ),
    "electric bass": dict(
        harmonics(16, tilt=1.05, pluck=0.2), decay_s=0.9, release_s=0.06, damping=1.0, knock=0.02
    ),
    "synth bass": dict(harmonics(20, tilt=0.9), decay_s=0.5, damping=4.0, release_s=0.05),
}
