"""Where the beats of a score lie in a recording of it, kept beside the recording."""

import csv

import numpy as np

from a2v.errors import A2VError
from a2v.places import place

COLUMNS = ("beat", "seconds")


def file_of(recording):
    """The file that holds a recording's beats: `cover-1.wav` has `cover-1.beats.csv`."""
    return place(recording).with_suffix(".beats.csv")


def write(recording, beats, seconds):
    """Writes the beats of a recording.

    Args:
        recording: path of the audio file.
        beats: float array `[n]`, beats of the score, rising; versions of one work share them.
        seconds: float array `[n]`, where they lie, rising.
    """
    rows = zip(np.asarray(beats).tolist(), np.round(seconds, 4).tolist(), strict=True)
    with open(file_of(recording), "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)


def read(recording):
    """Reads the beats of a recording.

    Args:
        recording: path of the audio file.

    Returns:
        `(beats, seconds)`, float64 `[n]` each; `None` where the recording has no such file.

    Raises:
        A2VError: the file is not what `write` makes.
    """
    path = file_of(recording)
    if not path.exists():
        return None
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        beats, seconds = np.array(rows, np.float64).T
    except (OSError, ValueError) as error:
        raise A2VError(f"{path}: no list of beats ({error}); write it anew") from error
    if tuple(header) != COLUMNS or len(beats) < 2 or np.any(np.diff([beats, seconds]) <= 0):
        raise A2VError(
            f"{path}: columns {', '.join(header)}; it has to be {' and '.join(COLUMNS)}, two rows "
            "or more, both rising"
        )
    return beats, seconds


def counterpart(at_s, mine, theirs):
    """Where passages of one version lie in another.

    Args:
        at_s: float array `[n]`, s, in the first version.
        mine, theirs: `(beats, seconds)` of the two.

    Returns:
        `(there_s, ratio)`, float64 `[n]` each: where in the other version, s, NaN where it has no
        such beat, and how many times as long it takes for the passage there.
    """
    beats = np.interp(at_s, mine[1], mine[0], left=np.nan, right=np.nan)
    there_s = np.interp(beats, *theirs, left=np.nan, right=np.nan)
    return there_s, _beat_s(beats, theirs) / _beat_s(beats, mine)


def _beat_s(beats, version):
    """How long a beat takes around some beats of a version, s."""
    return np.interp(beats, version[0], np.gradient(version[1], version[0]))
