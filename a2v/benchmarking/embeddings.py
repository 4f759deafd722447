"""What models make of a track: of every window, and of windows drawn from it and degraded."""

from dataclasses import dataclass

import numpy as np

from a2v import audio, conditions, features, hashing
from a2v.benchmarking import repeats
from a2v.benchmarking.retrieval import AHEAD


@dataclass(frozen=True)
class Embedded:
    """What one model makes of one track."""

    windows: np.ndarray  # float32 [windows, d], all on the grid
    audible: np.ndarray  # bool [windows]
    repeats: int  # of these, that have the hash of an earlier one and are the same sound
    drawn: np.ndarray  # float32 [drawn, d], undegraded
    errors: np.ndarray  # int64 [conditions, drawn], bits that a degradation turns
    features: np.ndarray | None  # float32 [drawn, frames * features]


def starts(waveform, length, count, generator):
    """Draws windows that are not silent and have what they need behind them.

    Args:
        waveform: float32 `[n]`, a whole track.
        length: int, samples of a window.
        count: int, how many are wanted.
        generator: `numpy.random.Generator`.

    Returns:
        list of int, where they begin; fewer where nearly all is silent.
    """
    last = max(1, len(waveform) - round(length * (1 + AHEAD)))
    drawn = generator.integers(last, size=100 * count).tolist()
    loud = [s for s in drawn if audio.level_dbfs(waveform[s : s + length]) > audio.SILENCE_DBFS]
    return loud[:count]


def reach(encoders):
    """Samples that one window of any of these encoders hears."""
    return max(encoder.metadata["span_samples"] for encoder in encoders)


def layer(encoder):
    """A model's own input features as a layer; `None` where they are set otherwise than usual."""
    for name in features.FEATURES:
        built = features.build(name)
        if features.digest(built.definition()) == encoder.digest:
            return built
    return None


def embedded(encoders, layers, waveform, begins, names, draw, *, noises, rooms):
    """Embeds a track, and the windows drawn from it under every condition.

    Args:
        encoders: list of `runtime.Encoder`; layers: what `layer` gives for each.
        waveform: float32 `[n]`, the whole track.
        begins: list of int, where the windows begin that were drawn.
        names: list of str, conditions.
        draw: list of int, seeds what the conditions draw.
        noises, rooms: see `conditions.heard`.

    Returns:
        list of Embedded, one per encoder.
    """

    def heard(name):
        sound = np.zeros((len(begins), reach(encoders)), np.float32)
        for number, start in enumerate(begins):
            # The same state for all conditions: they share their noise and their room.
            own = np.random.default_rng([*draw, number])
            there = {"noises": noises, "rooms": rooms}
            sound[number] = conditions.heard(waveform, start, sound.shape[1], name, own, **there)
        return sound

    clean = heard("clean")
    drawn = [each(encoder, clean) for encoder in encoders]
    errors = np.zeros((len(encoders), len(names), len(begins)), np.int64)
    for row, name in enumerate(names):
        sound = heard(name)
        for column, (encoder, before) in enumerate(zip(encoders, drawn, strict=True)):
            errors[column, row] = hashing.hamming(packed(before), packed(each(encoder, sound)))
    found = []
    for k, encoder in enumerate(encoders):
        windows, audible = encoder.embed(waveform), encoder.audible(waveform)
        again = repeats.count(waveform, packed(windows), audible, encoder)
        own = _features(layers[k], clean)
        found.append(Embedded(windows, audible, again, drawn[k], errors[k], own))
    return found


def each(encoder, excerpts):
    """Embeds the window that every excerpt begins with.

    Args:
        encoder: `runtime.Encoder`.
        excerpts: float32 `[n, samples]`, of `span_samples` or more.

    Returns:
        float32 `[n, d]`.
    """
    span = encoder.metadata["span_samples"]
    if not len(excerpts):
        return np.zeros((0, encoder.n_bits), np.float32)
    # A block has room for several: they go end to end, each filled up to whole hops.
    hop = round(encoder.hop_s * encoder.sample_rate)
    stride = -(-span // hop)
    joined = np.zeros((len(excerpts), stride * hop), np.float32)
    joined[:, :span] = excerpts[:, :span]
    return encoder.embed(joined.ravel())[::stride]


def packed(embeddings):
    """Hashes of embeddings: uint8 `[n, d / 8]`."""
    return hashing.pack(hashing.binarize(embeddings))


def _features(built, excerpts):
    if built is None:
        return None
    size = features.WINDOW_FRAMES * built.n_features
    if not len(excerpts):
        return np.zeros((0, size), np.float32)
    return np.asarray(built(excerpts[:, : built.span()])).reshape(len(excerpts), size)
