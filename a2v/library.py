"""The catalogue on disk: one SQLite file that carries tracks, hashes and their encoder."""

import fnmatch
import unicodedata
from pathlib import Path

from a2v import engines, entries, store, verification
from a2v.asking import Asking
from a2v.errors import A2VError
from a2v.growing import Growing
from a2v.runtime import Encoder


class Library(Asking, Growing):
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


def _folded(name):
    """A name as it is searched for: file systems write accents in two ways."""
    return unicodedata.normalize("NFC", name).casefold()


def _check_same(path, encoder, other):
    if encoder.model_id != other.model_id:
        raise A2VError(
            f"{path}: made with {encoder.name} ({encoder.model_id}), not with {other.name} "
            f"({other.model_id}); leave the model out, or make another library"
        )
