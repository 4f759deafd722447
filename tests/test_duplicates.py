import os
from itertools import combinations
from math import comb

import numpy as np
import pytest
import soundfile

from a2v import audio, collisions, corpora, duplicates, hashing, resources, runtime
from a2v.errors import A2VError
from a2v.library import Library

OVERLAP = 4


def codes(n, seed, width=16):
    return np.random.default_rng(seed).integers(0, 256, (n, width), np.uint8)


def flipped(own, share, seed=99):
    """The same codes, this share of their bits turned."""
    turned = np.random.default_rng(seed).random((len(own), 8 * own.shape[1])) < share
    return hashing.pack(hashing.unpack(own) ^ turned)


def found(*tracks):
    starts = np.cumsum([0, *map(len, tracks)])
    return duplicates.stretches(np.concatenate(tracks), starts, overlap=OVERLAP)


def strangers(count, n=90, first_seed=1000):
    return [codes(n, first_seed + k) for k in range(count)]


def told(stretch):
    return stretch.kind, stretch.first, stretch.second, stretch.begin, stretch.windows


@pytest.mark.parametrize("share", [0.0, 0.1, 0.2])
def test_a_trimmed_copy_is_a_duplicate_over_all_of_it(share):
    own = codes(120, 0)
    (stretch,) = found(*strangers(5), own, flipped(own, share)[15:110])
    assert told(stretch) == ("duplicate", 5, 6, (15, 0), 95)
    assert stretch.bit_error_rate == pytest.approx(share, abs=0.02)


def test_the_bit_error_rate_is_that_of_the_stretch():
    own = codes(100, 0)
    copy = flipped(own, 0.15)
    (stretch,) = found(own, copy, *strangers(3))
    assert stretch.bit_error_rate == pytest.approx(hashing.hamming(own, copy).mean() / 128)


def test_unrelated_tracks_share_nothing():
    assert found(*strangers(12)) == []


def test_bits_that_are_mostly_alike_in_all_tracks_are_no_likeness():
    generator = np.random.default_rng(0)
    biased = [hashing.pack(generator.random((120, 128)) < 0.85) for _ in range(10)]
    assert found(*biased) == []
    (stretch,) = found(*biased, flipped(biased[3], 0.02))
    assert told(stretch) == ("duplicate", 3, 10, (0, 0), 120)


def test_tracks_that_sound_alike_throughout_share_nothing():
    tone = codes(1, 0)
    alike = [flipped(np.repeat(tone, 120, axis=0), 0.15, seed) for seed in (1, 2)]
    rate = hashing.hamming(*alike).mean() / 128
    assert rate < 0.28  # a copy as bad as this is found
    own = codes(120, 3)
    copy = flipped(own, rate)
    (stretch,) = found(*alike, own, copy, *strangers(8))
    assert told(stretch)[:3] == ("duplicate", 2, 3)


def test_a_track_within_another_is_contained():
    parts = [codes(60, seed) for seed in range(3)]
    mix = np.concatenate([flipped(part, 0.05) for part in parts])
    stretches = found(mix, *parts, *strangers(2))
    assert sorted(map(told, stretches)) == [
        ("contained", 1 + k, 0, (0, 60 * k), 60) for k in range(3)
    ]


def test_a_passage_in_two_tracks_is_shared_wherever_it_is():
    loop = codes(40, 0)
    one = np.concatenate([codes(50, 1), loop, codes(60, 2)])
    two = np.concatenate([codes(20, 3), flipped(loop, 0.05), codes(90, 4), flipped(loop, 0.04, 5)])
    stretches = found(one, two)
    across = [told(stretch) for stretch in stretches if stretch.first != stretch.second]
    assert sorted(across) == [("shared", 0, 1, (50, 20), 40), ("shared", 0, 1, (50, 150), 40)]
    within = [told(stretch) for stretch in stretches if stretch.first == stretch.second]
    assert within == [("repeat", 1, 1, (20, 150), 40)]


def test_copies_of_a_track_that_is_one_loop_are_duplicates_and_not_just_repeats():
    looped = np.tile(codes(16, 0), (10, 1))
    own, copy = (flipped(looped, 0.03, seed) for seed in (1, 2))
    stretches = found(own, copy, *strangers(4, n=160))
    assert [told(s) for s in stretches if s.first != s.second] == [("duplicate", 0, 1, (0, 0), 160)]
    assert {s.kind for s in stretches if s.first == s.second} == {"repeat"}


def periodic(n, seed):
    """Codes of music that repeats itself in several periods: they agree at many offsets."""
    generator = np.random.default_rng(seed)
    turns = np.arange(n)[:, None] / np.array([5.0, 8.0, 32.0])
    vectors = generator.normal(size=(2, 3, 128))
    waves = np.cos(2 * np.pi * turns) @ vectors[0] + np.sin(2 * np.pi * turns) @ vectors[1]
    return hashing.pack(waves > 0)


def test_a_copy_of_music_that_repeats_itself_is_a_duplicate():
    own, other = (flipped(periodic(700, seed), 0.02, seed) for seed in (3, 4))
    copy = flipped(own, 0.15)[30:]
    together = [s for s in found(own, copy, other, *strangers(8)) if s.first != s.second]
    assert [told(s) for s in together] == [("duplicate", 0, 1, (30, 0), 670)]


def test_silence_around_a_track_changes_neither_its_kind_nor_its_range():
    silence = np.zeros((30, 16), np.uint8)
    own = codes(100, 0)
    around = np.concatenate([silence, flipped(own, 0.05), silence])
    (stretch,) = found(own, around, *strangers(2))
    assert told(stretch) == ("duplicate", 0, 1, (0, 30), 100)


def test_silence_and_tones_are_no_likeness():
    still = np.zeros((50, 16), np.uint8)
    assert found(*(np.concatenate([still, own, still + 7]) for own in strangers(4))) == []
    assert found(still, still) == []


@pytest.mark.parametrize("tracks", [[], [codes(1, 0)], [codes(1, 0), codes(1, 1)]])
def test_libraries_with_next_to_nothing_share_nothing(tracks):
    starts = np.cumsum([0, *map(len, tracks)])
    all_codes = np.concatenate([np.zeros((0, 16), np.uint8), *tracks])
    assert duplicates.stretches(all_codes, starts, overlap=OVERLAP) == []


def test_order_of_tracks_changes_nothing_but_their_numbers():
    own = codes(120, 0)
    tracks = [
        own,
        *strangers(3),
        flipped(own, 0.1)[20:],
        np.concatenate([codes(70, 7), own[40:80]]),
    ]
    order = np.array([4, 2, 0, 5, 1, 3])

    def sides(stretch, names):
        pair = zip((stretch.first, stretch.second), stretch.begin, strict=True)
        return stretch.kind, stretch.windows, sorted((int(names[k]), at) for k, at in pair)

    before = sorted(sides(stretch, np.arange(6)) for stretch in found(*tracks))
    after = sorted(sides(stretch, order) for stretch in found(*(tracks[k] for k in order)))
    assert before == after and len(before) == 3


def test_many_copies_make_one_group():
    own = codes(80, 0)
    copies = [flipped(own, 0.05, seed) for seed in range(30)]
    stretches = found(*copies, *strangers(3))
    assert duplicates.groups((s.first, s.second) for s in stretches) == [list(range(30))]


def test_evidence_grows_with_length_and_falls_with_errors():
    own = codes(400, 0)
    others = strangers(6)

    def evidence(n, share):
        (stretch,) = found(own[:n], flipped(own[:n], share), *others)
        return stretch.evidence

    assert evidence(40, 0.1) < evidence(80, 0.1) < evidence(160, 0.1)
    assert evidence(80, 0.2) < evidence(80, 0.1) < evidence(80, 0.0)


def test_the_bound_on_chance_is_that_of_a_binomial():
    """Chernoff: of so many fair bits, the share that differs is as low at most this often."""
    drawn = np.random.default_rng(0).binomial(64, 0.5, 200_000) / 64
    for rate in (0.3, 0.35, 0.4):
        bound = np.exp(-64 * duplicates._divergence(rate, 0.5))
        assert (drawn <= rate).mean() <= bound < 1
    assert duplicates._divergence(0.5, 0.5) == duplicates._divergence(0.6, 0.5) == 0


def test_groups_are_the_connected_parts():
    pairs = [("b", "a"), ("x", "y"), ("c", "b"), ("e", "d"), ("d", "c"), ("x", "x")]
    assert duplicates.groups(pairs) == [["a", "b", "c", "d", "e"], ["x", "y"]]
    assert duplicates.groups([]) == []


def test_moving_windows_are_those_that_differ_from_the_one_before(monkeypatch):
    monkeypatch.setattr(collisions, "_CHUNK", 3)
    own = codes(6, 0)[[0, 1, 1, 1, 2, 2, 3, 3, 4, 5]]
    starts = np.array([0, 7, 10])
    expected = [True, True, False, False, True, False, True, True, True, True]
    np.testing.assert_array_equal(collisions.moving(own, starts), expected)
    nearly = own.copy()
    nearly[3] ^= 1  # of each byte one bit, 16 of 128
    np.testing.assert_array_equal(np.flatnonzero(~collisions.moving(nearly, starts)), [2, 5])


@pytest.mark.parametrize("chunk", [1, 100])
def test_candidates_are_the_same_in_however_many_files_votes_wait(chunk, monkeypatch):
    own = codes(120, 5)
    tracks = [codes(80, 6), own, flipped(own[20:], 0.05), codes(90, 7), own[:70]]
    starts = np.cumsum([0, *map(len, tracks)])
    given = np.concatenate(tracks), starts, np.ones(starts[-1], bool)
    expected = list(collisions.candidates(*given, apart=16))
    assert {(first, second): offsets[0] for first, second, offsets in expected} == {
        (1, 2): -20,
        (1, 4): 0,
        (2, 4): 20,
    }
    monkeypatch.setattr(collisions, "_CHUNK", chunk)
    assert list(collisions.candidates(*given, apart=16)) == expected


@pytest.mark.parametrize("chunk", [1, 1000])
def test_a_lone_track_repeats_itself(chunk, monkeypatch):
    monkeypatch.setattr(collisions, "_CHUNK", chunk)
    own = codes(120, 5)
    given = np.concatenate([own, own]), np.array([0, 240]), np.ones(240, bool)
    ((first, second, offsets),) = collisions.candidates(*given, apart=16)
    assert (first, second, offsets[0]) == (0, 0, 120)


def test_candidates_need_a_place_for_votes(monkeypatch, tmp_path):
    own = codes(9000, 0)
    given = np.concatenate([own, own]), np.array([0, 9000, 18000]), np.ones(18000, bool)
    monkeypatch.setattr(collisions.tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(A2VError, match="temporary files .*none.*TMPDIR"):
        list(collisions.candidates(*given, apart=4))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full is of Linux")
def test_a_full_disk_is_an_error_of_its_own(monkeypatch):
    own = codes(9000, 0)
    given = np.concatenate([own, own]), np.array([0, 9000, 18000]), np.ones(18000, bool)
    monkeypatch.setattr(collisions.tempfile, "TemporaryFile", lambda: open("/dev/full", "r+b"))
    with pytest.raises(A2VError, match="temporary files .*No space left"):
        list(collisions.candidates(*given, apart=4))


def test_colliding_keys_are_those_that_are_equal():
    keys = np.array([5, 3, 5, 9, 3, 5])
    pairs = set(zip(*map(np.ndarray.tolist, collisions.colliding(keys)), strict=True))
    assert pairs == {(0, 2), (2, 5), (0, 5), (1, 4)}
    assert not len(collisions.colliding(np.arange(10))[0])
    assert len(collisions.colliding(np.zeros(1000, int))[0]) < collisions.CROWD * 1000


def test_pairs_that_are_compared_grow_with_the_library_and_not_with_its_square():
    def pairs(n):
        drawn = codes(n, 0, width=4)
        width = int(np.log2(n))
        bits = next(iter(collisions._samples(32, width)))
        return len(collisions.colliding(collisions._sampled(drawn, np.arange(n), bits))[0])

    assert pairs(1 << 19) < 1.5 * 4 * pairs(1 << 17)


def test_copies_are_found_of_codes_with_few_bits_set():
    generator = np.random.default_rng(0)

    def sparse(n):  # 20 of 1000 bits, a quarter of them others in the next window
        bits = np.zeros((n, 1000), np.uint8)
        held = generator.choice(1000, 20, replace=False)
        for row in bits:
            held[generator.integers(20, size=5)] = generator.integers(1000, size=5)
            row[held] = 1
        return np.packbits(bits, axis=1)

    own = sparse(120)
    tracks = [sparse(100), own, sparse(140), own[30:]]
    starts = np.cumsum([0, *map(len, tracks)])
    found = duplicates.stretches(np.concatenate(tracks), starts, overlap=4)
    assert [(each.first, each.second, each.begin) for each in found] == [(1, 3, (30, 0))]
    assert found[0].kind == duplicates.DUPLICATE


def test_windows_within_few_bits_collide_in_a_sample():
    own = codes(200, 0)
    near = own.copy()
    generator = np.random.default_rng(1)
    for code in near:  # seven bits: one of eight disjoint samples of 16 is left as it was
        for bit in generator.choice(128, 7, replace=False):
            code[bit // 8] ^= 1 << bit % 8
    samples = collisions._samples(128, 16)
    windows = np.arange(200)
    met = np.zeros(200, bool)
    for _ in range(8):
        bits = next(samples)
        met |= collisions._sampled(own, windows, bits) == collisions._sampled(near, windows, bits)
    assert met.all()


@pytest.fixture(scope="module")
def library(melody, write_wav, encoder_path, tmp_path_factory):
    """Four tunes; copies of one, softer, trimmed, with silence around; an excerpt of another."""
    folder = tmp_path_factory.mktemp("doubles")
    tunes = {f"{seed}.wav": melody(seed, 20) for seed in range(4)}
    silence = np.zeros(5 * 16000, np.float32)
    tunes["0 softer.wav"] = 0.3 * tunes["0.wav"]
    tunes["0 trimmed.wav"] = tunes["0.wav"][2 * 16000 : 18 * 16000]
    tunes["0 around.wav"] = np.concatenate([silence, tunes["0.wav"], silence])
    tunes["1 excerpt.wav"] = tunes["1.wav"][6 * 16000 : 15 * 16000]
    with Library.create(folder / "l.a2v", encoder_path) as made:
        for name, tune in tunes.items():
            made.add(write_wav(folder / name, tune), copies="allow")
        yield made


def test_copies_of_a_recording_make_a_group_with_their_times(library):
    answer = library.duplicates()
    assert answer.groups == [["0 around.wav", "0 softer.wav", "0 trimmed.wav", "0.wav"]]
    pairs = {(each.first, each.second): each for each in answer.excerpts}
    trimmed = pairs["0 trimmed.wav", "0.wav"]
    assert trimmed.kind == "duplicate"
    assert trimmed.first_s == pytest.approx((0, 16), abs=0.5)
    assert trimmed.second_s == pytest.approx((2, 18), abs=0.5)
    around = pairs["0 around.wav", "0 softer.wav"]
    assert around.first_s == pytest.approx((5, 25), abs=1.25)
    assert around.second_s == pytest.approx((0, 20), abs=1.25)


def test_an_excerpt_is_contained_where_it_was_taken_from(library):
    excerpts = library.duplicates().excerpts
    (contained,) = [each for each in excerpts if "1.wav" in (each.first, each.second)]
    assert (contained.kind, contained.first) == ("contained", "1 excerpt.wav")
    assert contained.second_s == pytest.approx((6, 15), abs=0.5)
    assert 0 <= contained.bit_error_rate < 0.05


def test_an_empty_library_holds_no_duplicates(encoder_path, tmp_path):
    with Library.create(tmp_path / "l.a2v", encoder_path) as made:
        assert made.duplicates() == duplicates.Duplicates([], [])


@pytest.mark.slow
def test_copies_of_recordings_are_told_from_other_recordings(recordings):
    pytest.importorskip("keras")
    from a2v.benchmarking import duplicates as measured

    encoder = runtime.Encoder(resources.saved_model(resources.DEFAULT_MODEL))
    works, made = [], []
    for k, track in enumerate(corpora.tracks([recordings / "music.csv"])[::6]):
        heard = audio.load(track.path, downmix=encoder.downmix)[: 60 * encoder.sample_rate]
        if len(heard) < 10 * encoder.sample_rate or not encoder.audible(heard).any():
            continue
        sounds = measured.copies(heard, np.random.default_rng(k))
        own = {name: encoder.hash(sound) for name, sound in sounds.items()}
        made.append((own, encoder.audible(heard)))
        works.append(track.work)
    (row,) = measured.reported(encoder, made)
    paired = [pair for group in row["groups"] for pair in combinations(group, 2)]
    right = sum(a[0] == b[0] for a, b in paired)
    wrong = [(a, b) for a, b in paired if works[a[0]] != works[b[0]]]
    assert len(made) > 30
    assert right >= 0.99 * comb(1 + len(measured.COPIES), 2) * len(made)
    assert len(wrong) <= 0.01 * len(paired), wrong


@pytest.mark.slow
def test_excerpts_of_recordings_are_contained_where_they_were_taken_from(recordings, tmp_path):
    encoder = runtime.Encoder(resources.saved_model(resources.DEFAULT_MODEL))
    tracks = [t for t in corpora.tracks([recordings / "music.csv"]) if t.split == "test"]
    taken = {}
    model = resources.saved_model(resources.DEFAULT_MODEL)
    with Library.create(tmp_path / "l.a2v", model) as made:
        for k, track in enumerate(tracks[::2]):
            heard = audio.load(track.path, downmix=encoder.downmix)
            begin = int(0.3 * len(heard)) + 1234
            cut = heard[begin : begin + 20 * encoder.sample_rate]
            if len(heard) < 60 * encoder.sample_rate or not encoder.audible(cut).all():
                continue
            excerpt = tmp_path / f"{k}.wav"
            soundfile.write(excerpt, cut, encoder.sample_rate)
            made.add(track.path, name=track.track)
            made.add(excerpt, copies="allow")
            taken[excerpt.name] = track.track, begin / encoder.sample_rate
        answer = made.duplicates()
    # Music that repeats itself has an excerpt in several places, or hides it.
    placed = set()
    for each in answer.excerpts:
        track, begin_s = taken.get(each.first, ("", 0.0))
        if each.second == track and abs(each.second_s[0] - begin_s) < 1.0:
            assert each.kind == "contained"
            assert each.second_s[1] == pytest.approx(begin_s + 20, abs=1.0)
            placed.add(each.first)
    assert len(taken) >= 10 and len(placed) >= 0.9 * len(taken)
