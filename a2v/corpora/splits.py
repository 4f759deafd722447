"""Which tracks train, which tune, which test: by work, so that no cover of a known work is new."""

import hashlib
import os
from dataclasses import replace

from a2v.errors import A2VError

SPLITS = ("train", "tune", "test")
FRACTIONS = (0.8, 0.1, 0.1)


def assign(tracks, fractions=FRACTIONS):
    """Gives each track without a split that of its work, by a hash of the work's name.

    Args:
        tracks: list of Track.
        fractions: 3 floats, the shares of `SPLITS` in the works that name none.

    Returns:
        list of Track in the same order, each with a split. With three works or more, each split
        of a fraction above 0 gets one at least. A work of which some tracks name a split stays in
        the first of these.

    Raises:
        A2VError: a track names another split, or the fractions do not add up to 1.
    """
    if len(fractions) != 3 or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise A2VError(
            f"splits {tuple(fractions)}: give fractions of {', '.join(SPLITS)} that add up to 1"
        )
    split_of = {}
    for track in tracks:
        if track.split and track.split not in SPLITS:
            raise A2VError(f"{track.track}: split {track.split!r}; use {', '.join(SPLITS)} or none")
        if track.split:
            split_of.setdefault(track.work, track.split)
    works = {track.work for track in tracks} - split_of.keys()
    works = sorted(works, key=lambda work: hashlib.sha256(os.fsencode(work)).digest())
    wanted = [round(len(works) * fraction) for fraction in fractions]
    if len(works) >= 3:
        wanted = [max(1, n) if f else 0 for n, f in zip(wanted, fractions, strict=True)]
        while fractions[0] and wanted[1] + wanted[2] >= len(works):
            wanted[1 if wanted[1] > wanted[2] else 2] -= 1
    held = wanted[1] + wanted[2] if fractions[0] else len(works)
    split_of |= dict.fromkeys(works[: wanted[1]], "tune")
    split_of |= dict.fromkeys(works[wanted[1] : held], "test")
    split_of |= dict.fromkeys(works[held:], "train")
    return [
        track if track.split else replace(track, split=split_of[track.work]) for track in tracks
    ]
