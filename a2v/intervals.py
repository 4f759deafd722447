"""Confidence intervals of rates."""

import math

import numpy as np

from a2v.errors import A2VError


def wilson(right, n, *, z=1.96):
    """Confidence interval of a rate.

    Args:
        right: int, how many of n; a float (a rate times n) serves, too.
        n: int, at least 1.
        z: float, standard deviations; 1.96 gives 95 %.

    Returns:
        (low, high): floats, 0 to 1.

    Raises:
        A2VError: n is below 1, or right not within 0 to n.

    Reference: E. B. Wilson, "Probable inference, the law of succession, and statistical
    inference", Journal of the American Statistical Association 22, 1927.
    """
    if n < 1 or not 0 <= right <= n:
        raise A2VError(f"{right} right of {n}: an interval needs 0 to n right of n, n at least 1")
    p, scale = right / n, 1 + z * z / n
    centre = (p + z * z / (2 * n)) / scale
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / scale
    # Rounding must not leave the rate itself outside.
    return max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half))


def clustered(right, n, *, z=1.96):
    """Wilson's interval for a rate of answers that come in clusters, such as those of one track.

    Answers of one cluster tell less than as many independent ones: their number is divided by the
    design effect, by which the variance between clusters exceeds that of independent answers.

    Args:
        right, n: int `[clusters]`, right answers, and all.
        z: float, standard deviations on both sides.

    Returns:
        (low, high): floats, 0 to 1.

    Raises:
        A2VError: there are no answers.

    Reference: E. Korn, B. Graubard, "Confidence intervals for proportions with small expected
    number of positive counts estimated from survey data", Survey Methodology 24, 1998.
    """
    right, n = np.asarray(right, np.float64), np.asarray(n, np.float64)
    total, clusters = n.sum(), np.count_nonzero(n)
    rate, effect = right.sum() / max(1, total), 1.0
    if 0 < rate < 1 and clusters > 1:
        spread = np.sum((right - rate * n) ** 2) * clusters / (clusters - 1) / total**2
        effect = max(1.0, spread / (rate * (1 - rate) / total))
    return wilson(right.sum() / effect, total / effect, z=z)
