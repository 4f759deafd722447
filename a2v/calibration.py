"""Learns from real queries what a match's score is worth."""

import math
from typing import NamedTuple

import numpy as np

from a2v import chance, matching
from a2v.search import ExactSearch

LENGTHS_S = (1.0, 2.0, 3.0, 5.0, 10.0)
TRACKS = (12, 45)
SNRS_DB = (None, 10.0, 0.0)
# Out of so many queries one is asked of a catalogue that holds its track, too.
KNOWN_OF = 4
# A reported offset this close to the truth counts as right: two hops at either side.
TOLERANCE_S = 0.5


def calibrate(encoder, waveforms, *, others=(), queries=3000, seed=0):
    """Asks with excerpts of recordings that are, and of others that are not, in a catalogue.

    The catalogue is made of some of the recordings, as many as `TRACKS` says, or of all; that of
    an excerpt is left out, or for some queries is not. Excerpts are clean or under pink noise,
    start off the grid, and are as long as `LENGTHS_S` says. How long one was heard includes its
    overhang, as in `matching.match`.

    Args:
        encoder: `runtime.Encoder`.
        waveforms: list of float32 `[n]`, at least two recordings, none of which the model was
            trained on, no two of one work.
        others: list of float32 `[n]`, recordings that the catalogue holds besides.
        queries: int, how many whose track is not in the catalogue, about.
        seed: int.

    Returns:
        dict with `lengths_s`, `tracks`, `location`, `scale` (see `chance.false_accepts`),
        `slope`, `intercept` (see `chance.probability`), `queries` (those that were counted),
        `right` (top answers that were); or `None` if there is too little to tell.
    """
    generator = np.random.default_rng(seed)
    asked = list(_asked(encoder, waveforms, others, queries, generator))
    # What is right elsewhere in its track is mostly a passage that repeats: neither one nor other.
    asked = [answer for answer in asked if answer.right is not None]
    fitted = _tails([answer for answer in asked if not answer.known])
    if fitted is None or len({answer.right for answer in asked}) < 2:
        return None
    rates = [chance.false_accepts(*answer[:3], fitted) for answer in asked]
    right = [answer.right for answer in asked]
    counts = {"queries": len(asked), "right": int(np.sum(right))}
    return fitted | chance.fit_probability(rates, right) | counts


class _Answer(NamedTuple):
    score: float
    length_s: float
    tracks: int
    right: bool | None
    known: bool
    recording: int


def _asked(encoder, waveforms, others, queries, generator):
    """Yields an _Answer for each query."""
    codes = [encoder.hash(waveform) for waveform in [*waveforms, *others]]
    each = -(-queries // (len(waveforms) * len(SNRS_DB) * len(LENGTHS_S)))
    hop = round(encoder.hop_s * encoder.sample_rate)
    for own, waveform in enumerate(waveforms):
        rest = generator.permutation([k for k in range(len(codes)) if k != own])
        sizes = sorted({min(size, len(rest)) for size in TRACKS} | {len(rest)})
        unknown = [catalogue({k: codes[k] for k in rest[:size]}) for size in sizes]
        known = [catalogue({k: codes[k] for k in [*rest[1:size], own]}) for size in sizes]
        for snr_db in SNRS_DB:
            shift = int(generator.integers(min(hop, len(waveform) // 2)))
            noisy = with_noise(waveform[shift:], snr_db, generator)
            for length_s in LENGTHS_S:
                length = round(length_s * encoder.sample_rate)
                heard_s = length_s + 2 * encoder.overhang_s
                last = encoder.windows(len(noisy)) - encoder.windows(length)
                for number in range(each if length <= len(noisy) else 0):
                    first, size = int(generator.integers(last + 1)), number % len(sizes)
                    clip = noisy[first * hop : first * hop + length]
                    prints = encoder.fingerprint(clip, phases=chance.PHASES)
                    # None in the catalogue, so no answer is right.
                    if found := matching.ask(encoder, *unknown[size], prints, top=1):
                        yield _Answer(found[0].score, heard_s, sizes[size], False, False, own)
                    if number % KNOWN_OF == 0 and (
                        found := matching.ask(encoder, *known[size], prints, top=1)
                    ):
                        right = _judged(found[0], own, (first * hop + shift) / encoder.sample_rate)
                        yield _Answer(found[0].score, heard_s, sizes[size], right, True, own)


def catalogue(members):
    """Makes a catalogue of some recordings.

    Args:
        members: dict of number to hashes, uint8 `[n, bytes]`.

    Returns:
        (engine, tracks), as `matching.ask` takes them, the tracks named by their numbers; `None`
        where there are none.
    """
    if not members:
        return None
    starts = np.cumsum([0, *map(len, members.values())])
    engine = ExactSearch(np.concatenate(list(members.values())), starts)
    return engine, [(str(number), "") for number in members]


def _judged(best, own, start_s):
    """Whether an answer is right; `None` if it is the right track elsewhere."""
    if best.track != str(own):
        return False
    return True if abs(best.offset_s - start_s) <= TOLERANCE_S else None


def _tails(answers):
    """Fits the distribution of the scores of chance: dict, see `chance.false_accepts`.

    Tails of each clip length and number of tracks, then planes over the logarithms of both; `None`
    where there are too few answers. A few recordings tell little of how often others are met by
    chance, and more false accepts than are stated are worse than fewer: the scale is widened until
    the score that is exceeded as often as `chance.MAX_FALSE_ACCEPTS` lies a standard error higher,
    at all lengths and numbers of tracks on average.

    Reference: B. Efron, "The jackknife, the bootstrap and other resampling plans", 1982.
    """
    keys, planes = _planes(answers)
    if not keys:
        return None
    places = np.array([[1.0, *np.log(key)] for key in keys])
    recordings = sorted({answer.recording for answer in answers})
    without = [_planes([a for a in answers if a.recording != each])[1] for each in recordings]
    if len(recordings) > 1:
        without = [planes if each is None else each for each in without]
        reach = -math.log(-math.log1p(-chance.MAX_FALSE_ACCEPTS))
        scores = np.stack([places @ each @ [1.0, reach] for each in without])
        error = np.sqrt((len(scores) - 1) * np.var(scores, axis=0))
        planes[0, 1] += np.mean(error) / reach
    ends = {
        name: [min(values), max(values)]
        for name, values in zip(("lengths_s", "tracks"), zip(*keys, strict=True), strict=True)
    }
    location, scale = np.round(planes.T, 4).tolist()
    return ends | {"location": location, "scale": scale}


def _planes(answers):
    """Those (length, tracks) of enough answers, and their tails' location and scale.

    Returns:
        (list of (float, int), float64 `[3, 2]`, over (1, log length, log tracks)); ([], `None`)
        where there are too few.
    """
    groups = {}
    for answer in answers:
        groups.setdefault((answer.length_s, answer.tracks), []).append(answer.score)
    groups = {key: scores for key, scores in groups.items() if len(set(scores)) >= 2}
    if not groups:
        return [], None
    places = np.array([[1.0, *np.log(key)] for key in groups])
    counts = np.sqrt([len(scores) for scores in groups.values()])[:, None]
    tails = np.array([chance.fit_tail(scores) for scores in groups.values()])
    planes, *_ = np.linalg.lstsq(places * counts, tails * counts, rcond=None)
    # Where few queries tilt a plane too far, what all have on average is better.
    if (places @ planes)[:, 1].min() < tails[:, 1].min() / 2:
        planes = np.array([tails.mean(axis=0), [0.0, 0.0], [0.0, 0.0]])
    return sorted(groups), planes


def with_noise(waveform, snr_db, generator):
    """Adds pink noise to float32 `[n]` at `snr_db`, dB; nothing where it is `None`."""
    if snr_db is None or not np.any(waveform):
        return waveform
    bins = len(waveform) // 2 + 1
    spectrum = generator.standard_normal((bins, 2)) @ [1, 1j] / np.sqrt(np.arange(1, bins + 1))
    noise = np.fft.irfft(spectrum, len(waveform))
    power = np.mean(np.square(waveform)) / np.mean(np.square(noise)) * 10 ** (-snr_db / 10)
    return (waveform + np.sqrt(power) * noise).astype(np.float32)
