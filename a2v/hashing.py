"""Hashes: the signs of an embedding, packed; their distances and their statistics."""

import numpy as np

PITCH_CLASSES = 12
_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)  # [256, 8]
_SET_BITS = _BITS.sum(axis=1, dtype=np.uint8)  # small, since it is taken for every byte
_SIGNS = _BITS.astype(np.float32) * 2 - 1


def binarize(embedding):
    """Takes the sign of every component.

    Args:
        embedding: float `[..., d]`.

    Returns:
        bool `[..., d]`, true where the component is above 0.
    """
    return np.asarray(embedding) > 0


def reliability(embedding, shares=1.0):
    """How sure each bit of a clip is: its component's distance from the threshold.

    Windows that the model is unsure of as a whole, where noise fills a pause, count for less.

    Args:
        embedding: float `[..., d]`, those of all windows of the clip, of any axes, 0 in windows
            that are to be left out.
        shares: float, or `[..., 1]`, above 0, by which a window counts for less still.

    Returns:
        uint8 `[..., d]`, in steps of a quarter of the mean size of all components that are not 0,
        15 at most.
    """
    size = np.abs(np.asarray(embedding, np.float32))
    mean = float(size.sum(dtype=np.float64)) / max(np.count_nonzero(size), 1)
    return np.minimum(np.round(4 * shares * size / (mean or 1.0)), 15).astype(np.uint8)


def weights(embedding, shares=1.0, discriminant=None):
    """How much each bit of a clip counts where it is compared.

    Args:
        embedding, shares: as for `reliability`.
        discriminant: `discriminant.Discriminant`, or `None`; with one, windows are in order on the
            first axis.

    Returns:
        uint8 `[..., d]`, the `reliability` of each bit. With a discriminant int8: what it tells of
        a hash that it has the same bit, given the others; below 0 where these say the opposite.
    """
    if discriminant is None:
        return reliability(embedding, shares)
    told = discriminant.told(embedding, shares)
    agrees = np.where(binarize(embedding), 1, -1) * np.sign(told)
    return (agrees * reliability(told)).astype(np.int8)


def query(embedding, audible, shares=1.0, discriminant=None):
    """The hashes of a clip as it is searched for.

    Args:
        embedding: float `[windows, d]`; audible: bool `[windows]`; shares, discriminant: as for
            `weights`.

    Returns:
        (codes uint8 `[windows, d / 8]`, weights `[windows, d]`: the `weights` of its bits among
        those of all audible windows, 0 in the others).
    """
    heard = embedding * audible[:, None]
    return pack(binarize(embedding)), weights(heard, shares, discriminant)


def turning_bits(n_bits):
    """Of the bits of a code that turns with the key, how many do: as many for each pitch class.

    They come first, C before all; what is left depends on no key.
    """
    return n_bits // PITCH_CLASSES * PITCH_CLASSES


def transpose(bits, semitones):
    """What a code that turns with the key would be, had the music been higher.

    Args:
        bits: array `[..., d]`: bits, weights or embeddings, laid out as `turning_bits` says.
        semitones: int, up.

    Returns:
        array of the same shape.
    """
    bits = np.asarray(bits)
    count = turning_bits(bits.shape[-1])
    turned = np.roll(bits[..., :count], count // PITCH_CLASSES * semitones, axis=-1)
    return np.concatenate([turned, bits[..., count:]], axis=-1)


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
    values = np.take(_SIGNS, codes, axis=0, mode="clip")
    return values.reshape(*codes.shape[:-1], 8 * codes.shape[-1])


def products(codes, weighed):
    """Inner products of hashes with weighed ones, read off a table of what each byte gives.

    Args:
        codes: uint8 `[..., n, bytes]`.
        weighed: float32 `[n, 8 * bytes]`, `signs` times weights.

    Returns:
        float32 `[..., n]`, `(signs(codes) * weighed).sum(axis=-1)`.
    """
    rows, width = codes.shape[-2:]
    table = (weighed.reshape(-1, 8) @ _SIGNS.T).ravel()  # [rows * bytes * 256]
    first = 256 * np.arange(rows * width).reshape(rows, width)
    return np.take(table, first + codes, mode="clip").sum(axis=-1)


def statistics(codes, *, tracks=None):
    """Measures how well a set of hashes uses its bits.

    Nothing is sampled: the spread of distances is that of all pairs, which follows from how often
    two bits are equal.

    Args:
        codes: uint8 `[n, bytes]`, n at least 2; leave silent windows out. Their order is of no
            consequence.
        tracks: int `[n]`, the track of each hash, to split the collisions by; may be left out.

    Returns:
        dict of float: `unique_rate` (distinct hashes / n), `collision_rate` (1 - that),
        `mean_bit_entropy` and `min_bit_entropy` (bits, 0 to 1), `bit_mean_min` and `bit_mean_max`,
        `mean_bit_correlation` and `max_bit_correlation` (absolute, of two bits that vary) and
        `degrees_of_freedom` (p (1 - p) / variance of the normalised distance of two hashes);
        with tracks also `collision_rate_within` (repeats inside a track / n) and
        `collision_rate_across` (the collisions that remain / n).

    Reference: J. Daugman, "The importance of being random", Pattern Recognition 36, 2003
    (degrees of freedom).
    """
    n = len(codes)
    unique = len(np.unique(codes, axis=0))
    values = signs(codes)
    totals = values.sum(axis=0, dtype=np.float64)
    products = (values.T @ values).astype(np.float64)  # [n_bits, n_bits], whole numbers
    means = (totals / n + 1) / 2
    entropies = _entropy(means)
    correlations = _correlations(products / n, totals / n)
    result = {
        "unique_rate": unique / n,
        "collision_rate": 1 - unique / n,
        "mean_bit_entropy": float(entropies.mean()),
        "min_bit_entropy": float(entropies.min()),
        "bit_mean_min": float(means.min()),
        "bit_mean_max": float(means.max()),
        "mean_bit_correlation": float(correlations.mean()),
        "max_bit_correlation": float(correlations.max()),
        "degrees_of_freedom": _degrees_of_freedom(products, totals, n),
    }
    if tracks is not None:
        keys = np.asarray(tracks, dtype=np.int64)[:, None].view(np.uint8)  # [n, 8]
        within = n - len(np.unique(np.concatenate([keys, codes], axis=1), axis=0))
        result["collision_rate_within"] = within / n
        result["collision_rate_across"] = (n - unique - within) / n
    return result


def recall(distances, hamming_distances, *, top=10):
    """Share of an exact search's nearest items that a search by Hamming distance finds, too.

    Items at the same Hamming distance are taken to come in random order, and the expectation is
    given, so that neither order nor luck matters.

    Args:
        distances: float `[queries, items]`, exact; inf for items that are left out.
        hamming_distances: float or int `[queries, items]`, inf for the same items.
        top: int, how many nearest items count, in both searches.

    Returns:
        float64 `[queries]`, 0 to 1.

    Raises:
        ValueError: a query has fewer than `top` items.
    """
    distances, bits = np.asarray(distances), np.asarray(hamming_distances)
    if np.isfinite(distances).sum(axis=-1).min() < top:
        raise ValueError(f"recall@{top} needs {top} items or more for every query")
    nearest = np.argpartition(distances, top - 1, axis=-1)[:, :top]
    limit = np.partition(bits, top - 1, axis=-1)[:, top - 1 : top]  # [queries, 1]
    room = top - (bits < limit).sum(axis=-1, keepdims=True)
    share = room / (bits == limit).sum(axis=-1, keepdims=True)
    own = np.take_along_axis(bits, nearest, axis=-1)
    return np.where(own < limit, 1.0, np.where(own == limit, share, 0.0)).mean(axis=-1)


def _entropy(p):
    q = np.clip(np.stack([p, 1 - p]), 1e-12, 1)
    return -(q * np.log2(q)).sum(axis=0)


def _correlations(products, means):
    """Absolute correlations of all pairs of bits that vary: `[pairs]`, a 0 if there are none.

    From the mean products of two signs each and the means of the signs.
    """
    varying = np.abs(means) < 1
    if varying.sum() < 2:
        return np.zeros(1)
    deviations = np.sqrt(1 - means[varying] ** 2)
    covariances = (products - np.outer(means, means))[np.ix_(varying, varying)]
    first, second = np.triu_indices(len(deviations), 1)
    return np.abs(covariances / np.outer(deviations, deviations))[first, second]


def _degrees_of_freedom(products, totals, n):
    """From sums over n hashes of the products of two signs each, and of the signs."""
    n_bits, pairs = len(totals), n * (n - 1)
    # The inner products of all pairs of two different hashes; each with itself gives n_bits.
    mean = ((totals**2).sum() - n * n_bits) / pairs
    square = ((products**2).sum() - n * n_bits**2) / pairs
    p = (1 - mean / n_bits) / 2
    variance = (square - mean**2) / (2 * n_bits) ** 2
    return float(p * (1 - p) / variance) if variance > 1e-12 else float("inf")
