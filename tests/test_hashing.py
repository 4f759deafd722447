import numpy as np
import pytest

from a2v import hashing


@pytest.fixture
def generator():
    return np.random.default_rng(0)


def counted(a, b):
    """Hamming distance by Python's own integers."""
    return bin(int.from_bytes(bytes(a), "big") ^ int.from_bytes(bytes(b), "big")).count("1")


@pytest.mark.parametrize("shape", [(8,), (5, 128), (2, 3, 64), (0, 16)])
def test_unpack_undoes_pack(generator, shape):
    bits = generator.random(shape) > 0.5
    codes = hashing.pack(bits)
    assert codes.dtype == np.uint8 and codes.shape == (*shape[:-1], shape[-1] // 8)
    np.testing.assert_array_equal(hashing.unpack(codes), bits)


def test_pack_puts_most_significant_bit_first():
    assert hashing.pack([1, 0, 0, 0, 0, 0, 0, 1]).tolist() == [0x81]
    assert hashing.pack([0, 1] + [0] * 14).tolist() == [0x40, 0]


def test_pack_refuses_parts_of_bytes():
    with pytest.raises(ValueError, match="12 bits"):
        hashing.pack(np.zeros(12))


def test_binarize_is_false_at_zero():
    assert hashing.binarize([-1.0, -0.0, 0.0, 1e-30]).tolist() == [False, False, False, True]


@pytest.mark.parametrize("n_bytes", [1, 2, 8, 16, 33])
def test_hamming_counts_differing_bits(generator, n_bytes):
    a, b = generator.integers(0, 256, (2, 200, n_bytes), dtype=np.uint8)
    expected = [counted(x, y) for x, y in zip(a, b, strict=True)]
    assert hashing.hamming(a, b).tolist() == expected
    assert hashing.hamming(b, a).tolist() == expected
    assert not hashing.hamming(a, a).any()
    assert (hashing.hamming(a, ~a) == 8 * n_bytes).all()


def test_hamming_broadcasts(generator):
    a = generator.integers(0, 256, (7, 16), dtype=np.uint8)
    table = hashing.hamming(a[:, None], a[None])
    assert table.shape == (7, 7)
    assert table[2, 5] == counted(a[2], a[5])


def test_signs_inner_product_tells_hamming(generator):
    a, b = generator.integers(0, 256, (2, 50, 16), dtype=np.uint8)
    products = hashing.signs(a) @ hashing.signs(b).T
    np.testing.assert_array_equal(products, 128 - 2 * hashing.hamming(a[:, None], b[None]))


def test_statistics_of_fair_coins(generator):
    found = hashing.statistics(generator.integers(0, 256, (20_000, 16), dtype=np.uint8))
    assert found["unique_rate"] == 1
    assert found["mean_bit_entropy"] > 0.999
    assert 0.48 < found["bit_mean_min"] < 0.5 < found["bit_mean_max"] < 0.52
    assert found["max_bit_correlation"] < 0.05
    assert found["degrees_of_freedom"] == pytest.approx(128, rel=0.03)


def test_statistics_notice_doubled_bits(generator):
    half = generator.integers(0, 256, (5000, 8), dtype=np.uint8)
    found = hashing.statistics(np.concatenate([half, half], axis=1))
    assert found["max_bit_correlation"] == pytest.approx(1)
    assert found["degrees_of_freedom"] == pytest.approx(64, rel=0.05)


def test_statistics_split_collisions():
    codes = np.array([[1], [1], [2], [2], [3], [4]], np.uint8)
    found = hashing.statistics(codes, tracks=[0, 0, 0, 1, 1, 1])
    assert found["collision_rate"] == pytest.approx(2 / 6)
    assert found["collision_rate_within"] == pytest.approx(1 / 6)
    assert found["collision_rate_across"] == pytest.approx(1 / 6)


def test_statistics_do_not_depend_on_the_order(generator):
    codes = generator.integers(0, 256, (300, 8), dtype=np.uint8) & 0x7F
    codes[200:] = codes[:100]
    tracks, order = generator.integers(0, 4, 300), generator.permutation(300)
    found = hashing.statistics(codes, tracks=tracks)
    assert found == hashing.statistics(codes[order], tracks=tracks[order])


def test_statistics_agree_with_their_definitions(generator):
    bits = generator.random((150, 32)) + np.linspace(-0.2, 0.4, 32) > 0.5
    bits[:, 7] = bits[:, 3] ^ (generator.random(150) > 0.8)
    found = hashing.statistics(hashing.pack(bits))
    first, second = np.triu_indices(150, 1)
    distances = np.mean(bits[first] != bits[second], axis=1)
    p = distances.mean()
    assert found["degrees_of_freedom"] == pytest.approx(p * (1 - p) / distances.var())
    correlations = np.abs(np.corrcoef(bits, rowvar=False) - np.eye(32))
    assert found["max_bit_correlation"] == pytest.approx(correlations.max())
    pairs = correlations[np.triu_indices(32, 1)]
    assert found["mean_bit_correlation"] == pytest.approx(pairs.mean())
    ones = bits.mean(axis=0)
    entropies = -ones * np.log2(ones) - (1 - ones) * np.log2(1 - ones)
    assert found["min_bit_entropy"] == pytest.approx(entropies.min())
    assert found["mean_bit_entropy"] == pytest.approx(entropies.mean())


def test_statistics_of_one_value_are_finite_or_infinite_not_nan():
    found = hashing.statistics(np.zeros((10, 4), np.uint8))
    assert found["unique_rate"] == 0.1
    assert found["mean_bit_entropy"] == pytest.approx(0, abs=1e-9)
    assert not any(np.isnan(value) for value in found.values())


def test_recall_is_one_where_codes_order_as_embeddings():
    distances = np.random.default_rng(0).permuted(np.tile(np.arange(50.0), (7, 1)), axis=1)
    assert (hashing.recall(distances, 3 * distances) == 1).all()
    assert (hashing.recall(distances, -distances) == 0).all()


def test_recall_of_ties_is_what_chance_gives():
    distances = np.tile(np.arange(40.0), (3, 1))
    np.testing.assert_allclose(hashing.recall(distances, np.zeros((3, 40))), 10 / 40)
    np.testing.assert_allclose(hashing.recall(distances, distances // 20), 10 / 20)


def test_recall_passes_over_what_is_left_out():
    distances = np.tile(np.arange(30.0), (2, 1))
    distances[:, :5] = np.inf
    assert (hashing.recall(distances, distances) == 1).all()
    distances[1, 12:] = np.inf
    with pytest.raises(ValueError, match="needs 10 items"):
        hashing.recall(distances, distances)


def test_reliability_grows_with_the_distance_from_the_threshold():
    embedding = np.random.default_rng(0).standard_normal((5, 128))
    embedding *= np.array([1, 1, 3, 0.2, 0.01])[:, None]  # windows that are sure or not as a whole
    found = hashing.reliability(embedding).astype(int)
    assert (np.diff(found.ravel()[np.argsort(np.abs(embedding), axis=None)]) >= 0).all()
    np.testing.assert_array_equal(found, hashing.reliability(-3 * embedding))


def test_reliability_is_in_quarters_of_the_clips_mean():
    embedding = np.random.default_rng(0).standard_normal((5, 128))
    found = hashing.reliability(embedding)
    assert found.dtype == np.uint8
    assert found.mean() == pytest.approx(4, abs=0.1) and found.max() <= 15
    np.testing.assert_array_equal(
        hashing.reliability(np.array([[1.0, -2.0, 3.0, 99.0]])), [[0, 0, 0, 15]]
    )
    np.testing.assert_array_equal(
        hashing.reliability(np.array([[1.0, -2.0], [4.0, 1.0]])), [[2, 4], [8, 2]]
    )


def test_reliability_of_what_is_left_out_is_nothing():
    embedding = np.random.default_rng(0).standard_normal((5, 128))
    embedding[1:3] = 0  # counts for nothing in the mean either
    heard = np.array([0, 3, 4])
    found = hashing.reliability(embedding)
    assert not found[1:3].any()
    np.testing.assert_array_equal(found[heard], hashing.reliability(embedding[heard]))
    assert not hashing.reliability(np.zeros((2, 128))).any()


def test_transposing_by_an_octave_changes_nothing_and_steps_add_up():
    bits = np.random.default_rng(0).integers(0, 2, (5, 128))
    np.testing.assert_array_equal(hashing.transpose(bits, 12), bits)
    np.testing.assert_array_equal(hashing.transpose(bits, 0), bits)
    once = hashing.transpose(hashing.transpose(bits, 4), 3)
    np.testing.assert_array_equal(once, hashing.transpose(bits, 7))
    np.testing.assert_array_equal(once[:, 120:], bits[:, 120:])
    np.testing.assert_array_equal(hashing.transpose(bits, 1)[:, 10:20], bits[:, :10])


@pytest.mark.parametrize("shape", [(1, 2), (5, 16), (3, 7, 4), (0, 2, 16)])
def test_products_are_those_of_signs(generator, shape):
    codes = generator.integers(0, 256, shape, np.uint8)
    weighed = generator.integers(-15, 16, (shape[-2], 8 * shape[-1])).astype(np.float32)
    expected = (hashing.signs(codes) * weighed).sum(axis=-1)
    np.testing.assert_array_equal(hashing.products(codes, weighed), expected)


@pytest.mark.parametrize("n_bits", [12, 16, 64, 96, 128])
def test_as_many_bits_as_can_turn_with_the_key(n_bits):
    turning = hashing.turning_bits(n_bits)
    assert turning % 12 == 0 and 0 <= n_bits - turning < 12
