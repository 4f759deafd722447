import numpy as np
import pytest

from a2v.audio import SAMPLE_RATE
from a2v.classics.haitsma_kalker import THRESHOLD, HaitsmaKalker
from a2v.classics.word_index import WordIndex
from a2v.corpora import synthetic
from a2v.errors import A2VError

HOP_S = 64 / 5512.5
SECONDS = 12.0


@pytest.fixture(scope="module")
def music():
    return {f"work {work}": synthetic.render(3, work, 0, seconds=SECONDS) for work in range(4)}


@pytest.fixture(scope="module")
def catalogue(music):
    return filled(music)


def filled(tracks, **settings):
    system = HaitsmaKalker(**settings)
    for track, waveform in tracks.items():
        system.add(track, waveform)
    return system


def excerpt(waveform, start_s, seconds):
    start = round(start_s * SAMPLE_RATE)
    return waveform[start : start + round(seconds * SAMPLE_RATE)]


def noisy(waveform, snr_db, seed=0):
    noise = np.random.default_rng(seed).standard_normal(len(waveform))
    power = np.mean(np.square(waveform)) * 10 ** (-snr_db / 10)
    return (waveform + np.sqrt(power) * noise).astype(np.float32)


def bits(waveform):
    """The bits of all words of a waveform: bool `[words, 32]`."""
    return HaitsmaKalker().changes(waveform)[0] > 0


@pytest.mark.parametrize("seconds", [0.5, 1.0, 3.0, 7.3])
def test_words_come_every_step_of_a_whole_frame(seconds):
    samples = round(seconds * SAMPLE_RATE)
    words = len(bits(np.random.default_rng(0).standard_normal(samples).astype(np.float32)))
    frames = 1 + (round(seconds * 5512.5) - 2048) // 64
    assert words == frames - 1


def test_three_seconds_of_words_make_the_block_of_the_paper():
    block_s = (2048 + 256 * 64) / 5512.5
    assert len(bits(np.ones(round(block_s * SAMPLE_RATE), np.float32))) == 256
    assert block_s == pytest.approx(3, abs=0.4)


def test_words_of_less_than_two_frames_are_none():
    least = int(np.ceil((2048 + 64) / 5512.5 * SAMPLE_RATE))
    waveform = np.random.default_rng(0).standard_normal(least).astype(np.float32)
    assert len(bits(waveform)) == 1
    for length in (0, 1, 100, least - 10):
        assert len(bits(waveform[:length])) == 0


def test_bands_are_those_of_their_tones():
    """A tone that swells lifts the bit of its band and lowers that of the band below."""
    edges_hz = np.geomspace(300, 2000, 34)
    seconds = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    for band in (0, 1, 16, 31, 32):
        tone_hz = np.sqrt(edges_hz[band] * edges_hz[band + 1])
        swelling = (0.3 * seconds * np.sin(2 * np.pi * tone_hz * seconds)).astype(np.float32)
        changes = HaitsmaKalker().changes(swelling)[0].mean(axis=0)
        if band < 32:
            assert changes.argmax() == band
        if band > 0:
            assert changes.argmin() == band - 1


def test_words_hold_the_signs_lowest_band_first():
    changes = -np.ones((3, 32), np.float32)
    changes[1, 0] = changes[2, 31] = changes[2, 30] = 1
    assert HaitsmaKalker().words(changes).tolist() == [0, 1 << 31, 3]


@pytest.mark.parametrize("gain_db", [-40, -20, -6.02, 12])
def test_level_changes_no_bit(music, gain_db):
    waveform = excerpt(music["work 1"], 2, 3)
    louder = waveform * np.float32(10 ** (gain_db / 20))
    np.testing.assert_array_equal(bits(waveform), bits(louder))


def test_bits_of_a_cut_are_those_of_the_whole(music):
    """A cut by whole steps changes only what the ends of the resampling filter reach."""
    steps = 320
    start = round(steps * HOP_S * SAMPLE_RATE)
    whole, cut = bits(music["work 0"]), bits(music["work 0"][start : start + 3 * SAMPLE_RATE])
    assert np.mean(whole[steps : steps + len(cut)] != cut) < 0.02


def test_bits_of_unrelated_music_agree_by_half(music):
    names = sorted(music)
    for one, other in zip(names, names[1:], strict=False):
        a, b = bits(music[one]), bits(music[other])
        n = min(len(a), len(b))
        assert np.mean(a[:n] != b[:n]) == pytest.approx(0.5, abs=0.05)


def test_bits_flip_more_the_louder_the_noise(music):
    for waveform in music.values():
        clean = bits(waveform)
        rates = [np.mean(clean != bits(noisy(waveform, db))) for db in (60, 40, 20, 10, 0, -10)]
        assert rates == sorted(rates)
        assert rates[0] < 0.06
        assert 0.2 < rates[-1] < 0.5


def test_bits_that_flip_are_the_weak_ones(music):
    changes = HaitsmaKalker().changes(music["work 2"])[0]
    flipped = (changes > 0) != bits(noisy(music["work 2"], 20))
    rank = np.abs(changes).argsort(axis=1).argsort(axis=1)
    assert flipped[rank < 10].mean() > 2 * flipped[rank >= 10].mean()


@pytest.mark.parametrize("weak_bits", [0, 1, 4, 10])
@pytest.mark.parametrize("n_bands", [33, 20])
def test_variants_are_all_near_words_and_all_of_the_weak_bits(n_bands, weak_bits):
    generator = np.random.default_rng(weak_bits)
    system = HaitsmaKalker(n_bands=n_bands, weak_bits=weak_bits)
    changes = generator.standard_normal((5, n_bands - 1)).astype(np.float32)
    words = system.words(changes)
    variants = system.variants(words, changes)
    for word, change, row in zip(words, changes, variants, strict=True):
        assert len(set(row.tolist())) == len(row) == 2**weak_bits + n_bands - 1 - weak_bits
        assert {int(word)} | {int(word) ^ 1 << bit for bit in range(n_bands - 1)} <= set(
            row.tolist()
        )
        weak = np.sort(np.abs(change))[:weak_bits]
        for flips in generator.random((20, n_bands - 1)) < 0.5:
            disturbed = np.where(flips & np.isin(np.abs(change), weak), -change, change)
            assert system.words(disturbed[None])[0] in row


def test_lookup_with_weak_bits_finds_more_under_noise(music):
    """Words of a noisy copy that are found in their own place."""
    clean, noise = music["work 0"], noisy(music["work 0"], 20)
    hits = []
    for weak_bits in (0, 5, 10):
        system = HaitsmaKalker(weak_bits=weak_bits)
        changes, _ = system.changes(noise)
        words = system.words(system.changes(clean)[0])
        index = WordIndex({"clean": (words, np.ones(len(words), bool))})
        variants = system.variants(system.words(changes), changes)
        rows, positions = index.lookup(variants, 10**6)
        hits.append(np.count_nonzero(rows == positions))
    assert 0 < hits[0] < hits[1] < hits[2]


def test_query_with_a_whole_track_gives_it_at_offset_zero(music, catalogue):
    for track, waveform in music.items():
        best = catalogue.query(waveform)[0]
        assert (best.track, best.offset_s, best.score) == (track, 0.0, 1.0)


@pytest.mark.parametrize("seconds", [1, 3, 5])
def test_query_shifted_by_seconds_is_found_as_much_later(music, catalogue, seconds):
    for track, waveform in music.items():
        for start_s in (1.0, 2.503, 4.006):
            best = catalogue.query(excerpt(waveform, start_s, seconds))[0]
            assert best.track == track
            assert best.offset_s == pytest.approx(start_s, abs=1.01 * HOP_S)
            assert best.score > 0.9


def test_query_under_noise_is_found(music, catalogue):
    for track, waveform in music.items():
        best = catalogue.query(noisy(excerpt(waveform, 3.003, 5), 10))[0]
        assert best.track == track
        assert best.offset_s == pytest.approx(3.003, abs=2 * HOP_S)
        assert best.score > 1 - THRESHOLD


def test_query_of_unknown_music_stays_below_the_threshold(catalogue):
    unknown = synthetic.render(3, 5, 0, seconds=6)
    answers = catalogue.query(excerpt(unknown, 1, 4))
    assert all(answer.score < 1 - THRESHOLD for answer in answers)


def test_query_that_begins_before_the_track_is_found_at_a_negative_offset(music, catalogue):
    lead = 0.01 * np.random.default_rng(3).standard_normal(SAMPLE_RATE).astype(np.float32)
    best = catalogue.query(np.concatenate([lead, music["work 2"][: 4 * SAMPLE_RATE]]))[0]
    assert best.track == "work 2"
    assert best.offset_s == pytest.approx(-1, abs=2 * HOP_S)


def test_query_ignores_its_silence(music, catalogue):
    silence = np.zeros(5 * SAMPLE_RATE, np.float32)
    part = excerpt(music["work 1"], 3, 3)
    alone, padded = catalogue.query(part)[0], catalogue.query(np.concatenate([silence, part]))[0]
    assert padded.track == "work 1"
    assert padded.offset_s == pytest.approx(alone.offset_s - 5, abs=1.01 * HOP_S)
    assert padded.score == pytest.approx(alone.score, abs=0.05)


def test_query_of_several_blocks_is_found_where_a_block_begins_it(music):
    answers = [filled(music, block=block).query(music["work 3"][5000:])[0] for block in (40, 256)]
    assert answers[0] == answers[1]


def test_answers_are_one_per_track_best_first_and_at_most_top(music):
    system = filled({f"{track} {i}": music[track] for track in music for i in range(4)})
    answers = system.query(excerpt(music["work 0"], 2, 6))
    assert 4 <= len(answers) <= 10
    assert len({answer.track for answer in answers}) == len(answers)
    assert [answer.score for answer in answers] == sorted((a.score for a in answers), reverse=True)
    assert [answer.track for answer in answers[:4]] == [f"work 0 {i}" for i in range(4)]


def test_order_of_adding_changes_nothing(music):
    """Not even between copies, which are all as near."""
    tracks = {name: music[name] for name in ("work 0", "work 1")}
    tracks |= {f"copy of {name}": waveform for name, waveform in tracks.items()}
    forwards, backwards = filled(tracks), filled(dict(reversed(tracks.items())))
    for waveform in music.values():
        query = noisy(excerpt(waveform, 2, 4), 0)
        assert forwards.query(query) == backwards.query(query)
    assert forwards.n_bytes == backwards.n_bytes


def test_same_query_gives_the_same_answers(music, catalogue):
    query = noisy(excerpt(music["work 1"], 2, 4), -3)
    assert catalogue.query(query) == catalogue.query(query) == filled(music).query(query)


def test_tracks_added_after_a_query_are_found(music):
    system = HaitsmaKalker()
    query = excerpt(music["work 1"], 2, 4)
    assert system.query(query) == []
    system.add("work 0", music["work 0"])
    assert all(answer.track == "work 0" for answer in system.query(query))
    system.add("work 1", music["work 1"])
    assert system.query(query)[0].track == "work 1"


@pytest.mark.parametrize("length", [0, 1, 300, 5000, 3 * SAMPLE_RATE])
def test_query_that_is_silent_or_short_gives_nothing(music, catalogue, length):
    assert catalogue.query(np.zeros(length, np.float32)) == []
    if length < SAMPLE_RATE:
        assert catalogue.query(music["work 0"][:length]) == []


def test_silence_in_the_catalogue_is_never_found(music):
    tracks = {"silent": np.zeros(2 * SAMPLE_RATE, np.float32), "short": np.ones(9, np.float32)}
    query = excerpt(music["work 0"], 2, 4)
    assert filled(tracks).query(query) == []
    assert filled(tracks | music).query(query) == filled(music).query(query)


def test_a_stationary_catalogue_does_not_swell_a_query():
    seconds = np.arange(10 * SAMPLE_RATE) / SAMPLE_RATE
    tone = sum(np.sin(2 * np.pi * hz * seconds) for hz in (330, 440, 660, 1320)) / 8
    system = filled({f"{i}": tone.astype(np.float32) for i in range(5)}, max_hits=2000)
    answers = system.query(tone[: 4 * SAMPLE_RATE].astype(np.float32))
    assert all(0 <= answer.score <= 1 for answer in answers)


def test_track_of_a_name_that_is_taken_is_an_error(music):
    system = filled({"one": music["work 0"]})
    with pytest.raises(A2VError, match="one: is in the catalogue"):
        system.add("one", music["work 1"])


@pytest.mark.parametrize(
    "settings",
    [
        {"n_bands": 34},
        {"n_bands": 1},
        {"high_hz": 3000.0},
        {"low_hz": 0.5},
        {"frame_length": 128},
        {"weak_bits": 33},
    ],
)
def test_settings_without_a_meaning_are_errors(settings):
    with pytest.raises(A2VError, match=r"n_bands|bands from|weak_bits"):
        HaitsmaKalker(**settings)


def test_bytes_grow_with_the_words(music):
    alone = {track: filled({track: waveform}).n_bytes for track, waveform in music.items()}
    both = filled(music)
    assert both.n_bytes == sum(alone.values())
    both.query(music["work 0"][: 3 * SAMPLE_RATE])
    assert both.n_bytes == sum(alone.values())
    assert alone["work 0"] <= 12 * len(bits(music["work 0"]))
    assert HaitsmaKalker().n_bytes == 0
