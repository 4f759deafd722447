"""What happens to sound on its way to a microphone: the operations, without any randomness.

Training and benchmarks share them: draw first (`a2v.augmentation` for training), apply second.
All take float32 `[..., n]` at 16 kHz and work on each example alone, as Keras operations.
"""

from keras import ops

from a2v.audio import SAMPLE_RATE


def power(waveform):
    """Mean square over the last axis: `[..., n]` to `[..., 1]`."""
    return ops.mean(ops.square(waveform), axis=-1, keepdims=True)


def add_noise(waveform, noise, *, snr_db, reference=None):
    """Adds noise at a signal-to-noise ratio measured over the waveform.

    Args:
        waveform, noise: float32 `[..., n]`.
        snr_db: float or `[..., 1]`, dB.
        reference: float32 `[..., m]`, the part whose level counts; the waveform itself by default.

    Returns:
        float32 `[..., n]`. Silence stays without noise: it has no level to relate to.
    """
    signal = power(waveform if reference is None else reference)
    gain = ops.sqrt(signal / (power(noise) + 1e-20) * 10.0 ** (-snr_db / 10.0))
    return waveform + gain * noise


def gain(waveform, *, gain_db):
    """Changes the level by `gain_db`, dB, without clipping."""
    return waveform * 10.0 ** (gain_db / 20.0)


def clip(waveform, *, drive_db):
    """Raises the level so that its peak passes full scale by `drive_db`, clips, scales back."""
    peak = ops.max(ops.abs(waveform), axis=-1, keepdims=True)
    limit = peak * 10.0 ** (-drive_db / 20.0)
    return ops.clip(waveform, -limit, limit)


def filtered(waveform, *, spectrum, fft_length):
    """Room and equaliser in one transform.

    Args:
        waveform: float32 `[..., n]`.
        spectrum: real and imaginary part, float32 `[..., fft_length / 2 + 1]` each, of the
            impulse response with its direct sound at sample 0 (`ops.rfft` gives it).
        fft_length: int, at least `n`; where `n` and the impulse response together are longer, the
            end of the reverberation comes round to the start.

    Returns:
        float32 `[..., n]`.
    """
    n = ops.shape(waveform)[-1]
    a, b = ops.rfft(waveform, fft_length=fft_length)
    c, d = spectrum
    return ops.irfft((a * c - b * d, a * d + b * c), fft_length=fft_length)[..., :n]


def band_response(low_hz, high_hz, n_bins, *, steepness=4):
    """Gains of a band-pass: Butterworth-shaped magnitude, zero phase.

    Args:
        low_hz, high_hz: float or `[..., 1]`, Hz, where the power has fallen to half.
        n_bins: int, bins from 0 Hz to 8 kHz.
        steepness: int, order of the flanks.

    Returns:
        float32 `[..., n_bins]`.
    """
    hz = ops.maximum(ops.linspace(0.0, SAMPLE_RATE / 2, n_bins), 0.1)
    above = 1.0 / (1.0 + (low_hz / hz) ** (2 * steepness))
    below = 1.0 / (1.0 + (hz / high_hz) ** (2 * steepness))
    return ops.sqrt(above * below)


def read_at(waveform, positions):
    """Reads waveforms between samples, by linear interpolation.

    Args:
        waveform: float32 `[batch, n]`.
        positions: float32 `[batch, m]`, in samples; before 0 and after n - 1, the outermost sample
            is read.

    Returns:
        float32 `[batch, m]`.
    """
    last = ops.shape(waveform)[-1] - 1
    positions = ops.clip(positions, 0, last)
    below = ops.minimum(ops.cast(positions, "int32"), last - 1)
    part = positions - ops.cast(below, positions.dtype)
    left = ops.take_along_axis(waveform, below, axis=-1)
    right = ops.take_along_axis(waveform, below + 1, axis=-1)
    return left * (1.0 - part) + right * part
