"""What TensorBoard shows of a training run."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from a2v import hashing

# Windows whose embeddings the projector shows.
PROJECTED = 2000
SHOWN = 6


class Watch(keras.callbacks.Callback):
    """Writes a run's summaries: losses, learning rate, gradient norms, bits, pictures, projector.

    Args:
        out: folder of the run; `out/logs` and `out/projector` are for `tensorboard --logdir`.
        zoo_model: `models.ZooModel`; inputs: `training.Inputs`.
    """

    def __init__(self, out, zoo_model, inputs):
        super().__init__()
        self.out, self.zoo_model, self.inputs = Path(out), zoo_model, inputs
        self.split = "tune" if inputs.data.count("tune") else "train"
        self.writers = {
            name: tf.summary.create_file_writer(str(self.out / "logs" / name))
            for name in ("train", "validation")
        }
        self._batch = None

    def on_train_batch_end(self, batch, logs=None):
        step = int(self.model.optimizer.iterations)
        if step % 10 == 0:
            with self.writers["train"].as_default(step):
                tf.summary.scalar("batch/loss", logs["loss"])
                tf.summary.scalar("batch/learning_rate", self.model.optimizer.learning_rate)

    def on_epoch_end(self, epoch, logs=None):
        with self.writers["train"].as_default(epoch):
            tf.summary.scalar("epoch/loss", logs["loss"])
            self._write_gradients()
        with self.writers["validation"].as_default(epoch):
            if "val_loss" in logs:
                tf.summary.scalar("epoch/loss", logs["val_loss"])
            self._write_bits()
            self._write_pictures()
        for writer in self.writers.values():
            writer.flush()

    def _one_batch(self):
        if self._batch is None:
            data = self.inputs.validation()
            data = self.inputs.epoch(0) if data is None else data
            self._batch = next(iter(data.take(1)))
        return self._batch

    def _write_gradients(self):
        x, y = self._one_batch()
        with tf.GradientTape() as tape:
            loss = self.model.compute_loss(x=x, y=y, y_pred=self.model(x, training=False))
        variables = self.model.trainable_variables
        norms = []
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
            norms.append(tf.norm(gradient))
            tf.summary.scalar(f"gradient_norm/{variable.path}", norms[-1])
        tf.summary.scalar("gradient_norm", tf.norm(norms))

    def _write_bits(self):
        embeddings, _ = self.embeddings()
        bits = hashing.binarize(embeddings)
        ones = bits.mean(axis=0)
        measured = hashing.statistics(hashing.pack(bits))
        for name in ("collision_rate", "mean_bit_entropy", "degrees_of_freedom"):
            tf.summary.scalar(f"hash/{name}", measured[name])
        tf.summary.histogram("hash/bit_mean", ones)
        tf.summary.histogram("hash/embedding", embeddings)

    def _write_pictures(self):
        x, y = self._one_batch()
        if x.shape.rank == 4:  # pairs of frames: a window beside its degraded copy
            left, right, title = x[:SHOWN, 0], x[:SHOWN, 1], "pairs/window_and_degraded_copy"
        else:
            left, right = y[:SHOWN], self.model(x[:SHOWN], training=False)
            title = "reconstruction/input_and_output"
        both = tf.stack([left, right], axis=1)  # [shown, 2, frames, features]
        low = tf.reduce_min(both[:, :1], axis=(1, 2, 3), keepdims=True)
        high = tf.reduce_max(both[:, :1], axis=(1, 2, 3), keepdims=True)
        grey = tf.clip_by_value((both - low) / (high - low + 1e-9), 0, 1)
        grey = tf.reverse(tf.transpose(grey, (0, 1, 3, 2)), axis=[2])  # low bands below
        grey = tf.pad(grey, [[0, 0], [0, 0], [0, 1], [0, 0]], constant_values=1.0)
        shape = tf.shape(grey)
        pictures = tf.reshape(grey, (shape[0], -1, shape[3], 1))
        size = (4 * pictures.shape[1], 4 * pictures.shape[2])
        pictures = tf.image.resize(pictures, size, method="nearest")
        tf.summary.image(title, pictures, max_outputs=SHOWN)

    def embeddings(self):
        """Embeddings of windows that are not trained on: float32 `[n, d]`, and their tracks."""
        total = self.inputs.data.count(self.split)
        step = max(1, total // PROJECTED)
        data = self.inputs.data.read(self.split, []).shard(step, 0)
        tracks = [record["track"].numpy().decode() for record in data]
        windows = self.inputs.windows(self.split).unbatch().shard(step, 0).batch(256)
        found = [np.asarray(self.zoo_model.embed(batch)) for batch in windows]
        return np.concatenate(found), tracks

    def project(self):
        """Writes `out/projector`: embeddings and track names for TensorBoard's projector.

        The projector reads its config at the root of a log folder only, so it has its own.
        """
        folder = self.out / "projector"
        folder.mkdir(exist_ok=True)
        embeddings, tracks = self.embeddings()
        np.savetxt(folder / "embeddings.tsv", embeddings, fmt="%.5g", delimiter="\t")
        (folder / "tracks.tsv").write_text("\n".join(tracks) + "\n", encoding="utf-8")
        (folder / "projector_config.pbtxt").write_text(
            'embeddings {\n  tensor_name: "embeddings"\n  tensor_path: "embeddings.tsv"\n'
            '  metadata_path: "tracks.tsv"\n}\n',
            encoding="utf-8",
        )
