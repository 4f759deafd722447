"""The batches that a training run draws from a dataset: the same ones each time it is run."""

import os

import tensorflow as tf

from a2v import audio, features
from a2v.augmentation import Augmentation
from a2v.errors import A2VError
from a2v.partners import FEATURE

# Validation batches draw from seeds that no training epoch reaches.
VALIDATION_EPOCH = 1_000_000


class Inputs:
    """The batches that training, validation and TensorBoard draw from a dataset.

    Silent windows are left out of `waveform` datasets: nothing tells them from each other.

    Args:
        data: `records.Dataset`; model: `ZooModel`; settings: dict of `train`.
        noise, rooms: recordings for the augmentation.

    Attributes:
        steps: int, batches of an epoch. n_validation: int, windows to validate on, 0 if there are
            fewer than a pair.
    """

    def __init__(self, data, model, settings, *, noise=None, rooms=None):
        self.data, self.model = data, model
        self.seed = settings["seed"]
        self.layer = features.build(model.feature, **settings["feature_options"])
        self.feature = model.dataset_feature
        self.augmentation = None
        self.learnt_from = [self.feature, *([FEATURE] if model.wants_partners else [])]
        if self.feature == "waveform":
            for name in self.learnt_from:
                data.check(name, {"layer": "Waveform", "sample_rate": audio.SAMPLE_RATE})
            margin = (data.shapes[self.feature][0] - self.layer.span()) // 2
            self.augmentation = Augmentation(
                self.layer, margin, noise=noise, rooms=rooms, **settings["augmentation"]
            )
        else:
            if noise or rooms:
                raise A2VError(
                    f"noise and rooms: {model.name} learns from clean {self.feature} and degrades "
                    "nothing; leave them out"
                )
            data.check(self.feature, self.layer.definition())
        n_train = data.count("train")
        if n_train < 2:
            raise A2VError(f"{data.path}: {n_train} windows to train on; add music")
        if not any(True for _ in self._read("train").take(1)):
            raise A2VError(
                f"{data.path}: none of its {n_train} windows to train on can be read and heard; "
                "add music that is not silent, or make the dataset again"
            )
        self.batch_size = min(settings["batch_size"], n_train)
        self.steps = n_train // self.batch_size
        self.n_validation = 0
        if data.count("tune") > 1:  # of those, some may be silent or corrupt
            count = int(self._read("tune").reduce(0, lambda n, _: n + 1))
            self.n_validation = count if count > 1 else 0

    def _read(self, split, *, names=None, seed=None):
        data = self.data.read(split, names or [self.feature], seed=seed)
        return data.filter(self._is_audible) if self.augmentation else data

    def _is_audible(self, record):
        power = tf.reduce_mean(tf.square(self._window(record["waveform"])))
        return power > 10.0 ** (audio.SILENCE_DBFS / 10)

    def _window(self, waveforms):
        """The window within its margins: `[..., n + 2 margin]` to `[..., n]`."""
        margin = self.augmentation.margin
        return waveforms[..., margin : margin + self.layer.span()]

    def windows(self, split, *, every=1):
        """Every so many plain windows of a split, in order.

        Yields:
            dict, batched: `windows` float32 `[batch, 100, n_features]`, `track` string `[batch]`,
            `start_s` float32 `[batch]`.
        """

        def plain(record):
            windows = record.pop(self.feature)
            if self.augmentation:
                windows = self.layer(self._window(windows))
            return record | {"windows": windows}

        data = self._read(split).shard(every, 0).batch(self.batch_size)
        return data.map(plain, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    def epoch(self, epoch, *, skip=0):
        """Batches `(x, y)` of one training epoch from step `skip` on: the same ones each time."""
        data = self._read("train", names=self.learnt_from, seed=self.seed * 1_000_003 + epoch)
        # Where windows are silent or corrupt, an epoch begins again to reach its steps.
        data = data.repeat().batch(self.batch_size, drop_remainder=True)
        return self._examples(data, epoch, skip, self.steps)

    def validation(self):
        """Batches `(x, y)` of the tune split, mixed and degraded alike every time.

        `None` if it is too small. Mixed as in training: a contrastive loss would be another one
        if all windows of a batch came from one track.
        """
        if not self.n_validation:
            return None
        batch = min(self.batch_size, self.n_validation)
        data = self._read("tune", names=self.learnt_from, seed=self.seed)
        data = data.batch(batch, drop_remainder=True)
        return self._examples(data, VALIDATION_EPOCH, 0, self.n_validation // batch)

    def _examples(self, data, epoch, skip, steps):
        def examples(step, batch):
            seed = tf.stack([tf.cast(self.seed, tf.int32), epoch])
            seed = tf.random.fold_in(seed, tf.cast(step, tf.int32))
            return self.model.examples(batch, seed, self.augmentation)

        data = data.take(steps).enumerate().skip(skip)
        data = data.map(examples, num_parallel_calls=2, deterministic=True).prefetch(2)
        options = tf.data.Options()
        # Several machines read all files, and each leaves out what is the others' share.
        options.experimental_distribute.auto_shard_policy = (
            tf.data.experimental.AutoShardPolicy.DATA
        )
        options.threading.private_threadpool_size = os.cpu_count()  # see `a2v.cli.train`
        data = data.with_options(options)
        return data.apply(tf.data.experimental.assert_cardinality(steps - skip))
