"""Folders and single files as a corpus: a track for each recording."""

from a2v import audio
from a2v.corpora.track import Track


def read(path):
    """Lists the recordings in a folder, or the one file.

    Args:
        path: path of a folder, searched recursively, or of a file.

    Returns:
        list of Track, sorted by name: the path relative to the folder, or the file's name.

    Raises:
        A2VError: the path does not exist, or the folder holds no audio.
    """
    return [Track(str(file), name) for file, name in audio.find([path])]
