"""Hashes: the signs of an embedding, packed; their distances and their statistics."""

import numpy as np

_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)  # [256, 8]
_SET_BITS = _BITS.sum(axis=1)
_SIGNS = _BITS.astype(np.float32) * 2 - 1


def binarize(embedding):
    """Takes the sign of every component.

    Args:
        embedding: float `[..., d]`.

    Returns:
        bool `[..., d]`, true where the component is above 0.
    """
    return np.asarray(embedding) > 0


def pack(bits):
    """Packs bits into bytes, most significant bit first.

    Args:
        bits: bool or 0/1 `[..., n_bits]`, n_bits a multiple of 8.

    Returns:
        uint8 `[..., n_bits / 8]`.

    Raises:
        ValueError: n_bits is not a multiple of 8.
    """
    bits = np.asarray(bits, dtype=bool)
    if bits.shape[-1] % 8:
        raise ValueError(f"{bits.shape[-1]} bits do not fill whole bytes")
    return np.packbits(bits, axis=-1)


def unpack(codes):
    """Undoes `pack`.

    Args:
        codes: uint8 `[..., bytes]`.

    Returns:
        bool `[..., 8 * bytes]`.
    """
    return np.unpackbits(np.asarray(codes, dtype=np.uint8), axis=-1).astype(bool)


def hamming(a, b):
    """Counts the bits in which two arrays of hashes differ.

    Args:
        a: uint8 `[..., bytes]`.
        b: uint8 `[..., bytes]`, of a shape that broadcasts with a.

    Returns:
        int64 `[...]`, 0 to 8 * bytes.
    """
    differing = np.bitwise_xor(np.asarray(a, dtype=np.uint8), np.asarray(b, dtype=np.uint8))
    return _SET_BITS[differing].sum(axis=-1, dtype=np.int64)


def signs(codes):
    """Turns hashes into vectors whose inner products tell Hamming distances.

    `signs(a) @ signs(b) == n_bits - 2 * hamming(a, b)`, exact in float32.

    Args:
        codes: uint8 `[..., bytes]`.

    Returns:
        float32 `[..., 8 * bytes]` of -1 and +1, most significant bit first.
    """
    codes = np.asarray(codes, dtype=np.uint8)
    # Every byte is a valid index; saying so ("clip") makes it ten times faster.
    return np.take(_SIGNS, codes, axis=0, mode="clip").reshape(*codes.shape[:-1], -1)


def statistics(codes, *, tracks=None, pairs=100_000, seed=0):
    """Measures how well a set of hashes uses its bits.

    Args:
        codes: uint8 `[n, bytes]`, n at least 2; leave silent windows out.
        tracks: int `[n]`, the track of each hash, to split the collisions by; may be left out.
        pairs: int, how many random pairs estimate the spread of distances.
        seed: int, draws the pairs.

    Returns:
        dict of float: `unique_rate` (distinct hashes / n), `collision_rate` (1 - that),
        `mean_bit_entropy` (bits, 0 to 1), `bit_mean_min` and `bit_mean_max`,
        `max_bit_correlation` (largest absolute correlation of two bits that vary) and
        `degrees_of_freedom` (p (1 - p) / variance of the normalised distance of random pairs);
        with tracks also `collision_rate_within` (repeats inside a track / n) and
        `collision_rate_across` (the collisions that remain / n).

    Reference: J. Daugman, "The importance of being random", Pattern Recognition 36, 2003
    (degrees of freedom).
    """
    n = len(codes)
    unique = len(np.unique(codes, axis=0))
    means = unpack(codes).mean(axis=0)
    result = {
        "unique_rate": unique / n,
        "collision_rate": 1 - unique / n,
        "mean_bit_entropy": float(_entropy(means).mean()),
        "bit_mean_min": float(means.min()),
        "bit_mean_max": float(means.max()),
        "max_bit_correlation": _max_correlation(signs(codes)),
        "degrees_of_freedom": _degrees_of_freedom(codes, pairs, np.random.default_rng(seed)),
    }
    if tracks is not None:
        keys = np.asarray(tracks, dtype=np.int64)[:, None].view(np.uint8)  # [n, 8]
        within = n - len(np.unique(np.concatenate([keys, codes], axis=1), axis=0))
        result["collision_rate_within"] = within / n
        result["collision_rate_across"] = (n - unique - within) / n
    return result


def _entropy(p):
    q = np.clip(np.stack([p, 1 - p]), 1e-12, 1)
    return -(q * np.log2(q)).sum(axis=0)


def _max_correlation(values):
    varying = values[:, values.std(axis=0) > 0]
    if varying.shape[1] < 2:
        return 0.0
    correlation = np.corrcoef(varying, rowvar=False)
    np.fill_diagonal(correlation, 0)
    return float(np.abs(correlation).max())


def _degrees_of_freedom(codes, pairs, generator):
    a, step = generator.integers(0, len(codes), pairs), generator.integers(1, len(codes), pairs)
    distances = hamming(codes[a], codes[(a + step) % len(codes)]) / (8 * codes.shape[1])
    p, variance = distances.mean(), distances.var()
    return float(p * (1 - p) / variance) if variance > 0 else float("inf")
