"""How a library grows and shrinks: all that changes its file, each change one transaction."""

import contextlib
import os
from pathlib import Path

from a2v import catalogue, entries, exchange, store
from a2v.adding import Adding, check_writable, no_track
from a2v.errors import A2VError


class Growing(Adding):
    """The part of `library.Library` that writes; that class gives it path, encoder, connection."""

    def remove(self, name):
        """Takes a track out.

        Args:
            name: str.

        Raises:
            A2VError: there is no track of this name.
        """
        with self._transaction():
            if not entries.delete(self._db, name, self._width):
                raise no_track(self.path, name)

    def rename(self, name, new_name):
        """Gives a track another name.

        Args:
            name, new_name: str.

        Raises:
            A2VError: there is no track of this name, or there is one of the new name.
        """
        check_writable(Path(new_name), new_name)
        with self._transaction():
            if entries.entry(self._db, name) is None:
                raise no_track(self.path, name)
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
                yield
                self._db.execute("COMMIT")
            except BaseException:
                # A full disk has rolled back by itself.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
