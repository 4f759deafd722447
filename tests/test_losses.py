import keras
import numpy as np
import pytest
import tensorflow as tf

from a2v import hashing
from a2v.losses import ContrastiveHashLoss, HashedReconstructionLoss, TransposableHashLoss

BITS, FRAMES, CEPSTRA = 16, 5, 3


@pytest.fixture
def pairs():
    """Embeddings `[8, 2, 16]` of windows and copies that resemble them."""
    generator = np.random.default_rng(0)
    windows = generator.standard_normal((8, 16))
    copies = windows + 0.3 * generator.standard_normal((8, 16))
    return np.stack([windows, copies], axis=1).astype(np.float32)


def values(pairs, **options):
    """The loss of each pair: float32 `[batch]`."""
    loss = ContrastiveHashLoss(reduction="none", **options)
    return np.asarray(loss(np.zeros(len(pairs), np.float32), pairs))


def by_hand(pairs, temperature, saturation, balance):
    """The definition, one pair at a time, in float64."""
    codes = np.tanh(pairs.astype(np.float64))
    flat = codes.reshape(-1, codes.shape[-1])  # window, copy, window, copy ...
    unit = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    similar = np.exp(unit @ unit.T / temperature)
    np.fill_diagonal(similar, 0)
    found = []
    for i in range(len(codes)):
        a, b = 2 * i, 2 * i + 1
        entropy = [-np.log(similar[x, y] / similar[x].sum()) for x, y in ((a, b), (b, a))]
        found.append(np.mean(entropy) + saturation * np.mean((1 - np.abs(codes[i])) ** 2))
    return np.array(found) + balance * np.mean(flat.mean(axis=0) ** 2)


def test_value_is_that_of_the_definition(pairs):
    options = {"temperature": 0.2, "saturation": 0.3, "balance": 0.7}
    np.testing.assert_allclose(values(pairs, **options), by_hand(pairs, **options), rtol=1e-4)


def test_reported_loss_is_the_mean_over_pairs(pairs):
    mean = ContrastiveHashLoss()(np.zeros(len(pairs), np.float32), pairs)
    assert float(mean) == pytest.approx(values(pairs).mean(), rel=1e-5)


def test_order_of_pairs_moves_their_losses_along(pairs):
    order = np.random.default_rng(1).permutation(len(pairs))
    np.testing.assert_allclose(values(pairs[order]), values(pairs)[order], rtol=1e-4)


def test_window_and_copy_may_change_places(pairs):
    np.testing.assert_allclose(values(pairs[:, ::-1].copy()), values(pairs), rtol=1e-4)


def test_partners_cost_less_than_strangers(pairs):
    strangers = np.stack([pairs[:, 0], np.roll(pairs[:, 1], 1, axis=0)], axis=1)
    assert values(pairs).mean() < 0.1 * values(strangers).mean()


def test_sure_bits_cost_less_than_undecided_ones(pairs):
    sure, undecided = 10 * np.sign(pairs), 0.01 * np.sign(pairs)
    only = {"temperature": 1e9, "balance": 0.0, "saturation": 1.0}  # all are equally similar
    floor = np.log(2 * len(pairs) - 1)
    np.testing.assert_allclose(values(sure, **only) - floor, 0, atol=1e-4)
    np.testing.assert_allclose(values(undecided, **only) - floor, 0.99**2, atol=1e-3)


def test_bits_that_never_change_cost_most(pairs):
    only = {"temperature": 1e9, "balance": 1.0, "saturation": 0.0}
    floor = np.log(2 * len(pairs) - 1)
    constant = np.full_like(pairs, 10.0)
    halves = constant * np.where(np.arange(len(pairs)) % 2, 1, -1)[:, None, None]
    np.testing.assert_allclose(values(constant, **only) - floor, 1, atol=1e-4)
    np.testing.assert_allclose(values(halves, **only) - floor, 0, atol=1e-4)


def of_correlation(pairs, **options):
    """What correlated bits cost, whatever else the loss holds."""
    return (values(pairs, decorrelation=1.0, **options) - values(pairs, **options)).mean()


def test_decorrelation_costs_the_mean_squared_correlation_of_two_bits(pairs):
    flat = np.tanh(pairs.astype(np.float64)).reshape(-1, BITS)
    squares = np.corrcoef(flat, rowvar=False)[np.triu_indices(BITS, 1)] ** 2
    assert of_correlation(pairs) == pytest.approx(squares.mean(), rel=1e-3)


def test_one_bit_repeated_costs_most_and_independent_bits_nothing():
    repeated = np.where(np.arange(8) % 2, 1, -1)[:, None, None] * np.ones((8, 2, BITS))
    assert of_correlation(repeated.astype(np.float32)) == pytest.approx(1, abs=1e-3)
    counted = (np.arange(16)[:, None] >> np.arange(4)) % 2 * 2.0 - 1  # all codes of four bits
    assert of_correlation(counted.reshape(8, 2, 4).astype(np.float32)) == pytest.approx(0, abs=1e-4)


def test_constant_bits_correlate_with_none(pairs):
    constant = pairs.copy()
    constant[..., 1:] = 3.0
    assert of_correlation(constant) == pytest.approx(0, abs=1e-4)


def test_straight_through_sees_the_bits_alone(pairs):
    options = {"straight_through": True, "saturation": 0.0}
    np.testing.assert_allclose(values(0.1 * pairs, **options), values(pairs, **options), rtol=1e-4)
    sure = 20 * np.sign(pairs)
    np.testing.assert_allclose(
        values(pairs, **options), values(sure, saturation=0.0), rtol=1e-3, atol=1e-5
    )


def gradient_of(pairs, **options):
    embedding = tf.Variable(pairs)
    with tf.GradientTape() as tape:
        loss = ContrastiveHashLoss(**options)(tf.zeros(len(pairs)), embedding)
    return np.asarray(tape.gradient(loss, embedding))


def test_straight_through_passes_the_gradient_of_tanh(pairs):
    options = {"straight_through": True, "saturation": 0.0}
    found = gradient_of(pairs, **options)
    # Embeddings of the same bits get what the bits get, times the slope of their own tanh.
    slopes = 1 - np.tanh(pairs.astype(np.float64)) ** 2
    others = 0.3 * pairs
    expected = found / slopes * (1 - np.tanh(others.astype(np.float64)) ** 2)
    assert np.abs(found).max() > 0
    np.testing.assert_allclose(gradient_of(others, **options), expected, rtol=1e-2, atol=1e-6)


@pytest.mark.parametrize("extreme", [0.0, 1e-20, 1e20], ids=str)
@pytest.mark.parametrize("straight_through", [False, True])
def test_loss_and_gradient_are_finite(pairs, extreme, straight_through):
    embedding = tf.Variable(extreme * pairs)
    options = {"decorrelation": 1.0, "straight_through": straight_through}
    with tf.GradientTape() as tape:
        loss = ContrastiveHashLoss(**options)(tf.zeros(len(pairs)), embedding)
    assert np.isfinite(loss)
    assert np.isfinite(tape.gradient(loss, embedding)).all()


def test_single_pair_has_nothing_to_be_told_from(pairs):
    only = values(pairs[:1], saturation=0.0, balance=0.0)
    np.testing.assert_allclose(only, 0, atol=1e-6)


def test_batch_size_may_be_unknown(pairs):
    loss = ContrastiveHashLoss()
    shape = tf.TensorSpec([None, 2, pairs.shape[-1]])
    traced = tf.function(lambda x: loss(tf.zeros(tf.shape(x)[0]), x), input_signature=[shape])
    assert float(traced(pairs)) == pytest.approx(values(pairs).mean(), rel=1e-4)


def test_config_makes_the_same_loss(pairs):
    loss = ContrastiveHashLoss(
        temperature=0.1, saturation=0.2, balance=0.3, decorrelation=0.4, straight_through=True
    )
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert again.get_config() == loss.get_config()
    assert float(again(pairs, pairs)) == float(loss(pairs, pairs))


def loss_of(window, reconstruction, codes, **weights):
    """The loss of each window, given float arrays `[n, 5, 3]`, the same, and `[n, 2, 16]`."""
    loss = HashedReconstructionLoss(n_bits=BITS, reduction="none", **weights)
    pairs = np.stack([window, np.full_like(window, 7.0)], axis=1)  # what the copy is: no matter
    flat = [reconstruction.reshape(len(window), -1), codes.reshape(len(window), -1)]
    return np.asarray(loss(pairs, np.concatenate(flat, axis=1)))


@pytest.fixture
def drawn():
    generator = np.random.default_rng(0)
    window, error = generator.standard_normal((2, 4, FRAMES, CEPSTRA)).astype(np.float32)
    codes = np.sign(generator.standard_normal((4, 2, BITS))).astype(np.float32)
    codes[:, 1] = codes[:, 0]
    return window, error, codes


def test_sure_and_equal_codes_leave_the_reconstruction_error(drawn):
    window, error, codes = drawn
    expected = np.square(error).mean(axis=(1, 2))
    np.testing.assert_allclose(loss_of(window, window + error, codes), expected, atol=1e-4)


def test_each_bit_that_differs_costs_its_part_of_the_code(drawn):
    window, _, codes = drawn
    for n_differ in (1, 4, BITS):
        other = codes.copy()
        other[:, 1, :n_differ] *= -1
        part = n_differ / BITS
        found = loss_of(window, window, other, likeness=2.0, entropy=0.0)
        np.testing.assert_allclose(found, 2.0 * part, atol=1e-5)
        # A bit that the two disagree on is a whole bit of entropy.
        found = loss_of(window, window, other, likeness=0.0, entropy=0.5)
        np.testing.assert_allclose(found, 0.5 * part, atol=1e-4)


def test_entropy_falls_as_bits_leave_the_threshold(drawn):
    window, _, codes = drawn
    sizes = (0.0, 0.3, 0.6, 0.9, 1.0)
    found = [loss_of(window, window, size * codes, entropy=1.0) for size in sizes]
    np.testing.assert_allclose(found[0], 1.0, atol=1e-5)
    assert (np.diff(found, axis=0) < 0).all()


def test_each_window_has_its_own_loss(drawn):
    window, error, codes = drawn
    parts = window, window + error, 0.5 * codes
    together = loss_of(*parts)
    alone = [loss_of(*(part[i : i + 1] for part in parts)) for i in range(len(window))]
    np.testing.assert_allclose(np.concatenate(alone), together, rtol=1e-5)


def test_hashed_config_makes_the_same_loss():
    loss = HashedReconstructionLoss(n_bits=8, likeness=3.0, entropy=0.5)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert again.get_config() == loss.get_config()


def test_hashed_gradient_is_finite_where_bits_are_sure(drawn):
    window, _, codes = drawn
    prediction = tf.Variable(np.concatenate([window.reshape(4, -1), codes.reshape(4, -1)], axis=1))
    with tf.GradientTape() as tape:
        pairs = np.stack([window, window], axis=1)
        loss = HashedReconstructionLoss(n_bits=BITS)(pairs, prediction)
    assert np.isfinite(tape.gradient(loss, prediction)).all()


def turned(pairs, *, transposed):
    """The loss of each pair whose copies are transposed by so many semitones."""
    copies = [hashing.transpose(c, k) for c, k in zip(pairs[:, 1], transposed, strict=True)]
    loss = TransposableHashLoss(reduction="none")
    return np.asarray(loss(np.zeros(len(pairs)), np.stack([pairs[:, 0], copies], axis=1)))


def test_transposable_loss_does_not_mind_the_key(pairs):
    wide = np.concatenate([pairs, pairs[:, ::-1] * 0.5 + 0.1], axis=-1)  # 32 bits, 24 turn
    balanced = turned(wide, transposed=[0] * 8)
    for shift in (range(8), [11, 3, 3, 0, 7, 1, 2, 5]):
        changed = turned(wide, transposed=shift)
        # The balance of single bits does depend on it, a little.
        np.testing.assert_allclose(changed, balanced, atol=0.02)


def test_transposable_codes_are_as_alike_as_in_their_best_keys(pairs):
    unit = pairs[:, 0] / np.linalg.norm(pairs[:, 0], axis=1, keepdims=True)
    best = np.full((8, 8), -np.inf)
    for k in range(12):
        best = np.maximum(best, hashing.transpose(unit, k) @ unit.T)
    np.testing.assert_allclose(TransposableHashLoss().similarity(unit), best, atol=1e-5)
    assert (best >= unit @ unit.T - 1e-6).all() and (best > unit @ unit.T + 0.05).any()
