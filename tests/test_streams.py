import io
import os
import struct
import sys
import threading
import time
import warnings

import numpy as np
import pytest
import soundfile

from a2v import audio, decoders, streams, taps
from a2v.errors import A2VError, A2VWarning

RATE = 16000
SUBTYPES = {
    "u8": "PCM_U8",
    "s16le": "PCM_16",
    "s24le": "PCM_24",
    "s32le": "PCM_32",
    "f32le": "FLOAT",
    "f64le": "DOUBLE",
}


def noise(seconds, channels=1):
    shape = (round(seconds * RATE), channels)
    return np.random.default_rng(0).uniform(-0.9, 0.9, shape).astype(np.float32)


def wav(waveform, coding="s16le", rate=RATE, container="WAV"):
    file = io.BytesIO()
    soundfile.write(file, waveform, rate, format=container, subtype=SUBTYPES[coding])
    return file.getvalue()


def heard(path, **options):
    options = {"give_up_s": 0.0, **options}
    pieces = list(streams.blocks(str(path), **options))
    return np.concatenate(pieces)


def written(path, data):
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("container", ["WAV", "WAVEX"])
@pytest.mark.parametrize("coding", streams.CODINGS)
def test_wav_is_heard_as_libsndfile_reads_it(coding, container, tmp_path):
    path = written(tmp_path / "a.wav", wav(noise(1.3, 2), coding, container=container))
    for downmix in audio.DOWNMIXES:
        expected = audio.load(path, downmix=downmix)
        np.testing.assert_allclose(heard(path, downmix=downmix), expected, atol=1e-6)


@pytest.mark.parametrize("coding", streams.CODINGS)
def test_raw_samples_are_heard_as_with_their_header(coding, tmp_path):
    data = wav(noise(0.8, 2), coding)
    at = data.index(b"data") + 8
    path = written(tmp_path / "a.wav", data)
    raw = written(tmp_path / "a.raw", data[at:])
    pcm = streams.Pcm(coding, RATE, 2)
    np.testing.assert_array_equal(heard(raw, pcm=pcm), heard(path))


@pytest.mark.parametrize("size", [0, 5000, 0x7FFFFFFF, 0xFFFFFFFF])
def test_length_in_the_header_is_not_believed(size, tmp_path):
    data = bytearray(wav(noise(1.1)))
    at = data.index(b"data")
    data[4:8] = data[at + 4 : at + 8] = struct.pack("<I", size)
    assert len(heard(written(tmp_path / "a.wav", data))) == round(1.1 * RATE)


def test_chunks_before_the_samples_are_skipped(tmp_path):
    data = wav(noise(0.5))
    at = data.index(b"data")
    more = data[:at] + b"LIST" + struct.pack("<I", 7) + bytes(8) + data[at:]
    expected = heard(written(tmp_path / "a.wav", data))
    np.testing.assert_array_equal(heard(written(tmp_path / "b.wav", more)), expected)


def test_other_rates_are_resampled_as_by_load(tmp_path):
    path = written(tmp_path / "a.wav", wav(noise(2.0), rate=44100))
    expected = audio.load(path)
    found = heard(path)
    assert abs(len(found) - len(expected)) <= 1
    length = min(len(found), len(expected))
    np.testing.assert_allclose(found[:length], expected[:length], atol=1e-5)


@pytest.mark.parametrize("length", [1, 3, 12, 13, 1000])
def test_tap_gives_all_bytes_whatever_they_come_in(length):
    data = bytes(range(256)) * 8
    chunks = (data[first : first + length] for first in range(0, len(data), length))
    tap = taps.Tap(chunks, threading.Event())
    assert tap.peek(12) == tap.peek(12) == data[:12]
    assert tap.exactly(100) == data[:100]
    rest = b""
    while part := tap.read(77):
        assert len(part) <= 77
        rest += part
    assert rest == data[100:]
    assert tap.read(5) == tap.peek(5) == tap.exactly(5) == b""


def test_tap_raises_what_ended_its_source():
    def chunks():
        yield b"abc"
        raise ConnectionError("gone")

    tap = taps.Tap(chunks(), threading.Event())
    assert tap.read(10) == b"abc"
    for _ in range(2):
        with pytest.raises(ConnectionError, match="gone"):
            tap.read(10)


def test_tap_ends_when_it_is_to_stop():
    asleep = threading.Event()

    def chunks():
        yield b"abc"
        asleep.wait(30)
        yield b"never"

    stop = threading.Event()
    tap = taps.Tap(chunks(), stop)
    assert tap.read(10) == b"abc"
    threading.Timer(0.3, stop.set).start()
    began = time.monotonic()
    assert tap.read(10) == b""
    assert time.monotonic() - began < 5
    asleep.set()


def test_tap_reads_ahead_by_a_bound():
    given = []

    def chunks():
        for number in range(1000):
            given.append(number)
            yield b"x"

    tap = taps.Tap(chunks(), threading.Event())
    assert tap.read(1) == b"x"
    time.sleep(0.5)
    assert len(given) <= taps.WAITING + 3
    tap.close()


def test_closed_tap_lets_go_of_its_source():
    closed = threading.Event()

    def chunks():
        try:
            while True:
                time.sleep(0.01)
                yield b""
        finally:
            closed.set()

    taps.Tap(chunks(), threading.Event()).close()
    assert closed.wait(5)


def test_file_is_followed_while_it_grows(tmp_path):
    data = wav(noise(3.0))
    path = written(tmp_path / "a.wav", data[:20])  # within the header

    def grow():
        for first in range(20, len(data), 7001):
            time.sleep(0.02)
            with open(path, "ab") as file:
                file.write(data[first : first + 7001])

    writer = threading.Thread(target=grow)
    writer.start()
    found = heard(path, give_up_s=1.5)
    writer.join()
    np.testing.assert_array_equal(found, heard(path))
    assert len(found) == 3 * RATE


def test_file_that_is_cut_short_says_so(tmp_path):
    path = written(tmp_path / "a.wav", wav(noise(2.0)))
    found = streams.blocks(str(path), give_up_s=20)
    first = next(found)
    os.truncate(path, 100)
    with pytest.warns(A2VWarning, match="a.wav: was cut short while it was followed"):
        rest = list(found)
    assert len(first) + sum(map(len, rest)) == 2 * RATE


def test_stop_ends_a_file_that_could_grow(tmp_path):
    path, stop = written(tmp_path / "a.wav", wav(noise(1.0))), threading.Event()
    found = streams.blocks(str(path), stop=stop)
    assert len(next(found))
    stop.set()
    assert list(found) == []


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", r"a\.wav: empty \(0 bytes\)"),
        (b"RIFF\0\0\0\0WAVEfmt ", "ends within its WAV header"),
        (b"RIFF\0\0\0\0WAVEdata\0\0\0\0\0\0", "without format"),
        (
            b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<IHHIIHH", 16, 7, 1, 8000, 8000, 1, 8),
            "WAV of format 7, 8 bits, 1 channels, 8000 Hz; write PCM or float",
        ),
        (wav(noise(0.5))[:44], "holds no samples"),
    ],
)
def test_what_cannot_be_heard_is_refused(data, words, tmp_path):
    with pytest.raises(A2VError, match=words):
        heard(written(tmp_path / "a.wav", data))


def test_missing_file_and_folder_are_refused(tmp_path):
    with pytest.raises(A2VError, match="x.wav: cannot be read"):
        heard(tmp_path / "x.wav")
    with pytest.raises(A2VError, match="is a folder"):
        heard(tmp_path)


@pytest.mark.parametrize("container", ["MP3", "OGG", "FLAC"])
def test_compressed_sources_are_decoded_while_they_come(container, tmp_path):
    pytest.importorskip("av")
    time_s = np.arange(4 * RATE) / RATE
    tone = (0.5 * np.sin(2 * np.pi * 440 * time_s)).astype(np.float32)
    path = tmp_path / "a"
    soundfile.write(path, tone, RATE, format=container)
    found = heard(path)
    assert abs(len(found) - len(tone)) < 0.2 * RATE
    middle = found[RATE : 3 * RATE]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert np.argmax(spectrum) * RATE / len(middle) == pytest.approx(440, abs=1)
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


STAND_IN = """#!{python}
import io, struct, sys
import soundfile
assert sys.argv[sys.argv.index("-i") + 1] == "pipe:0"
waveform, rate = soundfile.read(io.BytesIO(sys.stdin.buffer.read()), always_2d=True)
out = sys.stdout.buffer
out.write(b".snd" + struct.pack(">5I", 32, 0xFFFFFFFF, 6, rate, waveform.shape[1]) + bytes(8))
out.write(waveform.astype(">f4").tobytes())
"""


def test_ffmpeg_is_fed_through_a_pipe(tmp_path, monkeypatch):
    program = tmp_path / "ffmpeg"
    program.write_text(STAND_IN.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(decoders.importlib.util, "find_spec", lambda _: None)
    waveform = noise(2.0, 2)
    data = wav(waveform)
    path = written(tmp_path / "a.flac", b"")
    soundfile.write(path, waveform, RATE, format="FLAC", subtype="PCM_16")
    expected = heard(written(tmp_path / "a.wav", data))
    np.testing.assert_allclose(heard(path), expected, atol=2**-15)  # 16 bits, rounded otherwise


def test_compressed_source_without_a_decoder_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(decoders.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", "")
    path = written(tmp_path / "a.mp3", b"\xff\xfb\x90\x00" + bytes(2000))
    with pytest.raises(A2VError, match=r"a\.mp3: only WAV and raw .* 'a2v\[aac\]'` or ffmpeg"):
        heard(path)


def test_microphone_without_its_package_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(A2VError, match=r"mic: needs sounddevice.* 'a2v\[monitor\]'"):
        list(streams.blocks("mic"))


class Unplugged(Exception):
    pass


class Microphone:
    """What is used of sounddevice: a stream that plays a second and is unplugged."""

    PortAudioError = Unplugged
    asked = []

    class RawInputStream:
        def __init__(self, **options):
            Microphone.asked.append(options)
            self.left = 4

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def read(self, frames):
            if not self.left:
                raise Unplugged("device unavailable")
            self.left -= 1
            return memoryview(np.full(frames, 0.25, "<f4").tobytes()), False


def test_microphone_is_heard_at_the_asked_rate(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", Microphone)
    with pytest.warns(A2VWarning, match="mic: .*device unavailable"):
        found = np.concatenate(list(streams.blocks("mic", sample_rate=8000, device=3)))
    assert len(found) == 8000 and (found == 0.25).all()
    asked = Microphone.asked[-1]
    assert (asked["samplerate"], asked["channels"], asked["device"]) == (8000, 1, 3)


def test_whole_file_gives_no_warning(tmp_path):
    path = written(tmp_path / "a.wav", wav(noise(1.0)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(heard(path)) == RATE
