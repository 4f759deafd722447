"""How a library grows and shrinks: all that changes its file, each change one transaction."""

import contextlib
import hashlib
import os
import zlib
from pathlib import Path

from a2v import catalogue, entries, exchange, sketches, store
from a2v.entries import Entry, File, Row
from a2v.errors import A2VError
from a2v.listening import EXCERPTS, listen

# What to do with a recording that is there already.
COPIES = ("refuse", "allow", "link")


class Growing:
    """The part of `library.Library` that writes; that class gives it path, encoder, connection."""

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
        path, sha256 = self._given(path, name, copies, COPIES)
        name = path.name if name is None else name
        if copies != "link":
            self._check_new(path, name, sha256)
        elif self._clash(None, sha256):
            with self._transaction():
                own = Entry(name, str(path.resolve()), 0.0, 0, sha256)
                if linked := self._linked(path, own, None):
                    return linked
        row, heard = self._hear(path, name, sha256, copies)
        with self._transaction():
            return self._enter(path, row, heard, copies)

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
        self._check_new(path, None, sha256)
        with store.reported(self.path):
            if entries.entry(self._db, name) is None:
                raise _no_track(self.path, name)
        row, heard = self._hear(path, name, sha256, copies)
        with self._transaction():
            if not entries.delete(self._db, name, self._width):
                raise _no_track(self.path, name)
            return self._enter(path, row, heard, copies)

    def remove(self, name):
        """Takes a track out.

        Args:
            name: str.

        Raises:
            A2VError: there is no track of this name.
        """
        with self._transaction():
            if not entries.delete(self._db, name, self._width):
                raise _no_track(self.path, name)

    def rename(self, name, new_name):
        """Gives a track another name.

        Args:
            name, new_name: str.

        Raises:
            A2VError: there is no track of this name, or there is one of the new name.
        """
        _check_writable(Path(new_name), new_name)
        with self._transaction():
            if entries.entry(self._db, name) is None:
                raise _no_track(self.path, name)
            if problem := self._clash(new_name, None):
                raise A2VError(f"{new_name}: {problem}")
            self._db.execute("UPDATE tracks SET name = ? WHERE name = ?", (new_name, name))

    def merge(self, path):
        """Adds all tracks of another library, in one transaction.

        Args:
            path: path of a library of the same encoder (`model_id`); it stays as it is.

        Returns:
            (list of Entry that were added, list of str: a sentence for each track that was left
            out because its name or its bytes are here already, or its hashes are damaged).

        Raises:
            A2VError: no such library, this one, or one of another encoder.
            LibraryError: either cannot be read or written.
        """
        with type(self).open(path) as source:
            if os.path.samefile(source.path, self.path):
                raise A2VError(f"{path}: is this library itself; name another one")
            self._check_model(path, source.encoder.name, source.encoder.model_id)
            with contextlib.closing(source._rows()) as rows:
                return self._take(path, rows)

    def export(self, path):
        """Writes everything the library holds to one compressed file, see `exchange`.

        Args:
            path: path of the file to be; it appears whole or not at all.

        Returns:
            int, how many tracks it holds.

        Raises:
            A2VError: something is there already.
            LibraryError: a track is damaged, or the place cannot be written.
        """
        with contextlib.closing(self._rows(whole=True)) as rows:
            hashes = next(rows)
            return exchange.write(Path(path), self.encoder, rows, hashes)

    def import_from(self, path):
        """Adds all tracks of an export, in one transaction.

        Args:
            path: path of a file that `export` wrote, of the same encoder (`model_id`).

        Returns:
            as `merge`.

        Raises:
            A2VError: the file is missing, no export, damaged anywhere, or of another encoder.
            LibraryError: the library cannot be written.
        """
        archive = exchange.read(Path(path))
        self._check_model(path, archive.model, archive.model_id)
        return self._take(path, archive.rows)

    @property
    def _width(self):
        return self.encoder.n_bits // 8

    def _given(self, path, name, copies, choices):
        """Path and SHA-256 of a recording that could be added."""
        if copies not in choices:
            raise ValueError(f"copies {copies!r}: use one of {', '.join(choices)}")
        path = Path(path)
        _check_writable(path, name or "")
        return path, _sha256(path)

    def _hear(self, path, name, sha256, copies):
        """Row to be of a recording, and `listening.Heard` to find copies by."""
        heard = listen(self.encoder, path, excerpts=0 if copies == "allow" else EXCERPTS)
        entry = Entry(name, str(path.resolve()), heard.seconds, len(heard.codes), sha256)
        codes = heard.codes.tobytes()
        return Row(entry, heard.silent, zlib.crc32(codes), codes), heard

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

    def _take(self, origin, rows):
        added, refused = [], []
        with self._transaction():
            for row in rows:
                own = row.entry
                problem = self._clash(own.track, own.sha256)
                if not row.is_whole(self._width):
                    problem = "its hashes are damaged; add its recording instead"
                if problem:
                    refused.append(f"{origin}: track {own.track!r}: {problem}")
                    continue
                entries.insert(self._db, row, self._width)
                added.append(own)
        return added, refused

    def _rows(self, *, whole=False):
        """All rows as one moment knew them; `whole`: first how many hashes, and none damaged."""
        with store.reported(self.path), store.snapshot(self._db):
            if whole:
                total = "SELECT coalesce(sum(windows), 0) FROM tracks JOIN hashes ON track = id"
                yield self._db.execute(total).fetchone()[0]
            for row in entries.rows(self._db):
                if whole and not row.is_whole(self._width):
                    raise catalogue.damaged(self.path, row.entry.track)
                yield row

    def _clash(self, name, sha256):
        """Why a track of this name, of these bytes, cannot be added: str; `None` if it can."""
        with store.reported(self.path):
            if name is not None and entries.entry(self._db, name):
                return (
                    f"{self.path} has a track {name!r} already; remove it first, replace it, or "
                    "use another name"
                )
            if sha256 is not None and (known := entries.of_bytes(self._db, sha256)):
                return (
                    f"the same bytes are in {self.path} already, as track {known[0]!r}; "
                    "remove that first, link this one, or leave it out"
                )
        return None

    def _check_new(self, path, name, sha256):
        if problem := self._clash(name, sha256):
            raise A2VError(f"{path}: {problem}")

    def _check_model(self, path, name, model_id):
        if model_id != self.encoder.model_id:
            raise A2VError(
                f"{path}: made with {name} ({model_id}), {self.path} with {self.encoder.name} "
                f"({self.encoder.model_id}); hashes of different models cannot be mixed"
            )

    @contextlib.contextmanager
    def _transaction(self):
        self._catalogue = None
        with store.reported(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                entries.upgrade(self._db, self._width)
                yield
                self._db.execute("COMMIT")
            except BaseException:
                # A full disk has rolled back by itself.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise


def _no_track(path, name):
    return A2VError(f"{path}: holds no track {name!r}; `list` shows their names")


def _sha256(path):
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise A2VError(f"{path}: cannot be read ({error.strerror})") from None


def _check_writable(path, name):
    """File names are bytes; one that is no UTF-8 reaches Python with lone surrogates."""
    try:
        f"{path.resolve()}{name}".encode()
    except UnicodeEncodeError:
        raise A2VError(f"{ascii(str(path))}: its name is not valid UTF-8; rename it") from None
