"""LSTM layers over many windows at once, as one loop of operations that every runtime has.

LiteRT's own LSTM takes one window at a time, and multiplies a matrix with a vector at each step,
which waits for memory. All windows of a block together make that a product of matrices: 37 windows
cost 13 times as much as one.
"""

from keras import ops


def last_state(layers, sequences):
    """Runs stacked LSTM layers.

    Args:
        layers: list of lists, what `get_weights` of each `keras.layers.LSTM` gives: kernel
            `[d, 4 units]`, recurrent kernel `[units, 4 units]`, bias `[4 units]`.
        sequences: float32 `[windows, steps, d]`, of a known number of steps.

    Returns:
        float32 `[windows, units]`, the last layer's hidden state at the last step.
    """
    steps = sequences.shape[1]
    inputs = ops.transpose(sequences, (1, 0, 2))
    merged = [ops.concatenate([kernel, recurrent]) for kernel, recurrent, _ in layers]

    def step(time, *states):
        x, found = ops.take(inputs, time, axis=0), []
        for (_, _, bias), weights, hidden, cell in zip(
            layers, merged, states[::2], states[1::2], strict=True
        ):
            gates = ops.matmul(ops.concatenate([x, hidden], axis=1), weights) + bias
            entered, kept, new, shown = ops.split(gates, 4, axis=1)
            cell = ops.sigmoid(kept) * cell + ops.sigmoid(entered) * ops.tanh(new)
            x = ops.sigmoid(shown) * ops.tanh(cell)
            found += [x, cell]
        return time + 1, *found

    # A result, not a constant: a file would hold all these zeros.
    zero = ops.minimum(ops.abs(sequences[:, 0, :1]), 0.0)
    zeros = [ops.tile(zero, (1, len(own[1]))) for own in layers for _ in range(2)]
    first = ops.convert_to_tensor(0, dtype="int32")
    return ops.while_loop(lambda time, *_: time < steps, step, (first, *zeros))[-2]
