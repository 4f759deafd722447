"""What a library is asked: which track a clip is of, and what its tracks are to each other."""

import numpy as np

from a2v import (
    audio,
    catalogue,
    chance,
    covers,
    duplicates,
    engines,
    matching,
    queries,
    search,
    similar,
    store,
    tracking,
)
from a2v.adding import no_track
from a2v.errors import A2VError


class Asking:
    """The part of `library.Library` that answers; that class gives it path, encoder, connection."""

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
