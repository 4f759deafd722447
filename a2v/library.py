"""The catalogue on disk: one SQLite file that carries tracks, hashes and their encoder."""

import contextlib
import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from a2v import audio, matching, queries, store, tracking
from a2v.errors import A2VError
from a2v.runtime import Encoder
from a2v.search import ExactSearch


@dataclass(frozen=True)
class Entry:
    """A track of a library.

    Attributes:
        track: str, its name.
        path: str, absolute, where it was when it was added.
        seconds: float, s.
        hashes: int, how many.
        sha256: str, hexadecimal, of the file's bytes.
    """

    track: str
    path: str
    seconds: float
    hashes: int
    sha256: str


class Library:
    """Tracks that can be added, removed and identified; use `create` or `open`, and `with`.

    SQLite in WAL mode, synchronised at every commit, is the only truth; each change is one
    transaction, so whatever was reported is there, whole, after a crash. What search needs is
    read from it when first asked.

    Attributes:
        path: Path of the file.
        encoder: runtime.Encoder, the one that made all hashes; the file carries it.
    """

    def __init__(self, path, connection, encoder):
        self.path = path
        self.encoder = encoder
        self._db = connection
        self._catalogue = None

    @classmethod
    def create(cls, path, encoder_path, *, overwrite=False):
        """Makes an empty library.

        Args:
            path: path of the file to be.
            encoder_path: path of the `.tflite` file whose hashes it will hold.
            overwrite: bool, replace a library that is there.

        Returns:
            Library, open.

        Raises:
            A2VError: something is there already, the place cannot be written, or the encoder is
                none.
        """
        path = Path(path)
        store.create(path, Encoder(encoder_path), overwrite=overwrite)
        return cls.open(path)

    @classmethod
    def open(cls, path, *, encoder_path=None):
        """Opens a library.

        Args:
            path: path of the file.
            encoder_path: path of a `.tflite` file that must hold the library's own weights, if
                given; a quantised export of them will do.

        Returns:
            Library.

        Raises:
            A2VError: no such file, no library, one of a newer schema, or of another encoder.
        """
        path = Path(path)
        connection, meta = store.connect(path)
        try:
            encoder = Encoder(bytes(meta["encoder"]))
            if encoder_path is not None:
                _check_same(path, encoder, Encoder(encoder_path))
        except A2VError:
            connection.close()
            raise
        return cls(path, connection, encoder)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Lets go of the file."""
        self._db.close()

    def __len__(self):
        with store.reported(self.path):
            return self._db.execute("SELECT count(*) FROM tracks").fetchone()[0]

    def tracks(self):
        """Lists what the library holds: list of Entry, by name."""
        query = (
            "SELECT name, path, seconds, windows, sha256 FROM tracks"
            " JOIN hashes ON track = id ORDER BY name"
        )
        with store.reported(self.path):
            return [Entry(*row) for row in self._db.execute(query)]

    def add(self, path, *, name=None):
        """Hashes a recording, block by block, and adds it in one transaction.

        Args:
            path: path of any recording `audio.blocks` decodes.
            name: str, the track's name; the file's name if not given.

        Returns:
            Entry, committed to disk.

        Raises:
            A2VError: the recording cannot be read, is shorter than a window or silent
                throughout, or its name or its bytes are in the library already.
            LibraryError: the library cannot be written.
        """
        path = Path(path)
        name = path.name if name is None else name
        _check_writable(path, name)
        sha256 = _sha256(path)
        self._check_new(path, name, sha256)
        seconds, codes = self._listen(path)
        entry = Entry(name, str(path.resolve()), seconds, len(codes), sha256)
        with self._transaction():
            # Another process may have added it while this one listened.
            self._check_new(path, name, sha256)
            track = self._db.execute(
                "INSERT INTO tracks (name, path, seconds, sha256) VALUES (?, ?, ?, ?)",
                (name, entry.path, seconds, sha256),
            ).lastrowid
            data = codes.tobytes()
            self._db.execute(
                "INSERT INTO hashes VALUES (?, ?, ?, ?)",
                (track, len(codes), zlib.crc32(data), data),
            )
        return entry

    def remove(self, name):
        """Takes a track out.

        Args:
            name: str.

        Raises:
            A2VError: there is no track of this name.
        """
        with self._transaction():
            if not self._db.execute("DELETE FROM tracks WHERE name = ?", (name,)).rowcount:
                raise A2VError(f"{self.path}: holds no track {name!r}; `list` shows their names")

    def verify(self):
        """Checks the file, page by page and track by track.

        Returns:
            list of str, one sentence per problem; empty if all is well.
        """
        return store.problems(self._db, self.encoder)

    def identify(self, source, *, top=1, min_probability=matching.MIN_PROBABILITY, phases=4):
        """Finds the tracks that a clip was taken from.

        Args:
            source: float32 `[n]` at the encoder's rate, or what `audio.load` decodes.
            top: int, at most so many matches.
            min_probability: float, 0 to 1; less probable ones are no matches.
            phases: int, beginnings tried within one hop, since a clip need not start where a
                hash of its track does.

        Returns:
            list of matching.Match, one per track, best first; empty if there is no match.

        Raises:
            A2VError: the clip cannot be read or is shorter than a window.
        """
        encoder = self.encoder
        if not isinstance(source, np.ndarray):
            source = audio.load(source, sample_rate=encoder.sample_rate, downmix=encoder.downmix)
        tracks, engine = self._searchable()
        matches = matching.identify(encoder, engine, tracks, source, phases=phases)
        return [match for match in matches[:top] if match.probability >= min_probability]

    def identify_all(self, source, *, min_probability=matching.MIN_PROBABILITY, phases=4):
        """Lists every passage of a long recording that a track holds, in bounded memory.

        Args:
            source, phases: as for `identify`.
            min_probability: float, 0 to 1; less probable passages are left out.

        Returns:
            list of passages.Passage, by where they begin in the recording. Where several explain
            the same stretch, all but the best are marked as alternatives.

        Raises:
            A2VError: the recording cannot be read or is shorter than a window.
        """
        encoder, blocks = self.encoder, [source]
        if not isinstance(source, np.ndarray):
            blocks = audio.blocks(source, sample_rate=encoder.sample_rate, downmix=encoder.downmix)
        events = self.follow(blocks, min_probability=min_probability, phases=phases)
        return tracking.listed(events, min_probability=min_probability)

    def follow(self, blocks, *, min_probability=matching.MIN_PROBABILITY, phases=4, live=False):
        """Reports what a query of any length holds, in memory that does not grow with it.

        Args:
            blocks: iterable of float32 `[n]` at the encoder's rate.
            min_probability, phases: as for `identify`.
            live: bool, whether to ask as soon as there is enough, rather than in fewer goes.

        Yields:
            tracking.Event, as they become known. What changes in the library is seen.

        Raises:
            A2VError: all blocks together are shorter than a window.
        """
        tracker = tracking.Tracker(
            self.encoder,
            self._searchable,
            self.hashes,
            min_probability=min_probability,
            phases=phases,
        )
        rows = tracker.step if live else None
        for made in queries.fingerprints(self.encoder, blocks, phases=phases, rows=rows):
            yield from tracker.add(*made)
        yield from tracker.close()

    def hashes(self, name):
        """Reads the hashes of a track.

        Args:
            name: str.

        Returns:
            uint8 `[n, n_bits / 8]`.

        Raises:
            A2VError: there is no track of this name.
        """
        query = "SELECT codes FROM tracks JOIN hashes ON track = id WHERE name = ?"
        with store.reported(self.path):
            row = self._db.execute(query, (name,)).fetchone()
        if row is None:
            raise A2VError(f"{self.path}: holds no track {name!r}; `list` shows their names")
        return np.frombuffer(row[0], np.uint8).reshape(-1, self.encoder.n_bits // 8)

    def _searchable(self):
        """Names and paths of all tracks and the engine over them, as of the last change."""
        with store.reported(self.path):
            # It changes with what other connections commit; own changes clear the catalogue.
            version = self._db.execute("PRAGMA data_version").fetchone()[0]
            if self._catalogue is None or self._catalogue[0] != version:
                width = self.encoder.n_bits // 8
                tracks, codes, starts = store.catalogue(self.path, self._db, width=width)
                self._catalogue = (version, tracks, ExactSearch(codes, starts))
        return self._catalogue[1:]

    def _listen(self, path):
        """Seconds and codes of a recording that is not silent throughout."""
        rate, samples, loudest = self.encoder.sample_rate, 0, -np.inf

        def heard():
            nonlocal samples, loudest
            for block in audio.blocks(path, sample_rate=rate, downmix=self.encoder.downmix):
                samples += len(block)
                for start in range(0, len(block), rate):
                    loudest = max(loudest, audio.level_dbfs(block[start : start + rate]))
                yield block

        try:
            codes = self.encoder.hash_blocks(heard())
        except A2VError as error:
            raise error if str(path) in str(error) else A2VError(f"{path}: {error}") from None
        if loudest < audio.SILENCE_DBFS:
            raise A2VError(
                f"{path}: silent throughout (its loudest second is at {loudest:.1f} dBFS, silence "
                f"ends at {audio.SILENCE_DBFS:.0f}); nothing could find it"
            )
        return samples / rate, codes

    def _check_new(self, path, name, sha256):
        with store.reported(self.path):
            row = self._db.execute(
                "SELECT name FROM tracks WHERE name = ? OR sha256 = ? ORDER BY name != ?",
                (name, sha256, name),
            ).fetchone()
        if row and row[0] == name:
            raise A2VError(f"{path}: {self.path} has a track {name!r} already; remove it first")
        if row:
            raise A2VError(
                f"{path}: the same bytes are in {self.path} already, as track {row[0]!r}; "
                "remove that first, or leave this one out"
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


def _check_same(path, encoder, other):
    if encoder.model_id != other.model_id:
        raise A2VError(
            f"{path}: made with {encoder.name} ({encoder.model_id}), not with {other.name} "
            f"({other.model_id}); leave the model out, or make another library"
        )
