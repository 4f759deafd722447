"""Decodes any recording to a mono float32 waveform, whole or block by block."""

import contextlib
import io
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

from a2v.errors import A2VError

SAMPLE_RATE = 16000
SILENCE_DBFS = -60.0
DOWNMIXES = ("first", "mean")
SUFFIXES = frozenset(
    ".wav .wave .flac .mp3 .ogg .oga .opus .aif .aiff .aifc .au .caf .w64 .m4a .aac .mp4".split()
)
# A pipe is kept in memory up to this size and on disk beyond it.
SPOOL_BYTES = 64 << 20


def load(source, *, sample_rate=SAMPLE_RATE, downmix="first"):
    """Decodes a whole recording.

    Args:
        source: path, binary file object, or `"-"` for standard input. WAV, FLAC, MP3, Ogg Vorbis,
            Opus and what else libsndfile reads; AAC and M4A where PyAV or ffmpeg is present.
        sample_rate: int, Hz, of the result.
        downmix: `"first"` keeps the first channel (Shah and Sitonic 2017), `"mean"` averages all.

    Returns:
        float32 `[n]`, full scale at 1.

    Raises:
        A2VError: the source is missing, no audio, empty, or holds NaN or infinite samples.
    """
    return np.concatenate(list(blocks(source, sample_rate=sample_rate, downmix=downmix)))


def blocks(source, *, sample_rate=SAMPLE_RATE, downmix="first", block_s=30.0):
    """Decodes a recording piece by piece, in memory bounded by `block_s`.

    Args:
        source, sample_rate, downmix: as for `load`.
        block_s: float, seconds decoded at a time.

    Yields:
        float32 `[m]`; all of them, concatenated, equal `load` of the same source.

    Raises:
        A2VError: as for `load`.
    """
    import soxr

    if downmix not in DOWNMIXES:
        raise A2VError(f"downmix {downmix!r}: use one of {', '.join(DOWNMIXES)}")
    name = describe(source)
    resampler = None
    heard = 0
    with _opened(source, name) as (rate, pieces):
        for piece in _pieces_of(pieces(int(block_s * rate)), name):
            mono = piece[:, 0] if downmix == "first" else piece.mean(axis=1)
            if not np.isfinite(mono).all():
                at = heard + int(np.argmin(np.isfinite(mono)))
                raise A2VError(
                    f"{name}: sample {at} ({at / rate:.2f} s) is {mono[at - heard]}; "
                    "export the recording again without NaN or infinite samples"
                )
            heard += len(mono)
            if rate != sample_rate:
                resampler = resampler or soxr.ResampleStream(rate, sample_rate, 1, "float32", "HQ")
                mono = resampler.resample_chunk(np.ascontiguousarray(mono, np.float32))
            if len(mono):
                yield np.ascontiguousarray(mono, np.float32)
        if resampler is not None:
            tail = resampler.resample_chunk(np.zeros(0, np.float32), last=True)
            if len(tail):
                yield tail
    if not heard:
        raise A2VError(f"{name}: holds no samples; export the recording again")


def find(paths):
    """Lists the audio files below files and folders.

    Args:
        paths: iterable of paths; folders are searched recursively by suffix (`SUFFIXES`), files
            are taken whatever they are called.

    Returns:
        list of `(Path, str)`: file and name, sorted by name within each folder. The name is the
        path relative to the folder given, with `/`, or the file's name.

    Raises:
        A2VError: a path does not exist, or a folder holds no audio.
    """
    found = []
    for path in map(Path, paths):
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
            if not files:
                raise A2VError(f"{path}: no audio in this folder; expected files such as *.wav")
            found += [(file, file.relative_to(path).as_posix()) for file in files]
        elif path.exists():
            found.append((path, path.name))
        else:
            raise A2VError(f"{path}: no such file or folder")
    return found


def level_dbfs(waveform):
    """RMS level of a waveform in dB relative to full scale; `-inf` for digital silence."""
    power = float(np.mean(np.square(waveform, dtype=np.float64))) if len(waveform) else 0.0
    return 10 * np.log10(power) if power > 0 else -np.inf


def describe(source):
    """The name by which messages call a source: its path, or `standard input`, or `stream`."""
    if source == "-":
        return "standard input"
    if isinstance(source, (str, Path)):
        return str(source)
    return str(getattr(source, "name", "stream"))


def _pieces_of(pieces, name):
    """Passes pieces on and turns a decoder's failure in mid-file into a warning that says so."""
    import soundfile

    heard = False
    try:
        for piece in pieces:
            heard = heard or len(piece) > 0
            yield piece
    except (soundfile.LibsndfileError, RuntimeError) as error:
        if not heard:
            raise A2VError(f"{name}: cannot be decoded ({error}); is it really audio?") from None
        warnings.warn(f"{name}: damaged ({error}); only what precedes is used", stacklevel=2)


@contextlib.contextmanager
def _opened(source, name):
    """Opens a source with the first decoder that takes it: `(rate, pieces)`."""
    import soundfile

    with contextlib.ExitStack() as stack:
        handle = _seekable(source, name, stack)
        try:
            file = stack.enter_context(soundfile.SoundFile(handle))
        except (soundfile.LibsndfileError, TypeError) as error:
            yield _opened_elsewhere(handle, name, error, stack)
            return

        def pieces(frames):
            heard = 0
            while len(piece := file.read(frames, dtype="float32", always_2d=True)):
                heard += len(piece)
                yield piece
            if 0 < heard < file.frames:
                warnings.warn(
                    f"{name}: truncated, {heard / file.samplerate:.2f} s of the "
                    f"{file.frames / file.samplerate:.2f} s it announces; only those are used",
                    stacklevel=2,
                )

        yield file.samplerate, pieces


def _seekable(source, name, stack):
    """A path or seekable binary file for the decoders."""
    if isinstance(source, (str, Path)) and source != "-":
        path = Path(source)
        if not path.exists():
            raise A2VError(f"{path}: no such file")
        if path.is_dir():
            raise A2VError(f"{path}: is a folder, expected one recording")
        if path.stat().st_size == 0:
            raise A2VError(f"{path}: empty file (0 bytes)")
        return str(path)
    stream = sys.stdin.buffer if source == "-" else source
    if isinstance(stream, io.IOBase) and stream.seekable():
        return stream
    spool = stack.enter_context(tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES))
    shutil.copyfileobj(stream, spool)
    if spool.tell() == 0:
        raise A2VError(f"{name}: empty (0 bytes)")
    spool.seek(0)
    return spool


def _opened_elsewhere(handle, name, error, stack):
    """What libsndfile does not read (AAC above all): PyAV if installed, else ffmpeg."""
    if not isinstance(handle, str):
        handle.seek(0)
    try:
        import av
    except ImportError:
        if shutil.which("ffmpeg"):
            return _opened_by_ffmpeg(handle, name, stack)
        raise A2VError(
            f"{name}: cannot be decoded ({error}); if it is AAC or M4A, install ffmpeg or "
            "`pip install a2v[aac]`, otherwise convert it to WAV or FLAC"
        ) from None
    try:
        container = stack.enter_context(av.open(handle))
        stream = container.streams.audio[0]
    except (av.FFmpegError, IndexError):
        raise A2VError(f"{name}: cannot be decoded ({error}); is it really audio?") from None

    def pieces(_):
        to_float = av.AudioResampler(format="fltp", layout=stream.layout.name)
        try:
            for frame in container.decode(stream):
                for ready in to_float.resample(frame):
                    yield ready.to_ndarray().T
        except av.FFmpegError as failure:
            raise RuntimeError(str(failure)) from None

    return stream.rate, pieces


def _opened_by_ffmpeg(handle, name, stack):
    """Decodes through the ffmpeg program, first channel layout kept, at 48 kHz."""
    rate = 48000
    if not isinstance(handle, str):
        copy = stack.enter_context(tempfile.NamedTemporaryFile())
        shutil.copyfileobj(handle, copy)
        copy.flush()
        handle = copy.name
    probe = ["ffprobe", "-v", "error", "-select_streams", "a:0"]
    probe += ["-show_entries", "stream=channels", "-of", "csv=p=0", handle]
    channels = subprocess.run(probe, capture_output=True, text=True, check=False).stdout.strip()
    if not channels.isdigit():
        raise A2VError(f"{name}: cannot be decoded by ffmpeg; is it really audio?")
    command = ["ffmpeg", "-v", "error", "-i", handle, "-map", "a:0", "-ar", str(rate)]
    process = stack.enter_context(
        subprocess.Popen([*command, "-f", "f32le", "-"], stdout=subprocess.PIPE)
    )
    stack.callback(process.kill)

    def pieces(frames):
        width = 4 * int(channels)
        while data := process.stdout.read(frames * width):
            yield np.frombuffer(data[: len(data) // width * width], "<f4").reshape(
                -1, int(channels)
            )

    return rate, pieces
