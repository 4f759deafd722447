"""Arrangement: who plays what of a score, section by section."""

from typing import NamedTuple

import numpy as np

from a2v.corpora.music import patterns
from a2v.corpora.music.ensembles import STYLES
from a2v.corpora.music.patterns import FILLS, KITS
from a2v.corpora.music.scores import SCALES


class Event(NamedTuple):
    """A note or stroke: part, onset and length in beats, MIDI pitch (0 for drums), velocity."""

    part: str
    beat: float
    beats: float
    pitch: int
    velocity: float


class Texture(NamedTuple):
    """How a section sounds: loudness, who sings and where, what goes with it."""

    loudness: float
    lead: str
    octave: int
    counter: str
    figure: str
    line: str
    percussion: float
    centre: int
    mask: tuple


def arrange(score, ensemble, generator, *, transposition=0, freedom=0.0):
    """Sets a score for an ensemble.

    Args:
        score: scores.Score.
        ensemble: ensembles.Ensemble.
        generator: np.random.Generator.
        transposition: int, semitones.
        freedom: float in [0, 1], how much melody is ornamented and shifted; 0 = as written.

    Returns:
        list of Event. Parts are "lead", "second", "chords", "bass", and names of drums.
    """
    arranger = _Arranger(score, ensemble, generator, transposition, freedom)
    events = []
    for number, bar in enumerate(score.bars):
        events += arranger.bar(number, bar)
    return events


class _Arranger:
    def __init__(self, score, ensemble, generator, transposition, freedom):
        self.score, self.ensemble, self.generator = score, ensemble, generator
        self.offers = STYLES[ensemble.style]
        # The tonic nearest to middle C, so that no key pushes the melody out of its register.
        self.tonic = 60 + (score.tonic + transposition + 6) % 12 - 6
        self.scale = [(self.tonic + step) % 12 for step in SCALES[score.mode]]
        self.freedom = freedom
        self.unit = patterns.unit(score.metre)
        self.texture = None
        self.section = None
        self.place = 0
        self.loudness = 0.0

    def bar(self, number, bar):
        """Events of one bar, all voices."""
        if (bar.section, bar.visit) != self.section:
            opening = self.section is None
            self.section = (bar.section, bar.visit)
            self.texture = self._texture(bar, opening)
            self.place = 0
        # A phrase grows towards its third bar and then rests.
        self.loudness = self.texture.loudness * (0.84, 0.93, 1.0, 0.88)[self.place % 4]
        self.place += 1
        start = number * self.score.metre
        last = number == len(self.score.bars) - 1
        events = self._melody(bar, start)
        slot = self.score.metre / len(bar.chords)
        following = self.score.bars[number + 1].chords[0] if not last else bar.chords[0]
        for at, chord in enumerate(bar.chords):
            then = bar.chords[at + 1] if at + 1 < len(bar.chords) else following
            beat = start + at * slot
            events += self._accompany(chord, beat, slot, "sustain" if last else None)
            events += self._bass(chord, then, beat, slot, "pedal" if last else None)
        return events + self._percussion(bar, start, last)

    def _texture(self, bar, opening):
        generator, offers = self.generator, self.offers
        calm = opening or bar.section == "intro"
        loudness = generator.uniform(0.55, 0.75) if calm else generator.uniform(0.65, 1.0)
        percussion = (0, 0.5, 1)[
            generator.choice(3, p=(0.5, 0.4, 0.1) if calm else (0.1, 0.3, 0.6))
        ]
        return Texture(
            loudness=float(loudness),
            lead="lead" if generator.random() < 0.7 else "second",
            octave=int(generator.choice((0, 12), p=(0.6, 0.4))),
            counter=str(
                generator.choice(("none", "thirds", "guide", "octave"), p=(0.3, 0.25, 0.3, 0.15))
            ),
            figure=str(generator.choice(offers["figures"])),
            line="none"
            if calm and generator.random() < 0.5
            else str(generator.choice(offers["lines"])),
            percussion=percussion,
            centre=int(generator.integers(57, 65)),
            mask=tuple(generator.random(16) < 0.62),
        )

    def _melody(self, bar, start):
        """The tune, ornamented as freely as asked, and a second voice to it."""
        texture, generator = self.texture, self.generator
        events = []
        for note in bar.melody:
            pitch = self.tonic + note.pitch + texture.octave
            beat, beats = start + note.beat, note.beats
            velocity = self.loudness * note.accent
            if note.beat and self.freedom * generator.random() > 0.75:
                beat -= self.unit / 2
                beats += self.unit / 2
            for onset, length, step in self._ornament(beats):
                sounding = self._neighbour(pitch, step)
                events.append(Event(texture.lead, beat + onset, length, sounding, velocity))
            other = "second" if texture.lead == "lead" else "lead"
            if texture.counter in ("thirds", "octave"):
                below = self._neighbour(pitch, -2) if texture.counter == "thirds" else pitch - 12
                events.append(Event(other, beat, beats, below, 0.75 * velocity))
        if texture.counter == "guide" and bar.melody:
            slot = self.score.metre / len(bar.chords)
            other = "second" if texture.lead == "lead" else "lead"
            for at, chord in enumerate(bar.chords):
                pitch = self._near(chord[generator.integers(1, 3)], 62)
                events.append(Event(other, start + at * slot, slot, pitch, 0.6 * self.loudness))
        return events

    def _ornament(self, beats):
        """A note as (onset, length, scale steps away) of what is played for it."""
        whole = [(0.0, beats, 0)]
        if beats < 1 or self.generator.random() > 0.45 * self.freedom:
            return whole
        short = 0.25 * self.unit
        return (
            [(0.0, short, 0), (short, short, 1), (2 * short, beats - 2 * short, 0)],
            [(-short, short, -1), (0.0, beats, 0)],
            [(0.0, beats - self.unit, 0), (beats - self.unit, self.unit, 1)],
            [(0.0, beats / 2, 0), (beats / 2, beats / 2, 0)],
        )[self.generator.integers(4)]

    def _neighbour(self, pitch, steps):
        """The pitch some steps of the scale away."""
        while steps:
            pitch += 1 if steps > 0 else -1
            if pitch % 12 in self.scale:
                steps -= 1 if steps > 0 else -1
        return pitch

    def _near(self, tone, centre):
        """The pitch class `tone` above the tonic, in the octave around `centre`."""
        return int(centre + (self.tonic + tone - centre + 6) % 12 - 6)

    def _accompany(self, chord, beat, beats, figure):
        texture, generator = self.texture, self.generator
        figure = figure or texture.figure
        if figure == "sustain" and self.ensemble.chords in ("marimba", "banjo"):
            # Too short of breath to hold a chord.
            figure = "block"
        tones = list(chord)
        if generator.random() < self.offers["sevenths"]:
            degree = SCALES[self.score.mode].index(chord[0])
            tones.append(SCALES[self.score.mode][(degree + 6) % 7])
        pitches = sorted(self._near(tone, texture.centre) for tone in tones)
        events = []
        figured = patterns.chords(figure, pitches, beats, metre=self.score.metre, mask=texture.mask)
        for at, length, chosen, accent in figured:
            if figure != "sustain" and generator.random() < 0.06:
                continue
            velocity = self.loudness * accent * (1.0 if len(chosen) == 1 else 0.75)
            events += [Event("chords", beat + at, length, pitch, velocity) for pitch in chosen]
        return events

    def _bass(self, chord, following, beat, beats, line):
        near = [self._near(tone, 40) for tone in chord]
        walk = patterns.bass(
            line or self.texture.line,
            near,
            beats,
            self.generator,
            metre=self.score.metre,
            goal=self._near(following[0], 40),
        )
        return [
            Event("bass", beat + at, length, pitch, self.loudness * (0.85 if at == 0 else 0.7))
            for at, length, pitch in walk
        ]

    def _percussion(self, bar, start, last):
        generator, texture, kit = self.generator, self.texture, self.ensemble.kit
        metre = self.score.metre
        if kit == "none" or not texture.percussion:
            return []
        if last:
            return [
                Event("crash" if kit in ("rock", "brush") else FILLS[kit][-1], start, 0, 0, 0.6)
            ]
        events = []
        fill_from = metre - generator.choice((1, 2)) if bar.ends_section else metre
        for number, (drum, beats) in enumerate(KITS[kit][metre].items()):
            if number == 2 and texture.percussion < 1:
                continue
            for at in beats:
                if at >= fill_from or generator.random() < 0.05:
                    continue
                velocity = (0.9 if at % 1 == 0 else 0.6) * self.loudness
                events.append(Event(drum, start + at, 0, 0, velocity))
            if generator.random() < 0.25:
                ghost = float(generator.integers(1, metre / self.unit)) * self.unit + self.unit / 2
                if ghost < fill_from:
                    events.append(Event(drum, start + ghost, 0, 0, 0.4 * self.loudness))
        for at in np.arange(fill_from, metre, self.unit / 2):
            if generator.random() < 0.75:
                drum = FILLS[kit][min(len(FILLS[kit]) - 1, int(3 * (at - fill_from) / 2))]
                velocity = self.loudness * (0.5 + 0.25 * (at - fill_from))
                events.append(Event(drum, start + float(at), 0, 0, velocity))
        return events
