import numpy as np
import pytest

from a2v import hashing, rotation


@pytest.fixture
def embeddings():
    """Float32 `[600, 12]`, correlated, off the origin."""
    generator = np.random.default_rng(0)
    mixing = generator.standard_normal((12, 12))
    drawn = generator.laplace(size=(600, 12)) @ mixing + generator.standard_normal(12)
    return drawn.astype(np.float32)


def orthogonal(n, seed):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))[0]


def test_whitened_components_are_uncorrelated_and_of_variance_one(embeddings):
    white = rotation.mapped(embeddings, rotation.fit_whitening(embeddings))
    np.testing.assert_allclose(white.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(np.cov(white, rowvar=False, bias=True), np.eye(12), atol=1e-3)


def test_whitening_leaves_each_component_nearest_to_itself(embeddings):
    mean, matrix = rotation.fit_whitening(embeddings)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-5)
    assert np.linalg.eigvalsh(matrix).min() > 0
    white = rotation.mapped(embeddings, (mean, matrix))
    whitest = np.square(white - (embeddings - mean)).mean()
    turned = white @ orthogonal(12, 1)  # as white, but no longer ZCA
    assert whitest < np.square(turned - (embeddings - mean)).mean()


def test_whitening_of_white_data_changes_nothing(embeddings):
    white = rotation.mapped(embeddings, rotation.fit_whitening(embeddings))
    mean, matrix = rotation.fit_whitening(white)
    np.testing.assert_allclose(mean, 0, atol=1e-4)
    np.testing.assert_allclose(matrix, np.eye(12), atol=1e-3)


@pytest.mark.parametrize("n_bits", [None, 8])
def test_itq_keeps_lengths_and_angles(embeddings, n_bits):
    _, matrix = rotation.fit_itq(embeddings, n_bits=n_bits)
    assert matrix.shape == (12, n_bits or 12)
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(n_bits or 12), atol=1e-5)


def test_itq_of_fewer_bits_keeps_the_directions_of_most_variance(embeddings):
    mean, matrix = rotation.fit_itq(embeddings, n_bits=4)
    variances = np.linalg.eigvalsh(np.cov(embeddings, rowvar=False, bias=True))
    kept = rotation.mapped(embeddings, (mean, matrix)).var(axis=0).sum()
    assert kept == pytest.approx(variances[-4:].sum(), rel=1e-3)


def test_itq_error_never_rises_from_step_to_step(embeddings):
    fits = [rotation.fit_itq(embeddings, steps=steps, seed=3) for steps in range(20)]
    errors = [rotation.quantisation_error(rotation.mapped(embeddings, fit)) for fit in fits]
    assert (np.diff(errors) <= 1e-5 * errors[0]).all()
    assert errors[-1] < 0.99 * errors[0]


def least_error(data, starts=24):
    """The ITQ that loses least, of several starts: each ends in a local optimum."""
    fits = [rotation.fit_itq(data, seed=seed) for seed in range(starts)]
    return min(fits, key=lambda fit: rotation.quantisation_error(rotation.mapped(data, fit)))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n_bits", [2, 4])
def test_itq_finds_the_axes_of_turned_signs(n_bits, seed):
    generator = np.random.default_rng(seed)
    bits = generator.choice([-1.0, 1.0], (500, n_bits))
    turn = orthogonal(n_bits, seed + 100)
    noise = 0.02 * generator.standard_normal(bits.shape)
    _, matrix = least_error((bits + noise) @ turn + 7.0)
    # What is left of turning and turning back: each axis goes to one axis, or its opposite.
    left = turn @ matrix
    order = np.abs(left).argmax(axis=1)
    assert sorted(order) == list(range(n_bits))
    np.testing.assert_allclose(np.abs(left)[np.arange(n_bits), order], 1, atol=1e-2)


def test_itq_is_that_of_its_seed(embeddings):
    for one, other in zip(
        rotation.fit_itq(embeddings, seed=2), rotation.fit_itq(embeddings, seed=2), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_quantisation_error_is_the_distance_to_the_own_signs():
    embeddings = np.array([[1.0, -1.0], [3.0, -0.5]])
    assert rotation.quantisation_error(embeddings) == pytest.approx((0 + 4 + 0.25) / 2)
    signs = hashing.signs(hashing.pack(np.eye(8)))
    assert rotation.quantisation_error(signs) == 0


@pytest.mark.parametrize("fit", [rotation.fit_whitening, rotation.fit_itq])
def test_too_few_windows_are_refused(fit):
    with pytest.raises(ValueError, match="12 windows of 12 components"):
        fit(np.zeros((12, 12)))


def test_whitening_of_one_value_is_refused():
    with pytest.raises(ValueError, match="all alike"):
        rotation.fit_whitening(np.ones((40, 12)))


def test_itq_refuses_more_bits_than_components(embeddings):
    with pytest.raises(ValueError, match="16 bits from 12 components"):
        rotation.fit_itq(embeddings, n_bits=16)
