import numpy as np

from a2v.classics.haitsma_kalker import HaitsmaKalker
from a2v.classics.word_index import WordIndex


def words_of(generator, n):
    return generator.integers(0, 1 << 32, n, dtype=np.uint32)


def index_of(*tracks):
    return WordIndex(
        {f"{i:03d}": (words, np.ones(len(words), bool)) for i, words in enumerate(tracks)}
    )


def test_lookup_equals_brute_force():
    generator = np.random.default_rng(0)
    catalogue = generator.integers(0, 50, 400, dtype=np.uint32)
    wanted = generator.integers(0, 60, (7, 5), dtype=np.uint32)
    rows, positions = index_of(catalogue).lookup(wanted, 10**6)
    expected = [(r, p) for r in range(7) for w in wanted[r] for p in np.flatnonzero(catalogue == w)]
    assert sorted(zip(rows.tolist(), positions.tolist(), strict=True)) == sorted(expected)


def test_lookup_passes_over_the_most_common_words():
    catalogue = np.repeat(np.arange(10, dtype=np.uint32), np.arange(1, 11))
    wanted = np.arange(10, dtype=np.uint32)[:, None]
    rows, _ = index_of(catalogue).lookup(wanted, 12)
    assert sorted(rows.tolist()) == [0, 1, 1, 2, 2, 2, 3, 3, 3, 3]


def test_lookup_with_flips_finds_what_exact_words_miss():
    """Of words with one flipped bit each, no one is found as it stands, and every one flipped."""
    generator = np.random.default_rng(1)
    catalogue = np.unique(words_of(generator, 5000))
    places = generator.permutation(5000)[:200]
    heard = catalogue[places] ^ np.uint32(1) << generator.integers(0, 32, 200, dtype=np.uint32)
    index, system = index_of(catalogue), HaitsmaKalker(weak_bits=0)
    changes = generator.standard_normal((200, 32)).astype(np.float32)
    exact, _ = index.lookup(heard[:, None], 10**6)
    rows, positions = index.lookup(system.variants(heard, changes), 10**6)
    assert len(exact) == 0
    assert set(zip(range(200), places.tolist(), strict=True)) <= set(
        zip(rows.tolist(), positions.tolist(), strict=True)
    )


def test_alignments_count_by_track_and_offset():
    index = index_of(np.zeros(10, np.uint32), np.zeros(0, np.uint32), np.zeros(20, np.uint32))
    frames = np.array([3, 4, 5, 0, 9, 2])
    positions = np.array([13, 14, 15, 9, 5, 12])
    tracks, offsets = index.alignments(frames, positions, 10, 3)
    # Three hits on track 2 and offset 0, then of one hit each the first by track and offset.
    assert tracks.tolist() == [2, 0, 0]
    assert offsets.tolist() == [0, -4, 9]
    assert len(index.alignments(frames, positions, 10, 2)[0]) == 2


def test_errors_equal_brute_force():
    generator = np.random.default_rng(2)
    contents = [words_of(generator, n) for n in (30, 7, 50)]
    words = words_of(generator, 12)
    frames = np.array([0, 1, 2, 5, 6, 11])
    tracks, offsets = np.divmod(np.arange(3 * 80), 80)
    offsets -= 20
    rates = index_of(*contents).errors(words, frames, tracks, offsets, 32)
    for track, offset, rate in zip(tracks, offsets, rates, strict=True):
        wrong = 0
        for frame in frames:
            inside = 0 <= offset + frame < len(contents[track])
            there = int(contents[track][offset + frame]) if inside else 0
            wrong += (there ^ int(words[frame])).bit_count() if inside else 16
        assert rate == wrong / (32 * len(frames))
