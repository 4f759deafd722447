"""Wang's landmarks: pairs of spectrogram peaks, looked up and counted where they line up.

Reference: A. Wang, "An Industrial-Strength Audio Search Algorithm", ISMIR 2003.
"""

import numpy as np

from a2v.audio import SAMPLE_RATE
from a2v.classics import Answer, landmarks
from a2v.errors import A2VError

# A sum of a track and an offset in frames is one number; an offset before the track is negative.
_TRACK = np.int64(1) << 32
_ZERO = np.int64(1) << 31


class Wang:
    """Finds the recording that an excerpt was taken from.

    Peaks are the largest values of the spectrogram within a neighbourhood, at most so many a
    second, the strongest first. Each is an anchor and forms pairs with the next peaks in its
    target zone, which follows it; a hash is (frequency of the anchor, frequency of the target,
    time between). All hashes of all tracks stand in one sorted array, each with its time. Where a
    query comes from a track, the times of many equal hashes differ by one and the same offset.

    The paper leaves the numbers open. A query is hashed more densely than a track, for noise adds
    peaks between those that it leaves, and in several versions, for its frames lie between those
    of the track; both follow audfprint (D. Ellis, 2014).

    The defaults were chosen on 216 excerpts of 21 recordings, 1 to 5 s long, clean, under recorded
    and pink noise at 5 and 0 dB, and in rooms; none of these recordings is a test track. How much
    less other values found is told below, in percentage points, each from one comparison, some
    with half as long frames; the standard error of a rate is 1.2. A threshold that decays from
    every peak over time and frequency, in place of a neighbourhood, found 11 less, a spectrum
    freed from its mean over time 15 less.

    Args:
        frame_length: int, samples per frame under a Hann taper. Long frames tell tones apart and
            stand out of noise; half as long found 1.9 less.
        frame_step: int, samples between frames; half as many again found as much, but the offset
            less exactly.
        low_hz, high_hz: float, Hz, where peaks are looked for.
        tilt_db: float, dB per octave, by which the spectrum is raised. Music falls by about as
            much: without it, most peaks are in the bass (2.8 less), with 6 dB too few (4.2 less).
        floor_db: float, dB below the strongest peak, under which is none.
        around_frames, around_bins: int, how far a peak's neighbourhood reaches to either side;
            half as far again found 3.3 less.
        peaks_per_s, query_peaks_per_s: float, the most peaks of a track and of a query in any
            second. More in both found as much from an index of twice the size.
        targets, query_targets: int, the most pairs that an anchor of either forms; 5 and 10 found
            2.4 less.
        zone_start, zone_frames: int, frames from an anchor to where its target zone begins, ends.
        zone_bins: int, how far the target zone reaches to either side. Half the width, or half as
            long again, made no difference.
        shifts: int, how many versions of a query, a fraction of a frame step apart, are hashed;
            four, in twice the time, found 1.9 more of these and 0.6 less of 360 others, where one
            found 2.5 less.
        tolerance: int, frames by which offsets may differ that count as one.
        top: int, the most answers.
    """

    def __init__(
        self,
        *,
        frame_length=2048,
        frame_step=256,
        low_hz=100.0,
        high_hz=5500.0,
        tilt_db=3.0,
        floor_db=80.0,
        around_frames=4,
        around_bins=8,
        peaks_per_s=30.0,
        query_peaks_per_s=60.0,
        targets=8,
        query_targets=16,
        zone_start=2,
        zone_frames=63,
        zone_bins=100,
        shifts=2,
        tolerance=1,
        top=10,
    ):
        _check(low_hz, high_hz, zone_start, zone_frames, shifts, frame_step)
        if frame_length * (2 * zone_bins + 1) * (zone_frames + 1) >= _TRACK:
            raise A2VError(
                f"a zone of {zone_frames} frames and {zone_bins} bins: use a smaller one"
            )
        self.frame_length, self.frame_step = frame_length, frame_step
        self.around_frames, self.around_bins = around_frames, around_bins
        self.peaks_per_s, self.query_peaks_per_s = peaks_per_s, query_peaks_per_s
        self.targets, self.query_targets = targets, query_targets
        self.zone_start, self.zone_frames, self.zone_bins = zone_start, zone_frames, zone_bins
        self.shifts, self.tolerance, self.top = shifts, tolerance, top
        self._floor = 10 ** (-floor_db / 10)
        first, last = np.array([low_hz, high_hz]) * frame_length / SAMPLE_RATE
        self._first_bin = int(np.ceil(first))
        octaves = np.log2(np.arange(self._first_bin, int(last) + 1))
        self._gains = (10 ** (tilt_db * octaves / 10)).astype(np.float32)
        self._names = []
        self._starts = [0]  # the first frame of each track, all tracks one after the other
        # As in the paper, 64 bits each: the hash in the upper half, the frame in the lower.
        self._postings = np.zeros(0, np.uint64)  # sorted
        self._added = []  # those of tracks since, in any order

    @property
    def n_bytes(self):
        """Everything needed to search, in bytes: int."""
        postings = self._postings.nbytes + sum(new.nbytes for new in self._added)
        return postings + 8 * len(self._starts) + sum(len(name.encode()) for name in self._names)

    def add(self, track, waveform):
        """Adds a recording; the index takes it in before the next query.

        Args:
            track: str, its name.
            waveform: float32 `[n]`, mono, 16 kHz.

        Raises:
            A2VError: there is a track of this name, or no room for another.
        """
        if track in self._names:
            raise A2VError(f"{track}: is in the catalogue already; give it another name")
        end = self._starts[-1] + landmarks.frame_count(
            len(waveform), frame_length=self.frame_length, frame_step=self.frame_step
        )
        if end > np.iinfo(np.uint32).max:
            raise A2VError(f"{track}: the catalogue is full; start another")
        frames, hashes = self._landmarks(waveform, self.peaks_per_s, self.targets)
        self._added.append(hashes << np.uint64(32) | (frames + self._starts[-1]).astype(np.uint64))
        self._names.append(track)
        self._starts.append(end)

    def query(self, waveform):
        """Looks for an excerpt.

        Args:
            waveform: float32 `[n]`, mono, 16 kHz.

        Returns:
            list of Answer, one per track, best first, at most `top`; empty where no hash of the
            query is known. The score counts hashes that line up; equal ones go by name.
        """
        return self.lookup(*self.query_landmarks(waveform))

    def lookup(self, frames, hashes):
        """Looks for the landmarks of a query.

        Args:
            frames, hashes: as from `query_landmarks`.

        Returns:
            list of Answer, as from `query`.
        """
        places, counts = self._offsets(frames, hashes)
        if not len(places):
            return []
        scores, centres = _smoothed(places, counts, self.tolerance)
        offsets = places % _TRACK - _ZERO + centres
        # The tolerance lifts the foot of a hill as high as its peak: the count tells them apart.
        order = np.lexsort((places, -counts, -scores))
        tracks, first = np.unique(places[order] // _TRACK, return_index=True)
        answers = [
            Answer(
                self._names[track],
                float(offsets[best]) * self.frame_step / SAMPLE_RATE,
                float(scores[best]),
            )
            for track, best in zip(tracks, order[first], strict=True)
        ]
        return sorted(answers, key=lambda answer: (-answer.score, answer.track))[: self.top]

    def _offsets(self, frames, hashes):
        """Where a query may begin, were each of its hashes where the catalogue holds it.

        Returns:
            Pair of int64 `[m]`: sums of `track * _TRACK`, `_ZERO` and the offset in frames,
            ascending, and how many hashes each was met with.
        """
        self._merge()
        first = hashes << np.uint64(32)
        begin = np.searchsorted(self._postings, first)
        found = np.searchsorted(self._postings, first + np.uint64(_TRACK)) - begin
        ends = np.cumsum(found)
        rows = np.arange(found.sum()) + np.repeat(begin - ends + found, found)
        known = (self._postings[rows] & np.uint64(_TRACK - 1)).astype(np.int64)
        starts = np.array(self._starts)
        tracks = np.searchsorted(starts, known, side="right") - 1
        offsets = known - starts[tracks] - np.repeat(frames, found)
        return np.unique(tracks * _TRACK + _ZERO + offsets, return_counts=True)

    def _merge(self):
        """Sorts what was added since into the index."""
        if self._added:
            new = np.sort(np.concatenate(self._added))
            # A stable sort finds that these are two sorted runs and only merges them.
            self._postings = np.sort(np.concatenate([self._postings, new]), kind="stable")
            self._added = []

    def query_landmarks(self, waveform):
        """Landmarks of all versions of a query, each once.

        Args:
            waveform: float32 `[n]`, mono, 16 kHz.

        Returns:
            (frames, hashes): int64 `[n]`, of the anchors; uint64 `[n]`, below 2 ** 32.
        """
        begins = [shift * self.frame_step // self.shifts for shift in range(self.shifts)]
        parts = [
            self._landmarks(waveform[begin:], self.query_peaks_per_s, self.query_targets)
            for begin in begins
        ]
        frames, hashes = map(np.concatenate, zip(*parts, strict=True))
        both = np.unique(hashes << np.uint64(32) | frames.astype(np.uint64))
        return (both & np.uint64(_TRACK - 1)).astype(np.int64), both >> np.uint64(32)

    def _landmarks(self, waveform, peaks_per_s, targets):
        """The pairs of peaks of a waveform.

        Returns:
            Pair of int64 `[n]`, the frames of the anchors, and uint64 `[n]`, below 2 ** 32, the
            hashes.
        """
        power = landmarks.spectrogram(
            np.asarray(waveform, np.float32),
            self._gains,
            first_bin=self._first_bin,
            frame_length=self.frame_length,
            frame_step=self.frame_step,
        )
        frames, bins = landmarks.peaks(
            power,
            around_frames=self.around_frames,
            around_bins=self.around_bins,
            floor=self._floor,
            most=peaks_per_s,
            radius=round(SAMPLE_RATE / self.frame_step / 2),  # a second, centred
        )
        anchors, partners = landmarks.pairs(
            frames,
            bins,
            targets=targets,
            zone_start=self.zone_start,
            zone_frames=self.zone_frames,
            zone_bins=self.zone_bins,
        )
        later = frames[partners] - frames[anchors]
        higher = bins[partners] - bins[anchors] + self.zone_bins
        hashes = (bins[anchors] * (2 * self.zone_bins + 1) + higher) * (
            self.zone_frames + 1
        ) + later
        return frames[anchors], hashes.astype(np.uint64)


def _check(low_hz, high_hz, zone_start, zone_frames, shifts, frame_step):
    nyquist = SAMPLE_RATE // 2
    if not 0 < low_hz < high_hz <= nyquist:
        raise A2VError(f"peaks from {low_hz} to {high_hz} Hz: use 0 < low < high <= {nyquist}")
    if not 0 < zone_start <= zone_frames:
        raise A2VError(f"target zone of frames {zone_start} to {zone_frames}: use 0 < start <= end")
    if not 1 <= shifts <= frame_step:
        raise A2VError(f"{shifts} shifts: use 1 to {frame_step}, the samples of a frame step")


def _smoothed(places, counts, tolerance):
    """Counts within `tolerance` of each place, and where from it their centres lie: two `[n]`."""
    sums, moments = np.zeros(len(places), np.int64), np.zeros(len(places))
    for step in range(-tolerance, tolerance + 1):
        at = np.minimum(np.searchsorted(places, places + step), len(places) - 1)
        there = np.where(places[at] == places + step, counts[at], 0)
        sums += there
        moments += step * there
    return sums, moments / sums
