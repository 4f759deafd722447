"""Objectives beyond those that Keras brings."""

import keras
from keras import ops


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

    Reference:
        Chen et al. 2020 (SimCLR); Chang et al. 2021 (neural audio fingerprint).
    """

    def __init__(
        self,
        *,
        temperature=0.05,
        saturation=0.1,
        balance=0.1,
        name="contrastive_hash_loss",
        reduction="sum_over_batch_size",
    ):
        super().__init__(name=name, reduction=reduction)
        self.temperature = temperature
        self.saturation = saturation
        self.balance = balance

    def call(self, y_true, y_pred):
        """Maps embeddings float `[batch, 2, d]` (window, copy) to float `[batch]`; no labels."""
        del y_true
        codes = ops.tanh(y_pred)
        batch, _, d = ops.shape(codes)
        flat = ops.reshape(ops.swapaxes(codes, 0, 1), (2 * batch, d))  # windows, then copies
        unit = flat / ops.sqrt(ops.sum(ops.square(flat), axis=-1, keepdims=True) + 1e-9)
        similarity = ops.matmul(unit, ops.transpose(unit)) / self.temperature
        similarity -= 1e9 * ops.eye(2 * batch)
        partner = ops.concatenate([ops.arange(batch) + batch, ops.arange(batch)])
        entropy = ops.sparse_categorical_crossentropy(partner, similarity, from_logits=True)
        saturation = ops.mean(ops.square(1 - ops.abs(codes)), axis=(1, 2))
        balance = ops.mean(ops.square(ops.mean(flat, axis=0)))
        entropy = ops.mean(ops.reshape(entropy, (2, batch)), axis=0)
        return entropy + self.saturation * saturation + self.balance * balance

    def get_config(self):
        return {
            "name": self.name,
            "reduction": self.reduction,
            "temperature": self.temperature,
            "saturation": self.saturation,
            "balance": self.balance,
        }
