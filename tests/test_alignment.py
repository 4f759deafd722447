import time

import numpy as np
import pytest

from a2v import alignment, hashing

PAPER = {"m": 10, "tau": 1}


def loops(recurrent, onset, extension):
    """Qmax as it is written down, one pair after the other."""
    n, width = recurrent.shape
    values = {}

    def q(i, j):
        return values.get((i, j), 0.0)

    def disrupted(i, j):
        inside = i >= 0 and j >= 0
        return q(i, j) - (onset if inside and recurrent[i, j] else extension)

    for i in range(n):
        for j in range(width):
            before = [(i - 1, j - 1), (i - 2, j - 1), (i - 1, j - 2)]
            if recurrent[i, j]:
                values[i, j] = max(q(*pair) for pair in before) + 1
            else:
                values[i, j] = max(0.0, *(disrupted(*pair) for pair in before))
    return max(values.values(), default=0.0)


def codes(n, seed=0, width=16):
    return np.random.default_rng(seed).integers(0, 256, (n, width), np.uint8)


def melody(n, seed=0):
    """Chroma that changes as music does: a chord for some frames, then the next; float [n, 12]."""
    generator = np.random.default_rng(seed)
    chords = generator.gamma(0.5, size=(n, 12))
    frames = np.repeat(chords, generator.integers(1, 6, n), axis=0)[:n]
    return (frames + generator.uniform(0, 0.1, frames.shape)).astype(np.float32)


def resampled(frames, ratio):
    """The same frames, played `ratio` times as fast: the nearest frame at each new time."""
    places = np.arange(0, len(frames) - 0.5, ratio)
    return frames[np.round(places).astype(int).clip(max=len(frames) - 1)]


def test_cross_similarity_of_codes_tells_their_hamming_distance():
    a, b = codes(30, 0), codes(20, 1)
    share = hashing.hamming(a[:, None], b[None]) / 128
    np.testing.assert_allclose(alignment.cross_similarity(a, b), 1 - 2 * share, atol=1e-6)


@pytest.mark.parametrize("made", [codes, melody])
def test_cross_similarity_embeds_as_stacked_frames_do(made):
    a, b, m, tau = made(30, 0), made(24, 1), 4, 3

    def stacked(frames):
        last = len(frames) - (m - 1) * tau
        return np.concatenate([frames[k * tau : k * tau + last] for k in range(m)], axis=1)

    expected = alignment.cross_similarity(stacked(a), stacked(b))
    got = alignment.cross_similarity(a, b, m=m, tau=tau)
    assert got.shape == (21, 15)
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_cross_similarity_of_silent_frames_is_none():
    a = np.zeros((3, 12), np.float32)
    assert (alignment.cross_similarity(a, melody(5)) == 0).all()


def test_cross_similarity_refuses_what_cannot_be_compared():
    with pytest.raises(ValueError, match="12 features a frame and 24"):
        alignment.cross_similarity(melody(9), np.ones((9, 24)))
    with pytest.raises(ValueError, match="m = 0, tau = 1"):
        alignment.cross_similarity(melody(9), melody(9), m=0)


@pytest.mark.parametrize("kappa", [0.05, 0.1, 0.5, 1.0])
def test_recurrence_is_of_mutual_neighbours(kappa):
    similarity = np.random.default_rng(0).normal(size=(40, 60)).astype(np.float32)
    recurrent = alignment.recurrence(similarity, kappa=kappa)
    rank_in_row = (-similarity).argsort(axis=1).argsort(axis=1)
    rank_in_column = (-similarity).argsort(axis=0).argsort(axis=0)
    expected = (rank_in_row < round(60 * kappa)) & (rank_in_column < round(40 * kappa))
    np.testing.assert_array_equal(recurrent, expected)


@pytest.mark.parametrize("kappa", [0, -0.1, 1.5])
def test_recurrence_refuses_a_share_that_is_none(kappa):
    with pytest.raises(ValueError, match=f"kappa = {kappa}"):
        alignment.recurrence(np.zeros((4, 4)), kappa=kappa)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 9), (17, 31), (40, 40)])
@pytest.mark.parametrize(("onset", "extension"), [(0.5, 0.5), (5.0, 0.5), (0.25, 2.0), (0, 0)])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.8])
def test_qmax_is_that_of_plain_loops(shape, onset, extension, share):
    for seed in range(3):
        recurrent = np.random.default_rng(seed).random(shape) < share
        found = alignment.qmax(recurrent, onset=onset, extension=extension)
        assert found.score == loops(recurrent, onset, extension)


def test_qmax_is_the_same_from_either_side():
    for seed in range(20):
        recurrent = np.random.default_rng(seed).random((30, 50)) < 0.15
        assert alignment.qmax(recurrent).score == alignment.qmax(recurrent.T).score > 0


def test_qmax_tells_where_the_trace_runs():
    recurrent = np.zeros((50, 60), bool)
    recurrent[np.arange(10, 30), np.arange(25, 45)] = True
    recurrent[17, 32] = False  # a disruption of one frame
    recurrent[3, 50] = True  # by chance
    found = alignment.qmax(recurrent)
    assert (found.first, found.last) == ((10, 25), (29, 44))
    assert found.score == 19 - 0.5


@pytest.mark.parametrize("seed", range(20))
def test_qmax_is_that_of_the_stretches_it_names(seed):
    recurrent = np.random.default_rng(seed).random((40, 60)) < 0.1
    found = alignment.qmax(recurrent, onset=1.0)
    (i, j), (to_i, to_j) = found.first, found.last
    assert recurrent[found.first] and recurrent[found.last]
    stretch = recurrent[i : to_i + 1, j : to_j + 1]
    assert alignment.qmax(stretch, onset=1.0).score == found.score


def test_qmax_follows_other_tempos():
    recurrent = np.zeros((40, 40), bool)
    recurrent[np.arange(20), 2 * np.arange(20)] = True  # twice as fast
    for plot, last in ((recurrent, (19, 38)), (recurrent.T, (38, 19))):
        assert alignment.qmax(plot) == alignment.Alignment(20.0, (0, 0), last)
    recurrent[:] = False
    recurrent[3 * np.arange(13), np.arange(13)] = True  # three times as slow is too much
    assert alignment.qmax(recurrent).score < 3


def test_qmax_of_nothing_is_nothing():
    for shape in [(0, 0), (0, 5), (5, 0), (6, 7)]:
        found = alignment.qmax(np.zeros(shape, bool))
        assert (found.score, found.first, found.last) == (0.0, None, None)


def test_qmax_refuses_negative_penalties():
    with pytest.raises(ValueError, match="onset = -1"):
        alignment.qmax(np.ones((3, 3), bool), onset=-1)


def test_qmax_of_a_minute_takes_milliseconds():
    recurrent = np.random.default_rng(0).random((240, 240)) < 0.05
    times = []
    for _ in range(7):
        began = time.perf_counter()
        alignment.qmax(recurrent)
        times.append(time.perf_counter() - began)
    # About 4 ms; plain loops take 200.
    assert min(times) < 0.03


@pytest.mark.parametrize("made", [codes, melody])
@pytest.mark.parametrize("options", [{}, PAPER, {"m": 10, "tau": 2}])
def test_a_track_aligned_with_itself_gives_the_whole_diagonal(made, options):
    frames = made(120)
    found = alignment.align(frames, frames, **options)
    rows = 120 - (options.get("m", 1) - 1) * options.get("tau", 1)
    assert found.score == rows
    assert (found.first, found.last) == ((0, 0), (rows - 1, rows - 1))


def test_an_excerpt_is_found_where_it_was_cut():
    track = codes(200)
    found = alignment.align(track[60:130], track)
    assert (found.first, found.last, found.score) == ((0, 60), (69, 129), 70)


@pytest.mark.parametrize("semitones", range(12))
def test_align_finds_the_transposition(semitones):
    frames = melody(100)
    moved = alignment.transpose(frames, -semitones)
    found = alignment.align(frames, moved, transposable=True, **PAPER)
    assert (found.transposition, found.score) == (semitones, 91)


@pytest.mark.parametrize("semitones", range(12))
def test_align_finds_the_transposition_of_codes(semitones):
    own = codes(90)  # balanced bits: only their order in time tells the key
    moved = alignment.transpose(own, -semitones)
    found = alignment.align(own, moved, transposable=True)
    assert (found.transposition, found.score) == (semitones, 90)


def test_transpose_rolls_groups_and_leaves_the_rest():
    bits = np.random.default_rng(0).random((5, 128)) < 0.5
    moved = hashing.unpack(alignment.transpose(hashing.pack(bits), 2))
    for pitch in range(12):
        up = (pitch + 2) % 12
        np.testing.assert_array_equal(
            moved[:, 10 * up : 10 * up + 10], bits[:, 10 * pitch : 10 * pitch + 10]
        )
    np.testing.assert_array_equal(moved[:, 120:], bits[:, 120:])


@pytest.mark.parametrize("made", [codes, melody])
def test_transpose_adds_up_to_an_octave(made):
    frames = made(7)
    there = alignment.transpose(frames, 5)
    assert not np.array_equal(there, frames)
    np.testing.assert_array_equal(alignment.transpose(there, 7), frames)


@pytest.mark.parametrize("made", [codes, melody])
def test_transpositions_come_best_first(made):
    own = made(60)
    moved = alignment.transpose(made(60)[10:], -5)
    ranked = alignment.transpositions(own, moved, m=3, tau=2)
    assert ranked[0] == 5
    assert sorted(ranked) == list(range(12))
    back = alignment.transpositions(moved, own, m=3, tau=2)
    assert [-key % 12 for key in back] == ranked


@pytest.mark.parametrize("ratio", [0.85, 1.15])
@pytest.mark.parametrize("seed", range(3))
def test_another_tempo_scores_far_above_other_music(ratio, seed):
    own = melody(120, seed)
    played = resampled(own, ratio)
    others = [
        alignment.align(own, melody(len(played), 100 + other), **PAPER).score for other in range(10)
    ]
    assert alignment.align(own, played, **PAPER).score > 1.5 * max(others)


def test_another_tempo_of_codes_scores_far_above_other_codes():
    own = codes(160)
    for ratio in (0.85, 1.15):
        played = resampled(own, ratio)
        others = [alignment.align(own, codes(len(played), seed)).score for seed in range(1, 11)]
        assert alignment.align(own, played).score > 3 * max(others)


def test_align_is_the_same_from_either_side():
    a, b = codes(70, 0), np.concatenate([codes(40, 1), codes(70, 0)[10:50]])
    there = alignment.align(a, b, transposable=True, m=3, tau=2)
    back = alignment.align(b, a, transposable=True, m=3, tau=2)
    assert there.score == back.score > 30
    assert there.transposition == back.transposition == 0
    assert (there.first, there.last) == (back.first[::-1], back.last[::-1])


@pytest.mark.parametrize("lengths", [(0, 50), (50, 0), (0, 0), (9, 50), (50, 9)])
@pytest.mark.parametrize("made", [codes, melody])
def test_what_is_too_short_to_embed_scores_nothing(lengths, made):
    a, b = (made(50)[:n] for n in lengths)
    found = alignment.align(a, b, transposable=True, **PAPER)
    assert (found.score, found.first, found.transposition) == (0.0, None, 0)
