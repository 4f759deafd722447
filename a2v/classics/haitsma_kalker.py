"""Haitsma and Kalker's fingerprints: one 32-bit word every 11.6 ms, found again by exact lookup.

Reference: J. Haitsma and T. Kalker, "A Highly Robust Audio Fingerprinting System", ISMIR 2002.
"""

import numpy as np
import scipy.fft
import soxr
from numpy.lib.stride_tricks import sliding_window_view

from a2v.audio import SAMPLE_RATE
from a2v.classics import Answer
from a2v.classics.word_index import WordIndex
from a2v.errors import A2VError

# The bit error rate below which the paper speaks of a match.
THRESHOLD = 0.35
# Transformed at a time, to stay within the cache.
_FRAMES = 64


class HaitsmaKalker:
    """Finds the recording that an excerpt was taken from.

    A sub-fingerprint is a word of one bit per pair of neighbouring bands: whether the difference
    of their energies grew since the frame before. A query looks up each of its words, together
    with those it may have been before it was disturbed: all words one bit away, and all
    combinations of its least reliable bits, those of the smallest change. Every place where one
    of them stands is a candidate alignment; its score is the share of bits that agree.

    The paper compares one block of 256 words, 3 s. Here a query is looked up block by block, and
    compared as a whole: a shorter one on the words there are, a longer one on all of them. Where
    it overhangs a track, half of its bits count as wrong.

    The paper knows no silence. Here words of frames below `silence_dbfs` are not looked up, and
    in a query they do not count, for all silence is alike.

    Args:
        sample_rate: float, Hz, that audio is resampled to. The paper says 5 kHz; its frames and
            steps are powers of 2 at an eighth of a CD's rate.
        frame_length: int, samples per frame (0.37 s).
        frame_step: int, samples from frame to frame (11.6 ms, an overlap of 31/32).
        low_hz, high_hz: float, Hz, the lower edge of the first and the upper of the last band.
        n_bands: int, 2 to 33, bands of equal width in octaves; a word has one bit less.
        block: int, words that are looked up together.
        weak_bits: int, how many of the least reliable bits of a word are tried in combination
            (10 give the paper's 1024 words).
        max_hits: int, about the most hits of a query that are counted; where there are more, the
            most common words of its blocks are passed over.
        max_alignments: int, the most alignments, those of the most hits, that are compared at
            every fourth word.
        max_compared: int, the most of these, the nearest, that are compared at every word.
        silence_dbfs: float, dBFS, of what lies between `low_hz` and `high_hz`.
        top: int, the most answers.
    """

    def __init__(
        self,
        *,
        sample_rate=5512.5,
        frame_length=2048,
        frame_step=64,
        low_hz=300.0,
        high_hz=2000.0,
        n_bands=33,
        block=256,
        weak_bits=10,
        max_hits=1_000_000,
        max_alignments=20_000,
        max_compared=200,
        silence_dbfs=-90.0,
        top=10,
    ):
        if not 2 <= n_bands <= 33:
            raise A2VError(f"n_bands {n_bands}: use 2 to 33, a word has 32 bits")
        if not 0 <= weak_bits < n_bands:
            raise A2VError(f"weak_bits {weak_bits}: use 0 to {n_bands - 1}, the bits of a word")
        self._edges = _band_edges(sample_rate, frame_length, low_hz, high_hz, n_bands)
        self.sample_rate = sample_rate
        self.frame_length = frame_length
        self.frame_step = frame_step
        self.n_bits = n_bands - 1
        self.block = block
        self.weak_bits = weak_bits
        self.max_hits = max_hits
        self.max_alignments = max_alignments
        self.max_compared = max_compared
        self.silence_dbfs = silence_dbfs
        self.top = top
        turn = 2 * np.pi * np.arange(frame_length) / frame_length
        self._taper = (0.5 - 0.5 * np.cos(turn)).astype(np.float32)
        self._tracks = {}
        self._index = None

    @property
    def hop_s(self):
        """Seconds from one word to the next."""
        return self.frame_step / self.sample_rate

    @property
    def n_bytes(self):
        """Bytes that searching needs: each word in its place, and the table that finds it."""
        words = sum(len(words) for words, _ in self._tracks.values())
        listed = sum(int(np.count_nonzero(audible)) for _, audible in self._tracks.values())
        return 4 * words + 8 * listed

    def add(self, track, waveform):
        """Adds a track to the catalogue.

        Args:
            track: str, a name of its own.
            waveform: float32 `[n]` at `audio.SAMPLE_RATE`. What is too short for one word is
                never found.

        Raises:
            A2VError: the catalogue holds this name.
        """
        if track in self._tracks:
            raise A2VError(f"{track}: is in the catalogue already; give each track its own name")
        changes, audible = self.changes(waveform)
        self._tracks[track] = (self.words(changes), audible)
        self._index = None

    def query(self, waveform):
        """Finds the tracks that an excerpt may come from.

        Args:
            waveform: float32 `[n]` at `audio.SAMPLE_RATE`.

        Returns:
            list of Answer, one per track, best first; score = 1 - bit error rate, 0 to 1. Those
            of 1 - `THRESHOLD` or less are guesses by the paper's measure. Empty if no word was
            found, the query is silent, or shorter than two frames.
        """
        changes, audible = self.changes(waveform)
        words, frames = self.words(changes), np.flatnonzero(audible)
        if not len(frames) or not self._tracks:
            return []
        if self._index is None:
            self._index = WordIndex(self._tracks)
        if not len(self._index.sorted):
            return []
        hits = self._hits(words, changes, frames)
        tracks, offsets = self._index.alignments(*hits, len(words), self.max_alignments)
        # Words overlap by 31/32: every fourth tells well enough which alignments are near.
        rough = self._index.errors(words, frames[::4], tracks, offsets, self.n_bits)
        near = np.argsort(rough, kind="stable")[: self.max_compared]
        tracks, offsets = tracks[near], offsets[near]
        errors = self._index.errors(words, frames, tracks, offsets, self.n_bits)
        order = np.lexsort((offsets, tracks, errors))
        first = np.sort(np.unique(tracks[order], return_index=True)[1])[: self.top]
        return [
            Answer(
                track=self._index.names[tracks[i]],
                offset_s=float(offsets[i] * self.hop_s),
                score=float(1 - errors[i]),
            )
            for i in order[first]
        ]

    def changes(self, waveform):
        """What the bits are the signs of.

        Args:
            waveform: float32 `[n]` at `audio.SAMPLE_RATE`.

        Returns:
            float32 `[words, n_bits]`, by how much the energy of a band less that of the next
            band above grew from one frame to the next; and bool `[words]`, whether both frames
            are above `silence_dbfs`.
        """
        energies = self._energies(np.asarray(waveform, dtype=np.float32))  # [frames, bands]
        differences = energies[:, :-1] - energies[:, 1:]
        # By Parseval, a signal of power 1 within the bands has half of this in them.
        full = self.frame_length * np.sum(np.square(self._taper, dtype=np.float64)) / 2
        loud = energies.sum(axis=1, dtype=np.float64) > full * 10 ** (self.silence_dbfs / 10)
        return np.diff(differences, axis=0), loud[1:] & loud[:-1]

    def words(self, changes):
        """Packs the signs of float32 `[words, n_bits]`, lowest band first: uint32 `[words]`."""
        bits = np.zeros((len(changes), 32), bool)
        bits[:, 32 - self.n_bits :] = changes > 0
        return np.packbits(bits, axis=1).view(">u4")[:, 0].astype(np.uint32)

    def variants(self, words, changes):
        """The words that may have stood where one is heard.

        Args:
            words: uint32 `[words]`.
            changes: float32 `[words, n_bits]`, see `changes`.

        Returns:
            uint32 `[words, 2 ** weak_bits + n_bits - weak_bits]`, all different: the word itself
            and with any of its weak bits flipped, then with one of the other bits flipped.
        """
        weakest = np.argsort(np.abs(changes), axis=1, kind="stable")
        flips = np.uint32(1) << (self.n_bits - 1 - weakest).astype(np.uint32)
        variants = words[:, None]
        for weak in range(self.weak_bits):
            variants = np.concatenate([variants, variants ^ flips[:, weak, None]], axis=1)
        return np.concatenate([variants, words[:, None] ^ flips[:, self.weak_bits :]], axis=1)

    def _hits(self, words, changes, frames):
        """Looks up the words at `frames`: where hits are in the query, where in the catalogue."""
        blocks = [frames[i : i + self.block] for i in range(0, len(frames), self.block)]
        places, positions = [], []
        for block in blocks:
            variants = self.variants(words[block], changes[block])
            rows, found = self._index.lookup(variants, self.max_hits // len(blocks))
            places.append(block[rows])
            positions.append(found)
        return np.concatenate(places), np.concatenate(positions)

    def _energies(self, waveform):
        """Energies of all frames: float32 `[frames, n_bands]`."""
        low = soxr.resample(waveform, SAMPLE_RATE, self.sample_rate) if len(waveform) else waveform
        if len(low) < self.frame_length:
            return np.zeros((0, len(self._edges) - 1), np.float32)
        frames = sliding_window_view(low, self.frame_length)[:: self.frame_step]
        bands = self._edges - self._edges[0]
        energies = np.empty((len(frames), len(bands) - 1), np.float32)
        for first in range(0, len(frames), _FRAMES):
            spectrum = scipy.fft.rfft(frames[first : first + _FRAMES] * self._taper)
            spectrum = spectrum[:, self._edges[0] : self._edges[-1]]
            power = np.square(spectrum.real) + np.square(spectrum.imag)
            energies[first : first + _FRAMES] = np.add.reduceat(power, bands[:-1], axis=1)
        return energies


def _band_edges(sample_rate, frame_length, low_hz, high_hz, n_bands):
    """The first bin of each band, and the first after the last: int64 `[n_bands + 1]`."""
    bins = np.geomspace(low_hz, high_hz, n_bands + 1) * frame_length / sample_rate
    edges = np.ceil(bins).astype(np.int64)
    if edges[0] < 1 or edges[-1] > frame_length // 2 + 1 or np.diff(edges).min() < 1:
        raise A2VError(
            f"{n_bands} bands from {low_hz} to {high_hz} Hz: widen them, a band needs a bin of "
            f"{sample_rate / frame_length:.2f} Hz of its own below {sample_rate / 2} Hz"
        )
    return edges
