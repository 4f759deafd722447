"""The catalogue on disk: one SQLite file that carries tracks, hashes and their encoder."""

import fnmatch
import unicodedata
from pathlib import Path

import numpy as np

from a2v import (
    audio,
    catalogue,
    chance,
    covers,
    duplicates,
    engines,
    entries,
    matching,
    queries,
    search,
    similar,
    store,
    tracking,
    verification,
)
from a2v.adding import no_track
from a2v.errors import A2VError
from a2v.growing import Growing
from a2v.runtime import Encoder


class Library(Growing):
    """Tracks that can be added, removed and identified; use `create` or `open`, and `with`.

    SQLite in WAL mode, synchronised at every commit, is the only truth; each change is one
    transaction, so whatever was reported is there, whole, after a crash. What search needs is
    read from it when first asked. A library is asked by the thread that opened it; others open it
    for themselves.

    >>> import a2v
    >>> from a2v import resources
    >>> from a2v.corpora import synthetic
    >>> tracks = synthetic.compose("music", works=3, covers=1, seconds=20, seed=0)
    >>> with a2v.Library.create("music.a2v", resources.saved_model("conv128")) as library:
    ...     for track in tracks:
    ...         entry = library.add(track.path, name=track.track)
    ...     len(library)
    6

    >>> library = a2v.Library.open("music.a2v")
    >>> [match.track for match in library.identify(tracks[2].path)]
    ['work-001/original']
    >>> [passage.query_s for passage in library.identify_all(tracks[2].path)]
    [(0.0, 20.0)]
    >>> [near.track for near in library.similar("work-000/original")][0]  # nearest to itself
    'work-000/original'
    >>> library.duplicates().groups
    []
    >>> [entry.track for entry in library.tracks("*/original")]
    ['work-000/original', 'work-001/original', 'work-002/original']
    >>> library.rename("work-001/original", "a song")
    >>> library.remove("work-002/cover-1")
    >>> library.stats()["tracks"], library.verify()
    (5, [])
    >>> library.export("music.npz")
    5
    >>> library.close()

    Attributes:
        path: Path of the file.
        encoder: runtime.Encoder, the one that made all hashes; the file carries it.
        engine: str, what searches, see `engines.NAMES`; uri: str, where its server is, or `None`.
    """

    def __init__(self, path, connection, encoder, engine=engines.AUTO, uri=None):
        self.path = path
        self.encoder = encoder
        self.engine, self.uri = engine, uri
        self._db = connection
        self._catalogue = None

    @classmethod
    def create(cls, path, encoder_path, *, overwrite=False):
        """Makes an empty library.

        Args:
            path: path of the file to be.
            encoder_path: path of the `.tflite` file whose hashes it will hold, or its bytes.
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
    def open(cls, path, *, encoder_path=None, engine=engines.AUTO, uri=None):
        """Opens a library.

        Args:
            path: path of the file.
            encoder_path: path of a `.tflite` file that must hold the library's own weights, if
                given; a quantised export of them will do.
            engine: str, what searches, one of `engines.NAMES`.
            uri: str, where the engine's server is, for one that has some.

        Returns:
            Library.

        Raises:
            A2VError: no such file, no library, one of another schema, or of another encoder; an
                engine that is unknown or not installed.
        """
        path = Path(path)
        engines.check(engine, uri)
        connection, meta = store.connect(path)
        try:
            encoder = Encoder(bytes(meta["encoder"]), name=f"{path}: its encoder")
            if encoder_path is not None:
                _check_same(path, encoder, Encoder(encoder_path))
        except BaseException:
            connection.close()
            raise
        return cls(path, connection, encoder, engine, uri)

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

    def tracks(self, pattern=None):
        """Lists what the library holds.

        Args:
            pattern: str, leaves only tracks whose name contains it or, where it has a `*` or `?`,
                matches it as a whole (a glob); letters match in either case.

        Returns:
            list of entries.Entry, by name.
        """
        with store.reported(self.path):
            found = entries.listed(self._db)
        if pattern is None:
            return found
        wanted = _folded(pattern)
        wanted = wanted if set(wanted) & set("*?") else f"*{wanted.replace('[', '[[]')}*"
        return [entry for entry in found if fnmatch.fnmatchcase(_folded(entry.track), wanted)]

    def stats(self):
        """Tells how much the library holds.

        Returns:
            dict: what `entries.totals` has; `bytes`, of the file and its log; `schema`; `encoder`,
            a dict of its `name`, `model_id`, `n_bits`, `sample_rate` (Hz), `window_s`, `hop_s`.
        """
        with store.reported(self.path):
            found = entries.totals(self._db)
        names = ("name", "model_id", "n_bits", "sample_rate", "window_s", "hop_s")
        return found | {
            "bytes": store.size(self.path),
            "schema": store.SCHEMA,
            "encoder": {name: getattr(self.encoder, name) for name in names},
        }

    def verify(self):
        """Checks the file, page by page and track by track.

        Returns:
            list of str, one sentence per problem; empty if all is well.
        """
        return verification.problems(self._db, self.encoder)

    def identify(
        self, source, *, top=1, max_false_accepts=chance.MAX_FALSE_ACCEPTS, phases=chance.PHASES
    ):
        """Finds the tracks that a clip was taken from.

        Args:
            source: float32 `[n]` at the encoder's rate, or what `audio.load` decodes.
            top: int, at most so many matches.
            max_false_accepts: float, 0 to 1; no match is what chance has as well in a greater
                share of such queries that no track holds.
            phases: int, beginnings tried within one hop, since a clip need not start where a
                hash of its track does.

        Returns:
            list of matching.Match, one per track, best first; empty if there is no match.

        Raises:
            A2VError: the clip cannot be read or is shorter than a window; `top` or `phases` is
                below 1.
        """
        _check_counts(top=top, phases=phases)
        waveform = np.concatenate([np.zeros(0, np.float32), *self._blocks(source)])
        tracks, engine = self._searchable()
        found = matching.identify(self.encoder, engine, tracks, waveform, phases=phases, top=top)
        return [match for match in found if match.false_accepts <= max_false_accepts]

    def identify_all(
        self, source, *, max_false_accepts=chance.MAX_FALSE_ACCEPTS, phases=chance.PHASES
    ):
        """Lists every passage of a long recording that a track holds, in bounded memory.

        Args:
            source, phases: as for `identify`.
            max_false_accepts: float, 0 to 1; passages that chance has more often, in an hour of
                recordings that no track holds, are left out.

        Returns:
            list of passages.Passage, by where they begin in the recording. Where several explain
            the same stretch, all but the best are marked as alternatives.

        Raises:
            A2VError: the recording cannot be read or is shorter than a window; `phases` is below
                1.
        """
        limit = {"max_false_accepts": max_false_accepts}
        events = self.follow(self._blocks(source), **limit, phases=phases)
        return tracking.listed(events, **limit)

    def follow(
        self,
        blocks,
        *,
        max_false_accepts=chance.MAX_FALSE_ACCEPTS,
        phases=chance.PHASES,
        live=False,
    ):
        """Reports what a query of any length holds, in memory that does not grow with it.

        Args:
            blocks: iterable of float32 `[n]` at the encoder's rate.
            max_false_accepts, phases: as for `identify_all`.
            live: bool, whether to ask as soon as there is enough, rather than in fewer goes.

        Yields:
            tracking.Event, as they become known. What changes in the library is seen.

        Raises:
            A2VError: all blocks together are shorter than a window; `phases` is below 1.
        """
        _check_counts(phases=phases)
        tracker = tracking.Tracker(
            self.encoder,
            self._searchable,
            self.hashes,
            max_false_accepts=max_false_accepts,
            phases=phases,
        )
        rows = tracker.step if live else None
        for made in queries.embeddings(self.encoder, blocks, phases=phases, rows=rows):
            yield from tracker.add(made)
        yield from tracker.close()

    def hashes(self, name):
        """Reads the hashes of a track.

        Args:
            name: str.

        Returns:
            uint8 `[n, n_bits / 8]`.

        Raises:
            A2VError: there is no track of this name.
            LibraryError: they are damaged.
        """
        query = "SELECT codes, windows, crc32 FROM tracks JOIN hashes ON track = id WHERE name = ?"
        with store.reported(self.path):
            row = self._db.execute(query, (name,)).fetchone()
        if row is None:
            raise no_track(self.path, name)
        return catalogue.hashes(self.path, name, *row, self._width)

    def duplicates(self):
        """Finds recordings held more than once and shared excerpts, see `duplicates.find`."""
        return duplicates.find(self.encoder, *self._held())

    def similar(self, track, *, top=10):
        """Finds the tracks that sound most like one of them, see `similar.find`."""
        return similar.find(self.encoder, *self._held(), track, top=top)

    def covers(self, source, *, top=10):
        """Finds likely versions of a track (its name), a recording or a clip, see `covers.find`."""
        if isinstance(source, np.ndarray):
            source = audio.checked(source, self.encoder.sample_rate)
        return covers.find(self.encoder, *self._held(), source, top=top)

    def _searchable(self):
        """Names and paths of all tracks and the engine over them, as of the last change."""
        with store.reported(self.path):
            # It changes with what other connections commit; own changes clear the catalogue.
            version = self._db.execute("PRAGMA data_version").fetchone()[0]
            if self._catalogue is None or self._catalogue[0] != version:
                made = engines.over(self.engine, self._hashes(), uri=self.uri)
                self._catalogue = (version, *made)
        return self._catalogue[1:]

    def _held(self):
        """Exact search over all hashes, and names and paths of their tracks."""
        tracks, engine = self._searchable()
        if not hasattr(engine, "codes"):
            with store.reported(self.path):
                tracks, engine = engines.over(engines.EXACT, self._hashes())
        return search.ExactSearch(engine.codes, engine.starts), tracks

    def _hashes(self):
        return catalogue.Catalogue(self.path, self._db, self._width)

    def _blocks(self, source):
        """A recording, or a waveform, piece by piece: iterable of float32 `[n]`."""
        rate = self.encoder.sample_rate
        if isinstance(source, np.ndarray):
            return [audio.checked(source, rate)]
        return audio.blocks(source, sample_rate=rate, downmix=self.encoder.downmix)


def _check_counts(**counts):
    """Raises A2VError unless all are 1 or more; `None` is no limit."""
    for name, value in counts.items():
        if value is not None and value < 1:
            raise A2VError(f"{name} {value}: use 1 or more")


def _folded(name):
    """A name as it is searched for: file systems write accents in two ways."""
    return unicodedata.normalize("NFC", name).casefold()


def _check_same(path, encoder, other):
    if encoder.model_id != other.model_id:
        raise A2VError(
            f"{path}: made with {encoder.name} ({encoder.model_id}), not with {other.name} "
            f"({other.model_id}); leave the model out, or make another library"
        )
