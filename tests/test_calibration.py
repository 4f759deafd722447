import numpy as np
import pytest

from a2v import calibration, chance
from a2v.runtime import Encoder

LENGTHS_S, TRACKS = (1.0, 3.0, 10.0), (10, 100)


def answers(apart, *, recordings=20, seed=0):
    """Scores of chance of recordings whose locations lie so far apart."""
    generator = np.random.default_rng(seed)
    for recording in range(recordings):
        location = apart * generator.standard_normal()
        for length_s in LENGTHS_S:
            for tracks in TRACKS:
                for score in generator.gumbel(location, 1.0, 30):
                    yield calibration._Answer(score, length_s, tracks, False, False, recording)


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


def test_stretch_of_a_recording_is_what_the_clip_alone_hashes_to(encoder_path, melody):
    encoder, recording = Encoder(encoder_path), melody(31, 8)
    rate = encoder.sample_rate
    recording[3 * rate : 5 * rate] = 0
    begun = encoder.beginnings(recording, phases=4)
    for first, length in ((0, 3 * rate), (6, 5 * rate), (10, rate)):
        start = round(first * encoder.hop_s * rate)
        alone = encoder.fingerprint(recording[start : start + length], phases=4)
        cut = calibration.stretch(encoder, begun, first, length)
        assert len(cut) == (4 if length > rate else 1)
        for (phase_s, codes, weights), (own_s, own, reliable) in zip(cut, alone, strict=False):
            assert phase_s == own_s and len(codes) == len(own)
            # Rounding in another place of a block may turn a bit that lies on its threshold.
            assert np.unpackbits(codes ^ own).mean() < 0.001
            assert (weights != reliable).mean() < 0.01


def test_no_answers_fit_nothing():
    assert calibration._tails([]) is None
