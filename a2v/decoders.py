"""Opens recordings with the first decoder that takes them: libsndfile, PyAV, ffmpeg."""

import contextlib
import importlib.util
import io
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from a2v.errors import A2VError
from a2v.places import is_named, is_remote, place

# A pipe is kept in memory up to this size and on disk beyond it.
SPOOL_BYTES = 64 << 20


class Recording(NamedTuple):
    """An opened recording.

    Args:
        rate: int, Hz.
        seconds: float, as its header says, or estimated; 0 where neither can be.
        coding: str, libsndfile's container and subtype such as `WAV PCM_16`; "" where another
            decoder is at work.
        pieces: function of a number of frames that gives an iterator over float32
            `[frames or fewer, channels]`. It raises RuntimeError where decoding fails.
    """

    rate: int
    seconds: float
    coding: str
    pieces: Callable


@contextlib.contextmanager
def opened(source):
    """Opens a recording with the first decoder that takes it: libsndfile, PyAV, ffmpeg.

    Args:
        source: as for `load`.

    Yields:
        Recording.

    Raises:
        A2VError: the source is missing, empty, or no audio.
    """
    name = describe(source)
    with contextlib.ExitStack() as stack:
        handle = _seekable(source, name, stack)
        for attempt in (_by_libsndfile, _by_av, _by_ffmpeg):
            recording = attempt(handle, stack)
            if recording:
                break
            if not isinstance(handle, Path):
                handle.seek(0)
        else:
            remedy = "" if _reads_aac() else "; if it is AAC, `pip install 'a2v[aac]'` or ffmpeg"
            raise A2VError(f"{name}: cannot be decoded: damaged, or no audio at all{remedy}")
        yield recording


def streamed(stream, name, stack):
    """Opens what is still coming with a decoder that needs no second look: PyAV, ffmpeg.

    Args:
        stream: object whose `read(size)` gives bytes as soon as there are any, none at the end.
        name: str, what messages call it.
        stack: contextlib.ExitStack that closes the decoder.

    Returns:
        Recording, of unknown length.

    Raises:
        A2VError: it cannot be decoded, or there is no decoder.
    """
    if not _reads_aac():
        raise A2VError(
            f"{name}: only WAV and raw samples are decoded while they come; for MP3, Ogg and AAC, "
            "`pip install 'a2v[aac]'` or ffmpeg"
        )
    if importlib.util.find_spec("av"):
        recording = _by_av(stream, stack)
    else:
        recording = _ffmpeg("pipe:0", stack, stream)
    if recording is None:
        raise A2VError(f"{name}: cannot be decoded: damaged, or no audio at all")
    return recording


def describe(source):
    """The name by which messages call a source: its path, or `standard input`, or `stream`."""
    if source == "-":
        return "standard input"
    if is_named(source):
        return str(source)
    return str(getattr(source, "name", "stream"))


def _seekable(source, name, stack):
    """A Path, or a seekable binary file, for the decoders."""
    if source == "-":
        stream = sys.stdin.buffer
    elif is_named(source):
        path = place(source)
        try:
            if path.is_dir():
                raise A2VError(f"{source}: is a folder, expected one recording")
            stream = stack.enter_context(path.open("rb"))
        except FileNotFoundError:
            raise A2VError(f"{source}: no such file") from None
        except OSError as error:
            raise A2VError(f"{source}: cannot be read ({error.strerror or error})") from None
        if stream.seekable():
            if not stream.read(1):
                raise A2VError(f"{source}: empty file (0 bytes)")
            stream.seek(0)
            if not is_remote(source):
                return path
            # A connection that breaks while libsndfile reads would pass for the recording's end.
            spool = stack.enter_context(tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES))
            shutil.copyfileobj(stream, spool)
            spool.seek(0)
            return spool
    else:
        stream = source
    if isinstance(stream, io.TextIOBase):
        raise A2VError(f"{name}: opened as text; open it in binary mode")
    if isinstance(stream, io.IOBase) and stream.seekable():
        return stream
    spool = stack.enter_context(tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES))
    shutil.copyfileobj(stream, spool)
    if spool.tell() == 0:
        raise A2VError(f"{name}: empty (0 bytes)")
    spool.seek(0)
    return spool


def _reads_aac():
    return bool(importlib.util.find_spec("av") or shutil.which("ffmpeg"))


def _by_libsndfile(handle, stack):
    import soundfile

    class Stream(soundfile.SoundFile):
        # soundfile seeks to where it is after each read of a seekable file; in MP3 that breaks
        # the next frame, which builds on what the one before left.
        def seekable(self):
            return False

    try:
        # As bytes: soundfile does not take names that are no UTF-8.
        named = os.fsencode(handle) if isinstance(handle, Path) else handle
        file = stack.enter_context(Stream(named))
    except soundfile.LibsndfileError:
        return None

    def pieces(frames):
        heard = 0
        while True:
            piece = np.empty((frames, file.channels), np.float32)
            try:
                piece = file.read(out=piece)
            except soundfile.LibsndfileError as error:
                yield piece[: file.tell() - heard]
                message = error.error_string.removeprefix("Error : ").rstrip(".")
                raise RuntimeError(message) from None
            if not len(piece):
                return
            heard += len(piece)
            yield piece

    coding = f"{file.format} {file.subtype}"
    return Recording(file.samplerate, file.frames / file.samplerate, coding, pieces)


def _by_av(handle, stack):
    try:
        import av
    except ImportError:
        return None
    try:
        container = stack.enter_context(
            # A temporary file may be written, too, which av would take for what is wanted.
            av.open(str(handle) if isinstance(handle, Path) else handle, mode="r")
        )
        stream = container.streams.audio[0]
    except (av.FFmpegError, IndexError):
        return None

    def pieces(_):
        to_float = av.AudioResampler(format="fltp", layout=stream.layout.name)
        try:
            for frame in container.decode(stream):
                for ready in to_float.resample(frame):
                    yield ready.to_ndarray().T
        except av.FFmpegError as error:
            raise RuntimeError(error.strerror) from None

    return Recording(stream.rate, (container.duration or 0) / av.time_base, "", pieces)


def _by_ffmpeg(handle, stack):
    """Decodes through the ffmpeg program, which is asked for AU: a header that fits a pipe."""
    if not shutil.which("ffmpeg"):
        return None
    if not isinstance(handle, Path):
        copy = stack.enter_context(tempfile.NamedTemporaryFile())
        shutil.copyfileobj(handle, copy)
        copy.flush()
        handle = copy.name
    return _ffmpeg(handle, stack)


def _ffmpeg(given, stack, stream=None):
    """Runs ffmpeg on a file, or on what a stream gives through its standard input."""
    process = subprocess.Popen(
        ["ffmpeg", "-v", "quiet", "-nostdin", "-i", given, "-map", "0:a:0"]
        + ["-c:a", "pcm_f32be", "-f", "au", "-"],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE if stream else subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    stack.callback(process.wait)
    stack.callback(process.kill)
    stack.enter_context(process.stdout)
    if stream:
        threading.Thread(target=_pour, args=(stream, process.stdin), daemon=True).start()
    header = process.stdout.read(24)
    if len(header) < 24:
        return None
    _, size, _, _, rate, channels = struct.unpack(">6I", header)
    process.stdout.read(size - 24)

    def pieces(frames):
        width = 4 * channels
        while data := process.stdout.read(frames * width):
            whole = data[: len(data) // width * width]
            yield np.frombuffer(whole, ">f4").astype(np.float32).reshape(-1, channels)
        if process.wait():
            raise RuntimeError("ffmpeg failed")

    return Recording(rate, 0.0, "", pieces)


def _pour(stream, pipe):
    """Writes a stream into a pipe until either ends; why the stream did, it tells who asks."""
    with contextlib.suppress(Exception), pipe:
        while data := stream.read(shutil.COPY_BUFSIZE):
            pipe.write(data)
            pipe.flush()
