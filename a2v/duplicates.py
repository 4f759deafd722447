"""Recordings that a library holds more than once, and excerpts that its tracks share.

All is read from stored hashes: `collisions` finds the tracks and offsets to look at, which are then
verified on all codes. A window that hardly differs from the one before it, as in silence or a tone,
tells nothing: it neither votes nor counts, so what is held still throughout is not found.

Reference: J. Daugman, "The importance of being random", Pattern Recognition 36, 2003 (distances as
binomials of so many degrees of freedom).
"""

import math
from dataclasses import dataclass

import numpy as np

from a2v import collisions, hashing

KINDS = DUPLICATE, CONTAINED, SHARED, REPEAT = "duplicate", "contained", "shared", "repeat"
# So many wrong excerpts are expected by chance in a whole library.
FALSE_ACCEPTS = 1e-3
# One recording: the excerpt is this share of the track it fills less; and of the one that it
# fills more, which alone makes that one contained.
SAME, WHOLE = 0.5, 0.8
# Windows count for an excerpt up to this part of the bit error rate of chance.
LIMIT = 0.7
# Of what differs in two tracks that are misaligned, copies differ in this part at most.
CLEAR = 0.5
# A track repeats itself after this many windows that share no audio; before, it merely goes on.
APART = 4
# Misalignments from which chance is read for two stretches: 15 windows, 4.5 s, are the shortest.
LEAST_LAGS = 8
_PAIRS = 20_000
# Standard deviations in a median absolute deviation of normal values.
_MEDIAN_DEVIATION = 0.6745


@dataclass(frozen=True)
class Excerpt:
    """A stretch that two tracks have in common, or that one track has twice.

    Attributes:
        kind: str, one of `KINDS`: both tracks are one recording; the first one is contained in
            the second; neither, they share a passage; or one track repeats it.
        first, second: str, the tracks' names.
        first_s, second_s: (float, float), s, from where to where in each.
        bit_error_rate: float, share of bits that differ, over the windows that tell something.
    """

    kind: str
    first: str
    second: str
    first_s: tuple
    second_s: tuple
    bit_error_rate: float


@dataclass(frozen=True)
class Duplicates:
    """What `find` found.

    Attributes:
        groups: list of lists of str, names of tracks that are one recording, two or more each.
        excerpts: list of Excerpt, by the tracks' names and where they begin. In a group of more
            than a few tracks not every two are compared.
    """

    groups: list
    excerpts: list


@dataclass(frozen=True)
class Stretch:
    """An excerpt in windows.

    Attributes:
        first, second: int, the tracks.
        begin: (int, int), its first window in each.
        windows: int.
        bit_error_rate: float, see `Excerpt`.
        evidence: float, nats: chance gives an alignment as good at most exp(-evidence) times.
        gain: float, bits that differ less than at `LIMIT`.
        kind: str, see `Excerpt`.
    """

    first: int
    second: int
    begin: tuple
    windows: int
    bit_error_rate: float
    evidence: float
    gain: float
    kind: str


@dataclass(frozen=True)
class Chance:
    """How unrelated windows differ: share of bits on average, and independent bits of a window."""

    rate: float
    bits: float


def find(encoder, engine, tracks):
    """Finds what a library holds more than once.

    Args:
        encoder: `runtime.Encoder`, or what has its `hop_s` and `window_s`.
        engine: `search.ExactSearch`, or what has its `codes` and `starts`.
        tracks: list of (name, path), in the order of the engine's catalogue.

    Returns:
        Duplicates.

    Raises:
        A2VError: temporary files cannot be written, see `collisions.candidates`.
    """
    overlap = round(encoder.window_s / encoder.hop_s)
    found = [
        _excerpt(stretch, tracks, encoder)
        for stretch in stretches(engine.codes, engine.starts, overlap=overlap)
    ]
    found.sort(key=lambda each: (each.first, each.second, each.first_s, each.second_s))
    same = [(each.first, each.second) for each in found if each.kind == DUPLICATE]
    return Duplicates(groups(same), found)


def stretches(codes, starts, *, overlap):
    """Finds what tracks have in common.

    A stretch is accepted if `FALSE_ACCEPTS` as good ones, or fewer, are expected by chance among
    all pairs of windows that may begin it and all lengths. That is the tail of a binomial
    (Chernoff's bound), whose rate and degrees of freedom are those of the whole library's codes
    or, where that is less evidence, of the very two stretches, misaligned: tracks that sound alike
    throughout agree as much at all offsets, and are no duplicates. Music that repeats itself agrees
    with its copy at many offsets, too: where a stretch is most of a track, and at most half as
    many bits differ as do misaligned, the library's codes alone are asked.

    Args:
        codes: uint8 `[n, bytes]`, the hashes of all tracks, one track after the other.
        starts: int `[tracks + 1]`, where each track's begin.
        overlap: int, hops per window: from so many hops on, windows share no audio.

    Returns:
        list of Stretch. Of those of two tracks none lies more than half, in both of them, where
        another one of more gain does.
    """
    starts = np.asarray(starts, np.int64)
    telling = collisions.moving(codes, starts)
    count = int(telling.sum())
    if count < 2:
        return []
    chance = _chance(codes[telling], overlap)
    needed = math.log(count * count / 2 * int(np.diff(starts).max()) / FALSE_ACCEPTS)
    parts = [slice(begin, end) for begin, end in zip(starts[:-1], starts[1:], strict=True)]
    kept = []
    asked = collisions.candidates(codes, starts, telling, apart=APART * overlap)
    for first, second, offsets in asked:
        own, other = ((codes[parts[k]], telling[parts[k]]) for k in (first, second))
        found = [
            stretch
            for offset in offsets
            if (stretch := _verified(first, second, own, other, offset, chance, overlap))
            and stretch.evidence >= needed
        ]
        kept += _parted(found)
    return kept


def groups(pairs):
    """Joins pairs to groups (union-find).

    Args:
        pairs: iterable of (a, b).

    Returns:
        list of lists, sorted, as are their members; each of two or more, none in two groups.
    """
    parents = {}

    def root(member):
        parents.setdefault(member, member)
        while parents[member] != member:
            parents[member] = parents[parents[member]]
            member = parents[member]
        return member

    for a, b in pairs:
        parents[root(a)] = root(b)
    members = {}
    for member in parents:
        members.setdefault(root(member), []).append(member)
    return sorted(sorted(group) for group in members.values())


def _excerpt(stretch, tracks, encoder):
    last = stretch.windows - 1
    ranges = [
        (k * encoder.hop_s, (k + last) * encoder.hop_s + encoder.window_s) for k in stretch.begin
    ]
    names = [tracks[k][0] for k in (stretch.first, stretch.second)]
    return Excerpt(stretch.kind, *names, *ranges, stretch.bit_error_rate)


def _chance(codes, overlap):
    """Chance among telling windows; they overlap, so every `overlap`-th of their bits counts."""
    generator = np.random.default_rng(0)
    one, another = codes[generator.integers(len(codes), size=(2, _PAIRS))]
    n_bits = 8 * codes.shape[1]
    differing = hashing.hamming(one, another) + generator.uniform(-0.5, 0.5, _PAIRS)  # no ties
    rate, spread = _typical(differing / n_bits)
    return Chance(rate, min(n_bits, rate * (1 - rate) / spread**2) / overlap)


def _typical(values):
    """Median and, by medians, which forgive what is repeated, standard deviation: above 0."""
    middle = float(np.median(values))
    return middle, max(float(np.median(np.abs(values - middle))) / _MEDIAN_DEVIATION, 1e-6)


def _verified(first, second, own, other, offset, chance, overlap):
    """The best stretch at an offset: Stretch; `None` if too short. Own, other: (codes, telling)."""
    low, high = max(0, -offset), min(len(own[0]), len(other[0]) - offset)
    codes = own[0][low:high], other[0][low + offset : high + offset]
    counted = own[1][low:high] & other[1][low + offset : high + offset]
    n_bits = 8 * codes[0].shape[1]
    differing = hashing.hamming(*codes)
    gains = np.where(counted, LIMIT * chance.rate * n_bits - differing, 0.0)
    begin, end = _best(gains)
    counted = counted[begin:end]
    if counted.sum() < LEAST_LAGS + 2 * overlap - 1:
        return None
    places = low + begin, low + begin + offset
    shares = [
        telling[place : place + end - begin].sum() / telling.sum()
        for place, (_, telling) in zip(places, (own, other), strict=True)
    ]
    kind = REPEAT if first == second else _kind(shares)
    if kind == CONTAINED and shares[0] < shares[1]:
        first, second, places = second, first, places[::-1]
    rate = float(differing[begin:end][counted].mean() / n_bits)
    parts = (part[begin:end] for part in codes)
    evidence = _evidence(*parts, counted, chance, overlap, whole=kind in (DUPLICATE, CONTAINED))
    gain = float(gains[begin:end].sum())
    return Stretch(first, second, places, len(counted), rate, evidence, gain, kind)


def _kind(shares):
    if max(shares) < WHOLE:
        return SHARED
    return DUPLICATE if min(shares) >= SAME else CONTAINED


def _best(gains):
    """Where the part of the greatest sum begins and ends; at gains of 0 it does neither."""
    sums = np.concatenate([[0.0], np.cumsum(gains)])
    end = int(np.argmax(sums - np.minimum.accumulate(sums)))
    return end - int(np.argmin(sums[end::-1])), end


def _evidence(first, second, counted, chance, overlap, *, whole):
    """How far an alignment lies below chance: float, nats, see `Stretch`.

    Args:
        first, second: uint8 `[n, bytes]`; counted: bool `[n]`, one at least is true.
        chance: Chance; overlap: int, see `stretches`; whole: bool, whether these are most of a
            track.
    """
    n, n_bits = len(counted), 8 * first.shape[1]
    spectra = [np.fft.rfft(hashing.signs(c) * counted[:, None], axis=0) for c in (first, second)]
    agreeing = np.fft.irfft((spectra[0].conj() * spectra[1]).sum(axis=1), n)
    both = np.fft.irfft(np.abs(np.fft.rfft(counted.astype(float))) ** 2, n)
    rates = (1 - agreeing / (n_bits * np.maximum(both, 1))) / 2  # [n], at each misalignment
    others = np.arange(n)
    others = rates[(others >= overlap) & (others <= n - overlap) & (both >= both[0] / 2)]
    typical, spread = _typical(others) if len(others) >= LEAST_LAGS else (0.0, 1.0)
    rate, bits = min(chance.rate, typical), chance.bits * both[0]
    if whole and rates[0] <= CLEAR * typical:
        return float(bits * _divergence(float(rates[0]), chance.rate))
    bits = min(bits, rate * (1 - rate) / spread**2)
    return float(bits * _divergence(float(rates[0]), rate))


def _divergence(rate, chance):
    """Kullback-Leibler divergence of two rates in nats; 0 unless the first one is less."""
    if not 0 < chance < 1 or rate >= chance:
        return 0.0
    rate = max(rate, 0.0)
    fewer = rate * math.log(rate / chance) if rate > 0 else 0.0
    return fewer + (1 - rate) * math.log((1 - rate) / (1 - chance))


def _parted(found):
    """Those stretches of two tracks that do not lie, in both, where a better one does."""
    kept = []
    for stretch in sorted(found, key=lambda each: -each.gain):
        if not any(_overlap(stretch, other) for other in kept):
            kept.append(stretch)
    return kept


def _overlap(a, b):
    """Whether more than half of the shorter stretch lies in the other one, in both tracks."""
    # Of two tracks the one contained in the other comes first.
    begin = b.begin if a.first == b.first else b.begin[::-1]
    half = min(a.windows, b.windows) / 2
    return all(
        min(own + a.windows, other + b.windows) - max(own, other) > half
        for own, other in zip(a.begin, begin, strict=True)
    )
