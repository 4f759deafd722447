import keras
import numpy as np
import pytest
import tensorflow as tf

from a2v.losses import ContrastiveHashLoss


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


@pytest.mark.parametrize("extreme", [0.0, 1e-20, 1e20], ids=str)
def test_loss_and_gradient_are_finite(pairs, extreme):
    embedding = tf.Variable(extreme * pairs)
    with tf.GradientTape() as tape:
        loss = ContrastiveHashLoss()(tf.zeros(len(pairs)), embedding)
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
    loss = ContrastiveHashLoss(temperature=0.1, saturation=0.2, balance=0.3)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert again.get_config() == loss.get_config()
    assert float(again(pairs, pairs)) == float(loss(pairs, pairs))
