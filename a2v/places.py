"""Files by path or by URL: what is on no disk of this machine is reached through fsspec."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from a2v.errors import A2VError


def is_remote(path):
    """Whether a path is a URL, such as `s3://bucket/music`."""
    return "://" in str(path)


def is_named(source):
    """Whether something is a path, a URL, or what `place` makes of it: no file object."""
    return isinstance(source, str) or hasattr(source, "joinpath")


def place(path):
    """Where a file or folder is.

    Args:
        path: path or URL.

    Returns:
        Path, or, of a URL, what has the methods of one: UPath.

    Raises:
        A2VError: what reads URLs is not installed, or knows none of this kind.
    """
    if not is_remote(path):
        return Path(path)
    try:
        from upath import UPath

        found = UPath(path)
        _ = found.fs  # which may want a further package
        return found
    except ImportError as error:
        why = "is a URL; `pip install 'a2v[remote]'`" if error.name == "upath" else error
        raise A2VError(f"{path}: {why}") from None
    except ValueError as error:
        raise A2VError(f"{path}: {error}; use a path, or a URL that fsspec knows") from None


@contextlib.contextmanager
def draft(path):
    """A local file that becomes `path` when it is whole; elsewhere as whole as its store keeps it.

    Args:
        path: from `place`; the draft of a local one lies beside it, so that it can be renamed.

    Yields:
        Path, to be made and closed inside.
    """
    if is_remote(path):
        with tempfile.TemporaryDirectory(prefix="a2v-") as folder:
            local = Path(folder) / path.name
            yield local
            path.fs.put_file(str(local), path.path)
        return
    local = path.with_name(f"{path.name}.{os.urandom(4).hex()}.tmp")
    try:
        yield local
        os.replace(local, path)
    finally:
        local.unlink(missing_ok=True)


def write_whole(path, data):
    """Writes text under a temporary name and renames it: readers see all of it or nothing."""
    with draft(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def remove_tree(path):
    """Deletes a folder from `place` with all that is in it."""
    if is_remote(path):
        path.rmdir(recursive=True)
    else:
        shutil.rmtree(path)
