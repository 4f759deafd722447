"""Linear maps of embeddings before their signs are taken, fitted without training."""

import numpy as np

from a2v import hashing

# Directions of no variance get this part of the mean variance, so that none is divided by zero.
_FLOOR = 1e-6


def mapped(embeddings, fitted):
    """Applies a map.

    Args:
        embeddings: float `[..., d]`.
        fitted: (mean float `[d]`, matrix float `[d, k]`), from `fit_whitening` or `fit_itq`.

    Returns:
        float32 `[..., k]`.
    """
    mean, matrix = fitted
    return ((np.asarray(embeddings) - mean) @ matrix).astype(np.float32)


def fit_whitening(embeddings):
    """Fits the map after which components are uncorrelated and of variance 1.

    Of all such maps it is the one that moves embeddings least (ZCA): each component stays nearest
    to what it was.

    Args:
        embeddings: float `[n, d]`, n above d.

    Returns:
        (mean float32 `[d]`, matrix float32 `[d, d]`, symmetric).

    Raises:
        ValueError: too few embeddings, or all of them alike.

    Reference: A. Bell, T. Sejnowski, "The 'independent components' of natural scenes are edge
    filters", Vision Research 37, 1997.
    """
    mean, _, variances, directions = _principal(embeddings)
    if not variances.mean() > 0:
        raise ValueError(f"{len(embeddings)} windows, all alike; give different ones")
    scales = 1 / np.sqrt(np.maximum(variances, _FLOOR * variances.mean()))
    return mean.astype(np.float32), ((directions * scales) @ directions.T).astype(np.float32)


def fit_itq(embeddings, *, n_bits=None, steps=50, seed=0):
    """Fits the rotation after which embeddings lie near the signs of their components (ITQ).

    From a random rotation of the principal components, each step takes the signs, then the
    rotation that brings the components nearest to them; `quantisation_error` never rises, and ends
    in a local optimum, another one for another seed.

    Args:
        embeddings: float `[n, d]`, n above d.
        n_bits: int, principal components that are kept, those of most variance; all if `None`.
        steps: int, 0 or more.
        seed: int, of the rotation that is begun with.

    Returns:
        (mean float32 `[d]`, matrix float32 `[d, n_bits]`, its columns orthonormal).

    Raises:
        ValueError: too few embeddings, or more bits than components.

    Reference: Y. Gong, S. Lazebnik, "Iterative quantization: a Procrustean approach to learning
    binary codes", CVPR 2011.
    """
    mean, centred, _, directions = _principal(embeddings)
    n_bits = directions.shape[1] if n_bits is None else n_bits
    if n_bits > directions.shape[1]:
        raise ValueError(f"{n_bits} bits from {directions.shape[1]} components; ask for fewer")
    directions = directions[:, ::-1][:, :n_bits]  # of most variance first
    components = centred @ directions
    drawn = np.random.default_rng(seed).standard_normal((n_bits, n_bits))
    rotation = np.linalg.qr(drawn)[0]
    for _ in range(steps):
        signs = 2.0 * hashing.binarize(components @ rotation) - 1
        left, _, right = np.linalg.svd(components.T @ signs)
        rotation = left @ right
    return mean.astype(np.float32), (directions @ rotation).astype(np.float32)


def quantisation_error(embeddings):
    """Squared distance from embeddings to their own signs, -1 or 1, on average.

    Args:
        embeddings: float `[n, d]`.

    Returns:
        float, 0 or more.
    """
    distance = np.abs(np.asarray(embeddings, np.float64)) - 1
    return float(np.square(distance).sum(axis=-1).mean())


def _principal(embeddings):
    """Mean, centred embeddings, and the variances, rising, along the principal directions."""
    embeddings = np.asarray(embeddings, np.float64)
    n, d = embeddings.shape
    if n <= d:
        raise ValueError(f"{n} windows of {d} components; give more windows than components")
    mean = embeddings.mean(axis=0)
    centred = embeddings - mean
    variances, directions = np.linalg.eigh(centred.T @ centred / n)
    return mean, centred, variances, directions
