"""GTZAN: 1000 excerpts of 30 s in ten genres, less those with known faults.

Tzanetakis and Cook 2002, "Musical genre classification of audio signals", IEEE Transactions on
Speech and Audio Processing 10(5).
"""

import re
from pathlib import Path

from a2v import audio
from a2v.corpora.track import Track
from a2v.errors import A2VError

GENRES = tuple("blues classical country disco hiphop jazz metal pop reggae rock".split())
PLACES = (".", "genres_original", "genres", "Data/genres_original")
# Replicas and other faults that Sturm 2013 ("The GTZAN dataset: its contents, its faults, their
# effects on evaluation, and its future use") found by listening. These 70 are what the
# fault-filtered partition of Kereliuk, Sturm and Larsen 2015 ("Deep learning and music
# adversaries"), 443 + 197 + 290 excerpts, leaves out; https://github.com/coreyker/dnn-mgr.
FAULTY = {
    "classical": (42,),
    "country": (8, 52),
    "disco": (38, 50, 51, 55, 60, 71, 98),
    "hiphop": (1, 39, 46, 47, 48, 49, 50, 76),
    "jazz": (33, 34, 35, 36, 37, 38, 39, 40, 42, 43, 44, 45, 46),
    "metal": (4, 34, 40, 41, 42, 43, 44, 45, 58),
    "pop": (15, 21, 22, 30, 37, 45, 47, 48, 51, 52, 54, 56, 57, 67, 68, 87),
    "reggae": (3, 5, 7, 8, 10, 13, 33, 41, 73, 75, 80, 81, 86, 91),
}
# Cannot be decoded as it is spread; the same excerpt as .au can.
UNREADABLE = "jazz.00054.wav"


def recognises(folder):
    """Whether a folder holds `GENRE/GENRE.NNNNN.wav` or `.au`, or a folder of genres that does."""
    return _home(Path(folder)) is not None


def read(folder):
    """Reads GTZAN.

    Args:
        folder: path of the folder with the ten folders of genres, or of one that holds it as
            `genres_original`, `genres` or `Data/genres_original`.

    Returns:
        list of Track, sorted by name, named like `blues/blues.00000.wav`, with genre; artists and
        splits are not known. `FAULTY` excerpts and the `UNREADABLE` file are left out.

    Raises:
        A2VError: the folder holds no excerpts, one that is named otherwise, or one twice.
    """
    home = _home(Path(folder))
    if home is None:
        raise A2VError(f"{folder}: no excerpts such as genres/blues/blues.00000.wav in this folder")
    found = {}
    for genre in GENRES:
        for file in sorted((home / genre).glob("*")):
            # Archives packed on a Mac hold a "._" file beside each excerpt.
            if file.name.startswith(".") or file.suffix.lower() not in audio.SUFFIXES:
                continue
            number = _number(file)
            if number is None:
                raise A2VError(
                    f"{file}: not named as excerpts are, like {genre}.00000.wav; "
                    "move it out of this folder"
                )
            known = found.setdefault(file.stem, file)
            if known != file:
                raise A2VError(f"{file}: is there as {known.name}, too; keep one of both")
    return [
        Track(str(file), file.relative_to(home).as_posix(), genre=file.parent.name)
        for file in found.values()
        if file.name != UNREADABLE and _number(file) not in FAULTY.get(file.parent.name, ())
    ]


def _home(folder):
    """The folder with the folders of genres, or None."""
    for place in PLACES:
        home = folder / place
        for genre in GENRES:
            if any(_number(file) is not None for file in (home / genre).glob(f"{genre}.*")):
                return home
    return None


def _number(file):
    """The number of an excerpt, None if the file is not named like one."""
    match = re.fullmatch(r"(\w+)\.(\d{5})\.(wav|au)", file.name)
    return int(match[2]) if match and match[1] == file.parent.name else None
