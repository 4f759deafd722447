"""Patterns of accompaniment: what chords, bass and drums do within a bar."""

import numpy as np

from a2v.corpora.music.scores import GROUPS

# Strokes of a bar in beats, by kit and metre.
KITS = {
    "none": {},
    "rock": {
        4: {"kick": (0, 2, 2.5), "snare": (1, 3), "hat": np.arange(0, 4, 0.5)},
        3: {"kick": (0,), "snare": (1, 2), "hat": np.arange(0, 3, 0.5)},
        6: {"kick": (0, 5), "snare": (3,), "hat": np.arange(6)},
    },
    "brush": {
        4: {"ride": (0, 1, 1.5, 2, 3, 3.5), "brush": (1, 3), "soft kick": (0, 2)},
        3: {"ride": (0, 1, 2, 2.5), "brush": (1, 2), "soft kick": (0,)},
        6: {"ride": (0, 2, 3, 5), "brush": (3,), "soft kick": (0,)},
    },
    "club": {
        4: {"kick": (0, 1, 2, 3), "clap": (1, 3), "open hat": (0.5, 1.5, 2.5, 3.5)},
        3: {"kick": (0, 1, 2), "clap": (2,), "open hat": (0.5, 1.5, 2.5)},
        6: {"kick": (0, 3), "clap": (3,), "open hat": (2, 5), "hat": np.arange(6)},
    },
    "hand": {
        4: {"frame drum": (0, 2.5), "slap": (1, 3), "shaker": np.arange(0, 4, 0.5)},
        3: {"frame drum": (0,), "slap": (1.5, 2), "shaker": np.arange(3)},
        6: {"frame drum": (0, 3), "slap": (2, 5), "shaker": np.arange(6)},
    },
    "latin": {
        4: {"block": (0, 1.5, 3), "shaker": np.arange(0, 4, 0.5), "low tom": (1.5, 2, 3.5)},
        3: {"block": (0, 1.5), "shaker": np.arange(0, 3, 0.5), "low tom": (2,)},
        6: {"block": (0, 2, 4), "shaker": np.arange(6), "low tom": (3, 5)},
    },
}
FILLS = {"rock": ("snare", "tom", "low tom"), "brush": ("brush",), "club": ("clap", "hat")}
FILLS |= {"hand": ("slap", "frame drum"), "latin": ("block", "low tom")}


def unit(metre):
    """The quick pulse of a metre, in beats: half a beat, or a whole one where beats are quick."""
    return 1.0 if metre == 6 else 0.5


def chords(name, pitches, beats, *, metre, mask):
    """Spreads a chord over its time.

    Args:
        name: str, "block", "pulse", "oompah", "offbeat", "arpeggio", "alberti", "strum"; any
            other name holds the chord.
        pitches: list of int, the chord from its lowest pitch.
        beats: float, how long it lasts.
        metre: int, beats in a bar.
        mask: sequence of 16 bool, which quick pulses a strum plays.

    Returns:
        list of (onset in beats, length in beats, list of pitches, accent in [0, 1]).
    """
    group, quick = GROUPS[metre][0], list(enumerate(np.arange(0, beats, unit(metre))))
    on = np.arange(0, beats, 1.0)
    if name == "block":
        return [(at, 0.9 * group, pitches, 0.8) for at in on if at % group == 0]
    if name == "pulse":
        return [(at, 0.5, pitches, 0.75 if at % group == 0 else 0.55) for at in on]
    if name == "oompah":
        return [(at, 0.4, pitches, 0.65) for at in on if at % group]
    if name == "offbeat":
        return [(at + 0.5, 0.3, pitches, 0.65) for at in on]
    if name == "strum":
        strokes = [(i, at) for i, at in quick if i == 0 or mask[i % 16]]
        return [(at, unit(metre), pitches, 0.8 if i == 0 else 0.55) for i, at in strokes]
    if name == "arpeggio":
        climb = [*pitches, pitches[0] + 12, *pitches[:0:-1]]
    elif name == "alberti":
        climb = [pitches[0], pitches[-1], pitches[1], pitches[-1]]
    else:
        return [(0.0, beats, pitches, 0.65)]
    length = unit(metre) * (2 if name == "arpeggio" else 1)
    return [(at, length, [climb[i % len(climb)]], 0.6 if i else 0.74) for i, at in quick]


def bass(name, triad, beats, generator, *, metre, goal):
    """A bass line under one chord.

    Args:
        name: str, "none", "roots", "fifths", "pulse", "walk"; any other name holds the root.
        triad: three int, pitches of root, third and fifth.
        beats: float, how long the chord lasts.
        generator: np.random.Generator.
        metre: int, beats in a bar.
        goal: int, root of the chord that follows.

    Returns:
        list of (onset in beats, length in beats, pitch).
    """
    root, third, fifth = triad
    quick = unit(metre)
    if name == "none":
        return []
    if name == "roots" and beats >= 2 and generator.random() < 0.35:
        return [(0.0, beats - quick, root), (beats - quick, quick, fifth)]
    if name == "fifths":
        group = GROUPS[metre][0]
        steps = enumerate(np.arange(0, beats, group))
        return [(at, 0.8 * group, (root, fifth)[i % 2]) for i, at in steps]
    if name == "pulse":
        onsets = np.arange(0, beats, quick)
        lifts = generator.choice((0, 12), p=(0.85, 0.15), size=len(onsets))
        return [(at, 0.8 * quick, root + int(up)) for at, up in zip(onsets, lifts, strict=True)]
    if name == "walk":
        approach = goal + int(generator.choice((-2, -1, 1)))
        pool = [root, *(int(pitch) for pitch in generator.permutation([third, fifth]))]
        pitches = [*(pool * 2)[: max(1, int(beats) - 1)], approach][: int(beats)]
        return [(float(at), 0.95, pitch) for at, pitch in enumerate(pitches)]
    return [(0.0, beats, root)]
