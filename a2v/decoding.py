"""Decoding inside tf.data: tensorflow-io's native operations where they load, else soundfile.

Both give the same samples; resampling is soxr's in either case.
"""

import functools
import hashlib
import io
import os

import numpy as np
import soundfile
import soxr
import tensorflow as tf

from a2v import audio, features
from a2v.errors import A2VError

# Above this length a recording is decoded and windowed piece by piece.
LONG_S = 900.0
PIECE_WINDOWS = 1200
# Container and subtype, as libsndfile calls them, to the native decoder that gives the same
# samples. 32-bit integer WAV is missing because tensorflow-io takes it for float.
NATIVE = {
    ("WAV", "PCM_U8"): "wav8",
    ("WAV", "PCM_16"): "wav16",
    ("WAV", "PCM_24"): "wav24",
    ("WAV", "FLOAT"): "wavfloat",
    ("FLAC", "PCM_16"): "flac16",
    ("FLAC", "PCM_24"): "flac24",
    ("MP3", "MPEG_LAYER_III"): "mp3",
    ("OGG", "VORBIS"): "vorbis",
}


class GraphDecodingError(Exception):
    """A native decoder failed inside the graph, which cannot say on which file."""


@functools.cache
def native_operations():
    """tensorflow-io's module if its native operations really decode here, else `None`.

    Importing it succeeds even where they do not load (TensorFlow 2.18 and newer), so a tiny WAV
    is decoded.
    """
    try:
        import tensorflow_io as tfio

        wav = io.BytesIO()
        soundfile.write(wav, np.array([0.0, 0.5]), 16000, format="WAV", subtype="PCM_16")
        decoded = tfio.audio.decode_wav(tf.constant(wav.getvalue()), dtype=tf.int16)
        return tfio if decoded.numpy().ravel().tolist() == [0, 16384] else None
    except (ImportError, NotImplementedError, AttributeError, tf.errors.OpError):
        return None


def probe(path):
    """Looks at a file without decoding it.

    Returns:
        dict: `seconds`, `sha256`, `rate` Hz, `decoder` (a value of `NATIVE` or `python`), or
        only `reason` if the file cannot be used.
    """
    try:
        if not os.path.exists(path):
            return {"reason": "missing: no such file"}
        if os.path.getsize(path) == 0:
            return {"reason": "empty: 0 bytes"}
        with open(path, "rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        try:
            info = soundfile.info(path)
            seconds, rate = info.duration, info.samplerate
            decoder = NATIVE.get((info.format, info.subtype), "python")
        except soundfile.LibsndfileError:
            # AAC and the like: no header that tells the length without decoding.
            samples = sum(len(block) for block in audio.blocks(path))
            seconds, rate, decoder = samples / audio.SAMPLE_RATE, audio.SAMPLE_RATE, "python"
    except A2VError as error:
        return {"reason": f"unreadable: {str(error).removeprefix(f'{path}: ')}"}
    except OSError as error:
        return {"reason": f"unreadable: {error.strerror}"}
    if seconds == 0:
        return {"reason": "empty: no samples"}
    if seconds < features.WINDOW_S:
        return {"reason": f"too short: {seconds:.2f} s, one window is {features.WINDOW_S:.2f} s"}
    if seconds > LONG_S or native_operations() is None:
        decoder = "python"
    return {"seconds": round(seconds, 6), "sha256": sha256, "rate": rate, "decoder": decoder}


def stream(entries, windower, *, downmix, jobs=None):
    """Decodes and windows recordings, in order, several at a time.

    Args:
        entries: list of dicts with `path`, `rate`, `decoder`, `seconds`.
        windower: has `windows(waveform)`, `span()`, `hop`.
        downmix: `first` or `mean`.
        jobs: int, recordings in flight; `None` lets tf.data choose.

    Yields:
        `(entry, reason, batches)`: an iterator over dicts of windows, to be used up first, and a
        function that then gives the reason why the recording is of no use, or `None`.

    Raises:
        GraphDecodingError: a native decoder failed; ask again with `decoder` = `python`.
    """
    at = 0
    while at < len(entries):
        if entries[at]["seconds"] > LONG_S:
            pieces = _Pieces(entries[at], windower, downmix)
            yield entries[at], pieces.reason, iter(pieces)
            at += 1
            continue
        stop = at
        while stop < len(entries) and entries[stop]["seconds"] <= LONG_S:
            stop += 1
        run = entries[at:stop]
        decoded = _parallel(run, windower, downmix, jobs)
        for entry, (reason, windows) in zip(run, decoded, strict=True):
            yield entry, lambda reason=reason: reason, iter([] if reason else [windows])
        at = stop


def reason_against(waveform_level, n_samples, finite=True):
    """Why a decoded recording is of no use, or `None`."""
    if not finite:
        return "unreadable: holds NaN or infinite samples"
    if n_samples < features.WINDOW_S * audio.SAMPLE_RATE:
        return f"too short: {n_samples / audio.SAMPLE_RATE:.2f} s decode"
    if waveform_level < audio.SILENCE_DBFS:
        return f"silent: {waveform_level:.1f} dBFS, below {audio.SILENCE_DBFS:.0f}"
    return None


def _parallel(entries, windower, downmix, jobs):
    """Yields `(reason, windows)` of short recordings through one tf.data graph."""
    columns = {key: [entry[key] for entry in entries] for key in ("path", "rate", "decoder")}
    calls = jobs or tf.data.AUTOTUNE

    def decode(item):
        waveform, reason = decode_in_graph(item["path"], item["rate"], item["decoder"], downmix)
        finite = tf.reduce_all(tf.math.is_finite(waveform))
        power = tf.reduce_mean(tf.square(tf.cast(waveform, tf.float64)))
        level = 10 * tf.math.log(power) / tf.math.log(tf.constant(10, tf.float64))
        return reason, tf.shape(waveform)[0], level, finite, windower.windows(waveform)

    data = tf.data.Dataset.from_tensor_slices(columns)
    data = data.map(decode, num_parallel_calls=calls, deterministic=True).prefetch(2)
    try:
        for reason, n_samples, level, finite, windows in data.as_numpy_iterator():
            found = reason.decode() or reason_against(level, n_samples, finite)
            yield found, windows
    except tf.errors.OpError as error:
        raise GraphDecodingError(str(error)) from error


def decode_in_graph(path, rate, decoder, downmix):
    """Decodes one file as tensors: `(waveform [n] at 16 kHz, reason)`, reason empty if all is well.

    Args:
        path: string tensor; rate: int tensor, Hz; decoder: string tensor, a value of `NATIVE` or
            `python`; downmix: `first` or `mean`.
    """
    tfio = native_operations()
    names = sorted(set(NATIVE.values())) if tfio else []

    def native(name):
        data = tf.io.read_file(path)
        if name.startswith("wav"):
            kind = {"8": tf.uint8, "16": tf.int16, "24": tf.int32, "float": tf.float32}[name[3:]]
            samples = tfio.audio.decode_wav(data, dtype=kind)
        elif name.startswith("flac"):
            kind = {"16": tf.int16, "24": tf.int32}[name[4:]]
            samples = tfio.audio.decode_flac(data, dtype=kind)
        else:
            samples = {"mp3": tfio.audio.decode_mp3, "vorbis": tfio.audio.decode_vorbis}[name](data)
        samples = _full_scale(samples)
        mono = samples[:, 0] if downmix == "first" else tf.reduce_mean(samples, axis=1)
        return _resampled(mono, rate), tf.constant("")

    def by_python():
        waveform, reason = tf.numpy_function(
            functools.partial(_load, downmix=downmix), [path], (tf.float32, tf.string)
        )
        waveform.set_shape([None])
        reason.set_shape([])
        return waveform, reason

    branches = [functools.partial(native, name) for name in names] + [by_python]
    index = tf.argmax(tf.equal(tf.constant([*names, "python"]), decoder), output_type=tf.int32)
    return tf.switch_case(index, branches)


def _full_scale(samples):
    if samples.dtype == tf.uint8:
        return (tf.cast(samples, tf.float32) - 128) / 128
    if samples.dtype.is_integer:
        return tf.cast(samples, tf.float32) / -float(samples.dtype.min)
    return samples


def _resampled(mono, rate):
    def resample(mono, rate):
        return soxr.resample(mono, rate, audio.SAMPLE_RATE).astype(np.float32)

    resampled = tf.cond(
        tf.equal(rate, audio.SAMPLE_RATE),
        lambda: mono,
        lambda: tf.numpy_function(resample, [mono, rate], tf.float32),
    )
    resampled.set_shape([None])
    return resampled


def _load(path, downmix):
    path = path.decode()
    try:
        return audio.load(path, downmix=downmix), b""
    except A2VError as error:
        reason = str(error).removeprefix(f"{path}: ")
        return np.zeros(0, np.float32), f"unreadable: {reason}".encode()


class _Pieces:
    """Windows of one long recording, some minutes at a time."""

    def __init__(self, entry, windower, downmix):
        self.entry, self.windower, self.downmix = entry, windower, downmix
        self._failure = None
        self._power, self._samples = 0.0, 0

    def reason(self):
        """After all pieces: why the recording is of no use, or `None`."""
        level = 10 * np.log10(max(self._power, 1e-30) / max(self._samples, 1))
        return self._failure or reason_against(level, self._samples)

    def __iter__(self):
        margin, span = self.windower.margin, self.windower.span()
        piece = PIECE_WINDOWS * self.windower.hop_samples
        held, before = np.zeros(0, np.float32), 0
        try:
            for block in audio.blocks(self.entry["path"], downmix=self.downmix, block_s=60.0):
                self._power += float(np.sum(np.square(block, dtype=np.float64)))
                self._samples += len(block)
                held = np.concatenate([held, block])
                while len(held) >= before + piece + span + margin:
                    body = held[: before + piece - self.windower.hop_samples + span + margin]
                    windows = self._windows(body, before, margin)
                    yield {name: value[:PIECE_WINDOWS] for name, value in windows.items()}
                    held = held[before + piece - margin :]
                    before = margin
        except A2VError as error:
            reason = str(error).removeprefix(f"{self.entry['path']}: ")
            self._failure = f"unreadable: {reason}"
            return
        yield self._windows(held, before, 0)

    def _windows(self, waveform, before, after):
        windows = self.windower.windows(tf.constant(waveform), before=before, after=after)
        return {name: value.numpy() for name, value in windows.items()}
