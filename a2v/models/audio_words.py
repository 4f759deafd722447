"""Bag of audio words: chroma frames to their nearest of 1,000 words, counted over the window."""

import warnings

import keras
import numpy as np
from keras import layers, ops
from scipy.cluster import vq

from a2v import features
from a2v.errors import A2VError
from a2v.models import StreamModel

N_CHROMA = 12
FRAMES_PER_WORD = 50
ROUNDS = 20
# Squared distance over which a frame between two words changes from one to the other.
SOFTNESS = 0.003
# A word that half a frame or more was given to is in the window.
PRESENT = 0.5 / features.WINDOW_FRAMES


@keras.saving.register_keras_serializable("a2v")
class Codebook(layers.Layer):
    """Principal components of frames, and the words that k-means finds among these.

    `[..., n_features]` to `[..., n_words]`, each word's share of the frame, and to
    `[..., n_features]`, the frame as its words have it. A frame goes to its nearest word; only
    where two are nearly as near does it go to both in parts, because the last digit of a sum in
    another order would else move a whole frame.

    Args:
        n_words: int; n_components: int, at most `n_features`.
    """

    def __init__(self, n_words, n_components, **kwargs):
        super().__init__(**kwargs)
        self.n_words = n_words
        self.n_components = n_components

    def build(self, input_shape):
        n = input_shape[-1]
        options = {"trainable": False}
        self.mean = self.add_weight(shape=(n,), name="mean", initializer="zeros", **options)
        self.components = self.add_weight(
            shape=(n, self.n_components), name="components", initializer="orthogonal", **options
        )
        self.words = self.add_weight(
            shape=(self.n_words, self.n_components),
            name="words",
            initializer=keras.initializers.RandomNormal(stddev=0.5),
            **options,
        )

    def call(self, frames):
        points = ops.matmul(frames - self.mean, self.components)
        # The squared distance less that of the frame from 0, which all words have in common.
        near = 2 * ops.matmul(points, ops.transpose(self.words))
        near -= ops.sum(ops.square(self.words), axis=-1)
        shares = ops.softmax(near / SOFTNESS)
        restored = ops.matmul(ops.matmul(shares, self.words), ops.transpose(self.components))
        return shares, restored + self.mean

    def adapt(self, frames, draw):
        """Sets components and words.

        Args:
            frames: float32 `[n, n_features]`.
            draw: `numpy.random.Generator`, of the frames that k-means begins from.

        Raises:
            A2VError: fewer different frames than words.
        """
        mean = frames.mean(axis=0, dtype=np.float64)
        covariance = np.cov(frames, rowvar=False, dtype=np.float64)
        components = np.linalg.eigh(covariance)[1][:, ::-1][:, : self.n_components]
        points = ((frames - mean) @ components).astype(np.float32)
        different = np.unique(points, axis=0)
        if len(different) < self.n_words:
            raise A2VError(
                f"{len(different)} different frames for {self.n_words} words; add music, or make "
                "n_words less"
            )
        first = draw.choice(different, self.n_words, replace=False)
        with warnings.catch_warnings():  # a word that loses all its frames stays where it was
            warnings.filterwarnings("ignore", "One of the clusters is empty")
            words, _ = vq.kmeans2(points, first, ROUNDS, minit="matrix")
        for weight, value in (self.mean, mean), (self.components, components), (self.words, words):
            weight.assign(value.astype(np.float32))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.n_words), input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "n_words": self.n_words,
            "n_components": self.n_components,
        }


@keras.saving.register_keras_serializable("a2v")
class AudioWords(StreamModel):
    """Audio2Vec's bag of audio words: chroma, principal components, k-means, a histogram.

    Nothing in it is learnt by gradients: `adapt` measures components and words on a sample of
    frames. The embedding is the window's histogram over the words, in shares of its frames, less
    half a frame: a bit says that its word is present. The source leaves open how many components
    there are; 8 of the 12 keep nine tenths of the variance of music.

    Over a recording, each frame is looked up once, however many windows share it.

    Args:
        n_words: int, words, bits of the hash.
        n_components: int, principal components of the 12 chroma, at most 12.

    Shapes:
        chroma frames float32 `[batch, 100 + 25 (w - 1), 12]` to the same, each frame as its words
        have it; `encoder`: to embeddings float32 `[batch, w, n_words]`, -0.005 to 0.995.

    Raises:
        A2VError: from `adapt`, fewer different frames than words.

    Reference:
        "Audio2Vec: An exploration of embedding methods to represent an arbitrary segment of
        audio in a fixed length vector". Frames between two words are shared out as in J. van
        Gemert et al., "Visual word ambiguity", IEEE PAMI 32(7), 2010.
    """

    feature = "chroma"
    dataset_feature = "chroma"

    def __init__(self, *, n_words=1000, n_components=8, **kwargs):
        frames = keras.Input((None, N_CHROMA), name="frames")
        codebook = Codebook(n_words, n_components, name="codebook")
        shares, restored = codebook(frames)
        # In two steps, for overlapping windows to share the first: hops, then windows of hops.
        hops = layers.AveragePooling1D(features.HOP_FRAMES, name="hops")(shares)
        n_hops = features.WINDOW_FRAMES // features.HOP_FRAMES
        histogram = layers.AveragePooling1D(n_hops, strides=1, name="histogram")(hops)
        super().__init__(inputs=frames, outputs=restored, **kwargs)
        self.encoder = keras.Model(frames, histogram - PRESENT, name="encoder")
        self.codebook = codebook
        self.n_bits = n_words
        self._options = {"n_words": n_words, "n_components": n_components}

    def adapt(self, windows):
        draw = np.random.default_rng(int(keras.random.randint((), 0, 2**31 - 1)))
        self.codebook.adapt(sample(windows, FRAMES_PER_WORD * self.n_bits, draw), draw)

    def examples(self, batch, seed, augmentation):
        del seed, augmentation
        return batch["chroma"], batch["chroma"]


def sample(windows, n, draw):
    """Draws frames of windows that come in batches, each as likely as any other.

    Args:
        windows: iterable of float32 `[batch, 100, n_features]`; n: int, frames, or all if there
            are no more. draw: `numpy.random.Generator`.

    Returns:
        float32 `[n, n_features]`.
    """
    kept, tickets = None, None
    for batch in windows:
        batch = np.asarray(batch)
        frames, drawn = batch.reshape(-1, batch.shape[-1]), draw.random(batch[..., 0].size)
        kept = frames if kept is None else np.concatenate([kept, frames])
        tickets = drawn if tickets is None else np.concatenate([tickets, drawn])
        if len(kept) > n:  # those of the lowest tickets stay
            best = np.argpartition(tickets, n)[:n]
            kept, tickets = kept[best], tickets[best]
    return kept
