import numpy as np
import pytest

from a2v import discriminant, hashing, matching
from a2v.discriminant import Discriminant

BITS = 32


def music(windows, *, seed=0, steady=0.8):
    """Embeddings whose components are mixtures of a few causes that change slowly."""
    generator = np.random.default_rng([seed, windows])
    causes = np.random.default_rng(0).standard_normal((BITS // 4, BITS))
    state, rows = generator.standard_normal(BITS // 4), []
    for _ in range(windows):
        state = steady * state + np.sqrt(1 - steady**2) * generator.standard_normal(len(state))
        rows.append(state @ causes + generator.standard_normal(BITS))
    return np.array(rows)


def hashes(embedding):
    return hashing.pack(embedding > 0)


@pytest.fixture(scope="module")
def learnt():
    recordings = [hashes(music(200, seed=seed)) for seed in range(40)]
    return Discriminant.learnt([(codes, np.ones(200, bool)) for codes in recordings], 0.5)


def test_what_is_told_is_by_the_inverse_of_the_covariance(learnt):
    clip = music(6)
    lags = np.abs(np.subtract.outer(np.arange(6), np.arange(6)))
    # [window, bit, window, bit]
    covariance = np.einsum(
        "bj,jst,cj->sbtc", learnt.directions, learnt.covariance.T[:, lags], learnt.directions
    )
    covariance = covariance.reshape(6 * BITS, 6 * BITS) + 0.5 * np.eye(6 * BITS)
    assert np.linalg.eigvalsh(covariance).min() > 0.4
    expected = np.linalg.solve(covariance, np.tanh(clip).ravel()).reshape(6, BITS)
    np.testing.assert_allclose(learnt.told(clip), expected, atol=1e-4)


def test_covariance_is_that_of_the_hashes(learnt):
    values = hashing.signs(np.concatenate([hashes(music(200, seed=s)) for s in range(40)]))
    matrix = learnt.directions * learnt.covariance[0] @ learnt.directions.T
    np.testing.assert_allclose(matrix, np.cov(values.T), atol=1e-3)
    np.testing.assert_allclose(learnt.directions @ learnt.directions.T, np.eye(BITS), atol=1e-5)


def test_unrelated_music_lies_farther_off_the_more_is_known_of_it(learnt):
    plain = Discriminant(np.eye(BITS), np.ones((1, BITS)), 0.5)
    bits_alone = Discriminant(learnt.directions, learnt.covariance[:1], 0.5)
    apart = []
    for given in (plain, bits_alone, learnt):
        deviations = []
        for seed in range(60):
            clip = music(12, seed=1000 + seed)
            codes, weights = hashing.query(clip, np.ones(12, bool), 1.0, given)
            weighed = hashing.signs(codes) * weights
            heard = np.random.default_rng(seed).standard_normal(clip.shape) + clip
            unrelated = hashing.signs(hashes(music(2412, seed=seed))).reshape(201, 12, BITS)
            chance = (unrelated * weighed).sum(axis=(1, 2))
            right = (hashing.signs(hashes(heard)) * weighed).sum()
            deviations.append((right - chance.mean()) / chance.std())
        apart.append(np.mean(deviations))
    assert apart[1] > 1.2 * apart[0]
    assert apart[2] > 1.2 * apart[1]


@pytest.mark.parametrize("windows", [1, 5, 13, 40])
def test_unrelated_music_spreads_no_wider_than_matching_expects(learnt, windows):
    spreads = []
    for seed in range(40):
        clip = music(windows, seed=2000 + seed)
        codes, weights = hashing.query(clip, np.ones(windows, bool), 1.0, learnt)
        weighed = hashing.signs(codes) * weights
        unrelated = hashing.signs(hashes(music(100 * windows, seed=seed)))
        chance = (unrelated.reshape(100, windows, BITS) * weighed).sum(axis=(1, 2))
        spreads.append(chance.std() / np.sqrt(np.square(weighed).sum()))
    assert 0.5 * matching.ALLOWED_SPREAD < np.mean(spreads) < matching.ALLOWED_SPREAD


def test_bits_that_do_not_depend_on_each_other_are_weighed_alone():
    codes = np.random.default_rng(0).integers(0, 256, (20_000, 2), np.uint8)
    learnt = Discriminant.learnt([(codes, np.ones(len(codes), bool))], 0.5)
    clip = np.random.default_rng(1).standard_normal((8, 16))
    np.testing.assert_allclose(learnt.told(clip), np.tanh(clip) / 1.5, atol=0.1)


def test_windows_that_are_not_audible_weigh_nothing(learnt):
    clip, audible = music(6), np.arange(6) != 2
    _, weights = hashing.query(clip, audible, 1.0, learnt)
    assert weights.dtype == np.int8 and np.abs(weights).max() <= 15
    np.testing.assert_array_equal(weights.any(axis=1), audible)


def test_what_is_not_audible_is_not_learnt_from():
    codes = hashes(music(300))
    audible = np.arange(300) % 7 != 0
    other = np.where(audible[:, None], codes, 255 - codes)
    of, same = (Discriminant.learnt([(given, audible)], 0.5) for given in (codes, other))
    np.testing.assert_array_equal(of.covariance, same.covariance)


def test_several_beginnings_are_weighed_each_by_itself(learnt):
    clips = np.stack([music(20, seed=1), music(20, seed=2), music(20, seed=3)], axis=1)
    shares = np.linspace(0.2, 1, 20)[:, None, None]
    for k in range(3):
        told = learnt.told(clips, shares)[:, k]
        assert told.dtype == np.float32
        np.testing.assert_allclose(told, learnt.told(clips[:, k], shares[:, 0]), atol=1e-5)


@pytest.mark.parametrize("windows", [0, 1, 64, 65, 200])
def test_long_clips_are_weighed_in_pieces(learnt, windows):
    clip = music(windows).reshape(windows, BITS)
    told = learnt.told(clip)
    assert told.shape == clip.shape and told.dtype == np.float32
    pieces = np.array_split(clip, -(-windows // discriminant.LAGS) or 1)
    expected = np.concatenate([learnt.told(piece) for piece in pieces])
    np.testing.assert_allclose(told, expected, atol=1e-6)


def test_what_is_read_is_what_was_saved(learnt):
    data = learnt.saved()
    assert data == learnt.saved()
    same = Discriminant.read(data)
    assert same.shrinkage == 0.5
    np.testing.assert_allclose(same.directions, learnt.directions, atol=1e-3)
    np.testing.assert_allclose(same.covariance, learnt.covariance, rtol=1e-3, atol=1e-6)
    clip = music(20)
    np.testing.assert_allclose(same.told(clip), learnt.told(clip), atol=0.05)


@pytest.mark.parametrize("windows", [3, 40, 200])
def test_no_variance_is_below_zero(windows):
    generator = np.random.default_rng(windows)
    recordings = [
        (hashes(music(windows, seed=seed)), generator.random(windows) < 0.8) for seed in range(20)
    ]
    learnt = Discriminant.learnt(recordings, 0.5)
    assert learnt.covariance.shape == (discriminant.LAGS, BITS)
    lags = np.abs(np.subtract.outer(np.arange(discriminant.LAGS), np.arange(discriminant.LAGS)))
    assert np.linalg.eigvalsh(learnt.covariance.T[:, lags]).min() > -1e-4
    assert np.isfinite(learnt.told(music(100))).all()
