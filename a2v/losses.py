"""Objectives beyond those that Keras brings."""

import keras
from keras import ops

from a2v import hashing


@keras.saving.register_keras_serializable("a2v")
class ContrastiveHashLoss(keras.losses.Loss):
    """NT-Xent on soft bits, pulled to -1 and 1 and to balance.

    A window and its degraded copy are each other's positives; all other windows of the batch are
    negatives. The codes are `tanh` of the embedding, so that their inner product approaches what
    Hamming distance will see.

    Args:
        temperature: float, of the softmax over cosine similarities.
        saturation: float, weight of the squared distance of each soft bit from -1 or 1.
        balance: float, weight of the squared mean of each bit over the batch.
        decorrelation: float, weight of the mean squared correlation of two bits over the batch.
        straight_through: bool, codes are the bits themselves, -1 or 1, and gradients pass as if
            they were `tanh`; the pull to -1 and 1 goes on to see `tanh`.

    Reference:
        Chen et al. 2020 (SimCLR); Chang et al. 2021 (neural audio fingerprint); Cogswell et al.
        2016 (decorrelation); Bengio et al. 2013 (straight-through).
    """

    def __init__(
        self,
        *,
        temperature=0.05,
        saturation=0.1,
        balance=0.1,
        decorrelation=0.0,
        straight_through=False,
        name="contrastive_hash_loss",
        reduction="sum_over_batch_size",
    ):
        super().__init__(name=name, reduction=reduction)
        self.temperature = temperature
        self.saturation = saturation
        self.balance = balance
        self.decorrelation = decorrelation
        self.straight_through = straight_through

    def call(self, y_true, y_pred):
        """Maps embeddings float `[batch, 2, d]` (window, copy) to float `[batch]`; no labels."""
        del y_true
        soft = codes = ops.tanh(y_pred)
        if self.straight_through:
            codes += ops.stop_gradient(ops.where(y_pred > 0, 1.0, -1.0) - soft)
        batch, _, d = ops.shape(codes)
        flat = ops.reshape(ops.swapaxes(codes, 0, 1), (2 * batch, d))  # windows, then copies
        unit = flat / ops.sqrt(ops.sum(ops.square(flat), axis=-1, keepdims=True) + 1e-9)
        similarity = self.similarity(unit) / self.temperature
        similarity -= 1e9 * ops.eye(2 * batch)
        partner = ops.concatenate([ops.arange(batch) + batch, ops.arange(batch)])
        entropy = ops.sparse_categorical_crossentropy(partner, similarity, from_logits=True)
        saturation = ops.mean(ops.square(1 - ops.abs(soft)), axis=(1, 2))
        balance = ops.mean(ops.square(ops.mean(flat, axis=0)))
        entropy = ops.mean(ops.reshape(entropy, (2, batch)), axis=0)
        loss = entropy + self.saturation * saturation + self.balance * balance
        return loss + self.decorrelation * _mean_squared_correlation(flat)

    def similarity(self, unit):
        """Cosine of all codes with all: float `[n, d]` of norm 1 to `[n, n]`."""
        return ops.matmul(unit, ops.transpose(unit))

    def get_config(self):
        return {
            "name": self.name,
            "reduction": self.reduction,
            "temperature": self.temperature,
            "saturation": self.saturation,
            "balance": self.balance,
            "decorrelation": self.decorrelation,
            "straight_through": self.straight_through,
        }


def _mean_squared_correlation(codes):
    """Over all pairs of two components of float `[n, d]`; one that never changes has none."""
    d = codes.shape[-1]
    centred = codes - ops.mean(codes, axis=0)
    unit = centred / ops.sqrt(ops.sum(ops.square(centred), axis=0) + 1e-9)
    squares = ops.square(ops.matmul(ops.transpose(unit), unit)) * (1 - ops.eye(d))
    return ops.sum(squares) / (d * (d - 1))


@keras.saving.register_keras_serializable("a2v")
class TransposableHashLoss(ContrastiveHashLoss):
    """The same on codes that turn with the key: two are as alike as they are in their best keys.

    Nobody has to say by how much a version is transposed. Codes are laid out as
    `hashing.turning_bits` says.

    Args:
        kwargs: of `ContrastiveHashLoss`.
    """

    def similarity(self, unit):
        count = hashing.turning_bits(unit.shape[-1])
        turning, fixed = unit[:, :count], unit[:, count:]
        step = count // hashing.PITCH_CLASSES
        keys = [ops.roll(turning, step * k, axis=-1) for k in range(hashing.PITCH_CLASSES)]
        best = ops.max(ops.matmul(ops.stack(keys), ops.transpose(turning)), axis=0)
        return best + ops.matmul(fixed, ops.transpose(fixed))


@keras.saving.register_keras_serializable("a2v")
class HashedReconstructionLoss(keras.losses.Loss):
    """Reconstruction error, distance of two codes that should be one, entropy of their bits.

    A code in [-1, 1] says of each bit how likely it is 1: `(1 + code) / 2`. The entropy is that of
    the bit over the window and its copy, 0 if both are sure of the same value, so it falls as
    codes agree and as they leave the threshold.

    Args:
        n_bits: int, size of a code.
        likeness: float, weight of the squared distance between the codes, as a part of the largest.
        entropy: float, weight of the mean entropy of the bits, bit.

    Reference:
        Báez-Suárez et al. 2020 (SAMAF).
    """

    def __init__(
        self,
        *,
        n_bits,
        likeness=1.0,
        entropy=0.1,
        name="hashed_reconstruction_loss",
        reduction="sum_over_batch_size",
    ):
        super().__init__(name=name, reduction=reduction)
        self.n_bits = n_bits
        self.likeness = likeness
        self.entropy = entropy

    def call(self, y_true, y_pred):
        """Loss of each window: float `[batch]`.

        Args:
            y_true: float `[batch, 2, frames, features]`, window and copy; the window counts.
            y_pred: float `[batch, frames * features + 2 n_bits]`: the window's reconstruction, its
                code, the copy's code.
        """
        n = y_pred.shape[-1] - 2 * self.n_bits
        window = ops.reshape(y_true[:, 0], (-1, n))
        error = ops.mean(ops.square(y_pred[:, :n] - window), axis=-1)
        codes = ops.reshape(y_pred[:, n:], (-1, 2, self.n_bits))
        distance = ops.mean(ops.square(codes[:, 0] - codes[:, 1]), axis=-1) / 4
        one = ops.clip((1 + ops.mean(codes, axis=1)) / 2, 1e-6, 1 - 1e-6)
        entropy = -ops.mean(one * ops.log2(one) + (1 - one) * ops.log2(1 - one), axis=-1)
        return error + self.likeness * distance + self.entropy * entropy

    def get_config(self):
        return {
            "name": self.name,
            "reduction": self.reduction,
            "n_bits": self.n_bits,
            "likeness": self.likeness,
            "entropy": self.entropy,
        }
