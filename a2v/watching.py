"""What TensorBoard shows of a training run."""

import os
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from a2v import features, hashing, sharing

# Windows whose embeddings the projector shows.
PROJECTED = 2000
SHOWN = 4
# Steps between two points of a curve.
EVERY = 10


class WatchedAdam(keras.optimizers.Adam):
    """Adam that remembers the norm of each variable's gradient at the last step, unclipped."""

    def build(self, variables):
        super().build(variables)
        self.gradient_norms = tf.Variable(
            tf.zeros(len(variables)), trainable=False, aggregation=tf.VariableAggregation.MEAN
        )

    def apply(self, grads, trainable_variables=None):
        super().apply(grads, trainable_variables)
        self.gradient_norms.assign([0.0 if grad is None else tf.norm(grad) for grad in grads])


class Watch(keras.callbacks.Callback):
    """Writes a run's summaries: losses, learning rate, gradient norms, bits, pictures, projector.

    Args:
        out: folder of the run; `out/logs` is for `tensorboard --logdir`.
        zoo_model: `models.ZooModel`; inputs: `inputs.Inputs`.
    """

    def __init__(self, out, zoo_model, inputs):
        super().__init__()
        self.out, self.zoo_model, self.inputs = Path(out), zoo_model, inputs
        self.split = "tune" if inputs.n_validation else "train"
        self.writers = {
            name: tf.summary.create_file_writer(str(self.out / "logs" / name))
            for name in ("train", "validation")
        }
        # As graphs: step by step, an LSTM takes far longer.
        self._embed = tf.function(
            lambda windows: tf.cast(zoo_model.embed(windows), tf.float32), reduce_retracing=True
        )
        self._output = tf.function(
            lambda windows: tf.cast(self.model(windows, training=False), tf.float32)
        )
        self._batch = None
        self._seen = np.zeros(2)

    def on_epoch_begin(self, epoch, logs=None):
        self._seen = self._loss()

    def on_train_batch_end(self, batch, logs=None):
        optimizer = self.model.optimizer
        step = int(sharing.number(optimizer.iterations))
        if step % EVERY == 0:
            total, count = self._loss() - self._seen
            self._seen = self._loss()
            with self.writers["train"].as_default(step):
                tf.summary.scalar("step/loss", total / count)
                tf.summary.scalar("step/learning_rate", optimizer.learning_rate)
                tf.summary.scalar("step/gradient_norm", tf.norm(optimizer.gradient_norms))

    def on_epoch_end(self, epoch, logs=None):
        with self.writers["train"].as_default(epoch + 1):
            tf.summary.scalar("epoch/loss", logs["loss"])
            norms = self.model.optimizer.gradient_norms.numpy()
            for variable, norm in zip(self.model.trainable_variables, norms, strict=True):
                tf.summary.scalar(f"variable_gradient_norm/{variable.path}", norm)
        with self.writers["validation"].as_default(epoch + 1):
            if "val_loss" in logs:
                tf.summary.scalar("epoch/loss", logs["val_loss"])
            self._write_bits()
            self._write_pictures()
        for writer in self.writers.values():
            writer.flush()

    def _loss(self):
        """Sum and count of the losses of this epoch's windows so far."""
        return np.array([sharing.number(v) for v in self.model.metrics_variables[:2]])

    def _write_bits(self):
        embeddings, _ = self.embeddings()
        bits = hashing.binarize(embeddings)
        measured = hashing.statistics(hashing.pack(bits))
        for name in ("collision_rate", "mean_bit_entropy", "degrees_of_freedom"):
            if np.isfinite(measured[name]):  # equal hashes have no degrees of freedom
                tf.summary.scalar(f"hash/{name}", measured[name])
        tf.summary.histogram("hash/bit_balance", bits.mean(axis=0))
        tf.summary.histogram("hash/embedding", embeddings)

    def _write_pictures(self):
        first = self._batch is None
        if first:
            data = self.inputs.validation()
            data = self.inputs.epoch(0) if data is None else data
            self._batch = [part[:SHOWN].numpy() for part in next(iter(data.take(1)))]
        x, y = self._batch
        if x.ndim < 4:
            drawn = pictures(y, self._output(x).numpy(), "reconstruction", self.zoo_model.feature)
            tf.summary.image("window and reconstruction", drawn, max_outputs=SHOWN)
        elif first:  # pairs of frames, the same in all epochs
            drawn = pictures(x[:, 0], x[:, 1], "degraded copy", self.zoo_model.feature)
            tf.summary.image("window and degraded copy", drawn, max_outputs=SHOWN)

    def embeddings(self):
        """Embeddings of windows that are not trained on, if any are held out.

        Returns:
            float32 `[n, d]`, and a list of `(track, start_s)`.
        """
        every = max(1, self.inputs.data.count(self.split) // PROJECTED)
        found, places = [], []
        for batch in self.inputs.windows(self.split, every=every):
            found.append(self._embed(batch["windows"]).numpy())
            tracks = [os.fsdecode(track) for track in batch["track"].numpy()]
            places += zip(tracks, batch["start_s"].numpy(), strict=True)
        return np.concatenate(found), places

    def project(self):
        """Writes embeddings and what they are of for TensorBoard's projector.

        It reads its config at the root of the log folder only.
        """
        folder = self.out / "logs"
        embeddings, places = self.embeddings()
        np.savetxt(folder / "embeddings.tsv", embeddings, fmt="%.5g", delimiter="\t")
        tracks = {track["track"]: track for track in self.inputs.data.tracks(self.split)}
        columns = ("track", "work", "artist", "genre")
        lines = ["\t".join([*columns, "start_s"])]
        for track, start_s in places:
            words = [" ".join(tracks[track][column].split()) for column in columns]
            lines.append("\t".join([*words, f"{start_s:.2f}"]))
        text = "\n".join(lines) + "\n"
        # Names of files are bytes, and need not be UTF-8.
        (folder / "tracks.tsv").write_text(text, encoding="utf-8", errors="backslashreplace")
        (folder / "projector_config.pbtxt").write_text(
            'embeddings {\n  tensor_name: "embeddings"\n  tensor_path: "embeddings.tsv"\n'
            '  metadata_path: "tracks.tsv"\n}\n',
            encoding="utf-8",
        )


def pictures(above, below, what, feature):
    """Draws windows over what became of them, in the colours of the former.

    Args:
        above, below: float32 `[n, 100, n_features]`.
        what: str, what `below` is. feature: str, what both are made of.

    Returns:
        uint8 `[n, height, width, 3]`, to be read at a width of 330.
    """
    drawn = []
    for pair in zip(above, below, strict=True):
        figure = Figure(figsize=(3.3, 3.6), dpi=150, layout="constrained")
        axes = figure.subplots(2, sharex=True)
        low, high = np.percentile(pair[0], (1, 99))
        for axis, frames, name in zip(axes, pair, ("window", what), strict=True):
            image = axis.imshow(
                frames.T,
                origin="lower",
                aspect="auto",
                cmap="magma",
                vmin=low,
                vmax=high,
                extent=(0, features.WINDOW_S, -0.5, frames.shape[1] - 0.5),
            )
            axis.set_title(name, loc="left")
            axis.set_ylabel(feature)
        axes[1].set_xlabel("s")
        figure.colorbar(image, ax=axes)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        drawn.append(np.asarray(canvas.buffer_rgba())[:, :, :3])
    return np.stack(drawn)
