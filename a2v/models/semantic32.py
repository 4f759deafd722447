"""Semantic hashing: a deep autoencoder whose 32-bit code is a memory address."""

import keras
from keras import layers, ops

from a2v import features
from a2v.models import ZooModel

# Frames that are averaged: 40 ms.
POOLED = 4


@keras.saving.register_keras_serializable("a2v")
class CodeNoise(layers.Layer):
    """Adds Gaussian noise in training, nothing otherwise.

    Keras' own layer stops at a deviation of 1 and leaves its seed out of checkpoints; with the
    seed in them, a run that was killed goes on with the noise that it would have drawn.

    Args:
        deviation: float, of the noise.
    """

    def __init__(self, deviation, **kwargs):
        super().__init__(**kwargs)
        self.deviation = deviation
        self.seed_generator = keras.random.SeedGenerator()  # from the seed of the training run

    def call(self, inputs, training=False):
        if not training:
            return inputs
        shape = ops.shape(inputs)
        return inputs + keras.random.normal(shape, stddev=self.deviation, seed=self.seed_generator)

    def save_own_variables(self, store):
        store["seed"] = self.seed_generator.state

    def load_own_variables(self, store):
        self.seed_generator.state.assign(store["seed"])

    def get_config(self):
        return {**super().get_config(), "deviation": self.deviation}


@keras.saving.register_keras_serializable("a2v")
class Semantic32(ZooModel):
    """Salakhutdinov and Hinton's deep autoencoder: 32 logistic code units, made binary by noise.

    In training, noise is added to what the code units get before their logistic function; only
    codes near 0 and 1 carry anything through it. The embedding is what the units get, without
    noise: a bit is 1 where the logistic function is above 1/2. Near windows have near codes, so
    the hash may serve as an address, and what lies near is found by walking the addresses around.

    As published: two layers of 500 units on either side, noise of variance 16. Otherwise:

    - The input is the window's 13 cepstra, standardised, in 25 averages of 40 ms each, in place of
      a document's 2,000 word counts; so the loss is the squared error, not the cross-entropy.
    - The hidden units are tanh, which is the logistic function but for scale and offset and needs
      no restricted Boltzmann machines to begin from.
    - The noise is drawn anew at each step; theirs is fixed for each document, for the sake of
      conjugate gradients, which Adam has no need of.

    Args:
        n_bits: int, code units.
        units: tuple of ints, hidden layers from the window to the code; the decoder mirrors them.
        noise: float, deviation of the noise before the code units' logistic function.

    Shapes:
        windows float32 `[batch, 100, 13]` to reconstruction float32 `[batch, 100, 13]`, scaled and
        averaged.

    Reference:
        R. Salakhutdinov, G. Hinton, "Semantic hashing", International Journal of Approximate
        Reasoning 50(7), 2009.
    """

    def __init__(self, *, n_bits=32, units=(500, 500), noise=4.0, **kwargs):
        shape = (features.WINDOW_FRAMES // POOLED, 13)
        windows = keras.Input((features.WINDOW_FRAMES, 13), name="windows")
        scale = layers.Normalization(name="scale")
        pool = layers.AveragePooling1D(POOLED, name="pool")
        spread = layers.UpSampling1D(POOLED, name="spread")
        x = layers.Flatten()(pool(scale(windows)))
        for i, size in enumerate(units):
            x = layers.Dense(size, "tanh", name=f"encoder{i + 1}")(x)
        embedding = layers.Dense(n_bits, name="embedding")(x)
        x = ops.sigmoid(CodeNoise(noise, name="noise")(embedding))
        for i, size in enumerate(reversed(units)):
            x = layers.Dense(size, "tanh", name=f"decoder{i + 1}")(x)
        x = layers.Dense(shape[0] * shape[1], name="read_out")(x)
        super().__init__(inputs=windows, outputs=spread(layers.Reshape(shape)(x)), **kwargs)
        self.encoder = keras.Model(windows, embedding, name="encoder")
        self.scale, self.pool, self.spread = scale, pool, spread
        self.n_bits = n_bits
        self._options = {"n_bits": n_bits, "units": tuple(units), "noise": noise}

    def adapt(self, windows):
        self.scale.adapt(windows)

    def examples(self, batch, seed, augmentation):
        del seed, augmentation
        return batch["mfcc"], self.spread(self.pool(self.scale(batch["mfcc"])))
