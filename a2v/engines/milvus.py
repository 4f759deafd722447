"""Milvus: hashes are looked up and read on a server, for what one machine does not hold.

The library's file stays the only truth. Opening an engine brings the server up to date with it:
tracks that went are deleted there, new ones inserted, each marked when all of its hashes are in, so
that what was interrupted is done again. Two collections of the server belong to a library, named by
its identity: hashes, and the marks of tracks that are whole.
"""

import contextlib
import logging

import numpy as np

from a2v.candidates import NEIGHBOURS, CandidateSearch
from a2v.errors import A2VError
from a2v.store import LibraryError

NEEDED = {"pymilvus": "pymilvus"}
# A hash's key is its track's number and its place in the track.
_PLACES = 1 << 24
# Rows of one request, and of one answer, which a server limits to 16,384.
_ROWS = 8192
# Reading takes the longest, so only the likeliest places are compared.
_FOLLOWED = 32
_PREFIX = "a2v"


def check(uri):
    """Raises A2VError unless there is an address to go to."""
    if uri is None:
        raise A2VError("engine milvus: give its server, as in --uri http://127.0.0.1:19530")


def over(catalogue, *, uri):
    """See `a2v.engines`."""
    with _reported(uri):
        server = Server(uri, catalogue.identity(), 8 * catalogue.width)
        tracks = server.update(catalogue)
        return [(track.name, track.path) for track in tracks], MilvusSearch(server, tracks)


class MilvusSearch(CandidateSearch):
    """Looks hashes up on a server.

    Args:
        server: Server.
        tracks: list of `catalogue.Stored`, all of which it holds.
    """

    followed = _FOLLOWED

    def __init__(self, server, tracks):
        super().__init__(np.cumsum([0, *(track.windows for track in tracks)]))
        self._server = server
        self._numbers = np.array([track.number for track in tracks], np.int64)
        order = np.argsort(self._numbers)
        self._by_number = self._numbers[order], order

    def search(self, queries):
        with _reported(self._server.uri):
            return super().search(queries)

    def nearest(self, codes, weighed):
        numbers, order = self._by_number
        rows, places, same = [], [], []
        for row, found in enumerate(self._server.nearest(codes, NEIGHBOURS)):
            for key, distance in found:
                number, place = divmod(key, _PLACES)
                at = int(np.searchsorted(numbers, number))
                # Others may change the library meanwhile; what is not listed here is passed over.
                if at < len(numbers) and numbers[at] == number:
                    rows.append(row)
                    places.append(int(self.starts[order[at]]) + place)
                    same.append(8 * codes.shape[1] - 2 * distance)
        return np.array(rows, np.int64), np.array(places, np.int64), np.array(same, np.int64)

    def fetched(self, places):
        unique, inverse = np.unique(places, return_inverse=True)
        track = np.searchsorted(self.starts, unique, side="right") - 1
        keys = self._numbers[track] * _PLACES + unique - self.starts[track]
        return self._server.codes(keys)[inverse.reshape(np.shape(places))]


class Server:
    """The collections of one library.

    Args:
        uri: str, as `http://127.0.0.1:19530`.
        identity: str, of the library.
        n_bits: int.

    Attributes:
        uri: str.
    """

    def __init__(self, uri, identity, n_bits):
        from pymilvus import MilvusClient

        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # what it logs is raised as well
        self.uri, self._n_bits = uri, n_bits
        self._client = MilvusClient(uri=uri)
        self._hashes, self._marks = (f"{_PREFIX}_{identity}_{part}" for part in ("hashes", "marks"))
        self._ensure(self._hashes, [], n_bits)
        # A collection has to have a vector; marks have the shortest.
        self._ensure(self._marks, ["windows", "crc32"], 8)

    def update(self, catalogue):
        """Brings the server up to date.

        Args:
            catalogue: `catalogue.Catalogue`.

        Returns:
            list of `catalogue.Stored`, what it holds now, by name.
        """
        listed = catalogue.listed()
        wanted = {(track.number, track.windows, track.crc32): track for track in listed}
        known = self._marked()
        for number, windows, _ in known - wanted.keys():
            self._delete(self._marks, number, number + 1)
            self._delete(self._hashes, number * _PLACES, number * _PLACES + windows)
        missing = [key for key in wanted if key not in known]
        lost = {key for key in missing if not self._insert(catalogue, wanted[key])}
        if missing:
            for name in (self._hashes, self._marks):
                self._client.flush(name)
        return [track for key, track in wanted.items() if key not in lost]

    def nearest(self, codes, count):
        """The nearest hashes of each: uint8 `[n, bytes]` to n lists of (key, distance)."""
        found = self._client.search(
            self._hashes,
            [code.tobytes() for code in codes],
            limit=count,
            search_params={"metric_type": "HAMMING"},
        )
        return [[(hit["id"], int(hit["distance"])) for hit in hits] for hits in found]

    def codes(self, keys):
        """Reads hashes: int64 `[n]` to uint8 `[n, bytes]`, zeros where one is gone since."""
        found = np.zeros((len(keys), self._n_bits // 8), np.uint8)
        order = np.argsort(keys)
        for first in range(0, len(keys), _ROWS):
            part = keys[order[first : first + _ROWS]]
            rows = self._client.query(
                self._hashes, filter=f"id in {part.tolist()}", output_fields=["code"]
            )
            if rows:
                at = first + np.searchsorted(part, [row["id"] for row in rows])
                found[order[at]] = [np.frombuffer(row["code"][0], np.uint8) for row in rows]
        return found

    def drop(self):
        """Deletes both collections."""
        for name in (self._hashes, self._marks):
            self._client.drop_collection(name)

    def _ensure(self, name, numbers, n_bits):
        from pymilvus import DataType

        if self._client.has_collection(name):
            return
        schema = self._client.create_schema(auto_id=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        for number in numbers:
            schema.add_field(number, DataType.INT64)
        schema.add_field("code", DataType.BINARY_VECTOR, dim=n_bits)
        index = self._client.prepare_index_params()
        index.add_index("code", index_type="BIN_FLAT", metric_type="HAMMING")
        self._client.create_collection(
            name, schema=schema, index_params=index, consistency_level="Strong"
        )

    def _marked(self):
        """Numbers, windows and checksums of the tracks that are whole: set of tuples."""
        found, fields = set(), ("id", "windows", "crc32")
        rows = self._client.query_iterator(
            self._marks, batch_size=_ROWS, filter="id >= 0", output_fields=list(fields)
        )
        with contextlib.closing(rows):
            while batch := rows.next():
                found |= {tuple(row[field] for field in fields) for row in batch}
        return found

    def _insert(self, catalogue, track):
        """Inserts a track's hashes, then its mark: bool, false where the library lost it since."""
        codes = catalogue.codes(track)
        if codes is None:
            return False
        base = track.number * _PLACES
        # Of an earlier attempt, or of another track that had the number, more may be there.
        self._delete(self._hashes, base, base + _PLACES)
        for first in range(0, len(codes), _ROWS):
            part = codes[first : first + _ROWS]
            rows = [{"id": base + k, "code": code.tobytes()} for k, code in enumerate(part, first)]
            self._client.insert(self._hashes, rows)
        mark = {"id": track.number, "windows": track.windows, "crc32": track.crc32, "code": b"\0"}
        self._client.upsert(self._marks, mark)
        return True

    def _delete(self, name, begin, end):
        self._client.delete(name, filter=f"id >= {begin} and id < {end}")


@contextlib.contextmanager
def _reported(uri):
    """Turns what the client raises into a sentence about the server."""
    from pymilvus.exceptions import MilvusException

    try:
        yield
    except MilvusException as error:
        raise LibraryError(
            f"{uri}: {error.message}; check that a Milvus server runs there, or use another engine"
        ) from error
