r"""Systems that are programs of their own: run by command line, their answers read from its output.

A TOML file says how; `benchmarks/systems/audfprint.toml` is one:

    name = "audfprint"
    index = "audfprint new --dbase {index}/db --list {list}"
    query = "audfprint match --dbase {index}/db {clip}"
    answer = '''Matched .* as (?P<track>.+) at +(?P<offset_s>[-\d.]+) s with +(?P<score>\d+)'''

`{index}` is a folder, `{list}` a text file of paths, one a line, `{clip}` a WAV file. Every match
of the regular expression `answer` in what the query writes, to standard output or standard error,
is one answer, the best first; `track` is the path, as listed, or its file's name; `offset_s` and
`score` may be missing.
"""

import json
import re
import shlex
import shutil
import subprocess
import tempfile
import tomllib
from pathlib import Path

import numpy as np
import soundfile

from a2v import audio, chance, matching
from a2v.benchmarking.systems import TOP
from a2v.classics import Answer
from a2v.errors import A2VError
from a2v.search import ExactSearch

KEYS = ("name", "index", "query", "answer")


class NotInstalled(A2VError):
    """A system whose program is not here."""


class Program:
    """Any program that indexes files and answers for a clip.

    Args:
        name: str, what tables call it.
        index, query: str, command lines, see above.
        answer: str, a regular expression.
    """

    def __init__(self, *, name, index, query, answer):
        self.name = name
        self._commands = {"index": shlex.split(index), "query": shlex.split(query)}
        self._answer = re.compile(answer, re.MULTILINE)
        self._folder, self._names = None, {}

    @classmethod
    def read(cls, path):
        """Reads the TOML file.

        Raises:
            A2VError: it is missing, no TOML, lacks a key, or a program in it is not installed.
        """
        try:
            values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise A2VError(f"{path}: cannot be read ({error})") from None
        if set(values) != set(KEYS):
            held = ", ".join(sorted(values)) or "nothing"
            raise A2VError(f"{path}: holds {held}; it needs {', '.join(KEYS)}")
        try:
            program = cls(**values)
        except re.error as error:
            raise A2VError(f"{path}: answer is no regular expression ({error})") from None
        for command in program._commands.values():
            _installed(command[0])
        return program

    def index(self, tracks, folder):
        listed = folder / "list.txt"
        listed.write_text("".join(f"{track.path}\n" for track in tracks), encoding="utf-8")
        names = {str(track.path): track.track for track in tracks}
        names |= {Path(track.path).name: track.track for track in tracks}
        (folder / "names.json").write_text(json.dumps(names), encoding="utf-8")
        _run(self._commands["index"], index=folder, list=listed)

    def open(self, folder):
        self._folder = folder
        self._names = json.loads((folder / "names.json").read_text(encoding="utf-8"))

    def query(self, waveform):
        with _written(waveform) as clip:
            said = _run(self._commands["query"], index=self._folder, clip=clip.name)
        answers = []
        for found in self._answer.finditer(said):
            parts = found.groupdict()
            name = self._names.get(parts["track"]) or self._names.get(Path(parts["track"]).name)
            if name and name not in (answer.track for answer in answers):
                place = float(parts.get("offset_s") or 0)
                answers.append(Answer(name, place, float(parts.get("score") or -len(answers))))
        return answers[:TOP]

    def n_bytes(self):
        return sum(file.stat().st_size for file in self._folder.rglob("*") if file.is_file())

    def threshold(self):
        return None


class Chromaprint:
    """Chromaprint by its own `fpcalc` (Debian: libchromaprint-tools), aligned by exact search.

    fpcalc gives a 32-bit code every 4096 / 3 samples at 11025 Hz; codes are compared as ours are:
    summed Hamming distance at every position. It says nothing of clips below about 3 s.

    Reference: L. Lalinsky, "How does Chromaprint work?", 2011.
    """

    name = "fpcalc"
    hop_s = 4096 / 3 / 11025

    def __init__(self):
        _installed("fpcalc", "on Debian: apt-get install libchromaprint-tools")
        self._search, self._names = None, []

    def index(self, tracks, folder):
        codes = {}
        for track in tracks:
            with _written(audio.load(track.path)) as file:
                codes[track.track] = self._codes(file.name)
        np.savez(folder / "codes.npz", **{f"{i}": codes[t.track] for i, t in enumerate(tracks)})
        names = json.dumps([track.track for track in tracks])
        (folder / "names.json").write_text(names, encoding="utf-8")

    def open(self, folder):
        self._names = json.loads((folder / "names.json").read_text(encoding="utf-8"))
        with np.load(folder / "codes.npz") as file:
            codes = [file[f"{i}"] for i in range(len(self._names))]
        self._names = [name for name, own in zip(self._names, codes, strict=True) if len(own)]
        codes = [own for own in codes if len(own)]
        self._search = ExactSearch(np.concatenate(codes), np.cumsum([0, *map(len, codes)]))

    def query(self, waveform):
        with _written(waveform) as file:
            codes = self._codes(file.name)
        if not len(codes):
            return []
        hits = self._search.search([(codes, np.ones(len(codes), bool))])
        found = matching.match(
            hits,
            [0.0],
            [(name, "") for name in self._names],
            hop_s=self.hop_s,
            overlap=16,  # its filters are up to 16 frames wide
            calibration=chance.THEORY,
            top=TOP,
        )
        return [Answer(match.track, match.offset_s, match.score) for match in found]

    def n_bytes(self):
        return self._search.codes.nbytes

    def threshold(self):
        return None

    @staticmethod
    def _codes(path):
        """Codes of a WAV file: uint8 `[n, 4]`; none where it is too short."""
        done = subprocess.run(
            ["fpcalc", "-raw", "-json", "-length", "0", path], capture_output=True, check=False
        )
        # Some versions complain of the end of the file, exit with 3, and are right all the same.
        if not done.stdout.strip():
            return np.zeros((0, 4), np.uint8)
        values = np.array(json.loads(done.stdout)["fingerprint"], np.int64).astype(np.uint32)
        return values.astype(">u4").view(np.uint8).reshape(-1, 4)


def _written(waveform):
    """A temporary WAV file that holds a waveform; gone when it is closed."""
    file = tempfile.NamedTemporaryFile(suffix=".wav")
    soundfile.write(file.name, waveform, audio.SAMPLE_RATE, subtype="PCM_16")
    return file


def _installed(program, remedy="install it, or leave this system out"):
    if shutil.which(program) is None:
        raise NotInstalled(f"{program}: no such program here; {remedy}")


def _run(command, **places):
    words = [word.format(**places) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["without a word"]
        raise A2VError(f"{shlex.join(words)}: exit code {done.returncode} ({last[0]})")
    return done.stdout + done.stderr
