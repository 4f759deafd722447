"""covers80: 80 works in two versions each, at 32 kbit/s.

Ellis 2007, "The covers80 cover song data set",
http://labrosa.ee.columbia.edu/projects/coversongs/covers80.
"""

from pathlib import Path

from a2v.corpora.track import Track
from a2v.errors import A2VError

NAME = "covers32k"
LISTS = ("list1.list", "list2.list")


def recognises(folder):
    """Whether a folder is or holds `covers32k` or `coversongs/covers32k`."""
    return _home(Path(folder)) is not None


def read(folder):
    """Reads covers80.

    Args:
        folder: path of `covers32k`, which holds `list1.list` and `list2.list`, or of the folder
            that holds it or `coversongs/covers32k`.

    Returns:
        list of Track, named like `WORK/artist+album+track.mp3`, first all versions of the first
        list, then those of the second one; the work is the folder, the artist comes from the
        file's name. What the lists do not name is no part of the set.

    Raises:
        A2VError: a list is missing or malformed, or a file it names is missing.
    """
    home = _home(Path(folder))
    if home is None:
        raise A2VError(f"{folder}: no {NAME} in this folder; unpack covers80.tgz there")
    found = {}
    for path in (home / name for name in LISTS):
        rows = _lines(path)
        if not rows:
            raise A2VError(f"{path}: names no versions; unpack covers80.tgz again")
        for number, entry in rows:
            track = _track(path, number, entry)
            if track.track in found:
                raise A2VError(
                    f"{path}: row {number}: {entry} is listed twice; unpack covers80.tgz again"
                )
            found[track.track] = track
    return list(found.values())


def _home(folder):
    """The folder `covers32k`, or None."""
    if folder.absolute().name == NAME and folder.is_dir():
        return folder
    for home in (folder / NAME, folder / "coversongs" / NAME):
        if home.is_dir():
            return home
    return None


def _lines(path):
    """The lines of a list that are not blank, each with its number."""
    try:
        # A name in another encoding stays what the file system calls it.
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise A2VError(
            f"{path}: cannot be read ({error.strerror}), and it says which versions belong to "
            "the set; unpack covers80.tgz again"
        ) from error
    lines = enumerate(text.splitlines(), 1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def _track(path, number, entry):
    work, _, name = entry.partition("/")
    if not work or not name or "/" in name:
        raise A2VError(
            f"{path}: row {number}: {entry!r} is not WORK/artist+album+track; "
            "unpack covers80.tgz again"
        )
    file = path.parent / work / f"{name}.mp3"
    if not file.is_file():
        raise A2VError(f"{path}: row {number}: {file} is not there; unpack covers80.tgz again")
    artist, plus, _ = name.partition("+")
    return Track(str(file), f"{entry}.mp3", work, artist.replace("_", " ") if plus else "")
