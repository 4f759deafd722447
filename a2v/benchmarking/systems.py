"""What is measured: systems that index tracks and answer queries, behind one interface.

A system is made by name (`create`), indexes a catalogue once into a folder and is opened from it
by every process that asks. To add one, write a class with the same five methods and name it in
`create`; a program that somebody else wrote needs no class, see `external`.
"""

import pickle
import re
import shutil
from pathlib import Path

import numpy as np

from a2v import audio, chance, engines, resources
from a2v.benchmarking import distractors
from a2v.classics import Answer
from a2v.classics.haitsma_kalker import HaitsmaKalker
from a2v.classics.wang import Wang
from a2v.errors import A2VError
from a2v.library import Library

TOP = 10
_ENGINE = re.compile(r"@\w+$")  # at the end of a model's name
CLASSICS = {"wang": Wang, "haitsma_kalker": HaitsmaKalker}
PEERS = (*CLASSICS, "fpcalc", "chance")


class Zoo:
    """A shipped or exported model, by the product's own library and matching.

    Args:
        name: str, what tables call it.
        model: path of a `.tflite` file.
        engine: str, what searches, one of `engines.NAMES`.
    """

    def __init__(self, name, model, *, engine=engines.AUTO):
        self.name, self.model, self.engine = name, Path(model), engine
        self._library = None

    def index(self, tracks, folder):
        """Indexes a catalogue.

        Args:
            tracks: list of corpora.Track.
            folder: Path, empty, where the index goes.
        """
        with Library.create(folder / "library.a2v", self.model) as library:
            files = [(track.path, track.track) for track in tracks]
            for _, entry in library.add_all(files, copies="allow"):
                if isinstance(entry, A2VError):
                    raise entry

    def fill(self, tracks, count, folder, *, seed, jobs=None, progress=None):
        """Adds distractors to what `index` left, see `distractors.add`."""
        library = folder / "library.a2v"
        distractors.add(library, tracks, count, seed=seed, jobs=jobs, progress=progress)

    def open(self, folder):
        """Opens what `index` left."""
        self._library = Library.open(folder / "library.a2v", engine=self.engine)

    def query(self, waveform):
        """Answers one query.

        Args:
            waveform: float32 `[n]` at 16 kHz.

        Returns:
            list of Answer, best first, at most `TOP`; empty where there is nothing to say.
        """
        found = self._library.identify(waveform, top=TOP, max_false_accepts=1.0)
        return [Answer(m.track, m.offset_s, chance.evidence(m.false_accepts)) for m in found]

    @property
    def model_id(self):
        """Which weights answer: str."""
        return self._library.encoder.model_id

    def n_bytes(self):
        """Bytes of everything needed to search."""
        width = self._library.encoder.n_bits // 8
        return width * sum(entry.hashes for entry in self._library.tracks())

    def threshold(self):
        """The score from which the product calls an answer a match; `None` where there is none."""
        return chance.evidence(chance.MAX_FALSE_ACCEPTS)


class Classic:
    """One of the systems before (`a2v.classics`)."""

    def __init__(self, name):
        self.name = name
        self._index = None

    def index(self, tracks, folder):
        index = CLASSICS[self.name]()
        for track in tracks:
            index.add(track.track, audio.load(track.path))
        index.query(np.zeros(audio.SAMPLE_RATE, np.float32))  # sorts, before others open it
        with open(folder / "index.pickle", "wb") as file:
            pickle.dump(index, file, protocol=pickle.HIGHEST_PROTOCOL)

    def open(self, folder):
        with open(folder / "index.pickle", "rb") as file:
            self._index = pickle.load(file)  # our own file, made by `index` above

    def query(self, waveform):
        return self._index.query(waveform)

    def n_bytes(self):
        return self._index.n_bytes

    def threshold(self):
        return None


class Chance:
    """Guesses: what any other system has to beat."""

    name = "chance"

    def __init__(self):
        self._tracks = []

    def index(self, tracks, folder):
        with open(folder / "index.pickle", "wb") as file:
            pickle.dump([(t.track, audio_seconds(t.path)) for t in tracks], file)

    def open(self, folder):
        with open(folder / "index.pickle", "rb") as file:
            self._tracks = pickle.load(file)

    def query(self, waveform):
        # The query itself is the seed, so that a run repeated guesses alike.
        generator = np.random.default_rng(np.frombuffer(waveform.tobytes(), np.uint8)[:4096])
        chosen = generator.permutation(len(self._tracks))[:TOP]
        scores = np.sort(generator.uniform(size=len(chosen)))[::-1]
        return [
            Answer(self._tracks[i][0], generator.uniform(0, self._tracks[i][1]), float(score))
            for i, score in zip(chosen, scores, strict=True)
        ]

    def n_bytes(self):
        return 0

    def threshold(self):
        return None


def audio_seconds(path):
    """Length of a recording in seconds, decoded block by block."""
    return sum(len(block) for block in audio.blocks(path)) / audio.SAMPLE_RATE


def create(name):
    """Makes a system by name.

    Args:
        name: str: `chance`, `wang`, `haitsma_kalker`, `fpcalc`, a shipped model's name, the path
            of an exported `.tflite` file (called after its folder, with `.int8` where the file's
            name ends so), or of a `.toml` file that names a program's commands
            (see `external.Program`). A model's may end in `@` and the engine that searches, one
            without a server (`a2v.engines`).

    Returns:
        A system that has indexed nothing yet.

    Raises:
        A2VError: there is no such system or engine, or its program is not installed.
    """
    from a2v.benchmarking import external

    if name == "chance":
        return Chance()
    if name in CLASSICS:
        return Classic(name)
    if name == "fpcalc":
        return external.Chromaprint()
    if name.endswith(".toml"):
        return external.Program.read(name)
    name, at, engine = name.rpartition("@") if _ENGINE.search(name) else (name, "", "")
    if at:
        engines.check(engine)
    try:
        model = resources.saved_model(name)
    except A2VError as error:
        known = ", ".join(["chance", *CLASSICS, "fpcalc", *resources.saved_models()])
        raise A2VError(f"{error}; or name one of {known}") from None
    path = Path(name)
    if path.suffix == ".tflite":
        # Both files of a model may be asked in one run.
        kind = ".int8" if path.stem.endswith(".int8") else ""
        name = (path.parent.name or path.stem.removesuffix(kind)) + kind
    return Zoo(name + at + engine, model, engine=engine or engines.AUTO)


def indexed(system, tracks, folder):
    """Opens a system's index, making it first where it is not there whole.

    Args:
        system: from `create`.
        tracks: list of corpora.Track.
        folder: Path of the index.
    """
    if not folder.exists():
        unfinished = folder.with_name(folder.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        system.index(tracks, unfinished)
        unfinished.rename(folder)
    system.open(folder)
