"""From hits to matches: aligned, scored against chance, with a calibrated probability."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

# "No match" unless chance has an answer as good at most so often, in queries that no track holds.
MAX_FALSE_ACCEPTS = 1e-3
# The distances of unrelated hashes spread this many times wider than those of independent bits:
# sqrt(n_bits / degrees of freedom), see `hashing.statistics`.
NULL_SPREAD = 1.7
# A catalogue's own statistics outweigh that expectation from this many positions on.
PRIOR_POSITIONS = 1000
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


@dataclass(frozen=True)
class Match:
    """One track that a query was found in.

    Attributes:
        track: str, its name.
        path: str, where it was when it was added.
        offset_s: float, s, where in the track the query begins; negative if before it.
        probability: float, 0 to 1, that this is right.
        false_accepts: float, 0 to 1, how often a query that no track holds has an answer as good.
        bit_error_rate: float, share of the query's bits that differ there, each counted by how
            sure it is; what overhangs the track counts as half.
        score: float, how far above the best that chance is expected to reach, in what theory has
            that vary by, see `chance`.
    """

    track: str
    path: str
    offset_s: float
    probability: float
    false_accepts: float
    bit_error_rate: float
    score: float


class Chance(NamedTuple):
    """The best of a query's places that chance has: Gumbel's distribution, if theory were right.

    Args:
        expected: float, standard deviations, see `deviations`; on average.
        scale: float, of the distribution.
    """

    expected: float
    scale: float

    def score(self, deviation):
        """A deviation as a score, see `Match`."""
        return (deviation - self.expected) / self.scale

    def deviation(self, score):
        """The deviation of a score."""
        return self.expected + self.scale * score


def identify(encoder, engine, tracks, waveform, *, phases):
    """Finds the tracks that a clip was taken from, whatever the answers are worth.

    Args:
        encoder: `runtime.Encoder`.
        engine: a search over hashes of that encoder, see `search.ExactSearch`.
        tracks: list of (name, path), in the order of the engine's catalogue.
        waveform: float32 `[n]` at the encoder's rate.
        phases: int, beginnings tried within one hop.

    Returns:
        list of Match, as from `match`.

    Raises:
        A2VError: the waveform is shorter than a window.
    """
    return ask(encoder, engine, tracks, encoder.fingerprint(waveform, phases=phases))


def ask(encoder, engine, tracks, prints):
    """Searches for what a clip hashes to, in any of several ways to hear it.

    Args:
        encoder, engine, tracks: as for `identify`.
        prints: list of (phase_s, codes, weights), as from `runtime.Encoder.fingerprint`.

    Returns:
        list of Match, as from `match`.
    """
    return match(
        engine.search([(codes, weights) for _, codes, weights in prints]),
        [phase_s for phase_s, _, _ in prints],
        tracks,
        hop_s=encoder.hop_s,
        overlap=round(encoder.window_s / encoder.hop_s),
        calibration=encoder.calibration,
    )


def match(hits, phases_s, tracks, *, hop_s, overlap, calibration):
    """Makes one match per track out of the hits of all phases of a query.

    Args:
        hits: list of `search.Hits`, one per phase, over the same tracks.
        phases_s: list of float, s, dropped from the query's beginning.
        tracks: list of (name, path), in the order of the catalogue.
        hop_s: float, s, from one hash to the next.
        overlap: int, hops per window: from so many hops on, windows share no audio.
        calibration: dict, see `false_accepts` and `probability`.

    Returns:
        list of Match, best first: by score, then bit error rate, then name. Empty for a query
        without an audible window.
    """
    heard = [(hit, phase_s) for hit, phase_s in zip(hits, phases_s, strict=True) if hit.windows]
    if not heard or not tracks:
        return []
    found, by_chance = standing([hit for hit, _ in heard], overlap)
    seconds = hop_s * (max(hit.windows for hit, _ in heard) - 1 + overlap)
    best = found.argmax(axis=0)
    matches = []
    for index, (track, path) in enumerate(tracks):
        hit, phase_s = heard[best[index]]
        score = float(by_chance.score(found[best[index], index]))
        rate = false_accepts(score, seconds, len(tracks), calibration)
        matches.append(
            Match(
                track=track,
                path=path,
                offset_s=float(hit.position[index] * hop_s - phase_s),
                probability=probability(rate, calibration),
                false_accepts=rate,
                bit_error_rate=float(hit.distance[index] / hit.weight),
                score=score,
            )
        )
    return sorted(matches, key=lambda m: (-m.score, m.bit_error_rate, m.track))


def standing(hits, overlap):
    """Compares each track's best distance with chance.

    Args:
        hits: list of `search.Hits`, one per phase, each with an audible window.
        overlap: int, hops per window, as for `match`.

    Returns:
        (float64 `[phases, tracks]`, see `deviations`; Chance of the best of them).
    """
    found = np.stack([deviations(hit, overlap) for hit in hits])
    return found, chance(found.max(axis=0), sum(hit.positions for hit in hits))


def deviations(hit, overlap):
    """How far below chance each track's best distance lies.

    Mean and variance are those of this very query, drawn towards what is expected of unrelated
    hashes while the catalogue is too small to tell, or is the answer itself.

    Args:
        hit: `search.Hits` of a query with an audible window.
        overlap: int, hops per window, as for `match`.

    Returns:
        float64 `[tracks]`, in standard deviations.
    """
    half = hit.weight / 2
    lags = np.arange(1, min(overlap, hit.windows))
    shared = 1 + 2 * float(np.sum((1 - lags / hit.windows) * (1 - lags / overlap)))
    expected = hit.squares / 4 * NULL_SPREAD**2 * shared
    weight = hit.positions / (hit.positions + PRIOR_POSITIONS)
    mean = weight * hit.mean + (1 - weight) * half
    variance = weight * (hit.deviation**2 + (hit.mean - mean) ** 2) + (1 - weight) * (
        expected + (half - mean) ** 2
    )
    return (mean - hit.distance) / math.sqrt(variance)


def expected_maximum(n):
    """The largest of n standard normal draws, on average: float, 0 for n up to 1.

    Reference: H. Cramer, "Mathematical Methods of Statistics", 1946, section 28.6.
    """
    if n <= 1:
        return 0.0
    root = math.sqrt(2 * math.log(n))
    location = root - (math.log(math.log(n)) + math.log(4 * math.pi)) / (2 * root)
    return max(0.0, location + np.euler_gamma / root)


def chance(best, positions):
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
        score: float, see `Match`.
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
