"""From hits to matches: aligned, scored against chance, with a calibrated probability."""

import math
from dataclasses import dataclass

import numpy as np

from a2v import chance

# The distances of unrelated hashes spread this many times wider than those of independent bits:
# sqrt(n_bits / degrees of freedom), see `hashing.statistics`; and so many times where weights allow
# for how bits and windows depend on each other (`discriminant`): 1.37 and 1.43 was measured of
# clips of 1 and 3 s that conv128 hashed, asked of 168 tracks.
NULL_SPREAD, ALLOWED_SPREAD = 1.7, 1.4
# A catalogue's own statistics outweigh that expectation from this many positions on.
PRIOR_POSITIONS = 1000


@dataclass(frozen=True)
class Match:
    """One track that a query was found in.

    Attributes:
        track: str, its name.
        path: str, where it was when it was added.
        offset_s: float, s, where in the track the query begins; negative if before it.
        probability: float, 0 to 1, that this is right.
        false_accepts: float, 0 to 1, how often a query that no track holds has an answer as good.
        bit_error_rate: float, share of the query's bits that differ there, each counted by its
            weight; what overhangs the track counts as half.
        score: float, how far above the best that chance is expected to reach, in what theory has
            that vary by, see `chance.estimate`.
    """

    track: str
    path: str
    offset_s: float
    probability: float
    false_accepts: float
    bit_error_rate: float
    score: float


def identify(encoder, engine, tracks, waveform, *, phases, top=None):
    """Finds the tracks that a clip was taken from, whatever the answers are worth.

    Args:
        encoder: `runtime.Encoder`.
        engine: a search over hashes of that encoder, see `search.ExactSearch`.
        tracks: list of (name, path), in the order of the engine's catalogue.
        waveform: float32 `[n]` at the encoder's rate.
        phases: int, beginnings tried within one hop.
        top: int, as for `match`.

    Returns:
        list of Match, as from `match`.

    Raises:
        A2VError: the waveform is shorter than a window.
    """
    prints = encoder.fingerprint(waveform, phases=phases)
    return ask(encoder, engine, tracks, prints, top=top)


def ask(encoder, engine, tracks, prints, *, plain=False, top=None):
    """Searches for what a clip hashes to, in any of several ways to hear it.

    Args:
        encoder, engine, tracks: as for `identify`.
        prints: list of (phase_s, codes, weights), as from `runtime.Encoder.fingerprint`.
        plain: bool, whether it was asked for plain ones.
        top: int, as for `match`.

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
        allowed=not plain and encoder.discriminant is not None,
        top=top,
    )


def match(hits, phases_s, tracks, *, hop_s, overlap, calibration, allowed=False, top=None):
    """Makes one match per track out of the hits of all phases of a query.

    How long it was heard, which its rate of false accepts depends on, is told by its windows, those
    that hang over its ends included.

    Args:
        hits: list of `search.Hits`, one per phase, over the same tracks.
        phases_s: list of float, s, dropped from the query's beginning.
        tracks: list of (name, path), in the order of the catalogue.
        hop_s: float, s, from one hash to the next.
        overlap: int, hops per window: from so many hops on, windows share no audio.
        calibration: dict, see `chance.false_accepts` and `chance.probability`.
        allowed: bool, whether weights allow for how bits and windows depend on each other.
        top: int, at most so many matches; all where `None`, which takes a while in catalogues of
            many tracks.

    Returns:
        list of Match, best first: by score, then bit error rate, then name. Empty for a query
        without an audible window.
    """
    heard = [(hit, phase_s) for hit, phase_s in zip(hits, phases_s, strict=True) if hit.windows]
    if not heard or not tracks:
        return []
    found, by_chance = standing([hit for hit, _ in heard], overlap, allowed=allowed)
    seconds = hop_s * (max(hit.windows for hit, _ in heard) - 1 + overlap)
    best, every = found.argmax(axis=0), np.arange(len(tracks))
    scores = by_chance.score(found[best, every])
    rates = np.stack([hit.distance / max(hit.weight, 1.0) for hit, _ in heard])[best, every]
    errors = np.clip(rates, 0.0, 1.0)  # beyond, where bits of weights below 0 differ
    matches = []
    for index in _first(scores, errors, top):
        hit, phase_s = heard[best[index]]
        score = float(scores[index])
        rate = chance.false_accepts(score, seconds, len(tracks), calibration)
        matches.append(
            Match(
                *tracks[index],
                offset_s=float(hit.position[index] * hop_s - phase_s),
                probability=chance.probability(rate, calibration),
                false_accepts=rate,
                bit_error_rate=float(errors[index]),
                score=score,
            )
        )
    return sorted(matches, key=lambda m: (-m.score, m.bit_error_rate, m.track))[:top]


def _first(scores, errors, top):
    """Of the best so many tracks, by score, then bit error rate, and all equals of the last."""
    order = np.lexsort((errors, -scores))
    if top is None or top >= len(order):
        return order
    last = order[max(top, 1) - 1]
    worse = (scores < scores[last]) | ((scores == scores[last]) & (errors > errors[last]))
    return order[~worse[order]]


def standing(hits, overlap, *, allowed=False):
    """Compares each track's best distance with chance.

    Args:
        hits: list of `search.Hits`, one per phase, each with an audible window.
        overlap: int, hops per window; allowed: bool; both as for `match`.

    Returns:
        (float64 `[phases, tracks]`, see `deviations`; `chance.Chance` of the best of them).
    """
    found = np.stack([deviations(hit, overlap, allowed=allowed) for hit in hits])
    return found, chance.estimate(found.max(axis=0), sum(hit.positions for hit in hits))


def deviations(hit, overlap, *, allowed=False):
    """How far below chance each track's best distance lies.

    Mean and variance are those of this very query, drawn towards what is expected of unrelated
    hashes while the catalogue is too small to tell, or is the answer itself.

    Args:
        hit: `search.Hits` of a query with an audible window.
        overlap: int, hops per window; allowed: bool; both as for `match`.

    Returns:
        float64 `[tracks]`, in standard deviations.
    """
    half = hit.weight / 2
    if allowed:
        expected = hit.squares / 4 * ALLOWED_SPREAD**2
    else:
        lags = np.arange(1, min(overlap, hit.windows))
        shared = 1 + 2 * float(np.sum((1 - lags / hit.windows) * (1 - lags / overlap)))
        expected = hit.squares / 4 * NULL_SPREAD**2 * shared
    weight = hit.positions / (hit.positions + PRIOR_POSITIONS)
    mean = weight * hit.mean + (1 - weight) * half
    variance = weight * (hit.deviation**2 + (hit.mean - mean) ** 2) + (1 - weight) * (
        expected + (half - mean) ** 2
    )
    return (mean - hit.distance) / math.sqrt(variance)
