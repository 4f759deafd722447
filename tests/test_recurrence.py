import keras
import numpy as np
import pytest

from a2v.recurrence import last_state


@pytest.mark.parametrize("units", [(16,), (16, 8), (8, 8, 8)])
@pytest.mark.parametrize("windows", [1, 5])
def test_the_last_state_is_that_of_keras(units, windows):
    generator = np.random.default_rng(0)
    inputs = x = keras.Input((30, 13))
    layers = [keras.layers.LSTM(size, return_sequences=True) for size in units]
    for layer in layers:
        x = layer(x)
        layer.cell.bias.assign(generator.normal(size=layer.cell.bias.shape))
    model = keras.Model(inputs, x[:, -1])
    sequences = np.float32(generator.normal(0, 2, (windows, 30, 13)))
    found = last_state([layer.get_weights() for layer in layers], sequences)
    np.testing.assert_allclose(found, model.predict(sequences, verbose=0), atol=1e-6)
