"""Search engines by name, and which one suits a catalogue."""

import importlib.util

from a2v import resources
from a2v.errors import A2VError
from a2v.search import ExactSearch

AUTO = "auto"
NAMES = (AUTO, "exact", "faiss")
# Up to so many hashes (14 hours) a scan of all positions takes no longer than candidates do.
EXACT_UP_TO = 200_000


def check(name):
    """Raises A2VError unless an engine is known and installed."""
    if name not in NAMES:
        raise A2VError(f"engine {name!r}; {resources.nearest(name, NAMES)}")
    if name == "faiss" and not _has_faiss():
        raise A2VError("engine faiss: not installed; `pip install faiss-cpu`, or use exact")


def chosen(name, count):
    """The engine for a catalogue.

    Args:
        name: str, one of `NAMES`; `auto` takes FAISS, where it is installed, for large catalogues.
        count: int, hashes in the catalogue.

    Returns:
        (function `(codes, starts)` to the engine, function `(n, width)` to the memory that it
        wants codes in, or `None`).
    """
    if name == AUTO:
        name = "faiss" if count > EXACT_UP_TO and _has_faiss() else "exact"
    if name == "exact":
        return ExactSearch, None
    from a2v import candidates

    return candidates.FaissSearch, candidates.allocated


def _has_faiss():
    return importlib.util.find_spec("faiss") is not None
