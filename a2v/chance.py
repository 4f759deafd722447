"""What an answer is worth: the best that chance has, and how that is learnt."""

import math
from typing import NamedTuple

import numpy as np

# "No match" unless chance has an answer as good at most so often, in queries that no track holds.
MAX_FALSE_ACCEPTS = 1e-3
# Beginnings of a clip that are tried within one hop, as calibration does.
PHASES = 4
# The best that chance can do is seen in the tracks that are not the answer: the fourth best of all
# is taken, since the three before may be copies of one recording; it counts fully once so many
# follow it.
RIVAL, FOLLOWERS = 4, 8
# The upper part of the scores of chance that their distribution is fitted to.
TAIL = 0.2
# What to expect where no queries of known truth have told better: more than theory does, as models
# were seen to need.
THEORY = {
    "lengths_s": [1.0, 1.0],
    "tracks": [1, 1],
    "location": [0.5, 0.0, 0.0],
    "scale": [1.5, 0.0, 0.0],
    "slope": 1.0,
    "intercept": math.log(MAX_FALSE_ACCEPTS),
}


class Chance(NamedTuple):
    """The best of a query's places that chance has: Gumbel's distribution, if theory were right.

    Args:
        expected: float, standard deviations, see `matching.deviations`; on average.
        scale: float, of the distribution.
    """

    expected: float
    scale: float

    def score(self, deviation):
        """A deviation as a score, see `matching.Match`."""
        return (deviation - self.expected) / self.scale

    def deviation(self, score):
        """The deviation of a score."""
        return self.expected + self.scale * score


def expected_maximum(n):
    """The largest of n standard normal draws, on average: float, 0 for n up to 1.

    Reference: H. Cramer, "Mathematical Methods of Statistics", 1946, section 28.6.
    """
    if n <= 1:
        return 0.0
    root = math.sqrt(2 * math.log(n))
    location = root - (math.log(math.log(n)) + math.log(4 * math.pi)) / (2 * root)
    return max(0.0, location + np.euler_gamma / root)


def estimate(best, positions):
    """What chance alone reaches in this very catalogue: Chance.

    Theory knows it for normal distances, but those of few degrees of freedom end at 0 bits, far
    below what theory grants them. So the location is read off the tracks that are not the answer,
    from the k-th best of which the best lies 1 + 1/2 + ... + 1/(k-1) scales away on average; where
    these are too few, theory has to do. The scale is theory's: one that is read off the same few
    tracks costs more answers than it is worth; what it really is has `false_accepts` learnt.

    Args:
        best: float64 `[tracks]`, each track's largest deviation.
        positions: int, in how many places they were looked for.

    Reference: A. Renyi, "On the theory of order statistics", 1953 (spacings).
    """
    expected = expected_maximum(positions)
    scale = 1 / math.sqrt(2 * math.log(max(positions, 2)))
    if len(best) <= RIVAL:
        return Chance(expected, scale)
    rival = float(np.sort(best)[-RIVAL])
    seen = rival + scale * sum(1 / i for i in range(1, RIVAL))
    weight = min(1.0, (len(best) - RIVAL) / FOLLOWERS)
    return Chance(weight * seen + (1 - weight) * expected, scale)


def false_accepts(score, seconds, tracks, calibration):
    """How often chance has an answer of this score, or of a better one.

    Args:
        score: float, see `matching.Match`.
        seconds: float, s, how much of the query was heard.
        tracks: int, how many the catalogue holds.
        calibration: dict with `lengths_s` and `tracks`, the least and the largest that were tried,
            and `location` and `scale`, three floats each: of the scores of chance, which follow
            Gumbel's distribution, for 1 s and one track, and what is to be added for the logarithm
            of the length and of the number of tracks.

    Returns:
        float, 0 to 1.
    """
    at = [
        1.0,
        math.log(np.clip(seconds, *calibration["lengths_s"])),
        math.log(np.clip(tracks, *calibration["tracks"])),
    ]
    location, scale = (float(np.dot(calibration[name], at)) for name in ("location", "scale"))
    return -math.expm1(-math.exp(-max((score - location) / scale, -30.0)))


def probability(rate, calibration):
    """The probability that a match is right.

    Args:
        rate: float, its `false_accepts`.
        calibration: dict with `slope` and `intercept`.

    Returns:
        float, 0 to 1.
    """
    return _logistic(calibration["intercept"] + calibration["slope"] * evidence(rate))


def evidence(rate):
    """A rate of false accepts as evidence against chance: float, nats, finite."""
    return -math.log(max(rate, 1e-300))


def fit_tail(scores):
    """Fits Gumbel's distribution to the upper tail of scores that chance had.

    Args:
        scores: float `[n]`, the best scores of queries whose track is not in the catalogue.

    Returns:
        (location, scale): floats, with which a score that a `TAIL` of all exceed is exceeded so
        often, and by as much on average.

    Raises:
        ValueError: fewer than two differ.
    """
    scores = np.sort(np.asarray(scores, np.float64))
    if len(scores) < 2 or scores[0] == scores[-1]:
        raise ValueError(f"{len(scores)} scores, of which two at least have to differ")
    threshold = float(np.quantile(scores, 1 - TAIL))
    scale = float(np.mean(scores[scores >= threshold] - threshold)) or float(np.std(scores))
    return threshold + scale * math.log(-math.log1p(-TAIL)), scale


def fit_probability(rates, correct):
    """Fits `probability` by logistic regression on answers of known truth.

    Targets are drawn in from 0 and 1 by Platt's correction, so answers that a threshold separates
    completely still give a finite slope.

    Args:
        rates: float `[n]`, `false_accepts` of top answers to queries in and out of the catalogue.
        correct: bool `[n]`, whether each was right.

    Returns:
        dict with float `slope` and `intercept`.

    Raises:
        ValueError: fewer than one right and one wrong answer.

    Reference: J. Platt, "Probabilistic outputs for support vector machines", 1999.
    """
    scores = np.array([evidence(rate) for rate in rates])
    correct = np.asarray(correct, dtype=bool)
    right, wrong = int(correct.sum()), int((~correct).sum())
    if not right or not wrong:
        raise ValueError(f"{right} right and {wrong} wrong answers; calibration needs both")
    target = np.where(correct, (right + 1) / (right + 2), 1 / (wrong + 2))
    centre, scale = scores.mean(), scores.std() or 1.0
    x = np.stack([np.ones_like(scores), (scores - centre) / scale], axis=1)  # [n, 2]
    weights = np.array([math.log((right + 1) / (wrong + 1)), 0.0])
    loss = _log_loss(x @ weights, target)
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -500, 500)))
        gradient = x.T @ (p - target)
        hessian = (x * (p * (1 - p))[:, None]).T @ x + 1e-9 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        # A full Newton step can overshoot where the logistic is flat: halve it until it helps.
        while _log_loss(x @ (weights - step), target) > loss and np.abs(step).max() > 1e-12:
            step = step / 2
        weights = weights - step
        loss = _log_loss(x @ weights, target)
        if np.abs(step).max() < 1e-10:
            break
    slope = weights[1] / scale
    return {"slope": float(slope), "intercept": float(weights[0] - slope * centre)}


def _logistic(x):
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _log_loss(logits, target):
    return float(np.sum(np.logaddexp(0, logits) - target * logits))
