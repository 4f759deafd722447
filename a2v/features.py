"""MFCC, chroma, log-mel and pitch: Keras layers from waveform to frames, and windows of frames.

The same layer object serves preprocessing, training and the exported graph. Every example is
handled on its own, and nothing is padded: `n` samples give `1 + (n - frame_length) // 160` frames.
"""

import hashlib
import json

import keras
import numpy as np
from keras import ops

from a2v import filterbanks
from a2v.audio import SAMPLE_RATE
from a2v.errors import A2VError

FRAME_STEP = 160
WINDOW_FRAMES = 100
HOP_FRAMES = 25
WINDOW_S = WINDOW_FRAMES * FRAME_STEP / SAMPLE_RATE
HOP_S = HOP_FRAMES * FRAME_STEP / SAMPLE_RATE
OCTAVE = 36  # thirds of a semitone


class FrameFeatures(keras.layers.Layer):
    """What the features share: framing, power spectrum, windows, digest.

    Args:
        frame_length: int, samples per frame at 16 kHz.
        fft_length: int, points of the FFT, at least `frame_length`.
    """

    def __init__(self, *, frame_length, fft_length, **kwargs):
        kwargs.setdefault("trainable", False)
        super().__init__(**kwargs)
        if fft_length < frame_length:
            raise A2VError(f"fft_length {fft_length}: use frame_length, {frame_length}, or more")
        self.frame_length = frame_length
        self.fft_length = fft_length

    @property
    def n_features(self):
        """Features per frame."""
        raise NotImplementedError

    def from_frames(self, frames):
        """Features of frames cut elsewhere: `[..., frame_length]` to `[..., n_features]`.

        They are cut from what `emphasised` gives.
        """
        raise NotImplementedError

    def emphasised(self, waveform):
        """What frames are cut from: float32 `[..., n]` to the same shape; here as it is."""
        return waveform

    def call(self, waveform):
        """Maps float32 `[..., n]` at 16 kHz to float32 `[..., frames, n_features]`."""
        return self.from_frames(self.frames(self.emphasised(waveform)))

    def frames(self, waveform):
        """Cuts float32 `[..., n]`, n from `frame_length` on, into `[..., frames, frame_length]`."""
        # Rows of a step each, side by side: no list of all samples' places, as one gathering them
        # would take, which in an exported graph is a constant of up to a quarter of a megabyte.
        count = 1 + (ops.shape(waveform)[-1] - self.frame_length) // FRAME_STEP
        across = -(-self.frame_length // FRAME_STEP)
        missing = across * FRAME_STEP - self.frame_length
        padded = ops.pad(waveform, [(0, 0)] * (len(waveform.shape) - 1) + [(0, missing)])
        whole = padded[..., : (count + across - 1) * FRAME_STEP]
        rows = ops.reshape(whole, (*ops.shape(waveform)[:-1], count + across - 1, FRAME_STEP))
        widths = [FRAME_STEP] * (across - 1) + [FRAME_STEP - missing]
        parts = [rows[..., k : k + count, :width] for k, width in enumerate(widths)]
        return ops.concatenate(parts, axis=-1)

    def power(self, frames):
        """Power spectrum `[..., fft_length / 2 + 1]` of `[..., frame_length]`, unscaled."""
        real, imaginary = ops.rfft(frames, fft_length=self.fft_length)
        return ops.square(real) + ops.square(imaginary)

    def span(self, n_frames=WINDOW_FRAMES):
        """Samples that `n_frames` frames cover."""
        return (n_frames - 1) * FRAME_STEP + self.frame_length

    def windows(self, waveform):
        """Windows of one recording, each equal to what its own samples alone would give.

        Args:
            waveform: float32 `[n]`, `n >= span()`.

        Returns:
            float32 `[windows, 100, n_features]`, one window each 0.25 s.
        """
        frames = ops.transpose(self(waveform))  # [features, frames]
        windows = ops.extract_sequences(frames, WINDOW_FRAMES, HOP_FRAMES)
        return ops.transpose(windows, (1, 2, 0))  # [windows, 100, features]

    def definition(self):
        """What the feature is, as a JSON-ready dict: everything a digest must tell apart."""
        config = {
            key: value
            for key, value in self.get_config().items()
            if key not in ("name", "trainable", "dtype")
        }
        return {
            "layer": type(self).__name__,
            **config,
            "sample_rate": SAMPLE_RATE,
            "frame_step": FRAME_STEP,
            "window_frames": WINDOW_FRAMES,
            "hop_frames": HOP_FRAMES,
        }

    def get_config(self):
        return {
            **super().get_config(),
            "frame_length": self.frame_length,
            "fft_length": self.fft_length,
        }


@keras.saving.register_keras_serializable("a2v")
class MFCC(FrameFeatures):
    """Mel-frequency cepstra, as Shah and Sitonic's table 3.1 in python_speech_features' convention.

    Pre-emphasis 0.97, 25 ms rectangular frames every 10 ms, 512-point power spectrum / 512,
    HTK mel filters on whole bins, natural log, orthonormal DCT-II, lifter, c0 = log energy.

    Args:
        n_mfcc: int, cepstra kept.
        n_mels: int, mel filters.
        frame_length, fft_length: int, samples.
        pre_emphasis: float, coefficient of the first difference.
        lifter: int, sinusoidal lifter.

    Reference:
        Davis, Mermelstein 1980; Shah, Sitonic 2017, table 3.1.
    """

    def __init__(
        self,
        *,
        n_mfcc=13,
        n_mels=26,
        frame_length=400,
        fft_length=512,
        pre_emphasis=0.97,
        lifter=22,
        **kwargs,
    ):
        super().__init__(frame_length=frame_length, fft_length=fft_length, **kwargs)
        self.n_mfcc = n_mfcc
        self.n_mels = n_mels
        self.pre_emphasis = pre_emphasis
        self.lifter = lifter
        self._filters = filterbanks.mel_on_bins(n_mels, fft_length)  # [bins, mels]
        self._cepstra = filterbanks.cepstra(n_mels, n_mfcc, lifter)  # [mels, mfcc]

    @property
    def n_features(self):
        return self.n_mfcc

    def emphasised(self, waveform):
        # The first sample has no predecessor and stays as it is.
        rest = waveform[..., 1:] - self.pre_emphasis * waveform[..., :-1]
        return ops.concatenate([waveform[..., :1], rest], axis=-1)

    def from_frames(self, frames):
        power = self.power(frames) / self.fft_length
        floor = float(np.finfo(np.float64).eps)
        energy = ops.log(ops.maximum(ops.sum(power, axis=-1, keepdims=True), floor))
        mel = ops.log(ops.maximum(ops.matmul(power, self._filters), floor))
        return ops.concatenate([energy, ops.matmul(mel, self._cepstra)[..., 1:]], axis=-1)

    def windows(self, waveform):
        # Alone, a window's first sample has no predecessor; in the recording it has one. Only
        # the first frame knows the difference, so that frame is computed anew for each window.
        windows = super().windows(waveform)
        n_frames = ops.shape(waveform)[0] - self.span() + self.frame_length
        starts = ops.extract_sequences(
            waveform[:n_frames], self.frame_length, HOP_FRAMES * FRAME_STEP
        )
        return ops.concatenate([self(starts), windows[:, 1:]], axis=1)

    def get_config(self):
        return {
            **super().get_config(),
            "n_mfcc": self.n_mfcc,
            "n_mels": self.n_mels,
            "pre_emphasis": self.pre_emphasis,
            "lifter": self.lifter,
        }


@keras.saving.register_keras_serializable("a2v")
class Chroma(FrameFeatures):
    """Chroma of the power spectrum, each frame scaled to a maximum of 1.

    Agrees with `librosa.feature.chroma_stft(center=False, tuning=0, hop_length=160)`. Its frames
    are longer than those of the other features, because semitones in the bass need it.

    Args:
        n_chroma: int, pitch classes.
        frame_length, fft_length: int, samples (Hann taper).

    Reference:
        Ellis 2007, "Chroma feature analysis and synthesis"; McFee et al. 2015 (librosa).
    """

    def __init__(self, *, n_chroma=12, frame_length=2048, fft_length=2048, **kwargs):
        super().__init__(frame_length=frame_length, fft_length=fft_length, **kwargs)
        self.n_chroma = n_chroma
        self._taper = filterbanks.hann(frame_length)
        self._filters = filterbanks.chroma(n_chroma, fft_length)  # [bins, chroma]

    @property
    def n_features(self):
        return self.n_chroma

    def from_frames(self, frames):
        chroma = ops.matmul(self.power(frames * self._taper), self._filters)
        peak = ops.max(chroma, axis=-1, keepdims=True)
        return chroma / ops.where(peak < np.finfo(np.float32).tiny, 1.0, peak)

    def get_config(self):
        return {**super().get_config(), "n_chroma": self.n_chroma}


@keras.saving.register_keras_serializable("a2v")
class LogMel(FrameFeatures):
    """Natural logarithm of mel-band power.

    Args:
        n_mels: int, bands, HTK mel scale, triangles of height 1.
        min_hz, max_hz: float, range of the bands.
        frame_length, fft_length: int, samples (Hann taper).
        floor: float, band power below which a band counts as silent: about that of 16-bit
            rounding, so that digital silence and a quiet recording's dither look alike.
    """

    def __init__(
        self,
        *,
        n_mels=128,
        min_hz=100.0,
        max_hz=7000.0,
        frame_length=1024,
        fft_length=1024,
        floor=1e-7,
        **kwargs,
    ):
        super().__init__(frame_length=frame_length, fft_length=fft_length, **kwargs)
        self.n_mels = n_mels
        self.min_hz = min_hz
        self.max_hz = max_hz
        self.floor = floor
        self._taper = filterbanks.hann(frame_length)
        self._filters = filterbanks.mel(n_mels, fft_length, min_hz, max_hz)  # [bins, mels]

    @property
    def n_features(self):
        return self.n_mels

    def from_frames(self, frames):
        power = self.power(frames * self._taper)
        return ops.log(ops.maximum(ops.matmul(power, self._filters), self.floor))

    def get_config(self):
        return {
            **super().get_config(),
            "n_mels": self.n_mels,
            "min_hz": self.min_hz,
            "max_hz": self.max_hz,
            "floor": self.floor,
        }


@keras.saving.register_keras_serializable("a2v")
class Pitch(FrameFeatures):
    """Natural logarithm of power in thirds of a semitone, over six octaves.

    Args:
        n_semitones: int, from `low` on, in thirds.
        low: int, MIDI number of the lowest semitone.
        frame_length, fft_length: int, samples (Hann taper); long, for the sake of the bass.
        floor: float, power below which a band counts as silent.
    """

    def __init__(
        self,
        *,
        n_semitones=72,
        low=36,
        frame_length=4096,
        fft_length=4096,
        floor=1e-7,
        **kwargs,
    ):
        super().__init__(frame_length=frame_length, fft_length=fft_length, **kwargs)
        self.n_semitones = n_semitones
        self.low = low
        self.floor = floor
        self._taper = filterbanks.hann(frame_length)
        # By the octave: as one matrix they would take a megabyte of every exported model.
        parts = filterbanks.parted(filterbanks.thirds(n_semitones, fft_length, low), OCTAVE)
        self._bins = [(first, len(gains)) for first, gains in parts]
        self._filters = np.concatenate([gains for _, gains in parts])  # [bins of all octaves, 36]

    @property
    def n_features(self):
        return 3 * self.n_semitones

    def from_frames(self, frames):
        power, bands, row = self.power(frames * self._taper), [], 0
        for first, count in self._bins:
            gains = self._filters[row : row + count]
            bands.append(ops.matmul(power[..., first : first + count], gains))
            row += count
        return ops.log(ops.maximum(ops.concatenate(bands, axis=-1), self.floor))

    def get_config(self):
        return {
            **super().get_config(),
            "n_semitones": self.n_semitones,
            "low": self.low,
            "floor": self.floor,
        }


FEATURES = {"mfcc": MFCC, "chroma": Chroma, "logmel": LogMel, "pitch": Pitch}


def build(name, **overrides):
    """The feature layer called `name`, a key of `FEATURES`, with keyword overrides."""
    if name not in FEATURES:
        raise A2VError(f"feature {name!r}: use one of {', '.join(FEATURES)}")
    return FEATURES[name](**overrides)


def digest(definition):
    """12 hexadecimal digits that two equal feature definitions share, and only they."""
    text = json.dumps(definition, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
