"""Several devices, or machines, that train one model: each takes its share of every batch."""

import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path

import tensorflow as tf

from a2v.errors import A2VError


def number(variable):
    """A scalar Keras variable, whose parts may lie with several replicas, as one float."""
    return float(tf.convert_to_tensor(variable.value))


class _Workers(tf.distribute.MultiWorkerMirroredStrategy):
    """Several machines, with what Keras 3.15 asks of them beyond what TensorFlow 2.17 answers."""

    def reduce(self, reduce_op, value, axis):
        """As the original; of the parts of a batch too, and of scalars over any axis."""
        if isinstance(value, tuple | list):
            return tuple(self.reduce(reduce_op, part, axis) for part in value)
        scalar = self.experimental_local_results(value)[0].shape.rank == 0
        return super().reduce(reduce_op, value, None if scalar else axis)


class Sharing:
    """Who trains together.

    Args:
        strategy: str, `none`, `mirrored` (all GPUs of this machine) or `multi-worker` (those that
            the environment variable `TF_CONFIG` names).

    Raises:
        A2VError: several machines, and `TF_CONFIG` does not say which.
    """

    def __init__(self, strategy):
        self._strategy, self._chief = None, True
        if strategy == "mirrored":
            self._strategy = tf.distribute.MirroredStrategy()
        elif strategy == "multi-worker":
            try:
                config = json.loads(os.environ["TF_CONFIG"])
                kind, index = config["task"]["type"], int(config["task"]["index"])
                first = "chief" if "chief" in config["cluster"] else "worker"
                self._chief = (kind, index) == (first, 0)
            except (KeyError, TypeError, ValueError):
                raise A2VError(
                    "strategy multi-worker: set TF_CONFIG to a cluster and the task of this "
                    'machine, as {"cluster": {"worker": ["host1:12345", "host2:12345"]}, '
                    '"task": {"type": "worker", "index": 0}}'
                ) from None
            self._strategy = _Workers()

    def scope(self):
        """The context in which models and optimisers are made."""
        return self._strategy.scope() if self._strategy else contextlib.nullcontext()

    @contextlib.contextmanager
    def folder(self, out, resume):
        """Where this one writes.

        Args:
            out: Path, folder of the run; resume: bool, go on with what is there.

        Yields:
            Path: `out`, or, of all machines but the first, a temporary one with what they need to
            go on.
        """
        if self._chief:
            yield out
            return
        with tempfile.TemporaryDirectory() as name:
            own = Path(name) / "run"
            if resume and out.is_dir():
                shutil.copytree(out, own, ignore=shutil.ignore_patterns("logs"))
            yield own
