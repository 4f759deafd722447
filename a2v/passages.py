"""Passages: stretches of a long query that lie in a track, their ends and their speed."""

from dataclasses import dataclass

import numpy as np

# Over less than this the places of a passage tell nothing of its speed.
DRIFT_S = 10.0
# A passage is an alternative where a better one explains this share of it.
EXPLAINED = 0.5


@dataclass(frozen=True)
class Passage:
    """A stretch of a query that was found in a track.

    Attributes:
        number: int, from 1 on, in the order in which passages began.
        track: str, its name.
        path: str, where it was when it was added.
        query_s: (float, float), s, where it begins and ends in the query.
        reference_s: (float, float), s, where it begins and ends in the track.
        drift: float, how much faster than the track it is played; `None` where it is too short to
            tell, see `drift`.
        probability: float, 0 to 1, that this is right.
        false_accepts: float, 0 to 1, how often a query that no track holds has an answer as good;
            of a query longer than a piece, an hour of it.
        bit_error_rate: float, share of bits that differ, each counted by its weight.
        score: float, how far above what chance is expected to reach, see `matching.Match`.
        alternative: bool, whether a better passage explains the same stretch of the query: another
            copy of the recording, or a loop that several tracks, or places of one, hold.
    """

    number: int
    track: str
    path: str
    query_s: tuple
    reference_s: tuple
    drift: float | None
    probability: float
    false_accepts: float
    bit_error_rate: float
    score: float
    alternative: bool = False

    def described(self):
        """The passage as JSON takes it, rounded: dict, without number and score."""
        return {
            "track": self.track,
            "path": self.path,
            "query_s": [round(end, 2) for end in self.query_s],
            "reference_s": [round(end, 2) for end in self.reference_s],
            "drift": None if self.drift is None else round(self.drift, 4),
            "probability": round(self.probability, 4),
            "false_accepts": float(f"{self.false_accepts:.3g}"),
            "bit_error_rate": round(self.bit_error_rate, 4),
            "alternative": self.alternative,
        }


def drift(points):
    """Fits the speed at which a passage is played to the places of its pieces.

    The median slope of pairs of points (Theil and Sen), of those alone that lie at least half of
    the whole apart, since each place is known to a fraction of a hop only.

    Args:
        points: float `[n, 2]`, s in the query and s in the track, by time.

    Returns:
        float, 1 for the track's own speed; `None` where the points span less than `DRIFT_S`.

    Reference: P. K. Sen, "Estimates of the regression coefficient based on Kendall's tau", 1968.
    """
    query, reference = np.asarray(points, np.float64).T
    span = query[-1] - query[0]
    if span < DRIFT_S:
        return None
    first, second = np.triu_indices(len(query), 1)
    apart = query[second] - query[first]
    far = apart >= span / 2
    return float(np.median((reference[second] - reference[first])[far] / apart[far]))


def origin(points, speed):
    """Where in the track the query would begin: float, s, the median over points as of `drift`."""
    query, reference = np.asarray(points, np.float64).T
    return float(np.median(reference - speed * query))


def stretch(gain):
    """Finds the stretch of the greatest sum, the shortest of equals that end alike.

    With gains of either sign before and after a change, its ends are the likeliest places of it.

    Args:
        gain: float `[n]`, at least one.

    Returns:
        (int, int), its first and its last index.
    """
    total = np.concatenate([[0.0], np.cumsum(gain, dtype=np.float64)])
    last = int(np.argmax(total[1:] - np.minimum.accumulate(total)[:-1]))
    first = last - int(np.argmin(total[: last + 1][::-1]))
    return first, last


def is_alternative(passage, others):
    """Tells whether a better one of other passages explains the same stretch of the query.

    Args:
        passage: Passage.
        others: iterable of Passage; the passage itself may be among them.

    Returns:
        bool.
    """
    begin, end = passage.query_s
    for other in others:
        shared = min(end, other.query_s[1]) - max(begin, other.query_s[0])
        better = (other.score, -other.number) > (passage.score, -passage.number)
        if better and shared >= EXPLAINED * (end - begin):
            return True
    return False
