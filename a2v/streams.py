"""Listens to what has no end yet: standard input, a growing file, a station, a microphone."""

import contextlib
import http.client
import math
import os
import stat
import struct
import sys
import threading
import time
import urllib.request
import warnings
from typing import NamedTuple

import numpy as np

from a2v import audio, decoders
from a2v.errors import A2VError, A2VWarning
from a2v.taps import POLL_S, Tap

MICROPHONE = "mic"
# WAV's format tag and bits of a sample to the coding.
_WAV = {(1, 8): "u8", (1, 16): "s16le", (1, 24): "s24le", (1, 32): "s32le"}
_WAV |= {(3, 32): "f32le", (3, 64): "f64le"}
CODINGS = tuple(_WAV.values())
_EXTENSIBLE = 0xFFFE
_CHUNK = 1 << 16
_TIMEOUT_S = 30.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
_TROUBLES = (A2VError, OSError, RuntimeError, http.client.HTTPException)


class Pcm(NamedTuple):
    """How uncompressed samples are laid out.

    Args:
        coding: str, one of `CODINGS`.
        rate: int, Hz.
        channels: int.
    """

    coding: str
    rate: int
    channels: int

    @property
    def width(self):
        """Bytes of a frame: int."""
        return int("".join(filter(str.isdigit, self.coding))) // 8 * self.channels

    def decoded(self, data):
        """Turns whole frames, bytes, into float32 `[frames, channels]`, full scale at 1."""
        if self.coding == "s24le":
            padded = np.zeros((len(data) // 3, 4), np.uint8)
            padded[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
            values = padded.view("<i4")[:, 0] / 2.0**31
        elif self.coding == "u8":
            values = np.frombuffer(data, np.uint8) / 128 - 1
        else:
            kind = {"s": "i", "f": "f"}[self.coding[0]]
            values = np.frombuffer(data, f"<{kind}{self.width // self.channels}")
            if kind == "i":
                values = values / 2.0 ** (8 * values.itemsize - 1)
        return values.astype(np.float32).reshape(-1, self.channels)


def blocks(
    source,
    *,
    sample_rate=audio.SAMPLE_RATE,
    downmix="first",
    pcm=None,
    stop=None,
    give_up_s=math.inf,
    device=None,
):
    """Gives what a live source plays as it comes, in memory that does not grow.

    A WAV header's word on its own length is not believed: it is written before the length is
    known. A station that falls silent is asked again, ever less often.

    Args:
        source: str: `-` for standard input, `mic`, an http or https URL, or a file, which is
            followed while it grows. WAV, or what PyAV or ffmpeg decode.
        sample_rate, downmix: as for `audio.load`.
        pcm: Pcm, where the source is samples without a header.
        stop: threading.Event that ends the source from outside.
        give_up_s: float, s without a sample after which a file or a station has ended.
        device: str or int, the microphone, as sounddevice names it.

    Yields:
        float32 `[m]`.

    Raises:
        A2VError: nothing was heard at all. What ends a source later is an A2VWarning.
    """
    stop = stop or threading.Event()
    if source == MICROPHONE:
        pcm = Pcm("f32le", sample_rate, 1)
    name = audio.describe(source)
    pause_s, heard, heard_at = _FIRST_PAUSE_S, False, time.monotonic()
    while True:
        trouble = None
        try:
            chunks = _chunks(source, stop, give_up_s, device, sample_rate)
            for block in _decoded(chunks, name, pcm, stop, sample_rate, downmix):
                pause_s, heard, heard_at = _FIRST_PAUSE_S, True, time.monotonic()
                yield block
        except _TROUBLES as error:
            trouble = error
        if stop.is_set() or trouble is None:
            return
        if not heard:
            raise trouble if isinstance(trouble, A2VError) else _silent(name, trouble)
        said = str(trouble) if isinstance(trouble, A2VError) else f"{name}: {trouble}"
        if not _is_url(source) or time.monotonic() - heard_at >= give_up_s:
            _warn(f"{said}; what was heard until then counts")
            return
        _warn(f"{said}; asking again in {pause_s:.0f} s")
        stop.wait(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _silent(name, trouble):
    return A2VError(f"{name}: {trouble}; check that it is there and plays")


def _warn(message):
    warnings.warn(message, A2VWarning, stacklevel=3)


def _is_url(source):
    return source.lower().startswith(("http://", "https://"))


def _chunks(source, stop, give_up_s, device, sample_rate):
    """The bytes of a source, as they come: a generator."""
    if source == MICROPHONE:
        return _recorded(sample_rate, device)
    if _is_url(source):
        return _downloaded(source)
    if source == "-":
        if sys.stdin is None:
            raise A2VError("standard input: is closed; redirect it, or name another source")
        return _piped(sys.stdin.fileno())
    try:
        regular = stat.S_ISREG(os.stat(source).st_mode)
    except OSError as error:
        raise A2VError(f"{source}: cannot be read ({error.strerror})") from None
    if os.path.isdir(source):
        raise A2VError(f"{source}: is a folder, expected one recording")
    return _grown(source, stop, give_up_s if regular else 0.0)


def _piped(descriptor):
    while data := os.read(descriptor, _CHUNK):
        yield data


def _grown(path, stop, give_up_s):
    """A file, and what is appended to it until it has not grown for so long."""
    with open(path, "rb", buffering=0) as file:
        read, grown_at = 0, time.monotonic()
        while True:
            if data := file.read(_CHUNK):
                read, grown_at = read + len(data), time.monotonic()
                yield data
            elif time.monotonic() - grown_at >= give_up_s or stop.wait(POLL_S):
                return
            elif os.fstat(file.fileno()).st_size < read:
                raise A2VError(f"{path}: was cut short while it was followed; start again")
            else:
                yield b""


def _downloaded(url):
    request = urllib.request.Request(url, headers={"User-Agent": "a2v"})
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
        left = int(response.headers.get("Content-Length", -1))  # a station has none
        while data := response.read1(_CHUNK):
            left -= len(data)
            yield data
    if left:
        raise ConnectionError("the connection ended")


def _recorded(sample_rate, device):
    try:
        import sounddevice
    except ImportError:
        raise A2VError(
            "mic: needs sounddevice, which is not installed; get it with pip install 'a2v[monitor]'"
        ) from None
    except OSError as error:
        raise A2VError(f"mic: {error}; on Debian: apt-get install libportaudio2") from None
    try:
        with sounddevice.RawInputStream(
            samplerate=sample_rate, channels=1, dtype="float32", device=device
        ) as stream:
            while True:
                data, _ = stream.read(sample_rate // 4)
                yield bytes(data)
    except (sounddevice.PortAudioError, ValueError) as error:
        raise A2VError(f"mic: {error}; `python -m sounddevice` lists the devices") from None


def _decoded(chunks, name, pcm, stop, sample_rate, downmix):
    """Waveforms out of bytes: a generator of float32 `[m]`."""
    with contextlib.ExitStack() as stack:
        tap = stack.enter_context(contextlib.closing(Tap(chunks, stop)))
        head = tap.peek(12)
        if pcm is None and head[:4] in (b"RIFF", b"RF64") and head[8:] == b"WAVE":
            pcm = _header(tap, name)
        if pcm:
            rate, pieces = pcm.rate, _samples(tap, pcm)
        elif head:
            recording = decoders.streamed(tap, name, stack)
            rate, pieces = recording.rate, recording.pieces(max(1, recording.rate // 4))
        else:
            raise A2VError(f"{name}: empty (0 bytes)")
        yield from audio.mono(pieces, rate, name, sample_rate=sample_rate, downmix=downmix)
        tap.check()


def _samples(tap, pcm):
    rest = b""
    while data := tap.read(_CHUNK):
        data = rest + data
        whole = len(data) // pcm.width * pcm.width
        rest = data[whole:]
        if whole:
            yield pcm.decoded(data[:whole])


def _header(tap, name):
    """Reads a WAV file up to its first sample: Pcm."""
    pcm = None
    tap.exactly(12)
    while True:
        head = tap.exactly(8)
        if len(head) < 8:
            raise A2VError(f"{name}: ends within its WAV header; it is truncated")
        kind, size = struct.unpack("<4sI", head)
        if kind == b"data":
            break
        body = tap.exactly(size + size % 2)
        if kind == b"fmt " and len(body) >= 16:
            tag, channels, rate, _, _, bits = struct.unpack("<HHIIHH", body[:16])
            if tag == _EXTENSIBLE and len(body) >= 26:
                (tag,) = struct.unpack("<H", body[24:26])
            if (tag, bits) not in _WAV or not channels or not rate:
                raise A2VError(
                    f"{name}: WAV of format {tag}, {bits} bits, {channels} channels, {rate} Hz; "
                    "write PCM or float samples"
                )
            pcm = Pcm(_WAV[tag, bits], rate, channels)
    if pcm is None:
        raise A2VError(f"{name}: a WAV file without format (no `fmt ` chunk); write it again")
    return pcm
