import numpy as np
import pytest

from a2v import audio, hashing, resources, similar
from a2v.errors import A2VError
from a2v.library import Library

SECONDS = {"a.wav": 12, "b.wav": 12, "c.wav": 12}


@pytest.fixture(scope="module")
def library(melody, write_wav, encoder_path, tmp_path_factory):
    """Three tunes, a softer copy of one, and one that begins with a part of it."""
    folder = tmp_path_factory.mktemp("alike")
    tunes = {name: melody(k, 12) for k, name in enumerate(SECONDS)}
    tunes["a softer.wav"] = 0.4 * tunes["a.wav"]
    tunes["a then.wav"] = np.concatenate([tunes["a.wav"][: 8 * 16000], melody(9, 14)])
    with Library.create(folder / "l.a2v", encoder_path) as made:
        for name, tune in tunes.items():
            made.add(write_wav(folder / name, tune), copies="allow")
        yield made


def test_the_track_itself_comes_first_and_its_copy_next(library):
    itself, copy, *others = library.similar("a.wav")
    assert (itself.track, itself.relation, itself.similarity) == ("a.wav", "itself", 1.0)
    assert (copy.track, copy.relation) == ("a softer.wav", "duplicate")
    assert copy.similarity > 0.99
    assert itself.path.endswith("a.wav") and len(others) == 3


def test_what_has_audio_in_common_is_marked_and_nothing_else(library):
    relations = {each.track: each.relation for each in library.similar("a.wav")}
    assert relations.pop("a then.wav") == "shared"
    assert (relations.pop("b.wav"), relations.pop("c.wav")) == (None, None)
    assert {each.relation for each in library.similar("b.wav")} == {"itself", None}


def test_similarity_falls_along_the_list_and_is_mutual(library):
    found = {name: library.similar(name) for name in SECONDS}
    for name, neighbours in found.items():
        values = [each.similarity for each in neighbours]
        assert values == sorted(values, reverse=True) and min(values) >= -1
        for each in neighbours:
            back = {b.track: b.similarity for b in found.get(each.track, [])}
            assert back.get(name, each.similarity) == pytest.approx(each.similarity, abs=1e-6)


@pytest.mark.parametrize("top", [1, 2, 3, 10])
def test_top_counts_the_others(library, top):
    assert len(library.similar("a.wav", top=top)) == 1 + min(top, 4)
    assert library.similar("a.wav", top=top) == library.similar("a.wav")[: 1 + top]


def test_wrong_questions_are_refused(library):
    with pytest.raises(A2VError, match="no track 'x.wav' among the 5 of the library"):
        library.similar("x.wav")
    with pytest.raises(A2VError, match="top 0: ask for 1 or more"):
        library.similar("a.wav", top=0)


def test_silence_within_a_track_is_left_out(library, melody, write_wav, tmp_path):
    tune = melody(0, 12)
    padded = write_wav(tmp_path / "padded.wav", np.concatenate([tune, np.zeros(20 * 16000)]))
    encoder = library.encoder
    codes = [encoder.hash(waveform) for waveform in (tune, audio.load(padded))]
    heard = [similar.sounding(encoder, own) for own in codes]
    assert heard[0].all() and 40 < heard[1].sum() < 60
    one, other = (similar.vector(*pair) for pair in zip(codes, heard, strict=True))
    assert one @ other > 0.9
    codes[1][~heard[1]] = 0x5A
    np.testing.assert_array_equal(similar.vector(codes[1], heard[1]), other)
    assert one @ similar.vector(codes[1], np.ones(len(codes[1]), bool)) < one @ other


def test_words_of_audio_tell_tunes_apart(melody, write_wav, tmp_path):
    model = resources.saved_model("audio_words")
    with Library.create(tmp_path / "words.a2v", model) as words:
        for k in range(3):
            words.add(write_wav(tmp_path / f"{k}.wav", melody(k, 12)))
        words.add(write_wav(tmp_path / "again.wav", 0.5 * melody(1, 12)[4000:]), copies="allow")
        itself, near, *others = words.similar("1.wav")
    assert (itself.track, near.track) == ("1.wav", "again.wav")
    assert near.similarity > 0.9 > max(each.similarity for each in others)


def test_vectors_are_of_length_one_and_blind_to_order():
    codes = np.random.default_rng(0).integers(0, 256, (31, 8), np.uint8)
    audible = np.arange(31) % 3 > 0
    own = similar.vector(codes, audible)
    assert np.linalg.norm(own) == pytest.approx(1)
    other = similar.vector(codes[:9], np.ones(9, bool))
    shares = [hashing.unpack(some).mean(axis=0) for some in (codes[audible], codes[:9])]
    assert own @ other == pytest.approx(np.corrcoef(*shares)[0, 1], abs=1e-5)
    np.testing.assert_allclose(similar.vector(codes[::-1], audible[::-1]), own, atol=1e-6)
    np.testing.assert_allclose(similar.vector(~codes, audible), -own, atol=1e-6)
    silent = similar.vector(codes, np.zeros(31, bool))
    np.testing.assert_array_equal(silent, similar.vector(codes, np.ones(31, bool)))


def test_the_centre_of_opposites_is_nowhere():
    np.testing.assert_array_equal(similar.centre(np.array([[1.0, -1.0], [-1.0, 1.0]])), [0, 0])
    np.testing.assert_allclose(similar.centre(np.array([[3.0, 0.0], [3.0, 8.0]])), [0.6, 0.8])
