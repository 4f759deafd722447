"""Trails: lines through a long query and a track, and what is seen along them."""

import math
from dataclasses import dataclass, field

import numpy as np

from a2v import chance, passages
from a2v.queries import Line

# So many points tell the speed of a trail; more are thinned out.
POINTS = 128


@dataclass(eq=False)
class Trail:
    """A line that some pieces of a query confirmed.

    Attributes:
        track, path: str.
        reference: uint8 `[n, n_bits / 8]`, the track's hashes.
        points: list of (float, float), s in the query and s in the track.
        first, last: int, the first and the last piece that confirmed it.
        total: float, standard deviations below chance of all pieces from first to last, summed.
        by_chance: `chance.Chance`, of the pieces the one that reaches farthest.
        supporters: int, pieces that confirmed it.
        pending: float, the same sum over the pieces after the last.
        number: int, of the passage that it is; `None` while it is none.
    """

    track: str
    path: str
    reference: np.ndarray
    points: list
    first: int
    last: int
    total: float
    by_chance: chance.Chance
    supporters: int = 0
    pending: float = 0.0
    number: int | None = None
    speed: float = field(init=False, default=1.0)
    _rate: list = field(init=False, default_factory=lambda: [0, 0])

    def __post_init__(self):
        self._distance = np.zeros(len(self.reference), np.int32)
        self._weight = np.zeros(len(self.reference), np.int32)
        self._seen = np.zeros(len(self.reference), bool)

    @property
    def score(self):
        """The score of all pieces as one: neighbours share half their audio, so n vary as 2n - 1.

        A place is chosen once for all of them, so chance is granted once.
        """
        return self.by_chance.score(self.total / math.sqrt(2 * (self.last - self.first) + 1))

    @property
    def bit_error_rate(self):
        """Of the pieces that confirmed it: float, 0 to 1, half where there is none yet."""
        differing, compared = self._rate
        return differing / compared if compared else 0.5

    def line(self, query_s):
        """Where the trail is foretold to be at a time of the query: Line."""
        return Line(query_s, Line(*self.points[-1], self.speed).at(query_s), self.speed)

    def see(self, compared):
        """Remembers what is along the trail, whether it confirms the trail or not."""
        self._distance[compared.places] = compared.distance
        self._weight[compared.places] = compared.weight
        self._seen[compared.places] = True

    def count(self, compared):
        """Counts a piece that confirms the trail."""
        self.supporters += 1
        self._rate[0] += int(compared.distance.sum())
        self._rate[1] += int(compared.weight.sum())

    def extend(self, point, *, piece, depth, by_chance):
        """Leads the trail on through another point that a piece confirmed."""
        self.points.append(point)
        if len(self.points) > POINTS:  # an odd number: the last one stays
            self.points = self.points[::2]
        self.speed = passages.drift(self.points) or 1.0
        self.total += self.pending + depth
        self.pending, self.last = 0.0, piece
        self.by_chance = max(self.by_chance, by_chance)  # by what is expected

    def passage(self, *, heard_s, hop_s, window_s, false_accepts, calibration):
        """Makes a passage of it, its ends where the error rate changes.

        Args:
            heard_s: float, s, how long the query is.
            hop_s, window_s: float, s, of the encoder.
            false_accepts: float, see `passages.Passage`.
            calibration: dict, see `chance.probability`.

        Returns:
            passages.Passage.
        """
        between = (self.bit_error_rate + 0.5) / 2
        first, last = passages.stretch(between * self._weight - self._distance)
        # A window counts from half of it on; where none lies beyond, all of it does.
        begin_s, end_s = hop_s * first, hop_s * last + window_s
        if first and self._seen[first - 1]:
            begin_s += (window_s - hop_s) / 2
        if last + 1 < len(self._seen) and self._seen[last + 1]:
            end_s -= (window_s - hop_s) / 2
        origin_s = passages.origin(self.points, self.speed)
        query_s = [(edge - origin_s) / self.speed for edge in (begin_s, end_s)]
        distance, weight = (v[first : last + 1].sum() for v in (self._distance, self._weight))
        return passages.Passage(
            number=self.number,
            track=self.track,
            path=self.path,
            query_s=tuple(min(max(0.0, edge), heard_s) for edge in query_s),
            reference_s=(begin_s, end_s),
            drift=passages.drift(self.points),
            probability=chance.probability(false_accepts, calibration),
            false_accepts=false_accepts,
            bit_error_rate=float(distance / max(1, weight)),
            score=self.score,
        )
