"""Decoding inside tf.data: by tensorflow-io's native operations or by libsndfile.

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

from a2v import audio, decoders, places
from a2v.errors import A2VError
from a2v.windowing import WINDOW

# Above this length a recording is decoded and windowed piece by piece.
LONG_S = 900.0
PIECE_WINDOWS = 256
# libsndfile's coding to the native decoder that gives the same samples. 32-bit integer WAV is
# missing because tensorflow-io takes it for float.
NATIVE = {
    "WAV PCM_U8": "wav8",
    "WAV PCM_16": "wav16",
    "WAV PCM_24": "wav24",
    "WAV FLOAT": "wavfloat",
    "FLAC PCM_16": "flac16",
    "FLAC PCM_24": "flac24",
    "MP3 MPEG_LAYER_III": "mp3",
    "OGG VORBIS": "vorbis",
}
# Which of them `fastest` takes. On one core tensorflow-io reads 16-bit WAV 1.5 times faster than
# libsndfile, but needs 4 times as long for MP3, 6 for Vorbis, 8 for FLAC.
NATIVE_OF = {
    "fastest": frozenset(("wav8", "wav16")),
    "tensorflow-io": frozenset(NATIVE.values()),
    "libsndfile": frozenset(),
}


class Unusable(Exception):
    """Why a recording is left out."""


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


def probe(path, *, native=frozenset()):
    """Looks at a file without decoding it.

    Args:
        path: str.
        native: set of the native decoders to use, values of `NATIVE`.

    Returns:
        dict: `seconds`, `sha256`, `rate` Hz, `decoder` (one of `native`, or `python`).

    Raises:
        Unusable: the file is missing, empty, no audio, or too short.
    """
    try:
        with decoders.opened(path) as recording:
            rate, seconds, coding = recording.rate, recording.seconds, recording.coding
        with places.place(path).open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except A2VError as error:
        raise Unusable(_reason(path, error)) from None
    if coding:  # otherwise the length may be a guess
        _judge(round(seconds * audio.SAMPLE_RATE), None)
    decoder = NATIVE.get(coding)
    if decoder not in native or seconds > LONG_S or places.is_remote(path):
        decoder = "python"
    return {"seconds": round(seconds, 3), "sha256": sha256, "rate": rate, "decoder": decoder}


def stream(entries, windower, *, downmix, jobs):
    """Decodes and windows recordings, in order, several at a time.

    Args:
        entries: list of dicts with `path`, `rate`, `decoder`, `seconds`.
        windower: `Windower`.
        downmix: `first` or `mean`.
        jobs: int, recordings in flight.

    Yields:
        `(entry, batches)`: an iterator over dicts of windows `[windows, ...]`, to be used up
        before the next entry. It raises Unusable where the recording has to be left out,
        possibly after some windows.
    """
    decoded = _in_parallel([e for e in entries if not _is_long(e)], windower, downmix, jobs)
    for entry in entries:
        how = _piecewise if _is_long(entry) else functools.partial(_at_once, decoded)
        yield entry, how(entry, windower, downmix)


def _is_long(entry):
    return entry["seconds"] > LONG_S


def _judge(n_samples, power):
    """Raises Unusable for a recording of so many samples at 16 kHz and such a mean square."""
    seconds = n_samples / audio.SAMPLE_RATE
    if n_samples == 0:
        raise Unusable("empty: no samples")
    if n_samples < WINDOW:
        raise Unusable(f"too short: {seconds:.2f} s, one window is {WINDOW / audio.SAMPLE_RATE} s")
    if power is not None and power < 10 ** (audio.SILENCE_DBFS / 10):
        level = 10 * np.log10(power) if power else -np.inf
        raise Unusable(f"silent: {level:.1f} dBFS, below {audio.SILENCE_DBFS:.0f}")


def _reason(path, error):
    return str(error).removeprefix(f"{path}: ")


def _in_parallel(entries, windower, downmix, jobs):
    """Iterator over `(failure, n_samples, power, segment, features)` of short recordings."""
    if not entries:
        return iter(())
    columns = {key: [entry[key] for entry in entries] for key in ("rate", "decoder")}
    columns["path"] = [os.fsencode(entry["path"]) for entry in entries]
    among = set(columns["decoder"])

    @tf.autograph.experimental.do_not_convert
    def decode(item):
        waveform, failure = decode_in_graph(**item, downmix=downmix, among=among)
        power = tf.reduce_mean(tf.square(waveform))
        segment = windower.segment(waveform)
        computed = windower.features(segment)
        kept = segment if "waveform" in windower.names else segment[:0]
        return failure, tf.shape(waveform)[0], power, kept, computed

    data = tf.data.Dataset.from_tensor_slices(columns)
    data = data.map(decode, num_parallel_calls=jobs, deterministic=True).prefetch(1)
    return data.as_numpy_iterator()


def _at_once(decoded, entry, windower, downmix):
    """The windows of the next short recording."""
    try:
        failure, n_samples, power, segment, computed = next(decoded)
    except tf.errors.OpError:
        if entry["decoder"] == "python":
            raise
        n_samples, power = 0, np.nan
    if entry["decoder"] != "python":
        least = (entry["seconds"] - audio.TOLERANCE_S) * audio.SAMPLE_RATE
        if n_samples < least or not np.isfinite(power):
            # The native decoder cannot say what is wrong, nor save what precedes it.
            waveform, failure = _load(entry["path"], downmix)
            n_samples = len(waveform)
            power = np.sum(np.square(waveform, dtype=np.float64)) / max(1, n_samples)
            segment, computed = windower.segment(waveform).numpy(), None
    if failure:
        raise Unusable(failure.decode())
    _judge(n_samples, power)
    yield windower.windows(segment, computed)


def _piecewise(entry, windower, downmix):
    """The windows of a long recording, some at a time."""
    length, step = windower.length(PIECE_WINDOWS), PIECE_WINDOWS * windower.hop_samples
    held = np.zeros(windower.margin, np.float32)
    n_samples, square, done = 0, 0.0, 0
    try:
        for block in audio.blocks(entry["path"], downmix=downmix):
            n_samples += len(block)
            square += float(np.sum(np.square(block, dtype=np.float64)))
            held = np.concatenate([held, block])
            while len(held) >= length:
                yield windower.windows(held[:length])
                held, done = held[step:], done + PIECE_WINDOWS
    except A2VError as error:
        raise Unusable(_reason(entry["path"], error)) from None
    _judge(n_samples, square / n_samples)
    left = windower.count(n_samples) - done
    if left:
        length = windower.length(left)
        yield windower.windows(np.pad(held, (0, max(0, length - len(held))))[:length])


def decode_in_graph(path, rate, decoder, *, downmix, among=None):
    """Decodes one file as tensors.

    Args:
        path: string tensor.
        rate: int tensor, Hz.
        decoder: string tensor, a value of `NATIVE`, or `python` for `audio.load`.
        downmix: `first` or `mean`.
        among: set of the decoders that may be asked for; all if `None`. A graph of few branches
            is traced sooner.

    Returns:
        `(waveform [n] at 16 kHz, failure)`: float32, and a string that is empty if all is well.
    """
    tfio = native_operations()

    def native(name):
        samples = _full_scale(_native(tfio, name, tf.io.read_file(path)))
        mono = samples[:, 0] if downmix == "first" else tf.reduce_mean(samples, axis=1)
        return _resampled(mono, rate), tf.constant("")

    def by_python():
        load = functools.partial(_load, downmix=downmix)
        waveform, failure = tf.numpy_function(load, [path], (tf.float32, tf.string))
        return tf.ensure_shape(waveform, [None]), tf.ensure_shape(failure, [])

    among = set(NATIVE.values()) if among is None else among - {"python"}
    names = sorted(among) if tfio else []
    branches = [functools.partial(native, name) for name in names] + [by_python]
    index = tf.argmax(tf.equal(tf.constant([*names, "python"]), decoder), output_type=tf.int32)
    return tf.switch_case(index, branches)


def _native(tfio, name, data):
    if name.startswith("wav"):
        kind = {"8": tf.uint8, "16": tf.int16, "24": tf.int32, "float": tf.float32}[name[3:]]
        return tfio.audio.decode_wav(data, dtype=kind)
    if name.startswith("flac"):
        return tfio.audio.decode_flac(data, dtype={"16": tf.int16, "24": tf.int32}[name[4:]])
    return {"mp3": tfio.audio.decode_mp3, "vorbis": tfio.audio.decode_vorbis}[name](data)


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
    return tf.ensure_shape(resampled, [None])


def _load(path, downmix):
    """`audio.load` for graphs: `(waveform, failure)`, the one or the other empty."""
    # TensorFlow hands a string over as bytes, or as an array of them.
    path = os.fsdecode(path.item() if isinstance(path, np.ndarray) else path)
    try:
        return audio.load(path, downmix=downmix), b""
    except A2VError as error:
        return np.zeros(0, np.float32), _reason(path, error).encode()
