import io
import os
import shutil
import subprocess
import sys
import threading
import tracemalloc
import warnings

import numpy as np
import pytest
import soundfile

from a2v import audio, decoders
from a2v.errors import A2VError, A2VWarning

HZ = (220.0, 523.3, 1318.5, 2793.8)
CODINGS = {  # libsndfile's container and subtype: suffix, largest error of a sample
    ("WAV", "PCM_U8"): ("wav", 2**-7),
    ("WAV", "PCM_16"): ("wav", 2**-15),
    ("WAV", "PCM_24"): ("wav", 2**-22),
    ("WAV", "PCM_32"): ("wav", 2**-22),
    ("WAV", "FLOAT"): ("wav", 2**-22),
    ("WAV", "DOUBLE"): ("wav", 2**-22),
    ("WAVEX", "PCM_16"): ("wav", 2**-15),
    ("AIFF", "PCM_16"): ("aiff", 2**-15),
    ("FLAC", "PCM_16"): ("flac", 2**-15),
    ("FLAC", "PCM_24"): ("flac", 2**-22),
}
LOSSY = {("MP3", "MPEG_LAYER_III"): "mp3", ("OGG", "VORBIS"): "ogg", ("OGG", "OPUS"): "opus"}
# PyAV's encoder: suffix, sample rates.
ENCODERS = {"libmp3lame": "mp3", "libopus": "opus", "aac": "m4a", "flac": "flac"}


def chord(rate, seconds, channels=1):
    """Float64 `[n, channels]`; each channel is quieter than the one before."""
    time = np.arange(round(rate * seconds)) / rate
    mono = sum(np.sin(2 * np.pi * hz * time + hz) for hz in HZ) / 8
    fade = np.minimum(1, np.minimum(time, time[::-1]) / 0.05)
    return (mono * fade)[:, None] * 0.9 ** np.arange(channels)


def written(path, waveform, rate=16000, **options):
    soundfile.write(path, waveform, rate, **options)
    return path


def difference(first, second, *, edge=1000):
    """The largest difference, the resamplers' ringing at both ends left aside."""
    assert len(first) == len(second)
    return np.abs(first - second)[edge:-edge].max()


@pytest.fixture
def encode(tmp_path):
    """A function: writes a waveform `[n, channels]` through PyAV."""
    av = pytest.importorskip("av", reason="PyAV is not installed")

    def write(codec, suffix, waveform, rate, **options):
        path = tmp_path / f"{codec}.{suffix}"
        layout = {1: "mono", 2: "stereo"}[waveform.shape[1]]
        with av.open(str(path), "w", options=options) as container:
            stream = container.add_stream(codec, rate=rate, layout=layout)
            planar = np.ascontiguousarray(waveform.T, np.float32)
            frame = av.AudioFrame.from_ndarray(planar, format="fltp", layout=layout)
            frame.sample_rate, frame.pts = rate, 0
            size = stream.codec_context.frame_size or 1024
            resampler = av.AudioResampler(stream.codec_context.format, layout, rate, size)
            for ready in [*resampler.resample(frame), *resampler.resample(None), None]:
                container.mux(stream.encode(ready))
        return path

    return write


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("coding", CODINGS, ids="-".join)
def test_load_gives_back_what_was_written(coding, channels, tmp_path):
    suffix, error = CODINGS[coding]
    waveform = chord(16000, 0.5, channels)
    container, subtype = coding
    path = written(tmp_path / f"a.{suffix}", waveform, format=container, subtype=subtype)
    loaded = audio.load(path)
    assert loaded.dtype == np.float32 and loaded.shape == (8000,)
    assert np.abs(loaded - waveform[:, 0]).max() <= error


@pytest.mark.parametrize("rate", [8000, 11025, 12345, 22050, 24000, 44100, 48000, 96000, 192000])
def test_load_resamples(rate, tmp_path):
    path = written(tmp_path / "a.wav", chord(rate, 2), rate, subtype="FLOAT")
    assert difference(audio.load(path), chord(16000, 2)[:, 0]) < 1e-4


def test_load_takes_another_rate(tmp_path):
    path = written(tmp_path / "a.wav", chord(44100, 2), 44100)
    assert difference(audio.load(path, sample_rate=8000), chord(8000, 2)[:, 0]) < 1e-3


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("coding", LOSSY, ids="-".join)
def test_load_reads_lossy_codings_in_time(coding, channels, tmp_path):
    container, subtype = coding
    path = tmp_path / f"a.{LOSSY[coding]}"
    written(path, chord(48000, 3, channels), 48000, format=container, subtype=subtype)
    loaded = audio.load(path)
    assert abs(len(loaded) - 48000) <= 800
    assert np.corrcoef(loaded[800:46000], chord(16000, 3)[800:46000, 0])[0, 1] > 0.998


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("codec", ENCODERS)
def test_load_reads_what_pyav_encodes(codec, channels, encode):
    loaded = audio.load(encode(codec, ENCODERS[codec], chord(48000, 3, channels), 48000))
    assert abs(len(loaded) - 48000) <= 800
    assert np.corrcoef(loaded[800:46000], chord(16000, 3)[800:46000, 0])[0, 1] > 0.998


def test_load_reads_aac_from_a_file_object(encode):
    path = encode("aac", "m4a", chord(44100, 2, 2), 44100)
    with open(path, "rb") as file:
        np.testing.assert_array_equal(audio.load(file), audio.load(path))


def test_damaged_aac_is_used_up_to_the_damage(encode):
    path = encode("aac", "m4a", chord(44100, 4), 44100, movflags="faststart")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.warns(A2VWarning, match=r"m4a: damaged \(.*\); only the first [12]\.\d\d s of "):
        loaded = audio.load(path)
    assert 16000 < len(loaded) < 48000


def test_aac_without_a_decoder_names_the_remedy(encode, monkeypatch):
    path = encode("aac", "m4a", chord(44100, 1), 44100)
    monkeypatch.setattr(decoders, "_by_av", lambda *_: None)
    monkeypatch.setattr(decoders.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(A2VError, match=r"if it is AAC, `pip install 'a2v\[aac\]'` or ffmpeg$"):
        audio.load(path)


def test_ffmpeg_decodes_what_others_do_not(encode, monkeypatch):
    if not shutil.which("ffmpeg"):
        pytest.skip("ffmpeg is not installed")
    path = encode("aac", "m4a", chord(44100, 3, 2), 44100)
    by_av = audio.load(path)
    monkeypatch.setattr(decoders, "_by_av", lambda *_: None)
    by_ffmpeg = audio.load(path)
    length = min(len(by_av), len(by_ffmpeg))
    assert length > 47000
    assert np.abs(by_av[:length] - by_ffmpeg[:length])[:-1000].max() < 1e-3
    with open(path, "rb") as file:
        np.testing.assert_array_equal(audio.load(file), by_ffmpeg)


STAND_IN = """#!{python}
import struct, sys
import soundfile
waveform, rate = soundfile.read(sys.argv[sys.argv.index("-i") + 1] + ".flac", always_2d=True)
out = sys.stdout.buffer
out.write(b".snd" + struct.pack(">5I", 32, 0xFFFFFFFF, 6, rate, waveform.shape[1]) + bytes(8))
out.write(waveform.astype(">f4").tobytes())
sys.exit({status})
"""


@pytest.mark.parametrize("status", [0, 1])
def test_the_stream_of_the_ffmpeg_program_is_read(status, tmp_path, monkeypatch):
    (tmp_path / "a.m4a").write_bytes(bytes(100))
    written(tmp_path / "a.m4a.flac", chord(44100, 2, 2), 44100)
    program = tmp_path / "ffmpeg"
    program.write_text(STAND_IN.format(python=sys.executable, status=status))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(decoders, "_by_av", lambda *_: None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loaded = audio.load(tmp_path / "a.m4a", downmix="mean")
    assert difference(loaded, 0.95 * chord(16000, 2)[:, 0]) < 1e-3
    said = [str(w.message) for w in caught if issubclass(w.category, A2VWarning)]
    sentence = f"{tmp_path}/a.m4a: damaged (ffmpeg failed); only the first 2.00 s are used"
    assert said == [sentence] * status


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_downmix_keeps_the_first_or_averages(channels, tmp_path):
    waveform = np.random.default_rng(0).uniform(-1, 1, (4000, channels))
    path = written(tmp_path / "a.wav", waveform, subtype="FLOAT")
    np.testing.assert_allclose(audio.load(path), waveform[:, 0], atol=1e-6)
    np.testing.assert_allclose(audio.load(path, downmix="mean"), waveform.mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("rate", [16000, 44100])
@pytest.mark.parametrize("block_s", [0.05, 0.7, 60.0])
@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg"])
def test_blocks_concatenate_to_load(suffix, block_s, rate, tmp_path):
    path = written(tmp_path / f"a.{suffix}", chord(rate, 3, 2), rate)
    for downmix in audio.DOWNMIXES:
        blocks = list(audio.blocks(path, block_s=block_s, downmix=downmix))
        assert max(map(len, blocks)) <= 16000 * block_s + 1000
        np.testing.assert_array_equal(np.concatenate(blocks), audio.load(path, downmix=downmix))


def test_blocks_take_little_memory(tmp_path):
    path = written(tmp_path / "a.wav", np.zeros((100, 2)), 44100, subtype="PCM_16")
    seconds = 600
    with open(path, "r+b") as file:  # a hole in the file is silence
        size = 44 + seconds * 44100 * 4
        file.truncate(size)
        for at, value in ((4, size - 8), (40, size - 44)):
            file.seek(at)
            file.write(value.to_bytes(4, "little"))
    tracemalloc.start()
    length = sum(len(block) for block in audio.blocks(path, block_s=5.0))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert length == seconds * 16000
    assert peak < 10e6


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg"])
def test_file_objects_equal_the_file(suffix, tmp_path):
    path = written(tmp_path / f"a.{suffix}", chord(44100, 1), 44100)
    expected = audio.load(path)
    with open(path, "rb") as file:
        np.testing.assert_array_equal(audio.load(file), expected)
    np.testing.assert_array_equal(audio.load(io.BytesIO(path.read_bytes())), expected)
    with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as pipe:
        np.testing.assert_array_equal(audio.load(pipe.stdout), expected)


@pytest.mark.parametrize("suffix", ["wav", "mp3"])
@pytest.mark.parametrize("piped", [True, False])
def test_standard_input_is_read(suffix, piped, tmp_path):
    path = written(tmp_path / f"a.{suffix}", chord(44100, 1), 44100)
    program = "from a2v import audio; w = audio.load('-'); print(len(w), float(abs(w).max()))"
    command = [sys.executable, "-c", program]
    with open(path, "rb") as file:
        source = {"input": file.read()} if piped else {"stdin": file}
        ran = subprocess.run(command, capture_output=True, check=True, timeout=60, **source)
    length, peak = ran.stdout.split()
    expected = audio.load(path)
    assert (int(length), float(peak)) == (len(expected), float(np.abs(expected).max()))


def test_named_pipe_is_read(tmp_path):
    path = written(tmp_path / "a.flac", chord(44100, 1), 44100)
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=[path.read_bytes()])
    writer.start()
    np.testing.assert_array_equal(audio.load(tmp_path / "pipe"), audio.load(path))
    writer.join()


def test_names_that_are_no_utf8_are_read(tmp_path, encode):
    path = written(tmp_path / "a.wav", chord(16000, 1))
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xe9\xff.wav")
    shutil.copy(path, odd)
    np.testing.assert_array_equal(audio.load(odd), audio.load(path))


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_one_sample_is_a_waveform(rate, tmp_path):
    loaded = audio.load(written(tmp_path / "a.wav", [0.5], rate))
    assert loaded.dtype == np.float32 and loaded.ndim == 1 and len(loaded) <= 2


def refused(source, sentence, **options):
    with pytest.raises(A2VError, match=sentence) as error:
        audio.load(source, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_refusals_name_file_and_fault(tmp_path):
    text, empty = tmp_path / "text.wav", tmp_path / "empty.mp3"
    text.write_text("dear diary\n" * 200)
    empty.touch()
    nothing = written(tmp_path / "nothing.wav", np.zeros(0))
    for path, fault in {
        tmp_path / "missing.wav": "no such file",
        tmp_path / ("long" * 100): "cannot be read",
        tmp_path: "is a folder, expected one recording",
        text: "cannot be decoded: damaged, or no audio at all",
        empty: r"empty file \(0 bytes\)",
        nothing: "holds no samples; export the recording again",
    }.items():
        assert refused(path, fault).startswith(f"{path}: ")
        assert refused(str(path), fault).startswith(f"{path}: ")


def test_refusals_name_streams():
    refused(io.BytesIO(b""), r"^stream: .*")
    refused(io.BytesIO(b"dear diary" * 100), "^stream: cannot be decoded")
    with open(__file__) as file:
        refused(file, f"^{__file__}: opened as text; open it in binary mode")
    command = [sys.executable, "-c", "from a2v import audio; audio.load('-')"]
    ran = subprocess.run(command, input="", capture_output=True, text=True, timeout=60)
    assert ran.stderr.splitlines()[-1].endswith("A2VError: standard input: empty (0 bytes)")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser reads every file")
def test_unreadable_file_is_refused(tmp_path):
    path = written(tmp_path / "a.wav", chord(16000, 1))
    path.chmod(0)
    refused(path, r"cannot be read \(Permission denied\)")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_samples_that_are_no_numbers_are_refused(value, rate, tmp_path):
    waveform = chord(rate, 2, 2)
    waveform[rate, 0] = value
    path = written(tmp_path / "a.wav", waveform, rate, subtype="FLOAT")
    refused(path, rf"a.wav: sample {rate} \(1.00 s\) is {value}; export the recording again")
    refused(path, f"is {value};", downmix="mean")


def test_unknown_downmix_is_refused(tmp_path):
    path = written(tmp_path / "a.wav", chord(16000, 1))
    refused(path, "downmix 'left': use one of first, mean", downmix="left")


@pytest.mark.parametrize("suffix", ["mp3", "flac"])
def test_truncated_file_is_used_as_far_as_it_goes(suffix, tmp_path):
    path = written(tmp_path / f"a.{suffix}", chord(44100, 6), 44100)
    whole = audio.load(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    said = rf"^{path}: .*(truncated|damaged).*; only the first [23]\.\d\d s of 6\.00 s are used$"
    with pytest.warns(A2VWarning, match=said):
        loaded = audio.load(path)
    assert 2 * 16000 < len(loaded) < 4 * 16000
    np.testing.assert_array_equal(loaded[:30000], whole[:30000])


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg"])
def test_whole_files_are_read_without_a_warning(suffix, tmp_path):
    path = written(tmp_path / f"a.{suffix}", chord(44100, 2), 44100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        audio.load(path)


def test_padding_that_headers_count_is_no_truncation(real_music):
    with warnings.catch_warnings():
        warnings.simplefilter("error", A2VWarning)
        for path in real_music:
            audio.load(path)


def test_find_lists_recordings_below_folders(tmp_path):
    for name in ("b.WAV", "a/z.flac", "a/b/c.mp3", "a/notes.txt", "a/cover.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.wav").mkdir()
    found = audio.find([tmp_path, tmp_path / "a" / "notes.txt"])
    assert [name for _, name in found] == ["a/b/c.mp3", "a/z.flac", "b.WAV", "notes.txt"]
    assert [path for path, _ in found[:3]] == [tmp_path / name for _, name in found[:3]]


def test_find_refuses_what_holds_no_audio(tmp_path):
    with pytest.raises(A2VError, match="no audio in this folder"):
        audio.find([tmp_path])
    with pytest.raises(A2VError, match="missing: no such file or folder"):
        audio.find([tmp_path / "missing"])


def test_level_is_that_of_the_mean_square():
    assert audio.level_dbfs(np.ones(100, np.float32)) == pytest.approx(0)
    assert audio.level_dbfs(np.full(100, 0.001, np.float32)) == pytest.approx(-60, abs=1e-4)
    assert audio.level_dbfs(np.zeros(100, np.float32)) == -np.inf
    assert audio.level_dbfs(np.zeros(0, np.float32)) == -np.inf
