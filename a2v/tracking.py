"""Follows a query of any length through a catalogue: every passage of it that a track holds.

Pieces of 5 s are looked up every 2.5 s. What a piece finds is a trail, which the pieces after it
confirm or not by the hashes along it, and which is scored as a whole. Memory does not grow with
the query.
"""

import itertools
import math
from collections import deque
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from a2v import chance, matching, passages
from a2v.errors import A2VError
from a2v.queries import Line, Recent
from a2v.store import LibraryError
from a2v.trails import Trail

PIECE_S, STEP_S = 5.0, 2.5
# So far back a trail is followed from where it was found.
HISTORY_S = 30.0
# A piece confirms a trail from so many standard deviations below chance on: its place is foretold,
# so only a few are tried, one hop's share (`hop_s / phases`) apart, so many to either side.
SUPPORT, REACH = 4.0, 3
# Hysteresis: so many pieces begin a passage, so many in a row without support end it. A trail that
# is no passage yet may miss one.
SUPPORTERS, PATIENCE, MISSES = 2, 4, 1
# Pieces that chance matches as well in so many queries are followed.
SEED = 0.03
# A long query asks again and again; its false accepts are counted by the hour.
PIECES_AN_HOUR = 3600 / STEP_S
# Bounds on memory: trails that a piece may begin, trails at once, passages that are remembered.
SEEDS, TRAILS, PAST = 8, 16, 32


class Event(NamedTuple):
    """What became known.

    Args:
        kind: str, `began` or `ended`.
        passage: passages.Passage; of one that began, as far as it is heard.
    """

    kind: str
    passage: passages.Passage


def listed(events, *, max_false_accepts=chance.MAX_FALSE_ACCEPTS):
    """Lists what a query that has ended held.

    Args:
        events: iterable of Event.
        max_false_accepts: float, 0 to 1; passages that chance has more often are left out.

    Returns:
        list of passages.Passage, by where they begin in the query, the better of equals first.
    """
    ended = [event.passage for event in events if event.kind == "ended"]
    kept = [passage for passage in ended if passage.false_accepts <= max_false_accepts]
    marked = [replace(p, alternative=passages.is_alternative(p, kept)) for p in kept]
    return sorted(marked, key=lambda p: (p.query_s[0], -p.score, p.number))


class Tracker:
    """Follows one query; `add` its windows as they come, `close` when it has ended.

    Args:
        encoder: `runtime.Encoder`.
        catalogue: function that gives tracks, a list of (name, path), and a search engine over
            them, as they are now.
        reference: function of a track's name that gives its hashes, uint8 `[n, n_bits / 8]`, or
            raises A2VError where it is there no longer.
        max_false_accepts: float, 0 to 1, up to which a passage is reported, see
            `passages.Passage`.
        phases: int, beginnings within one hop, as of `queries.embeddings`.

    Attributes:
        step: int, hashes from one piece to the next.
    """

    def __init__(
        self,
        encoder,
        catalogue,
        reference,
        *,
        max_false_accepts=chance.MAX_FALSE_ACCEPTS,
        phases=chance.PHASES,
    ):
        self._encoder, self._catalogue, self._reference = encoder, catalogue, reference
        self._max_false_accepts, self._phases = max_false_accepts, phases
        self._hop = encoder.hop_s
        self._overlap = round(encoder.window_s / encoder.hop_s)
        self._allowed = encoder.discriminant is not None
        self._rows = 1 + max(0, round((PIECE_S - encoder.window_s) / self._hop))
        self.step = max(1, round(STEP_S / self._hop))
        kept = self._rows + round(HISTORY_S / self._hop)
        self._recent = Recent(encoder, phases=phases, rows=kept)
        self._asked = self._pieces = 0  # rows and pieces that were looked up
        self._tracks = 0  # in the catalogue
        self._trails, self._past = [], deque(maxlen=PAST)
        self._numbers = itertools.count(1)

    def add(self, embeddings):
        """Takes the next windows of the query.

        Args:
            embeddings: as `queries.embeddings` gives them, any number of rows.

        Yields:
            Event.
        """
        taken = 0
        while taken < len(embeddings):
            part = slice(taken, taken + self._asked + self.step - self._recent.end)
            self._recent.keep(embeddings[part])
            taken = part.stop
            if self._recent.end - self._asked == self.step:
                yield from self._ask()

    def close(self):
        """Ends the query: what is open ends with it.

        Yields:
            Event.
        """
        begin, end = self._asked, self._recent.end
        if end > begin and (2 * (end - begin) >= self.step or not self._pieces):
            yield from self._ask()
        elif end > begin:
            for trail in self._trails:
                line = trail.line(self._middle(begin))
                trail.see(self._recent.compare(trail.reference, begin, end, line))
        for trail in self._trails:
            # One piece is all that a short query has.
            if self._pieces == 1 and trail.number is None and self._is_sure(trail):
                yield self._began(trail)
            if trail.number is not None:
                yield self._ended(trail)
        self._trails = []

    def _ask(self):
        """Looks one piece up and follows all trails through it: yields Events."""
        begin = max(0, self._recent.end - self._rows)
        tracks, engine = self._catalogue()
        self._tracks = len(tracks)
        hits = engine.search(self._recent.queries(begin))
        matches = matching.match(
            hits,
            [self._hop * phase / self._phases for phase in range(self._phases)],
            tracks,
            hop_s=self._hop,
            overlap=self._overlap,
            calibration=self._encoder.calibration,
            allowed=self._allowed,
            top=SEEDS,
        )
        self._pieces += 1
        self._asked = self._recent.end
        heard = [hit for hit in hits if hit.windows]
        if matches:
            _, by_chance = matching.standing(heard, self._overlap, allowed=self._allowed)
            for trail in self._trails:
                self._follow(trail, begin, heard[0], by_chance)
            self._seed(matches, begin, by_chance)
            self._drop_doubles()
        yield from self._report()

    def _middle(self, begin):
        """The time of the middle row from `begin` on: float, s."""
        return self._hop * (begin + self._recent.end - 1) / 2

    def _follow(self, trail, begin, null, by_chance):
        """Asks a piece whether the trail goes on, at its own place or a little beside it."""
        query_s, place_s, speed = trail.line(self._middle(begin))
        shifts = sorted(range(-REACH, REACH + 1), key=abs)
        lines = [
            Line(query_s, place_s + self._hop / self._phases * shift, speed) for shift in shifts
        ]
        end = self._recent.end
        compared = [self._recent.compare(trail.reference, begin, end, line) for line in lines]
        depths = [each.depth(null, self._overlap, allowed=self._allowed) for each in compared]
        best = int(np.argmax(depths))
        if depths[best] < SUPPORT:
            trail.see(compared[0])
            trail.pending += depths[0]
            return
        trail.see(compared[best])
        trail.count(compared[best])
        point = (query_s, lines[best].place_s)
        trail.extend(point, piece=self._pieces, depth=depths[best], by_chance=by_chance)

    def _seed(self, matches, begin, by_chance):
        """Begins trails where a piece matches beside those that are followed already."""
        middle_s, end = self._middle(begin), self._recent.end
        for match in matches:
            if match.false_accepts > max(SEED, self._max_false_accepts):
                break
            line = Line(middle_s, match.offset_s + middle_s - self._hop * begin, 1.0)
            if self._is_followed(match.track, line, self._trails):
                continue
            try:
                reference = self._reference(match.track)
            except LibraryError:
                raise
            except A2VError:
                continue  # removed since
            trail = Trail(
                track=match.track,
                path=match.path,
                reference=reference,
                points=[(line.query_s, line.place_s)],
                first=self._pieces,
                last=self._pieces,
                total=by_chance.deviation(match.score),
                by_chance=by_chance,
            )
            trail.see(self._recent.compare(reference, self._since(match.track), end, line))
            trail.count(self._recent.compare(reference, begin, end, line))
            if trail.bit_error_rate < 0.5:
                self._trails.append(trail)
            if len(self._trails) > TRAILS:
                weak = [each for each in self._trails if each.number is None]
                self._trails.remove(min(weak, key=lambda each: each.score))

    def _since(self, track):
        """The row from which on a new trail of a track may reach back: no passage has it yet."""
        ends = [passage.query_s[1] for passage in self._past if passage.track == track]
        return max([self._recent.first, *(math.ceil(end / self._hop) for end in ends)])

    def _is_followed(self, track, line, trails):
        return any(
            each.track == track and abs(each.line(line.query_s).place_s - line.place_s) <= self._hop
            for each in trails
        )

    def _drop_doubles(self):
        """Where two trails have met, the older one goes on."""
        kept, now_s = [], self._hop * self._recent.end
        for trail in self._trails:
            double = self._is_followed(trail.track, trail.line(now_s), kept)
            if trail.number is not None or not double:
                kept.append(trail)
        self._trails = kept

    def _report(self):
        """Ends trails that lost support, begins those that have enough: yields Events."""
        for trail in list(self._trails):
            missed = self._pieces - trail.last
            if missed > (MISSES if trail.number is None else PATIENCE - 1):
                self._trails.remove(trail)
                if trail.number is not None:
                    yield self._ended(trail)
        for trail in self._trails:
            ready = trail.number is None and trail.supporters >= SUPPORTERS
            if ready and self._is_sure(trail):
                yield self._began(trail)

    def _is_sure(self, trail):
        return self._false_accepts(trail) <= self._max_false_accepts

    def _false_accepts(self, trail):
        heard_s = PIECE_S + STEP_S * (trail.last - trail.first)
        calibration = self._encoder.calibration
        once = chance.false_accepts(trail.score, heard_s, self._tracks, calibration)
        return min(1.0, once * (1 if self._pieces == 1 else PIECES_AN_HOUR))

    def _began(self, trail):
        trail.number = next(self._numbers)
        return Event("began", self._passage(trail))

    def _ended(self, trail):
        passage = self._passage(trail)
        self._past.append(passage)
        return Event("ended", passage)

    def _passage(self, trail):
        made = self._measured(trail)
        others = [self._measured(each) for each in self._trails if each.number is not None]
        return replace(made, alternative=passages.is_alternative(made, [*others, *self._past]))

    def _measured(self, trail):
        return trail.passage(
            heard_s=self._hop * (self._recent.end - 1) + self._encoder.window_s,
            hop_s=self._hop,
            window_s=self._encoder.window_s,
            false_accepts=self._false_accepts(trail),
            calibration=self._encoder.calibration,
        )
