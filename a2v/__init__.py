"""Audio to vectors: fingerprints, hashes and embeddings of recordings."""

__version__ = "0.1.0"
