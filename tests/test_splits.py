import random
from collections import Counter

import pytest

from a2v.corpora import Track
from a2v.corpora.splits import SPLITS, assign
from a2v.errors import A2VError


def tracks(works, covers=3):
    return [
        Track(f"{w}-{c}.wav", f"{w}-{c}", work=f"work {w}")
        for w in range(works)
        for c in range(covers)
    ]


def splits_of(tracks):
    return {track.track: track.split for track in tracks}


def test_works_are_never_divided():
    for works in range(1, 40):
        split_of = {}
        for track in assign(tracks(works)):
            assert split_of.setdefault(track.work, track.split) == track.split


@pytest.mark.parametrize("fractions", [(0.8, 0.1, 0.1), (0.01, 0.98, 0.01), (0.4, 0.3, 0.3)])
def test_every_split_gets_a_work(fractions):
    for works in range(3, 30):
        assert set(splits_of(assign(tracks(works), fractions)).values()) == set(SPLITS)


def test_fractions_are_kept():
    many = tracks(500, covers=1)
    count = Counter(splits_of(assign(many, (0.7, 0.2, 0.1))).values())
    assert count == {"train": 350, "tune": 100, "test": 50}
    for split, fractions in zip(SPLITS, ((1, 0, 0), (0, 1, 0), (0, 0, 1)), strict=True):
        assert set(splits_of(assign(many, fractions)).values()) == {split}
    assert Counter(splits_of(assign(many, (0, 0.5, 0.5))).values()) == {"tune": 250, "test": 250}


def test_few_works_all_train():
    assert set(splits_of(assign(tracks(2))).values()) == {"train"}


def test_order_does_not_matter():
    some = tracks(20)
    expected = splits_of(assign(some))
    random.Random(0).shuffle(some)
    shuffled = assign(some)
    assert splits_of(shuffled) == expected
    assert [t.track for t in shuffled] == [t.track for t in some]


def test_a_given_split_is_kept_and_holds_for_its_work():
    some = tracks(10)
    some[0] = Track("0-0.wav", "0-0", work="work 0", split="test")
    split_of = splits_of(assign(some, (1, 0, 0)))
    assert [split_of[f"0-{c}"] for c in range(3)] == ["test"] * 3
    assert Counter(split_of.values()) == {"test": 3, "train": 27}


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.8, 0.1, 0.2), (1.2, -0.1, -0.1)])
def test_fractions_that_are_none_are_refused(fractions):
    with pytest.raises(A2VError, match="give fractions of train, tune, test that add up to 1"):
        assign(tracks(3), fractions)


def test_unknown_split_is_refused():
    with pytest.raises(A2VError, match="a: split 'training'; use train, tune, test or none"):
        assign([Track("a.wav", "a", split="training")])
