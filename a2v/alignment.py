"""Alignment of whole tracks: which stretches of two sequences follow each other, in any key.

Frames of both sequences that are among each other's nearest make a cross recurrence plot; Qmax is
the longest trace in it, which may curve, where the tempo differs, and break off for some frames.

Reference: J. Serra, X. Serra, R. G. Andrzejak, "Cross recurrence quantification for cover song
identification", New Journal of Physics 11, 093017, 2009.
"""

from dataclasses import dataclass, replace

import numpy as np

from a2v import hashing

# How many transpositions are aligned, of those that stacks fit best in.
TRIED = 3
# Where a trace comes from: frames back in either sequence, so half to twice the tempo.
_STEPS = ((1, 1), (2, 1), (1, 2))


@dataclass(frozen=True)
class Alignment:
    """The best trace through two sequences.

    Attributes:
        score: float, Qmax, 0 or more: frames that recur along the trace, less its penalties.
        first, last: (int, int), the frames of both sequences at which the trace begins and ends;
            `None` where nothing recurs. Of embedded sequences, those that a stack begins with.
        transposition: int, semitones up by which the second sequence was transposed, 0 to 11.
    """

    score: float
    first: tuple | None = None
    last: tuple | None = None
    transposition: int = 0


def align(a, b, *, m=1, tau=1, kappa=0.1, transposable=False, tried=TRIED):
    """Aligns two sequences, over the likeliest transpositions of the second.

    Args:
        a, b: uint8 `[n, bytes]`, hashes, or float `[n, d]`; of different lengths.
        m, tau: int, how many frames are stacked, how far apart, see `cross_similarity`.
        kappa: float, see `recurrence`.
        transposable: bool, whether they come by pitch class, see `hashing.turning_bits`.
        tried: int, how many transpositions are.

    Returns:
        Alignment, that of the greatest score, of equals the likeliest; of score 0 where a sequence
        has not the `1 + (m - 1) tau` frames of a stack.

    Raises:
        ValueError: as `cross_similarity` and `recurrence`.
    """
    if min(len(a), len(b)) <= (m - 1) * tau:
        return Alignment(0.0)
    keys = [0]
    if transposable:
        keys = transpositions(a, b, m=m, tau=tau)[:tried]
    found = []
    for key in keys:
        moved = transpose(b, key) if key else b
        recurrent = recurrence(cross_similarity(a, moved, m=m, tau=tau), kappa=kappa)
        found.append(replace(qmax(recurrent), transposition=key))
    return max(found, key=lambda each: each.score)


def cross_similarity(a, b, *, m=1, tau=1):
    """Compares all frames of one sequence with all of another, each with those that follow it.

    A frame is stacked with the `m - 1` that follow it every `tau` frames (delay embedding).

    Args:
        a: uint8 `[n, bytes]`, hashes, or float `[n, d]`.
        b: the same of `[k, ...]`.
        m, tau: int, 1 or more.

    Returns:
        float32 `[n - (m - 1) tau, k - (m - 1) tau]`, cosines, -1 to 1, 0 for a stack of zeros;
        without rows or columns where a sequence is too short. The cosine of hashes is that of
        their signs: 1 - 2 x Hamming distance / bits.

    Raises:
        ValueError: the sequences differ in their features, or m or tau is below 1.
    """
    if m < 1 or tau < 1:
        raise ValueError(f"m = {m}, tau = {tau}: stack 1 frame or more, 1 frame apart or more")
    a, b = _vectors(a), _vectors(b)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"{a.shape[1]} features a frame and {b.shape[1]}: compare like with like")
    span = (m - 1) * tau
    rows, columns = max(0, len(a) - span), max(0, len(b) - span)
    products = a @ b.T
    total = np.zeros((rows, columns), np.float32)
    own, other = np.zeros(rows, np.float32), np.zeros(columns, np.float32)
    for k in range(0, span + 1, tau):
        total += products[k : k + rows, k : k + columns]
        own += np.square(a[k : k + rows]).sum(axis=1)
        other += np.square(b[k : k + columns]).sum(axis=1)
    size = np.sqrt(own)[:, None] * np.sqrt(other)
    return np.divide(total, size, out=np.zeros_like(total), where=size > 0)


def recurrence(similarity, *, kappa=0.1):
    """Marks mutual nearest neighbours: the cross recurrence plot.

    Args:
        similarity: float `[n, k]`.
        kappa: float, above 0, up to 1: the share of the other sequence's frames that a frame takes
            for near; one frame at least, and all that are as near as the last of them.

    Returns:
        bool `[n, k]`, where each of two frames is near to the other.

    Raises:
        ValueError: kappa is no such share.
    """
    if not 0 < kappa <= 1:
        raise ValueError(f"kappa = {kappa}: give a share above 0, up to 1")
    if not similarity.size:
        return np.zeros(similarity.shape, bool)
    near = np.ones(similarity.shape, bool)
    for axis in (0, 1):
        limit = similarity.shape[axis] - max(1, round(kappa * similarity.shape[axis]))
        near &= similarity >= np.partition(similarity, limit, axis).take([limit], axis)
    return near


def qmax(recurrent, *, onset=0.5, extension=0.5):
    """Finds the longest trace in a cross recurrence plot.

    Unlike in the paper, a trace may begin in the first two frames of a sequence. The penalties are
    those that Essentia's CoverSongSimilarity has for this measure.

    Args:
        recurrent: bool `[n, k]`.
        onset: float, 0 or more, what it costs a trace to break off.
        extension: float, 0 or more, what every further frame without recurrence costs it.

    Returns:
        Alignment. Where several traces score alike, the one whose end comes first.

    Raises:
        ValueError: a penalty is negative.
    """
    if min(onset, extension) < 0:
        raise ValueError(f"onset = {onset}, extension = {extension}: penalties are 0 or more")
    if not np.any(recurrent):
        return Alignment(0.0)
    recurrent = np.pad(recurrent, ((2, 0), (2, 0)))  # nothing recurs before the beginnings
    length, disrupted = _traces(recurrent, np.where(recurrent, onset, extension))
    last = np.unravel_index(length.argmax(), length.shape)
    first = _beginning(recurrent, length, disrupted, last)
    first, last = ((int(i) - 2, int(j) - 2) for i, j in (first, last))
    return Alignment(float(length.max()), first, last)


def _traces(recurrent, penalty):
    """Scores of the best traces to all pairs, as they are and less the pair's penalty."""
    length, disrupted = np.zeros(recurrent.shape), -penalty.astype(float)
    for i in range(2, len(recurrent)):  # no pair depends on others of its row
        grown, kept = (
            np.maximum(np.maximum(q[i - 1, 1:-1], q[i - 2, 1:-1]), q[i - 1, :-2])
            for q in (length, disrupted)
        )
        length[i, 2:] = np.where(recurrent[i, 2:], grown + 1, np.maximum(kept, 0))
        disrupted[i] += length[i]
    return length, disrupted


def _beginning(recurrent, length, disrupted, pair):
    """The pair that the trace to a pair begins with."""
    while True:
        i, j = pair
        before = length if recurrent[i, j] else disrupted
        pair = max(((i - di, j - dj) for di, dj in _STEPS), key=before.__getitem__)
        if length[pair] <= 0:
            return i, j


def transpose(sequence, semitones):
    """Transposes hashes or features up by so many semitones, see `hashing.transpose`.

    Args:
        sequence: uint8 `[n, bytes]`, hashes, or float `[n, d]`.
        semitones: int, negative for down.

    Returns:
        the same shape and type.
    """
    if _is_packed(sequence):
        return hashing.pack(hashing.transpose(hashing.unpack(sequence), semitones))
    return hashing.transpose(sequence, semitones)


def transpositions(a, b, *, m=1, tau=1):
    """Ranks the transpositions of one sequence by how near it then comes to another.

    The mean pitch classes of a track, by which Serra et al. 2009 choose, tell its key from chroma
    but hardly from hashes, whose bits are balanced; stacks tell it from either.

    Args:
        a, b, m, tau: as for `cross_similarity`; a stack each at least.

    Returns:
        list of int, 0 to 11 semitones up for b: first the one in which stacks of both are most
        similar to the nearest of the other, on average.
    """
    fits = []
    for key in range(hashing.PITCH_CLASSES):
        similar = cross_similarity(a, transpose(b, key), m=m, tau=tau)
        fits.append(-similar.max(axis=0).mean() - similar.max(axis=1).mean())
    return [int(key) for key in np.argsort(fits, kind="stable")]


def _is_packed(sequence):
    return np.asarray(sequence).dtype == np.uint8


def _vectors(sequence):
    """Float32 `[n, d]`; of hashes their signs."""
    packed = _is_packed(sequence)
    return hashing.signs(sequence) if packed else np.asarray(sequence, np.float32)
