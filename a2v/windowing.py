"""Windows of several features, cut from recordings or from pieces of them."""

import numpy as np
import tensorflow as tf

from a2v import audio, features
from a2v.errors import A2VError

WINDOW = round(features.WINDOW_S * audio.SAMPLE_RATE)
STEP = features.HOP_FRAMES * features.FRAME_STEP


class Windower:
    """Turns segments of a recording into windows of all features asked for.

    A segment is what some windows in a row are cut from: `margin` samples of context, the samples
    that the windows' frames cover, `margin` samples again; zeros beyond the recording's ends.

    Args:
        names: list of str, keys of `features.FEATURES`, or `waveform`.
        options: dict of feature name to keyword arguments of its layer.
        hop_s: float, seconds between windows, a multiple of 0.25.
        margin_s: float, seconds of context on both sides of `waveform` windows, whose frames are
            log-mel ones: those of a feature with longer frames take theirs out of it.

    Raises:
        A2VError: an unknown feature, none at all, a bad hop or margin.
    """

    def __init__(self, names, options=None, *, hop_s=features.HOP_S, margin_s=0.0):
        options = options or {}
        hop = round(hop_s / features.HOP_S)
        if hop < 1 or abs(hop * features.HOP_S - hop_s) > 1e-9:
            raise A2VError(f"hop_s = {hop_s}: use a multiple of {features.HOP_S}")
        if not margin_s >= 0:
            raise A2VError(f"margin_s = {margin_s}: use 0 or more")
        known = [*features.FEATURES, "waveform"]
        for name in names or [""]:
            if name not in known:
                raise A2VError(f"feature {name!r}: use one of {', '.join(known)}")
        self.names = list(dict.fromkeys(names))
        self.layers = {
            name: features.build(name, **options.get(name, {}))
            for name in self.names
            if name != "waveform"
        }
        self.hop = hop
        self.margin = round(margin_s * audio.SAMPLE_RATE)
        wave_span = features.build("logmel", **options.get("logmel", {})).span()
        self.wave_samples = wave_span + 2 * self.margin
        spans = [layer.span() for layer in self.layers.values()]
        self.reach = max(spans + ([wave_span] if "waveform" in self.names else []))
        self._traced = tf.function(
            self.features, input_signature=[tf.TensorSpec([None], tf.float32)], autograph=False
        )

    @property
    def hop_samples(self):
        """Samples between two windows."""
        return self.hop * STEP

    def described(self):
        """Definition, digest and window shape of each feature, JSON-ready."""
        described = {}
        for name in self.names:
            if name == "waveform":
                shape = [self.wave_samples]
                definition = {"layer": "Waveform", "sample_rate": audio.SAMPLE_RATE}
            else:
                shape = [features.WINDOW_FRAMES, self.layers[name].n_features]
                definition = self.layers[name].definition()
            digest = features.digest(definition)
            described[name] = {"digest": digest, "shape": shape, "definition": definition}
        return described

    def count(self, n_samples):
        """Windows that a recording of `n_samples` has: the last one is the last whole second."""
        return max(0, 1 + (n_samples - WINDOW) // self.hop_samples)

    def length(self, count):
        """Samples of a segment that `count` windows are cut from."""
        return (count - 1) * self.hop_samples + self.reach + 2 * self.margin

    def segment(self, waveform):
        """All of a recording as one segment, of one window where it is shorter than that.

        Args:
            waveform: float32 tensor `[n]`.

        Returns:
            float32 tensor `[length(max(1, count(n)))]`.
        """
        count = tf.maximum(1, 1 + (tf.shape(waveform)[0] - WINDOW) // self.hop_samples)
        padded = tf.pad(waveform, [[self.margin, self.reach + self.margin]])
        return padded[: self.length(count)]

    def features(self, segment):
        """Windows of all features but `waveform`: dict of tensors `[windows, ...]`."""
        body = segment[self.margin : tf.shape(segment)[0] - self.margin]
        count = 1 + (tf.shape(body)[0] - self.reach) // self.hop_samples
        return {
            name: layer.windows(body)[:: self.hop][:count] for name, layer in self.layers.items()
        }

    def windows(self, segment, computed=None):
        """Windows of all features.

        Args:
            segment: float32 array `[length(windows)]`.
            computed: dict, what `features` gave for it, if that is known.

        Returns:
            dict of name to float32 array `[windows, ...]`, in the order of `names`; `waveform` is
            a view of the segment.
        """
        if computed is None:
            computed = {k: v.numpy() for k, v in self._traced(segment).items()}
        if "waveform" in self.names:
            cut = np.lib.stride_tricks.sliding_window_view(segment, self.wave_samples)
            computed = computed | {"waveform": cut[: len(segment) - self.length(1) + 1]}
            computed["waveform"] = computed["waveform"][:: self.hop_samples]
        return {name: computed[name] for name in self.names}
