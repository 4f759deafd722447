"""What makes a good bit without labels: one encoder's embeddings, hashed and asked in many ways.

The catalogue is a corpus without a fifth of the works of its train split, to which maps of the
embeddings are fitted. Queries are excerpts of tune tracks, since what is found here decides what
ships: the test split stays unseen. Windows that hang over a clip's ends and discriminants are left
out: bits of whole windows are weighed each by itself, as the product does for models without them.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from a2v import audio, chance, hashing, matching, rotation
from a2v.benchmarking import retrieval
from a2v.benchmarking.systems import TOP
from a2v.classics import Answer
from a2v.errors import A2VError
from a2v.search import ExactSearch

LENGTHS_S = (1.0, 3.0)
CONDITIONS = ("clean", "10 dB", "0 dB", "room + 5 dB", "speed +5 %")
QUERIES = 120
# Of so many works of the train split, one is for fitting.
FITTED_OF = 5
# Bits of each query window that are tried both ways.
PROBED = 8


def alone(embedding):
    """Weights of bits that all count alike: float `[n, d]` to uint8 `[n, d]`."""
    return np.ones(np.shape(embedding), np.uint8)


def probed(embedding, *, n_bits=PROBED):
    """Weights that give the distance of the nearest of several probes.

    The probes of a window are its hash with the `n_bits` bits nearest to the threshold set in all
    2 ** n_bits ways. The nearest to any other hash agrees with it in these bits, so that its
    distance is that over the others: the probed bits weigh nothing.

    Args:
        embedding: float `[n, d]`.
        n_bits: int, 0 to d.

    Returns:
        uint8 `[n, d]`, 0 or 1.

    Reference: Q. Lv et al., "Multi-probe LSH", VLDB 2007.
    """
    weights = alone(embedding)
    order = np.argsort(np.abs(embedding), axis=-1, kind="stable")
    np.put_along_axis(weights, order[..., :n_bits], 0, axis=-1)
    return weights


MAPS = {"as they are": None, "whitened": rotation.fit_whitening, "ITQ": rotation.fit_itq}
THRESHOLDS = ("0", "median")
WEIGHTS = {"alone": alone, f"{PROBED} probed": probed, "weighed": hashing.reliability}
PHASES = (1, chance.PHASES)


@dataclass(frozen=True)
class Way:
    """One way to make bits of embeddings, and to ask with them.

    Attributes:
        map: str, a key of `MAPS`; threshold: str, one of `THRESHOLDS`, the second being that of
            each component over the catalogue.
        weights: str, a key of `WEIGHTS`; phases: int, one of `PHASES`.
    """

    map: str = "as they are"
    threshold: str = "0"
    weights: str = "alone"
    phases: int = 1

    @property
    def name(self):
        """All four, as tables and answers call it."""
        return f"{self.map}, {self.threshold}, {self.weights}, {self.phases}"


WAYS = tuple(Way(*chosen) for chosen in itertools.product(MAPS, THRESHOLDS, WEIGHTS, PHASES))
# What a trained variant is asked by: the plainest way, and that of models without a discriminant.
PLAIN = (Way(), Way(weights="weighed", phases=chance.PHASES))


@dataclass(frozen=True)
class Catalogue:
    """The embeddings of tracks, one track after the other."""

    tracks: list  # (name, path) of each
    embeddings: np.ndarray  # float32 [n, d]
    starts: np.ndarray  # int64 [tracks + 1]
    audible: np.ndarray  # bool [n]


class Remembered:
    """A function of one array that knows its last answer: many ask for the same clip in a row."""

    def __init__(self, function):
        self._function, self._last, self._answer = function, None, None

    def __call__(self, waveform):
        if waveform is not self._last:
            self._last, self._answer = waveform, self._function(waveform)
        return self._answer


class Bits:
    """A catalogue's hashes, and the hits of a query in them.

    Args:
        heard: function of a waveform, see `runtime.Encoder.beginnings`, for the most phases.
        catalogue: Catalogue.
        fitted: what `rotation.mapped` takes, or `None` for embeddings as they are.
        median: bool, each component's threshold is its median over the catalogue, else 0.

    Attributes:
        statistics: dict, `hashing.statistics` of the catalogue's audible windows.
        hits: function of a waveform: dict of weights to the list of `search.Hits`, one a phase.
    """

    def __init__(self, heard, catalogue, fitted, *, median):
        self._heard, self._fitted, self._threshold = heard, fitted, np.float32(0)
        values, audible = self._values(catalogue.embeddings), catalogue.audible
        if median:
            self._threshold = np.median(values[audible], axis=0)
        codes = hashing.pack(hashing.binarize(values - self._threshold))
        self.statistics = hashing.statistics(codes[audible])
        self._search = ExactSearch(codes, catalogue.starts)
        self.hits = Remembered(self._hits)

    def _values(self, embeddings):
        mapped = rotation.mapped(embeddings, self._fitted) if self._fitted else embeddings
        return mapped - self._threshold

    def _hits(self, waveform):
        begun = [(self._values(own), audible[:, None]) for _, own, audible in self._heard(waveform)]
        queries = [
            (hashing.pack(hashing.binarize(values)), weigh(values * audible) * audible)
            for weigh in WEIGHTS.values()
            for values, audible in begun
        ]
        hits = iter(self._search.search(queries))
        return {name: list(itertools.islice(hits, len(begun))) for name in WEIGHTS}


class Asked:
    """Bits that are asked in one way: a system for `retrieval.answered`."""

    def __init__(self, name, way, encoder, heard, catalogue, bits):
        self.name, self.way, self.bits = name, way, bits
        self._encoder, self._heard, self._tracks = encoder, heard, catalogue.tracks

    def query(self, waveform):
        """Answers one query: list of Answer, best first."""
        phases_s = [phase_s for phase_s, *_ in self._heard(waveform)]
        found = matching.match(
            self.bits.hits(waveform)[self.way.weights][: self.way.phases],
            phases_s[: self.way.phases],
            self._tracks,
            hop_s=self._encoder.hop_s,
            overlap=round(self._encoder.window_s / self._encoder.hop_s),
            calibration=self._encoder.calibration,
            top=TOP,
        )
        return [Answer(match.track, match.offset_s, match.score) for match in found]


def parted(tracks, seed):
    """Keeps works of the train split out of the catalogue, to fit maps to.

    Args:
        tracks: list of corpora.Track, each with a split.
        seed: int.

    Returns:
        (catalogue, fitting): lists of Track.
    """
    works = sorted({track.work for track in tracks if track.split == "train"})
    order = np.random.default_rng([seed, 8]).permutation(len(works))
    kept = {works[k] for k in order[: -(-len(works) // FITTED_OF)]}
    return [t for t in tracks if t.work not in kept], [t for t in tracks if t.work in kept]


def tasks(catalogue, *, queries=QUERIES, lengths_s=LENGTHS_S):
    """Plans all excerpts: list of `retrieval.Task`, tune tracks in turn.

    Raises:
        A2VError: the catalogue has no tune track, or no other.
    """
    members = [track for track in catalogue if track.split == "tune"]
    if not members or len(catalogue) < 2:
        raise A2VError(
            f"{len(members)} tune tracks in a catalogue of {len(catalogue)}: queries are excerpts "
            "of tune tracks, among others; give more music, or splits in a manifest"
        )
    return [
        retrieval.Task("tune", number, length_s, track.track, track.path, True, CONDITIONS)
        for length_s in lengths_s
        for number, track in zip(range(queries), itertools.cycle(members), strict=False)
    ]


def embedded(encoder, tracks):
    """Embeds all tracks that are as long as a window.

    Args:
        encoder: `runtime.Encoder`; tracks: list of corpora.Track.

    Returns:
        Catalogue.

    Raises:
        A2VError: there is no such track.
    """
    found, embeddings, audible = [], [], []
    for track in tracks:
        waveform = audio.load(track.path, downmix=encoder.downmix)
        if encoder.windows(len(waveform)):
            found.append((track.track, track.path))
            embeddings.append(encoder.embed(waveform))
            audible.append(encoder.audible(waveform))
    if not found:
        raise A2VError(f"{len(tracks)} tracks, none as long as {encoder.window_s} s; give others")
    starts = np.cumsum([0] + [len(own) for own in embeddings])
    return Catalogue(found, np.concatenate(embeddings), starts, np.concatenate(audible))


def measure(encoder, tracks, planned, ways, *, seed, noises, rooms, about=None, progress=None):
    """Asks one encoder for all excerpts, in several ways.

    Args:
        encoder: `runtime.Encoder`.
        tracks: (catalogue, fitting), from `parted`; planned: list of Task, from `tasks`.
        ways: list of Way.
        seed: int; noises, rooms: see `conditions.heard`.
        about: dict, what tells this encoder from others of the run; its values name the systems.
        progress: function `(done, total)`, of tasks.

    Returns:
        list of dicts: of each way a row `system` with its statistics, and the answers.
    """
    about = about or {}
    catalogue = embedded(encoder, tracks[0])
    heard = Remembered(lambda waveform: encoder.beginnings(waveform, phases=max(PHASES)))
    fitted = _fitted(encoder, tracks[1], {way.map for way in ways})
    bits = {
        (name, threshold): Bits(heard, catalogue, fitted[name], median=threshold == "median")
        for name, threshold in dict.fromkeys((way.map, way.threshold) for way in ways)
    }
    systems = []
    for way in ways:
        name = ", ".join([*map(str, about.values()), way.name])
        own = bits[way.map, way.threshold]
        systems.append(Asked(name, way, encoder, heard, catalogue, own))
    rows = [
        {"kind": "system", "system": s.name, **about, **vars(s.way), **s.bits.statistics}
        for s in systems
    ]
    for done, task in enumerate(planned, 1):
        found = retrieval.answered(task, systems, seed, noises=noises, rooms=rooms)
        rows += [_short(row) for row in found]
        if progress:
            progress(done, len(planned))
    return rows


def _fitted(encoder, tracks, names):
    """What is fitted of each map asked for, to the audible windows of tracks."""
    fits = {name: MAPS[name] for name in names}
    if not any(fits.values()):
        return fits
    own = embedded(encoder, tracks)
    try:
        return {name: fit and fit(own.embeddings[own.audible]) for name, fit in fits.items()}
    except ValueError as error:
        raise A2VError(f"{len(tracks)} tracks to fit maps to: {error}") from None


def _short(row):
    """An answer without its time, which the first of those who ask for a clip pays for all."""
    rounded = {key: row[key] and round(row[key], 4) for key in ("start_s", "offset_s", "score")}
    return {key: value for key, value in (row | rounded).items() if key != "ms"}
