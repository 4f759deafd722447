"""Run by test_workers.py in a network namespace of its own: a Ray cluster of two nodes."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import apart
import pytest

from a2v import workers
from a2v.corpora import Track
from a2v.errors import A2VError
from a2v.library import Library
from a2v.preprocessing import preprocess
from a2v.records import Dataset


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Address of a head and a second node, a core each."""
    apart.loopback_up()
    scratch = tmp_path_factory.mktemp("r")
    ray = Path(sys.executable).with_name("ray")
    address = f"127.0.0.1:{free_port()}"
    environment = os.environ | {
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONPATH": os.pathsep.join(
            [str(Path(workers.__file__).parents[2]), str(Path(__file__).parent)]
        ),
    }
    common = ["--node-ip-address=127.0.0.1", "--num-cpus=1", "--object-store-memory=200000000"]
    head = [f"--port={address.split(':')[1]}", "--head", "--include-dashboard=false"]
    head += [f"--temp-dir={scratch}"]
    for more in (head, [f"--address={address}"]):
        subprocess.run(
            [str(ray), "start", *common, *more],
            env=environment,
            check=True,
            capture_output=True,
            timeout=120,
        )
    yield address
    subprocess.run([str(ray), "stop", "--force"], check=False, capture_output=True, timeout=120)


class Slow:
    """Says which process did it; the first to do `killer` is killed."""

    def __init__(self, folder, killer):
        self.folder, self.killer = str(folder), killer

    def __call__(self, item):
        time.sleep(0.05)
        if item == 3:
            raise A2VError("3: not this one")
        if item == self.killer:
            with open(Path(self.folder) / "done", "a") as file:
                file.write("x")
            if os.path.getsize(Path(self.folder) / "done") == 1:
                os.kill(os.getpid(), signal.SIGKILL)
        return item, os.getpid()


def test_results_come_in_order_from_both_nodes_though_a_worker_is_killed(cluster, tmp_path):
    asked = {"engine": "ray", "address": cluster}
    found = list(workers.mapped(Slow(tmp_path, 7), range(40), **asked))
    assert [item for item, _ in found] == list(range(40))
    assert isinstance(found[3][1], A2VError)
    values = [result for k, (_, result) in enumerate(found) if k != 3]
    assert [value for value, _ in values] == [k for k in range(40) if k != 3]
    assert len({pid for _, pid in values}) >= 2
    assert (tmp_path / "done").read_text() == "xx"


def test_what_kills_every_worker_is_named(cluster, tmp_path):
    class Deadly(Slow):
        def __call__(self, item):
            if item == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return item

    found = workers.mapped(Deadly(tmp_path, 0), range(3), engine="ray", address=cluster)
    results = [result for _, result in found]
    assert results[0] == 0 and results[2] == 2 and isinstance(results[1], workers.Died)


def test_no_cluster_is_a_sentence():
    with pytest.raises(A2VError, match="no Ray cluster at 127.0.0.1:1 .*`ray start --head`"):
        list(workers.mapped(len, ["a"], engine="ray", address="127.0.0.1:1"))


def test_recordings_are_indexed_as_here(
    cluster, melody, write_wav, encoder_path, command, tmp_path
):
    for k in range(6):
        write_wav(tmp_path / "music" / f"{k}.wav", melody(k, 8 + k))
    (tmp_path / "music" / "6.wav").write_text("no audio")
    made = []
    for name, how in (
        ("here", ["--jobs", "1"]),
        ("there", ["--engine", "ray", "--address", cluster]),
    ):
        library = tmp_path / f"{name}.a2v"
        Library.create(library, encoder_path).close()
        arguments = command("index", library, "add", "music", *how)
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=300, cwd=tmp_path)
        assert done.returncode == 3 and "6.wav" in done.stderr, done.stderr
        with Library.open(library) as opened:
            assert opened.verify() == []
            made.append([(row.entry.track, row.codes) for row in opened._rows()])
    assert made[0] == made[1] and len(made[0]) == 6


def test_recordings_are_preprocessed_as_here(cluster, melody, write_wav, command, tmp_path):
    for k in range(4):
        write_wav(tmp_path / "music" / f"{k}.wav", melody(k, 8 + k))
    made = []
    for name, how in (
        ("here", ["--jobs", "1"]),
        ("there", ["--engine", "ray", "--address", cluster]),
    ):
        arguments = command("preprocess", "music", "--out", name, "--pipeline", "lstm128", *how)
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=300, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        made.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert made[0] == made[1] and len(made[0]) > 1


@contextlib.contextmanager
def one_killed():
    """Kills the first worker that is seen at a task; lists its process identifier."""
    killed, over = [], threading.Event()

    def watch():
        while not over.wait(0.005):
            for place in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    if place.read_bytes().startswith(b"ray::_do"):
                        os.kill(int(place.parent.name), signal.SIGKILL)
                        killed.append(int(place.parent.name))
                        return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield killed
    finally:
        over.set()
        watcher.join()


def test_shards_are_the_same_bytes_though_a_worker_is_killed(cluster, melody, write_wav, tmp_path):
    tracks = [
        Track(str(write_wav(tmp_path / "music" / f"{k}.wav", melody(k, 40.0))), f"{k}.wav")
        for k in range(12)
    ]
    asked = {"shards": 8, "splits": (1.0, 0.0, 0.0), "feature_names": ("mfcc", "chroma")}
    made = {}
    for name, how in (("here", {}), ("there", {"engine": "ray", "address": cluster})):
        with one_killed() if how else contextlib.nullcontext([]) as killed:
            manifest = preprocess(tracks, tmp_path / name, **asked, **how)
        assert bool(killed) == bool(how), "no worker was killed amid its work"
        files = {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        made[name] = manifest, files
    assert made["here"] == made["there"]
    manifest, files = made["there"]
    assert len(files) == 8 + 1 and not any(name.endswith(".tmp") for name in files)
    assert sum(shard["records"] for shard in manifest["shards"]) == 12 * (4 * 39 + 1)
    starts = [
        (record["track"].numpy().decode(), float(record["start_s"]))
        for record in Dataset(tmp_path / "there").read("train", ["mfcc"])
    ]
    assert len(starts) == len(set(starts)) == 12 * (4 * 39 + 1)
