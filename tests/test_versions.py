import numpy as np
import pytest

from a2v import alignment, chance, hashing, versions
from a2v.search import ExactSearch

RATE, HOP = 16000, 4000


class Turning:
    """An encoder whose bits turn with the key: a fixed code for each pitch class of a tone."""

    name, n_bits, hop_s, window_s, sample_rate = "turning", 128, 0.25, 1.0, RATE
    calibration = chance.THEORY
    rest = np.random.default_rng(0).integers(0, 2, 8)
    pattern = np.random.default_rng(1).integers(0, 2, 120)

    def windows(self, samples):
        return max(0, 1 + (samples - RATE) // HOP)

    def hash(self, waveform):
        heard = []
        for k in range(self.windows(len(waveform))):
            part = waveform[k * HOP : k * HOP + RATE] * np.hanning(RATE)
            hz = np.abs(np.fft.rfft(part)).argmax()
            key = round(12 * np.log2(hz / 440))
            heard.append(hashing.transpose(np.concatenate([self.pattern, self.rest]), key))
        return hashing.pack(np.array(heard, bool))

    def fingerprint(self, waveform, *, plain):
        assert plain
        codes = self.hash(waveform)
        return [(0.0, codes, np.ones((len(codes), self.n_bits), np.uint8))]


def tune(semitones, *, note_s=0.5):
    """A waveform of tones, so many semitones above 440 Hz."""
    t = np.arange(round(note_s * RATE)) / RATE
    tones = [np.sin(2 * np.pi * 440 * 2 ** (k / 12) * t) for k in semitones]
    return np.concatenate(tones).astype(np.float32)


@pytest.fixture(scope="module")
def catalogue():
    generator = np.random.default_rng(2)
    tunes = [generator.integers(0, 12, 16) for _ in range(6)]
    codes = [Turning().hash(tune(notes, note_s=1.0)) for notes in tunes]
    engine = ExactSearch(np.concatenate(codes), np.cumsum([0, *map(len, codes)]))
    return tunes, engine, [(str(k), "") for k in range(6)]


def test_views_are_the_clip_in_all_keys_at_each_speed():
    clip = tune([0, 4, 7, 2], note_s=1.0)
    found = versions.views(Turning(), clip, semitones=(0, 3))
    assert len(found) == 24
    own = Turning().hash(clip)
    for key, (phase_s, codes, weights) in enumerate(found[:12]):
        assert phase_s == 0.0 and weights.shape == (len(own), 128)
        np.testing.assert_array_equal(codes, alignment.transpose(own, key))
    faster = Turning().windows(round(len(clip) / 2 ** (3 / 12)))
    assert {len(codes) for _, codes, _ in found[12:]} == {faster}


def test_speeds_that_leave_no_window_are_left_out():
    clip = tune([0, 5], note_s=0.55)
    kept = [k for k in versions.SEMITONES if len(clip) / 2 ** (k / 12) >= RATE]
    assert 0 < len(kept) < len(versions.SEMITONES)
    assert len(versions.views(Turning(), clip)) == 12 * len(kept)


@pytest.mark.parametrize("key", [0, 5, 11])
@pytest.mark.parametrize("faster", [-3, 0, 3])
def test_version_is_found_in_any_key_and_at_another_tempo(key, faster, catalogue):
    tunes, engine, tracks = catalogue
    played = tune(tunes[4][2:12] + key, note_s=2 ** (-faster / 12))
    best = versions.identify(Turning(), engine, tracks, played)[0]
    assert best.track == "4"
    assert best.offset_s == pytest.approx(2.0, abs=0.5)
    assert best.bit_error_rate < 0.15
