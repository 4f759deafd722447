"""Ensembles: invented bands, each with a style, instruments and a room of its own."""

from dataclasses import dataclass

import numpy as np

# What the players of a style may choose from. `swing` delays every second half beat, in beats;
# `sevenths` is how often a chord gets one; `room_s` is the range of reverberation times.
STYLES = {
    "folk": dict(
        leads=("fiddle", "flute", "banjo", "guitar"),
        chords=("guitar", "reed organ", "banjo"),
        basses=("upright bass", "cello"),
        kits=("hand", "none"),
        figures=("strum", "oompah", "arpeggio"),
        lines=("roots", "fifths"),
        swing=0.06,
        sevenths=0.05,
        room_s=(0.3, 0.7),
    ),
    "chamber": dict(
        leads=("fiddle", "clarinet", "flute", "cello"),
        chords=("piano", "strings", "harp"),
        basses=("cello", "upright bass"),
        kits=("none",),
        figures=("alberti", "sustain", "arpeggio", "block"),
        lines=("roots", "pedal", "fifths"),
        swing=0.0,
        sevenths=0.1,
        room_s=(1.0, 1.9),
    ),
    "lounge": dict(
        leads=("vibraphone", "clarinet", "trumpet", "guitar"),
        chords=("electric piano", "piano", "guitar"),
        basses=("upright bass",),
        kits=("brush", "latin"),
        figures=("offbeat", "sustain", "strum"),
        lines=("walk", "roots"),
        swing=0.14,
        sevenths=0.8,
        room_s=(0.3, 0.6),
    ),
    "electro": dict(
        leads=("square", "synth", "bell"),
        chords=("pad", "synth", "electric piano"),
        basses=("synth bass",),
        kits=("club",),
        figures=("arpeggio", "offbeat", "sustain"),
        lines=("pulse", "roots"),
        swing=0.0,
        sevenths=0.3,
        room_s=(0.4, 1.2),
    ),
    "revue": dict(
        leads=("trumpet", "organ", "clarinet"),
        chords=("organ", "piano", "strings"),
        basses=("electric bass",),
        kits=("rock", "latin"),
        figures=("block", "pulse", "offbeat"),
        lines=("fifths", "pulse", "roots"),
        swing=0.03,
        sevenths=0.35,
        room_s=(0.5, 1.1),
    ),
    "carillon": dict(
        leads=("bell", "vibraphone", "harp", "marimba"),
        chords=("harp", "marimba", "pad"),
        basses=("marimba", "electric bass"),
        kits=("latin", "none"),
        figures=("arpeggio", "alberti", "sustain"),
        lines=("pedal", "roots"),
        swing=0.0,
        sevenths=0.2,
        room_s=(0.9, 1.6),
    ),
}
PER_STYLE = 3

_FIRST = ("Amber", "Copper", "Hollow", "Ivory", "Juniper", "Lantern", "Marble", "Northern", "Olive")
_FIRST += ("Paper", "Quiet", "Saffron", "Silver", "Tidal", "Umber", "Velvet", "Willow", "Winter")
_SECOND = ("Anchor", "Bridge", "Cedar", "Compass", "Ferry", "Garden", "Harbour", "Kestrel", "Mill")
_SECOND += ("Orchard", "Owl", "Pier", "Quarry", "River", "Station", "Tram", "Valley", "Weather")
_KIND = {
    "folk": ("Band", "Ramblers", "Trio"),
    "chamber": ("Consort", "Players", "Quartet"),
    "lounge": ("Five", "Combo", "Club"),
    "electro": ("System", "Circuit", "Machine"),
    "revue": ("Orchestra", "Revue", "Sound"),
    "carillon": ("Chimes", "Clockwork", "Gamelan"),
}


@dataclass(frozen=True)
class Ensemble:
    """A band: name, style (a key of `STYLES`), players, and the room it records in.

    `brightness` goes to `tones.tone`; `room_s` is the reverberation time; `wet` the level of the
    reverberation as a ratio to the direct sound; `balance` the gains of lead, second, chords,
    bass and drums; `shelf_db` the tilt of the recording from low to high.
    """

    name: str
    style: str
    lead: str
    second: str
    chords: str
    bass: str
    kit: str
    brightness: float
    room_s: float
    wet: float
    balance: tuple
    shelf_db: float


def found(seed, scene=0):
    """Founds the ensembles of a scene, `PER_STYLE` for each style.

    Args:
        seed: int, the corpus' seed.
        scene: int, from 0; every scene has bands of its own.

    Returns:
        tuple of Ensemble, by style; names are distinct, also from those of other scenes.
    """
    # Of one number less for the first scene, which was all there was.
    generator = np.random.default_rng([seed, 1, scene] if scene else [seed, 1])
    count = len(STYLES) * PER_STYLE
    firsts = generator.permutation(_FIRST)[:count]
    seconds = generator.permutation(_SECOND)[:count]
    number = f" {scene + 1}" if scene else ""
    return tuple(
        _ensemble(
            generator, style, f"{firsts[at]} {seconds[at]} {_KIND[style][at % PER_STYLE]}{number}"
        )
        for at, style in enumerate(style for style in STYLES for _ in range(PER_STYLE))
    )


def _ensemble(generator, style, name):
    offers = STYLES[style]
    lead, second = (str(player) for player in generator.permutation(offers["leads"])[:2])
    return Ensemble(
        name=name,
        style=style,
        lead=lead,
        second=second,
        chords=str(generator.choice([c for c in offers["chords"] if c != lead])),
        bass=str(generator.choice(offers["basses"])),
        kit=str(generator.choice(offers["kits"])),
        brightness=float(generator.uniform(0.8, 1.1)),
        room_s=float(generator.uniform(*offers["room_s"])),
        wet=float(generator.uniform(0.2, 0.6)),
        balance=tuple(np.array([1, 0.65, 0.62, 0.9, 0.45]) * generator.lognormal(0, 0.15, 5)),
        shelf_db=float(generator.uniform(-5, 5)),
    )
