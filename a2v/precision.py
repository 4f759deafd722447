"""What layers compute in: float32, or bfloat16 where the processor is not the slower for it."""

import contextlib
import time
import warnings

import keras
import tensorflow as tf

from a2v.errors import A2VWarning

PRECISIONS = ("float32", "mixed_bfloat16")
# Processors that know bfloat16 take half to all of float32's time, others five times as long.
_SLOWER = 2.0


@contextlib.contextmanager
def policy(precision):
    """Layers made within compute in `precision`."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def affordable(precision):
    """The precision to compute in: one of `PRECISIONS`.

    It is `float32`, and an A2VWarning says so, where `mixed_bfloat16` is asked for and this machine
    takes more than twice as long for a convolution in bfloat16.
    """
    if precision == "float32" or tf.config.list_physical_devices("GPU"):
        return precision
    slower = _convolving_s(tf.bfloat16) / _convolving_s(tf.float32)
    if slower <= _SLOWER:
        return precision
    warnings.warn(
        f"precision {precision}: this processor convolves {slower:.1f} times slower in bfloat16; "
        "float32 is used instead",
        A2VWarning,
        stacklevel=3,
    )
    return "float32"


def _convolving_s(dtype):
    """Seconds that a small convolution takes at least, the gradient of its kernel included."""
    heard, kernel = tf.ones((8, 20, 32, 32), dtype), tf.ones((3, 3, 32, 48), dtype)

    @tf.function
    def gradient():
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            convolved = tf.reduce_sum(tf.nn.conv2d(heard, kernel, 1, "VALID"))
        return tape.gradient(convolved, kernel)

    gradient()
    times = []
    for _ in range(5):
        began_s = time.perf_counter()
        gradient().numpy()
        times.append(time.perf_counter() - began_s)
    return min(times)
