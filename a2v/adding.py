"""How recordings get into a library: heard here or by others, then put in, each a transaction."""

import hashlib
import zlib
from collections import deque

from a2v import entries, places, sketches, store, workers
from a2v.entries import Entry, File, Row
from a2v.errors import A2VError
from a2v.listening import EXCERPTS, Listener, listen
from a2v.store import LibraryError

# What to do with a recording that is there already.
COPIES = ("refuse", "allow", "link")


class Adding:
    """The part of `growing.Growing` that hears recordings."""

    def add(self, path, *, name=None, copies="refuse"):
        """Hashes a recording and adds it in one transaction, however many tracks there are.

        Args:
            path: path of any recording `audio.blocks` decodes.
            name: str, the track's name; the file's name if not given.
            copies: what to do with a recording half of which, or more, is in one track already,
                encoded anew, trimmed or of another gain (see `sketches`): "refuse" it, "allow" it
                without looking, or "link" its file to that track. The same bytes are never a
                second track: they are refused, or linked.

        Returns:
            Entry, committed to disk; of a linked file that of the track it was linked to.

        Raises:
            A2VError: the recording cannot be read, is shorter than a window or silent
                throughout, or it, its name or its bytes are in the library already.
            LibraryError: the library cannot be written.
        """
        path, name, sha256, linked = self._told(path, name, copies)
        if linked:
            return linked
        heard = listen(self.encoder, path, excerpts=_excerpts(copies))
        with self._transaction():
            return self._enter(path, _row(path, name, sha256, heard), heard, copies)

    def add_all(self, files, *, copies="refuse", engine=workers.LOCAL, jobs=None, address=None):
        """Adds recordings, several of which are heard at a time; each is a transaction of its own.

        Args:
            files: iterable of (path, name), as for `add`.
            copies: as for `add`; of two copies among the files the first is added.
            engine: str, who listens, one of `workers.NAMES`.
            jobs, address: as for `workers.mapped`.

        Yields:
            (path, Entry as from `add`, or A2VError: why it could not be added), in order.

        Raises:
            A2VError: the engine cannot be used.
            LibraryError: the library cannot be written.
        """
        outcomes = deque()  # in the order of the files: what is known already, or what it waits for

        def unheard():
            for path, name in files:
                try:
                    path, name, sha256, linked = self._told(path, name, copies)
                except LibraryError:
                    raise
                except A2VError as error:
                    outcomes.append((path, error, None))
                    continue
                outcomes.append((path, linked, (name, sha256)))
                if not linked:
                    yield path

        def known():
            while outcomes and outcomes[0][1]:
                path, outcome, _ = outcomes.popleft()
                yield path, outcome

        listener = Listener(self.encoder, _excerpts(copies))
        asked = {"engine": engine, "jobs": jobs, "address": address}
        for path, heard in workers.mapped(listener, unheard(), **asked):
            yield from known()
            name, sha256 = outcomes.popleft()[2]
            yield path, self._entered(path, name, sha256, heard, copies)
        yield from known()

    def _entered(self, path, name, sha256, heard, copies):
        """Entry of what was heard, or A2VError."""
        if isinstance(heard, workers.Died):
            return A2VError(f"{path}: {heard}")
        if isinstance(heard, A2VError):
            return heard
        try:
            with self._transaction():
                return self._enter(path, _row(path, name, sha256, heard), heard, copies)
        except LibraryError:
            raise
        except A2VError as error:
            return error

    def replace(self, name, path, *, copies="refuse"):
        """Puts a recording in the place of a track, whose linked files go; one transaction.

        Args:
            name: str, of the track; it stays.
            path: path of any recording `audio.blocks` decodes.
            copies: "refuse" or "allow", as for `add`, of copies of other tracks.

        Returns:
            Entry, committed to disk.

        Raises:
            A2VError: as `add`, or there is no track of this name.
            LibraryError: the library cannot be written.
        """
        path, sha256 = self._given(path, name, copies, COPIES[:2])
        with store.reported(self.path):
            if entries.entry(self._db, name) is None:
                raise no_track(self.path, name)
            known = entries.of_bytes(self._db, sha256)
        if known is None or known[0] != name:  # what is the track's own goes with it
            self._check_new(path, None, sha256)
        heard = listen(self.encoder, path, excerpts=_excerpts(copies))
        row = _row(path, name, sha256, heard)
        with self._transaction():
            if not entries.delete(self._db, name, self._width):
                raise no_track(self.path, name)
            return self._enter(path, row, heard, copies)

    def _given(self, path, name, copies, choices):
        """Path and SHA-256 of a recording that could be added."""
        if copies not in choices:
            raise ValueError(f"copies {copies!r}: use one of {', '.join(choices)}")
        path = places.place(path)
        check_writable(path, name or "")
        return path, _sha256(path)

    def _told(self, path, name, copies):
        """What is known of a recording before it is heard: path, name, SHA-256, Entry if linked."""
        path, sha256 = self._given(path, name, copies, COPIES)
        name = path.name if name is None else name
        if copies != "link":
            self._check_new(path, name, sha256)
        elif self._clash(None, sha256):
            with self._transaction():
                own = Entry(name, str(path.resolve()), 0.0, 0, sha256)
                return path, name, sha256, self._linked(path, own, None)
        return path, name, sha256, None

    def _enter(self, path, row, heard, copies):
        """Links or inserts; in its transaction, since others may have added while this listened."""
        own = row.entry
        if copies == "link" and (linked := self._linked(path, own, heard)):
            return linked
        self._check_new(path, own.track, own.sha256)
        if copies == "refuse" and (copy := sketches.find(self._db, self.encoder, heard)):
            raise A2VError(
                f"{path}: the same recording is in {self.path} already: it begins at "
                f"{copy.offset_s:.2f} s of track {copy.track!r} and shares {copy.begin_s:.2f} to "
                f"{copy.end_s:.2f} s with it; leave it out, link it, or allow copies"
            )
        entries.insert(self._db, row, self._width)
        return own

    def _linked(self, path, own, heard):
        """Links a file to the track it is a copy of: Entry of that; `None` if there is none."""
        known = entries.of_bytes(self._db, own.sha256)
        if known is None and heard is not None:
            copy = sketches.find(self._db, self.encoder, heard)
            known = copy and (copy.track, copy.offset_s)
        if known is None:
            return None
        name, offset_s = known
        track = entries.entry(self._db, name)
        if any(
            (own.path, own.sha256) == (file.path, file.sha256) for file in (track, *track.files)
        ):
            raise A2VError(f"{path}: is a file of track {name!r} of {self.path} already")
        entries.link(self._db, name, File(own.path, own.sha256, offset_s))
        return entries.entry(self._db, name)


def _excerpts(copies):
    return 0 if copies == "allow" else EXCERPTS


def _row(path, name, sha256, heard):
    """Row to be of a recording that was heard."""
    entry = Entry(name, str(path.resolve()), heard.seconds, len(heard.codes), sha256)
    codes = heard.codes.tobytes()
    return Row(entry, heard.silent, zlib.crc32(codes), codes)


def no_track(path, name):
    """The error that a library holds no track of this name: A2VError."""
    return A2VError(f"{path}: holds no track {name!r}; `list` shows their names")


def _sha256(path):
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise A2VError(f"{path}: cannot be read ({error.strerror or error})") from None


def check_writable(path, name):
    """File names are bytes; one that is no UTF-8 reaches Python with lone surrogates."""
    try:
        f"{path.resolve()}{name}".encode()
    except UnicodeEncodeError:
        raise A2VError(f"{ascii(str(path))}: its name is not valid UTF-8; rename it") from None
