"""Sketches: a sample of every track's hashes, by which a recording that is there already is found.

A hash is cut into words of 32 bits. Of all the words there could be, a pseudo-random share is
sampled, the same ones in every track, a quarter of a word for each hash on average; where each
comes first in a track is kept in an index. A copy (encoded again, trimmed, of another gain) shares
many of its words with the original, each of which one look-up finds, whatever number of tracks
there is. What several of them agree on, a track and an offset, is then decided by comparing
excerpts bit by bit.

Recordings of a few seconds have few words: of those below about 5 s a copy may go unnoticed.

References: U. Manber, "Finding similar files in a large file system", USENIX Winter 1994 (sampling
by value); Q. Lv et al., "Multi-probe LSH", VLDB 2007 (probing what the surest neighbours would be).
"""

from dataclasses import dataclass

import numpy as np

from a2v import hashing
from a2v.chance import PHASES

_WORD = 32
# One word in so many is sampled, for each word that a hash has.
_SAMPLE = 4
# So many of the least sure bits of a query's word are tried both ways.
_DOUBTFUL = 5
# A word that many tracks have tells little, and reading all of them would take as long as they are.
_POSTINGS = 16
_CANDIDATES = 20
# Weighted bit error rate up to which an excerpt is taken to be a copy. Unrelated music lies far
# above it, a copy at a low bit rate and half a phase beside its original below. Of bits of which
# few are set less is enough: as much less as two such hashes differ in less by chance.
_COPY_RATE = 0.12


@dataclass(frozen=True)
class Copy:
    """The track that a recording is a copy of.

    Attributes:
        track: str, its name.
        offset_s: float, s, where in the track the recording begins; negative if before it.
        begin_s, end_s: float, s, the stretch of the track that they have in common.
        bit_error_rate: float, weighted, of the excerpts that agree.
    """

    track: str
    offset_s: float
    begin_s: float
    end_s: float
    bit_error_rate: float


def sketch(codes):
    """Samples the words of a track.

    Args:
        codes: uint8 `[n, bytes]`.

    Returns:
        (int64 `[k]`, int64 `[k]`): sampled words, ascending, and the window where each comes
        first.
    """
    mixed = _mixed(_words(codes))  # [n, words]
    kept = _sampled(mixed)
    words, first = np.unique(mixed[kept], return_index=True)
    return words.astype(np.int64), np.nonzero(kept)[0][first]


def insert(connection, track, codes):
    """Keeps the sketch of a track, inside of a transaction.

    Args:
        connection: sqlite3.Connection.
        track: int, its number.
        codes: uint8 `[n, bytes]`.
    """
    words, positions = sketch(codes)
    # A row that is there can only be left from a track that was damaged.
    connection.executemany(
        "INSERT OR REPLACE INTO sketches VALUES (?, ?, ?)",
        ((word, track, at) for word, at in zip(words.tolist(), positions.tolist(), strict=True)),
    )


def delete(connection, track, codes):
    """Drops the sketch of a track, inside of a transaction.

    Args:
        connection: sqlite3.Connection.
        track: int, its number.
        codes: uint8 `[n, bytes]`, those it was inserted with; `None` where they are damaged, then
            all sketches have to be read.
    """
    if codes is None:
        connection.execute("DELETE FROM sketches WHERE track = ?", (track,))
        return
    connection.executemany(
        "DELETE FROM sketches WHERE word = ? AND track = ?",
        ((word, track) for word in sketch(codes)[0].tolist()),
    )


def find(connection, encoder, heard):
    """Finds the track that a recording is a copy of: at least half of it lies in that track.

    Args:
        connection: sqlite3.Connection.
        encoder: `runtime.Encoder` of all hashes.
        heard: `listening.Heard`, with excerpts.

    Returns:
        Copy, of several the one of the lowest bit error rate; `None` if there is none.
    """
    found, tracks = [], {}
    for track, offset_s in _candidates(connection, encoder.hop_s, heard):
        if track not in tracks:
            tracks[track] = _track(connection, track, encoder.n_bits // 8)
        if tracks[track] is None:
            continue
        name, seconds, codes, limit = tracks[track]
        rate = _agreement(heard, codes, offset_s, encoder.hop_s, limit)
        begin_s, end_s = max(0.0, offset_s), min(seconds, offset_s + heard.seconds)
        if rate is not None and 2 * (end_s - begin_s) >= heard.seconds:
            found.append(Copy(name, offset_s, begin_s, end_s, rate))
    return min(found, key=lambda copy: (copy.bit_error_rate, copy.track), default=None)


def _candidates(connection, hop_s, heard):
    """Tracks and offsets that most words agree on: list of (track, offset_s), likeliest first."""
    step_s = hop_s / PHASES
    votes = {}
    words, times_s = _probes(heard, hop_s)
    for word, time_s in zip(words.tolist(), times_s.tolist(), strict=True):
        rows = connection.execute(
            "SELECT track, position FROM sketches WHERE word = ? LIMIT ?", (word, _POSTINGS)
        ).fetchall()
        for track, position in rows:
            place = (track, round((position * hop_s - time_s) / step_s))
            votes[place] = votes.get(place, 0.0) + 1 / len(rows)
    likeliest = sorted(votes, key=lambda place: (-votes[place], place))[:_CANDIDATES]
    return [(track, steps * step_s) for track, steps in likeliest]


def _probes(heard, hop_s):
    """Words to look up and when each is heard: int64 `[k]` and float64 `[k]`, s.

    All of the recording's own, and those of its excerpts from several beginnings on, each with its
    least sure bits both ways.
    """
    words, positions = sketch(heard.codes)
    probes, times_s = [words], [hop_s * positions]
    for start_s, prints in heard.excerpts:
        for phase_s, codes, weights in prints:
            mixed = _mixed(_doubted(_words(codes), weights))  # [n, words, variants]
            kept = _sampled(mixed) & weights.any(axis=1)[:, None, None]
            probes.append(mixed[kept].astype(np.int64))
            times_s.append(start_s + phase_s + hop_s * np.nonzero(kept)[0])
    return np.concatenate(probes), np.concatenate(times_s)


def _agreement(heard, codes, offset_s, hop_s, limit):
    """Mean bit error rate of the excerpts that agree with a track, `None` if fewer than half do.

    An excerpt agrees up to the rate `limit`.
    """
    rates = [_rate(prints, codes, start_s + offset_s, hop_s) for start_s, prints in heard.excerpts]
    audible = [rate for rate in rates if rate is not None]
    agreeing = [rate for rate in audible if rate <= limit]
    if not agreeing or 2 * len(agreeing) < len(audible):
        return None
    return float(np.mean(agreeing))


def _rate(prints, codes, begin_s, hop_s):
    """An excerpt's lowest bit error rate over its phases, where it begins at `begin_s` in a track.

    `None` if nothing in it is audible, 0.5 if less than half of it lies in the track.
    """
    rates = []
    for phase_s, own, weights in prints:
        if not weights.any():
            continue
        position = round((begin_s + phase_s) / hop_s)
        first, last = max(0, -position), min(len(own), len(codes) - position)
        if 2 * (last - first) < len(own) or not weights[first:last].any():
            rates.append(0.5)
            continue
        differing = hashing.unpack(own[first:last] ^ codes[position + first : position + last])
        covered = weights[first:last].astype(np.float64)
        rates.append(float((differing * covered).sum() / covered.sum()))
    return min(rates, default=None)


def _track(connection, track, width):
    """Name, seconds, codes of a track, and the rate up to which an excerpt is taken for a copy.

    `None` where it is gone or damaged.
    """
    row = connection.execute(
        "SELECT name, seconds, codes FROM tracks JOIN hashes ON track = id WHERE id = ?", (track,)
    ).fetchone()
    if row is None or len(row[2]) % width:
        return None
    codes = np.frombuffer(row[2], np.uint8).reshape(-1, width)
    ones = hashing.unpack(codes).mean()
    return row[0], row[1], codes, _COPY_RATE * 4 * ones * (1 - ones)


def _words(codes):
    """Cuts hashes into words: uint32 `[n, words]`, the last filled up with zeros."""
    n, width = codes.shape
    filled = np.zeros((n, -(-width // 4) * 4), np.uint8)
    filled[:, :width] = codes
    return filled.view(">u4").astype(np.uint32)


def _doubted(words, weights):
    """Words with their least sure bits both ways: uint32 `[n, words, variants]`."""
    n, count = words.shape
    sure = np.full((n, _WORD * count), np.iinfo(weights.dtype).max, weights.dtype)
    sure[:, : weights.shape[1]] = weights
    order = np.argsort(sure.reshape(n, count, _WORD), axis=-1, kind="stable")[..., :_DOUBTFUL]
    masks = np.uint32(1) << (_WORD - 1 - order).astype(np.uint32)  # [n, words, doubtful]
    flips = (np.arange(2**_DOUBTFUL)[:, None] >> np.arange(_DOUBTFUL) & 1).astype(np.uint32)
    turned = (masks[:, :, None, :] * flips).sum(axis=-1, dtype=np.uint32)
    return words[:, :, None] ^ turned


def _mixed(words):
    """Scatters words, those of each place in a hash in their own way.

    Args:
        words: uint32 `[n, words, ...]`.

    Returns:
        uint32 of the same shape; different words of one place stay different.

    Reference: A. Appleby, MurmurHash3, 2011 (the 32-bit finaliser).
    """
    place = np.arange(words.shape[1], dtype=np.uint32) * np.uint32(0x9E3779B9)
    x = words ^ place.reshape(1, -1, *[1] * (words.ndim - 2))
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return x ^ (x >> np.uint32(16))


def _sampled(mixed):
    """Which words are sampled: bool of the same shape, so that hashes of any width have as many."""
    return mixed % np.uint32(_SAMPLE * mixed.shape[1]) == 0
