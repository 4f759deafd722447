"""Tapers and filter banks on the bins of a power spectrum, as NumPy constants."""

import numpy as np

from a2v.audio import SAMPLE_RATE


def hann(length):
    """Periodic Hann taper, float32 `[length]`."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)).astype("float32")


def mel_of_hz(hz):
    """HTK mel of a frequency in Hz."""
    return 2595 * np.log10(1 + np.asarray(hz) / 700)


def hz_of_mel(mel):
    """Frequency in Hz of an HTK mel."""
    return 700 * (10 ** (np.asarray(mel) / 2595) - 1)


def mel_on_bins(n_mels, fft_length):
    """Triangles whose corners are rounded down to whole FFT bins: float32 `[bins, n_mels]`."""
    corners = hz_of_mel(np.linspace(0, mel_of_hz(SAMPLE_RATE / 2), n_mels + 2))
    corners = np.floor((fft_length + 1) * corners / SAMPLE_RATE)
    return triangles(np.arange(fft_length // 2 + 1), corners)


def mel(n_mels, fft_length, min_hz, max_hz):
    """Triangles on the HTK mel scale, corners between bins: float32 `[bins, n_mels]`."""
    corners = hz_of_mel(np.linspace(mel_of_hz(min_hz), mel_of_hz(max_hz), n_mels + 2))
    return triangles(np.arange(fft_length // 2 + 1) * SAMPLE_RATE / fft_length, corners)


def chroma(n_chroma, fft_length):
    """Maps bins to pitch classes, C first: float32 `[bins, n_chroma]`.

    Each bin is a Gaussian bump as wide as the bin in pitch classes (one at least), of unit norm,
    weighted by a Gaussian over octaves that peaks five octaves above 27.5 Hz, two wide. The first
    bin, which has no pitch, lies one and a half octaves below the second.

    Reference:
        Ellis 2007, "Chroma feature analysis and synthesis"; McFee et al. 2015 (librosa).
    """
    hz = np.arange(1, fft_length) * SAMPLE_RATE / fft_length
    octave = np.log2(hz / 27.5)
    octave = np.concatenate([octave[:1] - 1.5, octave])  # [fft_length]
    width = np.append(np.maximum(n_chroma * np.diff(octave), 1.0), 1.0)
    from_a = n_chroma * octave[:, None] - np.arange(n_chroma)  # pitch classes, A first
    half = round(n_chroma / 2)
    distance = (from_a + half) % n_chroma - half
    bumps = np.exp(-0.5 * (2 * distance / width[:, None]) ** 2)
    bumps /= np.linalg.norm(bumps, axis=1, keepdims=True)
    bumps *= np.exp(-0.5 * ((octave[:, None] - 5) / 2) ** 2)
    bumps = np.roll(bumps, -3 * (n_chroma // 12), axis=1)
    return bumps[: fft_length // 2 + 1].astype("float32")


def thirds(n_semitones, fft_length, low):
    """Gaussian bands a third of a semitone apart, in equal temperament: float32 `[bins, 3 n]`.

    A band is as wide as a third of a semitone, or as a bin where that is wider; its gains sum to 1.
    The middle one of each semitone lies on its pitch.

    Args:
        low: int, MIDI number of the lowest semitone (69 = 440 Hz).
    """
    hz = np.arange(fft_length // 2 + 1)[:, None] * SAMPLE_RATE / fft_length
    centres = 440 * 2 ** ((low - 69 + (np.arange(3 * n_semitones) - 1) / 3) / 12)
    width = np.maximum(centres * (2 ** (1 / 36) - 1), SAMPLE_RATE / fft_length)
    bands = np.exp(-0.5 * ((hz - centres) / width) ** 2)
    return (bands / bands.sum(axis=0)).astype("float32")


def parted(bands, width):
    """Parts a filter bank, so that its many gains of next to nothing need not be kept.

    Args:
        bands: float32 `[bins, n]`; width: int, bands of a part.

    Returns:
        list of (first bin, float32 `[m, width]`), the bands in turn; the last part's may be fewer.
    """
    parts = []
    for first in range(0, bands.shape[1], width):
        own = bands[:, first : first + width]
        heard = np.flatnonzero(own.max(axis=1) > 1e-6)
        parts.append((int(heard[0]), own[heard[0] : heard[-1] + 1]))
    return parts


def triangles(positions, corners):
    """Triangles of height 1 over neighbouring corners, at `positions`: float32 `[p, corners-2]`."""
    positions = np.asarray(positions, np.float64)[:, None]
    low, peak, high = corners[:-2], corners[1:-1], corners[2:]
    rising = (positions - low) / np.maximum(peak - low, 1e-9)
    falling = (high - positions) / np.maximum(high - peak, 1e-9)
    return np.maximum(0, np.minimum(rising, falling)).astype("float32")


def cepstra(n_mels, n_mfcc, lifter):
    """Orthonormal DCT-II with the lifter's weights: float32 `[n_mels, n_mfcc]`."""
    n, k = np.arange(n_mels)[:, None], np.arange(n_mfcc)[None, :]
    dct = np.cos(np.pi * k * (2 * n + 1) / (2 * n_mels)) * np.sqrt(2 / n_mels)
    dct[:, 0] /= np.sqrt(2)
    return (dct * (1 + lifter / 2 * np.sin(np.pi * k[0] / lifter))).astype("float32")
