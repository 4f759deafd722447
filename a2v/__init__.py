"""Audio to vectors: fingerprints, hashes and embeddings of recordings."""

__version__ = "0.1.0"


def __getattr__(name):
    # Late: commands that need no library do not wait for NumPy and SQLite.
    if name == "Library":
        from a2v.library import Library

        return Library
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
