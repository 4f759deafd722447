"""The systems before, built from their papers, each with its own index."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """One track that a query may come from.

    Attributes:
        track: str, its name.
        offset_s: float, s, where in the track the query begins.
        score: float, higher is better; what it means is the system's own.
    """

    track: str
    offset_s: float
    score: float
