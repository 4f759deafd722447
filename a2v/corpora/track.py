"""The unit of every corpus: a recording and what is known about it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Track:
    """A recording in a corpus.

    Args:
        path: str, its file.
        track: str, its name, unique in the corpus.
        work: str, the composition it is a rendering of; by default its own name.
        artist: str, who plays; "" = unknown.
        genre: str; "" = unknown.
        split: str, "train", "tune" or "test"; "" = not yet decided.
    """

    path: str
    track: str
    work: str = ""
    artist: str = ""
    genre: str = ""
    split: str = ""

    def __post_init__(self):
        if not self.work:
            object.__setattr__(self, "work", self.track)
