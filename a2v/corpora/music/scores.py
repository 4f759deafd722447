"""Composition: works as scores of melody and harmony, before any instrument plays them."""

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

SCALES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
}

# Which degree follows which, and how readily: the common practice of each mode.
HARMONY = {
    "major": {
        0: {3: 3, 4: 2.5, 5: 3, 1: 2, 2: 1},
        1: {4: 4, 3: 1, 5: 0.7},
        2: {5: 3, 3: 3, 1: 1},
        3: {4: 3, 0: 2.5, 1: 1.5, 5: 0.7},
        4: {0: 3, 5: 2, 3: 1},
        5: {3: 3, 1: 2.5, 4: 2, 2: 1},
    },
    "minor": {
        0: {3: 2, 5: 3, 6: 2.5, 4: 1.5, 2: 1.5},
        2: {5: 2, 6: 2, 3: 2},
        3: {4: 3, 0: 1.5, 6: 2, 5: 0.7},
        4: {0: 3, 5: 2},
        5: {2: 2, 6: 3, 3: 2, 4: 1.5},
        6: {2: 2.5, 0: 2, 5: 1.5},
    },
    "dorian": {
        0: {3: 3.5, 6: 3, 2: 1.5, 4: 1.5},
        2: {3: 2.5, 6: 2, 0: 1.5},
        3: {0: 3, 6: 2, 4: 1},
        4: {0: 2, 3: 2, 6: 1},
        6: {0: 2.5, 3: 2.5, 2: 1},
    },
    "mixolydian": {
        0: {6: 3, 3: 3, 1: 1.5, 5: 1.5, 4: 1},
        1: {3: 2, 6: 2, 4: 1},
        3: {0: 3, 6: 2, 1: 1},
        4: {3: 2, 0: 2, 5: 1},
        5: {3: 2, 6: 2, 1: 1},
        6: {3: 3, 0: 2.5, 5: 1},
    },
}

# How a group of beats may be divided among notes; negative = rest.
DIVISIONS = {
    2: ((2,), (1, 1), (1.5, 0.5), (0.5, 1, 0.5), (1, 0.5, 0.5), (0.5, 0.5, 1))
    + ((0.5, 0.5, 0.5, 0.5), (0.75, 0.25, 1), (-0.5, 0.5, 1)),
    3: ((3,), (2, 1), (1, 2), (1, 1, 1), (1.5, 0.5, 1), (1, 0.5, 0.5, 1), (2, 0.5, 0.5))
    + ((0.5, 0.5, 1, 1), (-1, 1, 1)),
}
GROUPS = {3: (3,), 4: (2, 2), 6: (3, 3)}
FORMS = ("AABA", "ABAC", "ABACA", "AABB", "ABCAB", "AABAC", "ABAB")
PLANS = ("abac", "aabc", "abab", "aaba", "abcb", "aacb")
LOWEST, HIGHEST = -3, 9  # scale degrees the melody keeps to, 0 = tonic


class Note(NamedTuple):
    """A note: onset and length in beats, pitch in semitones above the tonic, accent in [0, 1]."""

    beat: float
    beats: float
    pitch: int
    accent: float


@dataclass(frozen=True)
class Bar:
    """One bar of a score; its chords share it equally, each a tuple of pitch classes, root first.

    The melody's onsets count from the bar's beginning.
    """

    section: str
    visit: int
    ends_section: bool
    chords: tuple
    melody: tuple


@dataclass(frozen=True)
class Score:
    """A work: metre in beats a bar, tempo in beats a minute, tonic as pitch class, and its bars."""

    metre: int
    tempo: float
    tonic: int
    mode: str
    bars: tuple


def invent(generator, *, seconds, tail_s):
    """Composes a work.

    A motif of two or three bars is repeated, put in sequence, inverted and ornamented; phrases of
    four bars form sections; a section that returns is varied, with its chords partly replaced.

    Args:
        generator: np.random.Generator, the only source of chance.
        seconds: float, length in seconds at the score's own tempo, final ring included.
        tail_s: float, seconds kept free after the last bar for the last chord to ring.

    Returns:
        Score, whose bars fill `seconds - tail_s` at its tempo.
    """
    metre = int(generator.choice((4, 4, 4, 3, 6)))
    wish = generator.uniform(78, 132) * (2.1 if metre == 6 else 1.0)
    bars = max(2, round((seconds - tail_s) * wish / 60 / metre))
    # Three odd bars would make too long an introduction.
    bars += bars > 4 and bars % 4 == 3
    tempo = 60 * metre * bars / (seconds - tail_s)
    mode = str(generator.choice(list(SCALES), p=(0.4, 0.3, 0.15, 0.15)))
    composer = _Composer(generator, metre, mode)
    return Score(metre, tempo, int(generator.integers(12)), mode, tuple(composer.work(bars)))


class _Composer:
    """One work's language: its habits of harmony and rhythm, and the sections written so far."""

    def __init__(self, generator, metre, mode):
        self.generator = generator
        self.metre = metre
        self.scale = SCALES[mode]
        self.harmony = {
            degree: {to: w * generator.lognormal(0, 0.7) for to, w in moves.items()}
            for degree, moves in HARMONY[mode].items()
        }
        # Works of quick harmony change chords twice a bar, except where one bar is one group.
        self.chords_per_bar = 2 if metre != 3 and generator.random() < 0.4 else 1
        self.density = generator.uniform(0.75, 1.5) * (0.6 if metre == 6 else 1.0)
        self.themes = {}

    def work(self, bars):
        """Sections in the order of a form, after an introduction that takes up odd bars."""
        form = str(self.generator.choice(FORMS))
        lead_in = bars % 4 if bars > 4 else 0
        written = [
            Bar("intro", 0, at == lead_in - 1, (self.triad(degree),), ())
            for at, degree in enumerate(self.degrees(lead_in, start=0, close=4))
        ]
        visits = dict.fromkeys(form, 0)
        for letter in itertools.cycle(form):
            if len(written) >= bars:
                return written
            length = min(4, bars - len(written))
            final = len(written) + length == bars
            written += self.section(letter, visits[letter], length, final=final)
            visits[letter] += 1

    def triad(self, degree):
        """Pitch classes of the triad on a scale degree, root first; dominants get a major third."""
        root, third, fifth = (self.scale[(degree + step) % 7] for step in (0, 2, 4))
        return root, 11 if degree == 4 and self.scale[5] == 8 else third, fifth

    def degrees(self, slots, *, start, close):
        """A walk of `slots` chord degrees from `start` that ends on `close`; list of int."""
        walk = [start]
        while len(walk) < slots:
            moves = self.harmony[walk[-1]]
            weights = np.array(list(moves.values()))
            if len(walk) == slots - 2:
                # The last but one prepares the close.
                weights = weights * [6.0 if close in self.harmony[to] else 0.3 for to in moves]
            walk.append(int(self.generator.choice(list(moves), p=weights / weights.sum())))
        return [*walk[:-1], close][:slots]

    def section(self, letter, visit, length, *, final):
        """Writes one phrase; a letter heard before is developed. Returns a list of Bar."""
        theme = self.themes[letter] = self.themes.get(letter) or self._theme(letter)
        motifs = theme["motifs"]
        if visit:
            motifs = {name: self._develop(motif) for name, motif in motifs.items()}
        closes = 0 if final or visit % 2 else theme["close"]
        degrees = self._reharmonise(theme["degrees"], visit)[-length * self.chords_per_bar :]
        degrees[-self.chords_per_bar :] = [closes] * self.chords_per_bar
        if final and length > 1:
            degrees[-self.chords_per_bar - 1] = 4
        written, last = [], length - 1
        at = theme["register"] + (int(self.generator.integers(-1, 3)) if visit else 0)
        for bar in range(length):
            chords = degrees[bar * self.chords_per_bar : (bar + 1) * self.chords_per_bar]
            chords = tuple(self.triad(degree) for degree in chords)
            motif = self._cadence(final) if bar == last else motifs[theme["plan"][bar]]
            at = self._start(at, theme["shifts"][bar], chords[0])
            home = 0 if bar == last and closes == 0 else None
            melody, at = self._sing(motif, at, chords, home=home)
            written.append(Bar(letter, visit, bar == last, chords, melody))
        return written

    def _theme(self, letter):
        generator = self.generator
        first = letter == "A"
        start = 0 if first else int(generator.choice([d for d in self.harmony if d]))
        close = 4 if generator.random() < 0.6 else 0
        if first and close == 0 and generator.random() < 0.5:
            close = int(generator.choice([d for d in (3, 4, 6) if d in self.harmony]))
        return {
            "motifs": {name: self._motif() for name in "abc"},
            "plan": str(generator.choice(PLANS)),
            "degrees": self.degrees(4 * self.chords_per_bar, start=start, close=close),
            "close": close,
            "register": int(generator.integers(0, 5)) + (0 if first else 2),
            "shifts": [0, *(int(shift) for shift in generator.choice((-2, -1, 1, 2), size=3))],
        }

    def _motif(self):
        """One bar of rhythm (negative = rest) and its steps in scale degrees; (list, list)."""
        generator = self.generator
        rhythm = []
        for group in GROUPS[self.metre]:
            cells = DIVISIONS[group]
            crowd = np.array([len(cell) / group for cell in cells])
            weights = np.exp(-(((crowd - self.density) / 0.45) ** 2)) + 0.03
            rhythm += cells[generator.choice(len(cells), p=weights / weights.sum())]
        steps = [0]
        for _ in rhythm[1:]:
            size = generator.choice((0, 1, 2, 3, 4), p=(0.1, 0.5, 0.22, 0.1, 0.08))
            # A leap is answered by a step back.
            leapt = abs(steps[-1]) >= 3
            steps.append(
                -int(np.sign(steps[-1])) if leapt else int(size * generator.choice((-1, 1)))
            )
        return rhythm, steps

    def _develop(self, motif):
        """A variant: a long note divided, two notes joined, or the contour turned over."""
        rhythm, steps = list(motif[0]), list(motif[1])
        turn = self.generator.random()
        longest = int(np.argmax(rhythm))
        if turn < 0.45 and rhythm[longest] >= 1:
            first = {3: 2.0, 1.5: 1.0}.get(rhythm[longest], rhythm[longest] / 2)
            rhythm[longest : longest + 1] = [first, rhythm[longest] - first]
            steps.insert(longest + 1, int(self.generator.choice((-1, 1))))
        elif turn < 0.65 and len(rhythm) > 2 and min(rhythm) > 0:
            at = int(self.generator.integers(len(rhythm) - 1))
            rhythm[at : at + 2] = [rhythm[at] + rhythm[at + 1]]
            del steps[at + 1]
        elif turn < 0.85:
            steps = [-step for step in steps]
        return rhythm, steps

    def _reharmonise(self, degrees, visit):
        """Chords of a returning section, some replaced by a relative; list of int."""
        kin = {0: (5,), 1: (3,), 2: (0,), 3: (1, 5), 4: (6, 2), 5: (0, 3), 6: (4,)}
        changed = list(degrees)
        for at in range(1, len(degrees) if visit else 0):
            relatives = [other for other in kin[degrees[at]] if other in self.harmony]
            if relatives and self.generator.random() < 0.25:
                changed[at] = int(self.generator.choice(relatives))
        return changed

    def _cadence(self, final):
        closes = {
            3: ([1, 1, 1], [3], [1, 2], [2, -1]),
            4: ([1, 1, 2], [3, -1], [0.5, 0.5, 3], [1, 3], [2, 2]),
            6: ([3, 3], [1, 1, 1, 3], [2, 1, 3], [5, -1]),
        }[self.metre]
        rhythm = [self.metre] if final else closes[self.generator.integers(len(closes))]
        return rhythm, [0, *(int(s) for s in self.generator.choice((-1, 1), len(rhythm) - 1))]

    def _start(self, at, shift, chord):
        """The degree nearest to `at + shift` that belongs to the chord."""
        wish = int(np.clip(at + shift, LOWEST + 1, HIGHEST - 1))
        return min(
            range(LOWEST, HIGHEST + 1),
            key=lambda degree: (self._pitch(degree) % 12 not in chord, abs(degree - wish)),
        )

    def _pitch(self, degree):
        return self.scale[degree % 7] + 12 * (degree // 7)

    def _sing(self, motif, at, chords, *, home):
        """Puts a motif over the chords of a bar; (Notes, last degree)."""
        notes, beat = [], 0.0
        rhythm, steps = motif
        for number, (beats, step) in enumerate(zip(rhythm, steps, strict=True)):
            at += step
            at = 2 * HIGHEST - at if at > HIGHEST else 2 * LOWEST - at if at < LOWEST else at
            chord = chords[min(int(beat * len(chords) / self.metre), len(chords) - 1)]
            strong = beat % GROUPS[self.metre][0] == 0
            last = number == len(rhythm) - 1
            if last and home is not None:
                at = min((home, home + 7), key=lambda degree: abs(degree - at))
            elif (strong or abs(beats) > 1) and self._pitch(at) % 12 not in chord:
                at = self._start(at, 0, chord)
            pitch = self._pitch(at)
            if pitch % 12 == 10 and 11 in chord:
                pitch += 1
            accent = 0.62 + 0.2 * (beat == 0) + 0.1 * strong + 0.02 * at
            if beats > 0:
                notes.append(Note(beat, float(beats), int(pitch), min(1.0, accent)))
            beat += abs(beats)
        return tuple(notes), at
