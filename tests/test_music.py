import numpy as np
import pytest

from a2v.audio import SAMPLE_RATE
from a2v.corpora.music import arrangements, ensembles, patterns, scores, tones
from a2v.corpora.music.instruments import INSTRUMENTS


def invented(seed, seconds=40):
    return scores.invent(np.random.default_rng(seed), seconds=seconds, tail_s=1.5)


@pytest.mark.parametrize("seed", range(20))
def test_invent_fills_its_bars_and_ends_on_the_tonic(seed):
    score = invented(seed)
    assert len(score.bars) * score.metre * 60 / score.tempo == pytest.approx(38.5)
    assert {chord[0] for chord in score.bars[-1].chords} == {0}
    assert score.bars[-1].melody[-1].pitch % 12 == 0
    for bar in score.bars:
        ends = [0.0, *(note.beat + note.beats for note in bar.melody)]
        assert all(end <= note.beat + 1e-9 for end, note in zip(ends, bar.melody, strict=False))
        assert ends[-1] <= score.metre
        assert all(-8 <= note.pitch <= 20 for note in bar.melody)


def test_invent_develops_what_returns():
    same = developed = 0
    for seed in range(20):
        heard = {}
        for bar in invented(seed).bars:
            heard.setdefault((bar.section, bar.visit), []).append((bar.chords, bar.melody))
        for (section, visit), bars in heard.items():
            if visit:
                same += bars == heard[section, 0]
                developed += 1
    assert developed > 10
    assert same == 0


@pytest.mark.parametrize("transposition", (-5, 3, 6))
def test_arrange_transposes_harmony(transposition):
    score = invented(4)
    band = ensembles.found(0)[0]

    def classes(semitones):
        generator = np.random.default_rng(1)
        events = arrangements.arrange(score, band, generator, transposition=semitones)
        played = [e for e in events if e.part in ("chords", "bass")]
        return {(e.part, e.beat // score.metre, (e.pitch - semitones) % 12) for e in played}

    # The octave, and with it the order of a broken chord, may change; chord and line may not.
    assert classes(0) == classes(transposition)


@pytest.mark.parametrize("metre", (3, 4, 6))
@pytest.mark.parametrize("style", ensembles.STYLES)
def test_styles_name_players_and_patterns_that_exist(style, metre):
    offers = ensembles.STYLES[style]
    assert {*offers["leads"], *offers["chords"], *offers["basses"]} <= INSTRUMENTS.keys()
    for kit in offers["kits"]:
        assert patterns.KITS[kit].get(metre, {}).keys() <= tones.DRUMS.keys()
        assert set(patterns.FILLS.get(kit, ())) <= tones.DRUMS.keys()
    for figure in offers["figures"]:
        played = patterns.chords(figure, [60, 64, 67], metre, metre=metre, mask=[True] * 16)
        assert all(0 <= onset < metre for onset, *_ in played)
    for line in offers["lines"]:
        generator = np.random.default_rng(0)
        played = patterns.bass(line, [40, 44, 47], metre, generator, metre=metre, goal=45)
        assert played[0][::2] == (0.0, 40)
        assert all(onset < metre for onset, *_ in played)


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_tone_is_in_tune(name):
    preset = INSTRUMENTS[name]
    for frequency in (110.0, 440.0):
        note = tones.tone(frequency, 0.8, 0.7, np.random.default_rng(1), **preset)
        assert note.dtype == np.float32
        assert len(note) == int((0.8 + preset["release_s"]) * SAMPLE_RATE)
        spectrum = np.abs(np.fft.rfft(note * np.hanning(len(note)), 1 << 18))
        peak = spectrum.argmax() * SAMPLE_RATE / (1 << 18)
        cents = 1200 * np.log2(peak / (frequency * np.asarray(preset["ratios"], dtype=float)))
        assert np.abs(cents).min() < 12


@pytest.mark.parametrize("name", tones.DRUMS)
def test_drum_strokes_start_at_once_die_away_and_differ(name):
    generator = np.random.default_rng(0)
    first, second = (tones.drum(name, 0.8, generator) for _ in range(2))
    assert not np.array_equal(first, second)
    assert np.abs(first).argmax() < 0.08 * SAMPLE_RATE
    assert np.abs(first[-80:]).max() < 0.1 * np.abs(first).max()
