"""Where audio comes from: one file for each source of tracks."""

import sys
from pathlib import Path

from a2v.corpora import covers80, fma, folder, gtzan, manifest
from a2v.corpora.track import Track
from a2v.errors import A2VError
from a2v.places import is_remote, place

__all__ = ["Track", "tracks"]

# Corpora told by how their folders are laid out. Each file has `recognises(folder)` and
# `read(folder)`; a folder that none of them recognises is searched for audio.
READERS = (fma, gtzan, covers80)


def tracks(inputs, *, from_list=None, complain=None):
    """Collects the tracks of files, folders, corpora and manifests.

    Args:
        inputs: iterable of paths: files, folders (a corpus in `READERS`, or searched recursively,
            see `audio.find`), and manifests, which are told by their suffix `.csv`.
        from_list: path of a text file with one more input a line, or `"-"` for standard input. A
            file in it is named by its path as listed and, like one in a manifest, need not exist.
        complain: function `(A2VError)` that is told of each input that is of no use, as long as
            another one is; without it the first such input is an error.

    Returns:
        list of Track in the order given, names distinct; a file given twice is there once.

    Raises:
        A2VError: nothing was given, an input is missing or holds no audio, a manifest or a corpus
            is malformed, or two files would bear one name.
    """
    found, useless = [], []
    for path in inputs:
        try:
            found += _expand(path, listed=False)
        except A2VError as error:
            useless.append(error)
    if useless and (complain is None or not (found or from_list)):
        raise useless[0]
    for error in useless:
        complain(error)
    if from_list is not None:
        found += [track for path in _lines(from_list) for track in _expand(path, listed=True)]
    elif not found:
        raise A2VError("no recordings given: name files, folders, or manifests (*.csv)")
    named = {}
    for track in found:
        known = named.setdefault(track.track, track)
        if place(known.path).absolute() != place(track.path).absolute():
            raise A2VError(
                f"{track.path}: its name {track.track!r} is taken by {known.path}; give the folder "
                "above both, or a manifest that names them"
            )
    return list(named.values())


def _expand(path, *, listed):
    if place(path).suffix.lower() == ".csv":
        return manifest.read(path)
    if place(path).is_dir():
        if is_remote(path):
            return folder.read(path)
        return next((r for r in READERS if r.recognises(path)), folder).read(path)
    if not listed:
        return folder.read(path)
    return [Track(str(path), str(path) if is_remote(path) else Path(path).as_posix())]


def _lines(source):
    """The lines of a file or, for `"-"`, of standard input that are not blank."""
    name = "standard input" if source == "-" else source
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise A2VError(f"{name}: cannot read this list of paths ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise A2VError(
            f"{name}: byte {error.start} is not UTF-8; a list is text, one path a line"
        ) from error
    paths = [line for line in text.splitlines() if line.strip()]
    if not paths:
        raise A2VError(f"{name}: no paths; give one a line")
    return paths
