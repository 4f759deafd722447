"""A catalogue of 32-bit words: finds where some of them stand, and compares along alignments."""

import numpy as np

# Compared at a time, to stay within the cache.
_WORDS = 1 << 18
_SET_BITS = np.unpackbits(np.arange(1 << 16, dtype=np.uint16).view(np.uint8)).reshape(-1, 16)
_SET_BITS = _SET_BITS.sum(axis=1, dtype=np.uint8)  # [65536]


class WordIndex:
    """All words of a catalogue, in their places and sorted.

    Args:
        tracks: dict from name to words uint32 `[n]` and bool `[n]`, which of them can be found.
    """

    def __init__(self, tracks):
        # By name, so that nothing depends on the order in which tracks were added.
        self.names = sorted(tracks)
        self.words = np.concatenate([tracks[name][0] for name in self.names])
        audible = np.concatenate([tracks[name][1] for name in self.names])
        self.lengths = np.array([len(tracks[name][0]) for name in self.names])
        self.starts = np.cumsum(self.lengths) - self.lengths
        positions = np.flatnonzero(audible).astype(np.uint64)
        # Sorting word and position as one number is several times faster than an argsort.
        keys = np.sort(self.words[audible].astype(np.uint64) << np.uint64(32) | positions)
        self.sorted = (keys >> np.uint64(32)).astype(np.uint32)
        self.positions = keys.astype(np.uint32)

    def lookup(self, variants, most):
        """Finds where words stand.

        Args:
            variants: uint32 `[rows, variants]`.
            most: int, hits to give; the most common words are passed over to keep to it.

        Returns:
            int64 `[hits]` and int64 `[hits]`: the row of a hit, and its position in the catalogue.
        """
        rows = np.repeat(np.arange(len(variants), dtype=np.uint64), variants.shape[1])
        # In order, so that one search ends near where the next begins.
        keys = np.sort(variants.ravel().astype(np.uint64) << np.uint64(32) | rows)
        wanted = (keys >> np.uint64(32)).astype(np.uint32)
        first = np.searchsorted(self.sorted, wanted)
        there = np.flatnonzero(np.take(self.sorted, first, mode="clip") == wanted)
        first = first[there]
        counts = np.searchsorted(self.sorted, wanted[there], side="right") - first
        if counts.sum() > most:
            rare = np.argsort(counts, kind="stable")
            rare = rare[: np.searchsorted(np.cumsum(counts[rare]), most, side="right")]
            there, first, counts = there[rare], first[rare], counts[rare]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        positions = self.positions[np.repeat(first, counts) + within].astype(np.int64)
        return np.repeat(keys[there].astype(np.uint32).astype(np.int64), counts), positions

    def alignments(self, frames, positions, length, most):
        """Counts hits by track and offset.

        Args:
            frames: int64 `[hits]`, where in the query they are.
            positions: int64 `[hits]`, where in the catalogue.
            length: int, words of the query.
            most: int, how many alignments to give.

        Returns:
            int64 `[alignments]` and int64 `[alignments]`: track and offset in words.
        """
        tracks = np.searchsorted(self.starts, positions, side="right") - 1
        span = int(self.lengths.max()) + length
        keys = tracks * span + (positions - self.starts[tracks] - frames + length)
        keys, hits = np.unique(keys, return_counts=True)
        keys = keys[np.argsort(-hits, kind="stable")[:most]]
        tracks = keys // span
        return tracks, keys % span - length

    def errors(self, words, frames, tracks, offsets, n_bits):
        """Compares a query with the catalogue along alignments.

        Args:
            words: uint32 `[words]`.
            frames: int64 `[n]`, those of them that count.
            tracks, offsets: int64 `[alignments]`.
            n_bits: int, per word.

        Returns:
            float64 `[alignments]`, the bit error rate, 0 to 1.
        """
        rates = np.empty(len(tracks))
        step = max(1, _WORDS // len(frames))
        for first in range(0, len(tracks), step):
            part = slice(first, first + step)
            places = offsets[part, None] + frames  # [alignments, n]
            outside = (places < 0) | (places >= self.lengths[tracks[part], None])
            places += self.starts[tracks[part], None]
            differing = np.take(self.words, places, mode="clip") ^ words[frames]
            differing[outside] = 0
            # Every 16 bits are a valid index; saying so ("clip") makes it faster.
            wrong = np.take(_SET_BITS, differing.view(np.uint16), mode="clip")
            wrong = wrong.sum(axis=1, dtype=np.uint32) + n_bits / 2 * outside.sum(axis=1)
            rates[part] = wrong / (n_bits * len(frames))
        return rates
