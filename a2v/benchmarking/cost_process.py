"""What the suite `cost` measures in processes of their own, see `processes`."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from a2v import audio
from a2v.benchmarking import processes
from a2v.benchmarking.processes import timed
from a2v.errors import A2VError

LONE = 40
FPCALC = ("fpcalc", "-raw", "-json", "-length", "0")
# Prints the peak memory of a program; bare, for a program begins with that of who starts it.
_BARE = """import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"""


class Model:
    """An exported encoder and the library."""

    def __init__(self, path):
        from a2v.runtime import Encoder

        self._path, self._encoder = path, Encoder(path)

    def index(self, paths, folder):
        """Indexes recordings into a folder that is made for it: bytes needed to search."""
        from a2v.library import Library

        folder.mkdir()
        with Library.create(folder / "library.a2v", self._path) as library:
            for path in paths:
                library.add(path, name=path, copies="allow")
            return sum(entry.hashes for entry in library.tracks()) * self._encoder.n_bits // 8

    def ready(self, waveforms, folder):
        """What `stream` takes instead of these waveforms."""
        del folder
        return waveforms

    def stream(self, waveforms):
        """Indexes decoded recordings; returns how many windows there were, or `None`."""
        return sum(len(self._encoder.hash(waveform)) for waveform in waveforms)

    def lone(self, waveform):
        """Hashes one window alone; a side that cannot has no such method."""
        self._encoder.hash(waveform)

    def peak_bytes(self, paths):
        """Peak memory of the process that indexes, in bytes."""
        del paths
        return processes.peak_bytes()


class Classic(Model):
    """One of `a2v.classics`, whose index is in memory."""

    def __init__(self, name):
        if name == "wang":
            from a2v.classics.wang import Wang as Index
        else:
            from a2v.classics.haitsma_kalker import HaitsmaKalker as Index
        self._index = Index

    def index(self, paths, folder):
        del folder
        return self._indexed(audio.load(path) for path in paths).n_bytes

    def stream(self, waveforms):
        self._indexed(waveforms)

    def lone(self, waveform):
        self._index().add("", waveform)

    def _indexed(self, waveforms):
        index = self._index()
        for k, waveform in enumerate(waveforms):
            index.add(f"{k}", waveform)
        index.query(np.zeros(audio.SAMPLE_RATE, np.float32))  # sorts
        return index


class Fpcalc(Model):
    """Chromaprint's own program, a process for each recording."""

    lone = None  # it says nothing of clips below about 3 s

    def __init__(self):
        pass

    def index(self, paths, folder):
        del folder
        return 4 * sum(len(_said(path)) for path in paths)

    def ready(self, waveforms, folder):
        import soundfile

        paths = [str(folder / f"{k}.wav") for k in range(len(waveforms))]
        for path, waveform in zip(paths, waveforms, strict=True):
            soundfile.write(path, waveform, audio.SAMPLE_RATE, subtype="PCM_16")
        return paths

    def stream(self, waveforms):
        for path in waveforms:
            _said(path)

    def peak_bytes(self, paths):
        longest = max(paths, key=os.path.getsize)
        command = [sys.executable, "-I", "-S", "-c", _BARE, *FPCALC, longest]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return processes.in_bytes(int(done.stdout))


def hashing(*, side, given, paths, window_s):
    """Indexes recordings, with and without decoding, and hashes windows alone.

    Args:
        side: str, a name out of `SIDES`.
        given: list, what its class is made with.
        paths: list of str, recordings, each longer than a window and none of them silent.
        window_s: float, s.

    Returns:
        dict: `audio_s`; `index`, `stream`, `lone` (of `LONE` windows), each with `elapsed_s` and
        `processor_s`, or `None`; `windows`, `bytes`, `peak_bytes`.
    """
    side = SIDES[side](*given)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        side.index(paths[:1], folder / "first")  # the first call of each library is not counted
        index, n_bytes = timed(lambda: side.index(paths, folder / "all"))
        # Before all recordings are held at once.
        peak_bytes = side.peak_bytes(paths)
        waveforms = [audio.load(path) for path in paths]
        ready = side.ready(waveforms, folder)
        stream, windows = timed(lambda: side.stream(ready))
        lone = side.lone and timed(lambda: _each(side.lone, _windows(waveforms, window_s)))[0]
    return {
        "audio_s": sum(map(len, waveforms)) / audio.SAMPLE_RATE,
        "index": index,
        "stream": stream,
        "lone": lone,
        "windows": windows,
        "bytes": n_bytes,
        "peak_bytes": peak_bytes,
    }


def _windows(waveforms, window_s):
    """`LONE` windows, evenly over the recordings in turn."""
    length = round(window_s * audio.SAMPLE_RATE)
    for k in range(LONE):
        waveform = waveforms[k % len(waveforms)]
        begin = (len(waveform) - length) * k // LONE
        yield waveform[begin : begin + length]


def _each(call, values):
    for value in values:
        call(value)


def _said(path):
    """Codes of a recording by fpcalc: list of int."""
    # Some versions complain of the end of the file, exit with 3, and are right all the same.
    done = subprocess.run([*FPCALC, path], capture_output=True, check=False)
    if not done.stdout.strip():
        raise A2VError(f"{path}: fpcalc cannot read it; leave it out of the corpus")
    return json.loads(done.stdout)["fingerprint"]


SIDES = {"model": Model, "classic": Classic, "fpcalc": Fpcalc}

if __name__ == "__main__":
    processes.serve({"hashing": hashing})
