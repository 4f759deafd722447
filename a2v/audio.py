"""Decodes any recording to a mono float32 waveform, whole or block by block."""

import warnings

import numpy as np

from a2v.decoders import describe, opened
from a2v.errors import A2VError, A2VWarning
from a2v.places import place

SAMPLE_RATE = 16000
SILENCE_DBFS = -60.0
DOWNMIXES = ("first", "mean")
SUFFIXES = frozenset(
    ".wav .wave .flac .mp3 .ogg .oga .opus .aif .aiff .aifc .au .caf .w64 .m4a .aac .mp4".split()
)
# Headers count a few padding samples that no decoder gives; what lacks less than this is whole.
TOLERANCE_S = 0.1


def load(source, *, sample_rate=SAMPLE_RATE, downmix="first"):
    """Decodes a whole recording.

    Args:
        source: path or URL, binary file object, or `"-"` for standard input. WAV, FLAC, MP3, Ogg
            Vorbis, Opus and what else libsndfile reads; AAC and M4A where PyAV or ffmpeg is
            present.
        sample_rate: int, Hz, of the result.
        downmix: `"first"` keeps the first channel (Shah and Sitonic 2017), `"mean"` averages all.

    Returns:
        float32 `[n]`, full scale at 1.

    Raises:
        A2VError: the source is missing, no audio, empty, or holds NaN or infinite samples.
    """
    pieces = list(blocks(source, sample_rate=sample_rate, downmix=downmix))
    return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)


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
    name = describe(source)
    with opened(source) as recording:
        pieces = _whole_pieces(recording, int(block_s * recording.rate), name)
        yield from mono(pieces, recording.rate, name, sample_rate=sample_rate, downmix=downmix)


def mono(pieces, rate, name, *, sample_rate=SAMPLE_RATE, downmix="first"):
    """Makes pieces of a recording mono and resamples them.

    Args:
        pieces: iterable of float `[frames, channels]`.
        rate: int, Hz, of the pieces.
        name: str, what messages call the recording.
        sample_rate, downmix: as for `load`.

    Yields:
        float32 `[m]`.

    Raises:
        A2VError: there are no samples at all, or NaN or infinite ones.
    """
    import soxr

    if downmix not in DOWNMIXES:
        raise A2VError(f"downmix {downmix!r}: use one of {', '.join(DOWNMIXES)}")
    resampler, heard = None, 0
    for piece in pieces:
        waveform = piece[:, 0] if downmix == "first" else piece.mean(axis=1)
        _check_finite(waveform, rate, name, heard)
        heard += len(waveform)
        waveform = np.ascontiguousarray(waveform, np.float32)
        if rate != sample_rate:
            resampler = resampler or soxr.ResampleStream(rate, sample_rate, 1, "float32", "HQ")
            waveform = resampler.resample_chunk(waveform)
        if len(waveform):
            yield waveform
    if resampler is not None:
        tail = resampler.resample_chunk(np.zeros(0, np.float32), last=True)
        if len(tail):
            yield tail
    if not heard:
        raise A2VError(f"{name}: holds no samples; export the recording again")


def checked(waveform, sample_rate):
    """Refuses an array that is no waveform.

    Args:
        waveform: array `[n]`, of real numbers.
        sample_rate: int, Hz.

    Returns:
        float32 `[n]`.

    Raises:
        A2VError: it has another shape, no real numbers, or NaN or infinite ones.
    """
    if waveform.ndim != 1 or waveform.dtype.kind not in "fiu":
        raise A2VError(
            f"an array of shape {waveform.shape} and type {waveform.dtype}; give a waveform, one "
            f"channel of real numbers at {sample_rate} Hz"
        )
    _check_finite(waveform, sample_rate, "the array")
    return np.asarray(waveform, np.float32)


def _check_finite(waveform, rate, name, heard=0):
    """Raises A2VError where a sample, `heard` samples into a recording, is no number."""
    if not np.isfinite(waveform).all():
        at = int(np.argmin(np.isfinite(waveform)))
        raise A2VError(
            f"{name}: sample {heard + at} ({(heard + at) / rate:.2f} s) is {waveform[at]}; "
            "export the recording again without NaN or infinite samples"
        )


def find(paths):
    """Lists the audio files below files and folders.

    Args:
        paths: iterable of paths or URLs; folders are searched recursively by suffix (`SUFFIXES`),
            files are taken whatever they are called.

    Returns:
        list of `(Path, str)`: file and name, sorted by name within each folder. The name is the
        path relative to the folder given, with `/`, or the file's name.

    Raises:
        A2VError: a path does not exist, or a folder holds no audio.
    """
    found = []
    for path in map(place, paths):
        if path.is_dir():
            files = sorted(
                p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()
            )
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


def _whole_pieces(recording, frames, name):
    """The pieces of a recording that decode; what is damaged or lacks is a warning."""
    heard = 0
    try:
        for piece in recording.pieces(frames):
            heard += len(piece)
            yield piece
    except RuntimeError as error:
        if not heard:
            raise A2VError(f"{name}: cannot be decoded ({error}); it is damaged") from None
        damage = f"damaged ({error})"
    else:
        damage = "truncated"
        # Other decoders than libsndfile may have guessed the length from the bit rate.
        announced = recording.seconds if recording.coding else 0
        if not heard or heard / recording.rate > announced - TOLERANCE_S:
            return
    of = f" of {recording.seconds:.2f} s" if recording.seconds else ""
    warnings.warn(
        f"{name}: {damage}; only the first {heard / recording.rate:.2f} s{of} are used",
        A2VWarning,
        stacklevel=2,
    )
