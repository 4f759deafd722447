"""Run by test_milvus.py in a network namespace of its own, where the server binds to loopback."""

import json
import os
import signal
import subprocess
import sys
import time

import apart
import numpy as np
import pytest
from milvus import MilvusServer
from test_candidates import noisy

from a2v import catalogue, hashing, store
from a2v.candidates import NEIGHBOURS
from a2v.engines import milvus
from a2v.errors import A2VError
from a2v.library import Library
from a2v.search import ExactSearch

PORT = 19530
URI = f"http://127.0.0.1:{PORT}"
SERVE = """
import sys, time
from milvus import MilvusServer
server = MilvusServer()
server.set_base_dir(sys.argv[1])
server.listen_port = int(sys.argv[2])
server.start()
print("ready", flush=True)
time.sleep(3600)
"""


class Served:
    """The server in a process group of its own, so that it can be killed with all it started."""

    def __init__(self, folder):
        self._folder = folder
        self.start()

    def start(self):
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(self._folder), str(PORT)],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert "ready" in self._process.stdout.read(6)

    def kill(self):
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    assert MilvusServer  # installed
    apart.loopback_up()
    server = Served(tmp_path_factory.mktemp("milvus"))
    yield server
    server.kill()


@pytest.fixture(scope="module")
def template(served, melody, write_wav, encoder_path, tmp_path_factory):
    """A library of eight tunes of 20 s."""
    folder = tmp_path_factory.mktemp("library")
    with Library.create(folder / "music.a2v", encoder_path) as library:
        for seed in range(8):
            library.add(write_wav(folder / f"{seed}.wav", melody(seed, 20)))
    return folder / "music.a2v"


@pytest.fixture
def path(template, tmp_path):
    """A copy, which the server knows as the same library: what differs is brought up to date."""
    copy = tmp_path / "music.a2v"
    copy.write_bytes(template.read_bytes())
    return copy


def opened(path):
    return Library.open(path, engine="milvus", uri=URI)


def named(library, clip):
    return [(match.track, match.offset_s) for match in library.identify(clip)]


def test_answers_are_those_of_the_exact_engine(path, melody):
    generator = np.random.default_rng(0)
    with Library.open(path, engine="exact") as exact, opened(path) as remote:
        for seed in range(8):
            clip = melody(seed, 20)[16000 * seed :][:64000]
            clip = clip + generator.normal(0, 0.02, len(clip)).astype(np.float32)
            assert named(remote, clip) == named(exact, clip) != []


def test_the_command_asks_the_server(path, melody, write_wav, call, tmp_path):
    clip = write_wav(tmp_path / "clip.wav", melody(5, 20)[48000:128000])
    ran = call("identify", path, clip, "--engine", "milvus", "--uri", URI, "--json")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["matches"][0]["track"] == "5.wav"


def test_neighbours_are_those_of_a_scan(path):
    with opened(path) as remote:
        _, engine = remote._searchable()
        codes = remote._held()[0].codes
        query = codes[100:101] ^ np.uint8(1)
        rows, places, same = engine.nearest(query, None)
        scan = hashing.hamming(np.broadcast_to(query, codes.shape), codes)
        assert sorted(scan[places].tolist()) == np.sort(scan)[:NEIGHBOURS].tolist()
        assert np.array_equal(8 * codes.shape[1] - 2 * scan[places], same) and not rows.any()


def test_hashes_come_back_as_they_were_inserted(path):
    with opened(path) as remote:
        _, engine = remote._searchable()
        codes = remote._held()[0].codes
        asked = np.random.default_rng(0).integers(0, len(codes), (5, 7))
        assert np.array_equal(engine.fetched(asked), codes[asked])


def test_what_changes_in_the_library_changes_on_the_server(path, melody, write_wav, tmp_path):
    clips = {seed: melody(seed, 20)[32000:96000] for seed in (0, 1, 30)}
    with opened(path) as remote:
        assert named(remote, clips[0])[0][0] == "0.wav"
        remote.remove("0.wav")
        remote.add(write_wav(tmp_path / "30.wav", melody(30, 20)))
        assert "0.wav" not in [track for track, _ in named(remote, clips[0])]
        assert named(remote, clips[30])[0][0] == "30.wav"
        assert named(remote, clips[1])[0][0] == "1.wav"


def test_what_was_inserted_survives_a_kill(path, served, melody):
    clip = melody(3, 20)[32000:96000]
    with opened(path) as remote:
        before = named(remote, clip)
        served.kill()
        with pytest.raises(store.LibraryError, match="check that a Milvus server runs there"):
            remote.identify(clip)
    served.start()
    inserted = []
    insert = milvus.Server._insert
    milvus.Server._insert = lambda *given: inserted.append(given) or insert(*given)
    try:
        with opened(path) as remote:
            assert named(remote, clip) == before != []
    finally:
        milvus.Server._insert = insert
    assert inserted == [], "nothing was lost, so nothing has to be inserted again"


def test_an_interrupted_insert_is_done_again(path, melody, write_wav, monkeypatch):
    name, clip = "50.wav", melody(50, 20)[32000:96000]
    with Library.open(path) as library:
        library.add(write_wav(path.with_name(name), melody(50, 20)))

    def broken(self, catalogue, track):
        if track.name == name:
            rows = [{"id": track.number * milvus._PLACES, "code": bytes(catalogue.width)}]
            self._client.insert(self._hashes, rows)
            raise KeyboardInterrupt
        return insert(self, catalogue, track)

    insert = milvus.Server._insert
    monkeypatch.setattr(milvus.Server, "_insert", broken)
    with opened(path) as remote, pytest.raises(KeyboardInterrupt):
        remote.identify(clip)
    monkeypatch.setattr(milvus.Server, "_insert", insert)
    with opened(path) as remote, Library.open(path, engine="exact") as exact:
        assert named(remote, clip) == named(exact, clip) != []


def test_whole_library_is_read_where_all_hashes_are_needed(path):
    with opened(path) as remote, Library.open(path, engine="exact") as exact:
        assert remote.duplicates() == exact.duplicates()


def test_no_server_is_a_sentence(path):
    with Library.open(path, engine="milvus", uri="http://127.0.0.1:1") as remote:
        began = time.monotonic()
        with pytest.raises(A2VError, match="http://127.0.0.1:1: .*check that a Milvus server"):
            remote.identify(np.ones(32000, np.float32))
        assert time.monotonic() - began < 60


def test_search_over_a_large_catalogue_finds_noisy_copies(served, tmp_path):
    generator = np.random.default_rng(3)
    codes = generator.integers(0, 256, (20_000, 16), dtype=np.uint8)

    class Held:
        width = 16

        def listed(self):
            return [catalogue.Stored(k + 1, f"{k:03}", "", 200, k) for k in range(100)]

        def codes(self, track):
            return codes[200 * track.crc32 :][:200]

    server = milvus.Server(URI, "large", 128)
    try:
        engine = milvus.MilvusSearch(server, server.update(Held()))
        exact, same = ExactSearch(codes, engine.starts), 0
        for _ in range(20):
            begin = 200 * generator.integers(100) + generator.integers(180)
            query = noisy(codes[begin : begin + 17], 0.25, generator), np.ones(17, bool)
            (ours,), (oracle,) = (each.search([query]) for each in (engine, exact))
            track = oracle.distance.argmin()
            place = (track, oracle.position[track])
            same += (ours.distance.argmin(), ours.position[track]) == place
    finally:
        server.drop()
    assert same >= 19
