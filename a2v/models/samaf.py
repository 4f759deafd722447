"""SAMAF: the shared-LSTM autoencoder, taught that a window and its copy hash alike."""

import keras
from keras import ops

from a2v.losses import HashedReconstructionLoss
from a2v.models.lstm128 import LSTM128


@keras.saving.register_keras_serializable("a2v")
class SAMAF(LSTM128):
    """The autoencoder of `lstm128` with an objective of three terms.

    Beside the error of the reconstruction: the distance between the codes of a window and of its
    degraded or shifted copy, and the entropy of the bits that the two share.

    The terms are those that the paper's abstract names; their formulas and weights are ours. A
    cluster of similar hashes is a window and its copy, drawn anew in each epoch, and the window
    alone is reconstructed, so that nothing asks the code to remember the noise of the copy.

    Args:
        units: int, size of the state, bits of the hash.
        likeness, entropy: floats, of `losses.HashedReconstructionLoss`.

    Shapes:
        windows float32 `[batch, 100, 13]` to reconstruction float32 `[batch, 100, 13]`, scaled.

    Reference:
        A. Báez-Suárez, N. Shah, J. A. Nolazco-Flores, S.-H. S. Huang, O. Gnawali, W. Shi, "SAMAF:
        Sequence-to-sequence Autoencoder Model for Audio Fingerprinting", ACM TOMM 16(2), 2020,
        doi 10.1145/3380828.
    """

    dataset_feature = "waveform"
    choices = {}
    presets = {}

    def __init__(self, *, units=128, likeness=1.0, entropy=0.1, **kwargs):
        super().__init__(units=units, **kwargs)
        self.likeness, self.entropy = likeness, entropy

    def trainer(self):
        """Maps pairs float32 `[batch, 2, 100, 13]` to what the objective takes.

        Float32 `[batch, 1300 + 2 n_bits]`: the window's reconstruction, its code, the copy's.
        """
        pairs = keras.Input((2, *self.input_shape[1:]), name="pairs")
        autoencoder = keras.Model(self.input, [self.output, self.encoder.output])
        reconstruction, code = autoencoder(pairs[:, 0])
        flat = keras.layers.Flatten()(reconstruction)
        parts = [flat, code, self.encoder(pairs[:, 1])]
        return keras.Model(pairs, ops.concatenate(parts, axis=-1))

    def objective(self):
        return HashedReconstructionLoss(
            n_bits=self.n_bits, likeness=self.likeness, entropy=self.entropy
        )

    def examples(self, batch, seed, augmentation):
        pairs = augmentation.pairs(batch["waveform"], seed)
        return pairs, self.scale(pairs)

    def get_config(self):
        own = {"likeness": self.likeness, "entropy": self.entropy}
        return {"name": self.name, "units": self.n_bits, **own}
