import functools

import numpy as np
import pytest

from a2v import calibration, chance
from a2v.runtime import Encoder

LENGTHS_S, TRACKS = (1.0, 3.0, 10.0), (10, 100)


@functools.cache
def answers(apart, *, recordings=20, seed=0):
    """Scores of chance of recordings whose locations lie so far apart."""
    generator, made = np.random.default_rng(seed), []
    for recording in range(recordings):
        location = apart * generator.standard_normal()
        for length_s in LENGTHS_S:
            for tracks in TRACKS:
                for score in generator.gumbel(location, 1.0, 30):
                    own = calibration._Answer(score, length_s, tracks, False, False, recording)
                    made.append(own)
    return made


def seen(apart, fitted):
    """How often recordings that the fit did not meet pass the usual threshold."""
    others = answers(apart, recordings=400, seed=1)
    rates = [chance.false_accepts(a.score, a.length_s, a.tracks, fitted) for a in others]
    return np.mean(np.array(rates) <= chance.MAX_FALSE_ACCEPTS)


@pytest.mark.parametrize(("apart", "recordings"), [(0.0, 4), (1.0, 4), (1.0, 20)])
def test_strange_recordings_pass_no_more_often_than_stated(apart, recordings):
    met = (answers(apart, recordings=recordings, seed=seed) for seed in range(10, 18))
    fits = [calibration._tails(list(each)) for each in met]
    assert np.mean([seen(apart, fitted) for fitted in fits]) <= chance.MAX_FALSE_ACCEPTS


def test_the_scale_is_wider_the_fewer_recordings_there_are():
    wide, narrow = (
        calibration._tails(list(answers(0.5, recordings=count)))["scale"][0] for count in (5, 80)
    )
    assert wide > narrow


def test_one_recording_alone_widens_nothing():
    own = list(answers(0.5))
    own = [a for a in own if a.recording < 2]
    copies = [a._replace(recording=0) for a in own]
    _, planes = calibration._planes(own)
    fitted = calibration._tails(own)
    np.testing.assert_allclose(fitted["location"], planes[:, 0], atol=1e-4)
    assert fitted["scale"][0] > planes[0, 1]
    np.testing.assert_allclose(calibration._tails(copies)["scale"], planes[:, 1], atol=1e-4)


@pytest.mark.parametrize("overhang_s", [0.0, 0.5])
def test_an_excerpt_is_as_long_as_it_was_heard(exported, melody, overhang_s):
    encoder = Encoder(exported(overhang_s=overhang_s))
    waveforms = [melody(seed, 12) for seed in range(31, 35)]
    fitted = calibration.calibrate(encoder, waveforms, queries=120)
    assert fitted["lengths_s"] == [1 + 2 * overhang_s, 10 + 2 * overhang_s]
    # So long is also what a match takes an excerpt for.
    prints = encoder.fingerprint(waveforms[0][:80000])
    rows = max(len(codes) for _, codes, _ in prints)
    assert encoder.window_s + (rows - 1) * encoder.hop_s == 5 + 2 * overhang_s


def test_no_answers_fit_nothing():
    assert calibration._tails([]) is None
