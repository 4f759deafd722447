"""The shared-LSTM autoencoder that hears a degraded window and writes the clean one."""

import keras

from a2v.models.lstm128 import LSTM128


@keras.saving.register_keras_serializable("a2v")
class LSTMDenoising(LSTM128):
    """The autoencoder of `lstm128` with a "more complex objective", as its paper's outlook says.

    The encoder's last hidden state has to tell of a degraded window what the clean one was, so
    what degrades is not worth remembering. Window and copy have to be aligned, frame by frame:
    train with shifts and changes of speed, tempo and pitch of 0, as the pipeline does.

    Args:
        units: int, size of the state, bits of the hash.

    Shapes:
        windows float32 `[batch, 100, 13]` to reconstruction float32 `[batch, 100, 13]`, scaled.

    Reference:
        N. Shah, D. Sitonic, "Sequence-to-Sequence Autoencoder for Audio Fingerprinting", 2017,
        section V; P. Vincent et al., "Extracting and Composing Robust Features with Denoising
        Autoencoders", ICML 2008.
    """

    dataset_feature = "waveform"
    choices = {}
    presets = {}

    def __init__(self, *, units=128, **kwargs):
        super().__init__(units=units, **kwargs)

    def examples(self, batch, seed, augmentation):
        pairs = augmentation.pairs(batch["waveform"], seed)
        return pairs[:, 1], self.scale(pairs[:, 0])

    def get_config(self):
        return {"name": self.name, "units": self.n_bits}
