import sqlite3
import zlib
from types import SimpleNamespace

import numpy as np
import pytest

from a2v import entries, hashing, sketches, store
from a2v.listening import Heard

HOP_S, N_BITS = 0.25, 128
ENCODER = SimpleNamespace(hop_s=HOP_S, n_bits=N_BITS)


@pytest.fixture
def connection():
    opened = sqlite3.connect(":memory:", isolation_level=None)
    opened.executescript(store._TABLES)
    yield opened
    opened.close()


def seconds(windows):
    return 1 + HOP_S * (windows - 1)


def insert(connection, name, codes):
    data = codes.tobytes()
    entry = entries.Entry(name, name, seconds(len(codes)), len(codes), name)
    entries.insert(connection, entries.Row(entry, 0, zlib.crc32(data), data), N_BITS // 8)


def embedded(generator, windows):
    return generator.standard_normal((windows, N_BITS))


def coded(embedding):
    return hashing.pack(hashing.binarize(embedding))


def heard(embedding, starts=None, *, audible=True):
    """What would be kept of a recording, with excerpts of 21 windows."""
    starts = (0, (len(embedding) - 21) // 2, len(embedding) - 21) if starts is None else starts
    excerpts = []
    for start in starts:
        part = embedding[start : start + 21]
        prints = [(0.0, coded(part), hashing.reliability(part) * np.uint8(audible))]
        excerpts.append((HOP_S * start, prints))
    return Heard(seconds(len(embedding)), coded(embedding), 0, excerpts)


@pytest.mark.parametrize("width", [4, 8, 16, 24, 32])
def test_a_quarter_of_a_word_is_sampled_for_each_hash_of_any_width(width):
    codes = np.random.default_rng(width).integers(0, 256, (8000, width), np.uint8)
    words, positions = sketches.sketch(codes)
    assert 1800 < len(words) < 2200
    assert (np.diff(words) > 0).all() and 0 <= positions.min() and positions.max() < 8000


def test_the_sketch_of_a_part_is_a_part_of_the_sketch():
    codes = np.random.default_rng(1).integers(0, 256, (400, 16), np.uint8)
    whole = dict(zip(*sketches.sketch(codes), strict=True))
    part = dict(zip(*sketches.sketch(codes[100:300]), strict=True))
    assert part
    assert part == {word: at - 100 for word, at in whole.items() if 100 <= at < 300}


@pytest.mark.parametrize("width", [3, 5, 18])
def test_widths_that_are_no_whole_words_are_sampled_too(width):
    codes = np.random.default_rng(width).integers(0, 256, (2000, width), np.uint8)
    words, _ = sketches.sketch(codes)
    assert 200 < len(words) < 700


def test_a_word_that_comes_again_is_kept_where_it_comes_first():
    codes = np.random.default_rng(2).integers(0, 256, (300, 16), np.uint8)
    once, twice = sketches.sketch(codes), sketches.sketch(np.concatenate([codes, codes]))
    assert all((a == b).all() for a, b in zip(once, twice, strict=True))


def test_what_is_deleted_leaves_nothing_and_spares_the_others(connection):
    generator = np.random.default_rng(3)
    for name in "abc":
        insert(connection, name, coded(embedded(generator, 100)))
    others = connection.execute("SELECT * FROM sketches WHERE track != 2").fetchall()
    assert entries.delete(connection, "b", N_BITS // 8)
    assert connection.execute("SELECT * FROM sketches").fetchall() == others
    assert not entries.delete(connection, "b", N_BITS // 8)


def test_the_sketch_of_damaged_hashes_is_deleted_as_well(connection):
    insert(connection, "a", coded(embedded(np.random.default_rng(4), 100)))
    connection.execute("UPDATE hashes SET codes = zeroblob(length(codes))")
    assert entries.delete(connection, "a", N_BITS // 8)
    assert connection.execute("SELECT count(*) FROM sketches").fetchone() == (0,)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("noise", "first", "last"), [(0, 0, 400), (0.3, 0, 400), (0.3, 80, 320)])
def test_a_noisy_trimmed_copy_is_found_where_it_belongs(connection, seed, noise, first, last):
    generator = np.random.default_rng(seed)
    tracks = [embedded(generator, 400) for _ in range(20)]
    for number, track in enumerate(tracks):
        insert(connection, f"t{number}", coded(track))
    part = tracks[7][first:last]
    copy = part + noise * generator.standard_normal(part.shape)
    found = sketches.find(connection, ENCODER, heard(copy))
    assert (found.track, found.offset_s, found.begin_s) == ("t7", HOP_S * first, HOP_S * first)
    assert found.end_s == pytest.approx(HOP_S * first + seconds(last - first))
    assert found.bit_error_rate == 0 if noise == 0 else 0 < found.bit_error_rate < 0.05


def test_strangers_silence_and_an_empty_library_are_no_copies(connection):
    generator = np.random.default_rng(5)
    track = embedded(generator, 400)
    assert sketches.find(connection, ENCODER, heard(track)) is None
    insert(connection, "t", coded(track))
    assert sketches.find(connection, ENCODER, heard(embedded(generator, 400))) is None
    assert sketches.find(connection, ENCODER, heard(track, audible=False)) is None
    assert sketches.find(connection, ENCODER, heard(track)).track == "t"


def test_half_of_a_recording_has_to_lie_in_one_track(connection):
    generator = np.random.default_rng(6)
    track, other = embedded(generator, 400), embedded(generator, 600)
    insert(connection, "t", coded(track))
    mix = np.concatenate([other[:300], track[:200]])
    assert sketches.find(connection, ENCODER, heard(mix, starts=(0, 320, 470))) is None
    mostly = np.concatenate([other[:100], track[:300]])
    found = sketches.find(connection, ENCODER, heard(mostly, starts=(0, 190, 370)))
    assert (found.track, found.offset_s, found.begin_s) == ("t", -25.0, 0.0)
    mostly = np.concatenate([other[:100], track, other[100:150]])
    found = sketches.find(connection, ENCODER, heard(mostly, starts=(0, 240, 450)))
    assert (found.begin_s, found.end_s) == (0.0, seconds(400))


def test_of_two_copies_the_nearer_one_is_named(connection):
    generator = np.random.default_rng(7)
    track = embedded(generator, 300)
    insert(connection, "far", coded(track + 0.3 * generator.standard_normal(track.shape)))
    insert(connection, "near", coded(track))
    assert sketches.find(connection, ENCODER, heard(track)).track == "near"


def test_finding_takes_as_many_steps_however_many_tracks_there_are(connection):
    generator = np.random.default_rng(8)
    jingle, own = embedded(generator, 60), embedded(generator, 60)
    asked = heard(np.concatenate([jingle, own]))
    steps, taken = [0], []

    def count():
        steps[0] += 1

    inserted = 0
    for total in (100, 1600):
        for number in range(inserted, total):
            # All have the jingle, so each of its words leads to all of them.
            rest = embedded(generator, 20)
            insert(connection, f"{number}", coded(np.concatenate([jingle, rest])))
        inserted = total
        steps[0] = 0
        connection.set_progress_handler(count, 1)
        sketches.find(connection, ENCODER, asked)
        connection.set_progress_handler(None, 1)
        taken.append(steps[0])
    assert taken[0] > 100
    assert taken[1] < 1.2 * taken[0]
