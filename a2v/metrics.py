"""Measures of answers, as pure functions: hits, ranks, errors at a threshold.

An answer row is a dict with `system`, `condition`, `length_s` (s), `truth` (the track the query
was cut from), `known` (whether that track is in the catalogue), `start_s` (s, where in it), and
`answer`, `offset_s`, `score`, `rank` (the place, from 1, of the right track), each `None` where the
system gave none, and `ms`.
"""

import math

import numpy as np

from a2v.errors import A2VError

NEAR_S = 0.5
# Half of the default window hop of 0.25 s.
EXACT_S = 0.125
# Far below one sample: lets 1.1 + 0.5 count as 1.6.
ROUNDING_S = 1e-6


def select(rows, *, system=None, condition=None, length_s=None, known=None):
    """Answer rows of one system, condition, clip length, or kind of query.

    Args:
        rows: list of answer rows.
        system, condition: str; length_s: float, s; known: bool. `None` takes all.

    Returns:
        list of answer rows, in the order given.
    """
    wanted = {"system": system, "condition": condition, "length_s": length_s, "known": known}
    chosen = list(rows)
    for key, value in wanted.items():
        if value is not None:
            chosen = [row for row in chosen if row[key] == value]
    return chosen


def hits(rows):
    """Judges every answer to a query whose track is in the catalogue.

    Protocol: "track hit: the top answer is the right track"; "near hit: right track, and the
    reported offset is within +-0.5 s of the truth"; "exact hit: right track, offset within half a
    window hop (+-0.125 s at the default 0.25 s)".

    Args:
        rows: list of answer rows; those of unknown tracks are passed over.

    Returns:
        dict of bool `[known queries]`: `track`, `near`, `exact`. An answer without an offset is
        neither near nor exact.
    """
    known = select(rows, known=True)
    track = np.array([row["answer"] == row["truth"] for row in known], dtype=bool)
    missing = [math.inf if row["offset_s"] is None else row["offset_s"] for row in known]
    error_s = np.abs(np.array(missing, float) - np.array([row["start_s"] for row in known], float))
    return {
        "track": track,
        "near": track & (error_s <= NEAR_S + ROUNDING_S),
        "exact": track & (error_s <= EXACT_S + ROUNDING_S),
    }


def hit_rates(rows):
    """Rates of `hits`.

    Args:
        rows: list of answer rows.

    Returns:
        dict of float, 0 to 1: `track`, `near`, `exact`, over known queries.

    Raises:
        A2VError: there is no known query.
    """
    _some(select(rows, known=True), "query whose track is in the catalogue")
    return {kind: float(found.mean()) for kind, found in hits(rows).items()}


def mrr(rows):
    """Mean reciprocal rank of the right track over known queries.

    Protocol: "MRR: mean reciprocal rank". A right track that is not among the answers counts 0.

    Args:
        rows: list of answer rows.

    Returns:
        float, 0 to 1, never below the rate of track hits.

    Raises:
        A2VError: there is no known query.
    """
    known = _some(select(rows, known=True), "query whose track is in the catalogue")
    return float(np.mean([1 / row["rank"] if row["rank"] else 0.0 for row in known]))


def mean_average_precision(rankings):
    """Mean over queries of the mean precision at the places of all relevant tracks.

    Protocol: "MAP: mean average precision".

    Args:
        rankings: list of bool `[tracks]`, one per query: whether each track of the whole catalogue
            is relevant, the best ranked first.

    Returns:
        float, 0 to 1.

    Raises:
        A2VError: there is no query, or one without a relevant track.
    """
    precisions = []
    for places in _places(rankings):
        precisions.append(float(np.mean(np.arange(1, len(places) + 1) / places)))
    return float(np.mean(precisions))


def mr1(rankings):
    """Mean rank of the first relevant track.

    Protocol: "MR1: mean rank of the first correct track".

    Args:
        rankings: as for `mean_average_precision`.

    Returns:
        float, at least 1.

    Raises:
        A2VError: there is no query, or one without a relevant track.
    """
    return float(np.mean([places[0] for places in _places(rankings)]))


def scores(rows):
    """Scores of the top answers: float64 `[n]`, -inf where there was no answer."""
    given = (row["score"] for row in rows)
    return np.array([-math.inf if score is None else score for score in given], dtype=np.float64)


def false_accepts(rows, threshold):
    """The rate of answers on queries that have none.

    Protocol: "false accept rate: answers on out-of-catalogue queries". An answer counts from the
    threshold on.

    Args:
        rows: list of answer rows; those of known tracks are passed over.
        threshold: float, score.

    Returns:
        float, 0 to 1.

    Raises:
        A2VError: there is no query of an unknown track.
    """
    unknown = _some(select(rows, known=False), "query whose track is not in the catalogue")
    return float(np.mean(_accepted(scores(unknown), threshold)))


def false_rejects(rows, threshold):
    """The rate of "no match" on queries that have one.

    Protocol: "false reject rate: 'no match' on in-catalogue queries". A wrong track above the
    threshold is no false reject; `hits` counts it as wrong.

    Args:
        rows: list of answer rows; those of unknown tracks are passed over.
        threshold: float, score.

    Returns:
        float, 0 to 1.

    Raises:
        A2VError: there is no known query.
    """
    known = _some(select(rows, known=True), "query whose track is in the catalogue")
    return float(np.mean(~_accepted(scores(known), threshold)))


def threshold_at(scores_of_unknown, rate):
    """The smallest score whose false-accept rate is at most a given one.

    Args:
        scores_of_unknown: float `[n]`, top answers to out-of-catalogue queries, -inf for none.
        rate: float, 0 to 1, how many of them may be accepted.

    Returns:
        float, the next one above the score that must not be accepted; -inf if any answer may be.

    Raises:
        A2VError: there is no score, one is NaN, or the rate is not within 0 to 1.
    """
    given = np.sort(np.asarray(scores_of_unknown, dtype=np.float64))[::-1]
    _some(given, "score of an out-of-catalogue query")
    if np.isnan(given).any():
        raise A2VError("a score is NaN; give -inf to queries without an answer")
    if not 0 <= rate <= 1:
        raise A2VError(f"false-accept rate {rate}: give a share from 0 to 1")
    allowed = math.floor(rate * len(given) + 1e-9)
    if allowed >= len(given) or given[allowed] == -math.inf:
        return -math.inf
    return float(np.nextafter(given[allowed], math.inf))


def det_curve(scores, known_and_right):
    """Errors of both kinds at every threshold (detection error trade-off).

    Args:
        scores: float `[n]`, of top answers, -inf for a query without one; such a query is never
            accepted.
        known_and_right: bool `[n]`, whether accepting the answer is right.

    Returns:
        (false_accept, false_reject, thresholds): float64 `[m]` each. The thresholds are all scores
        in rising order, then inf; of the wrong answers the share accepted falls along them, of the
        right ones the share rejected rises, up to 0 and 1.

    Raises:
        A2VError: the arrays differ in length, a score is NaN, or there are not both kinds.

    Reference: A. Martin et al., "The DET curve in assessment of detection task performance",
    Eurospeech 1997.
    """
    scores = np.asarray(scores, dtype=np.float64)
    right = np.asarray(known_and_right, dtype=bool)
    if scores.shape != right.shape or np.isnan(scores).any():
        raise A2VError(f"{len(scores)} scores, {len(right)} truths: give one number for each")
    _some(scores[right], "answer that is right to accept")
    _some(scores[~right], "answer that is wrong to accept")
    thresholds = np.append(np.unique(scores[np.isfinite(scores)]), np.inf)
    wrong = np.sort(scores[~right])
    false_accept = 1 - np.searchsorted(wrong, thresholds) / len(wrong)
    false_reject = np.searchsorted(np.sort(scores[right]), thresholds) / right.sum()
    return false_accept, false_reject, thresholds


def percentiles(rows, *, ranks=(50, 95)):
    """Percentiles of the milliseconds per query.

    Args:
        rows: list of answer rows.
        ranks: floats, 0 to 100.

    Returns:
        list of float, ms, one per rank, between neighbours by linear interpolation.

    Raises:
        A2VError: there is no row.
    """
    _some(rows, "query")
    return [float(value) for value in np.percentile([row["ms"] for row in rows], ranks)]


def _accepted(scores, threshold):
    return (scores >= threshold) & (scores > -math.inf)


def _places(rankings):
    """Ranks, from 1, of the relevant tracks of every query."""
    _some(rankings, "ranking")
    found = [np.flatnonzero(ranking) + 1 for ranking in rankings]
    for number, places in enumerate(found):
        _some(places, f"relevant track in ranking {number}")
    return found


def _some(values, what):
    if not len(values):
        raise A2VError(f"no {what}: there is nothing to rate; ask at least one")
    return values
