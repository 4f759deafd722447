"""What the suite `growth` measures in processes of their own, see `processes`."""

import contextlib
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

from a2v import audio, store
from a2v.benchmarking import distractors, processes
from a2v.benchmarking.processes import timed
from a2v.catalogue import Catalogue
from a2v.errors import A2VError

# Each engine is asked of each clip length until so many seconds have gone, of so many queries at
# least.
BUDGET_S, LEAST = 45.0, 3
# Found is what is at most so far away: a hop.
NEAR_S = 0.25
# Frequencies of a track's copy are shifted by at most so many bins.
SHIFT = 40


def keep(*, model, paths, size, seed, library):
    """Makes a library of so many hashes.

    Args:
        model: str, path of a `.tflite` file.
        paths: list of str, recordings; after their own hashes come disturbed copies of them, see
            `growth_search.catalogue`.
        size: int; seed: int.
        library: str, path of the file to be.

    Returns:
        dict: `real`, how many of the hashes are those of recordings; `tracks`; `file_bytes`;
        `elapsed_s` and `processor_s` of putting all in.
    """
    from a2v.benchmarking import growth_search
    from a2v.runtime import Encoder

    encoder = Encoder(model)
    real = [encoder.hash(audio.load(path)) for path in paths]
    codes, starts = growth_search.catalogue(real, size, np.random.default_rng([seed, 9]))
    path = Path(library)
    store.create(path, encoder)
    seconds, _ = timed(lambda: _fill(path, codes, starts, encoder))
    return seconds | {
        "real": min(size, sum(map(len, real))),
        "tracks": len(starts) - 1,
        "file_bytes": store.size(path),
    }


def _fill(path, codes, starts, encoder):
    connection, _ = store.connect(path)
    with contextlib.closing(connection):
        tracks = np.split(codes, starts[1:-1])
        distractors.keep(connection, {f"{k:08}": own for k, own in enumerate(tracks)}, encoder)


def search(*, model, paths, library, lengths_s, shares, queries, seed, budget_s=BUDGET_S):
    """Asks all engines the same, in turn.

    Args:
        model: str; paths: list of str; library: str; as for `keep`.
        lengths_s: list of float, s.
        shares: list of float, how many of a query's bits are flipped.
        queries: int, of each length and share.
        seed: int; budget_s: float, see `BUDGET_S`.

    Returns:
        dict: `faiss`, its version; `queries`, list of dict, `engine`, `length_s`,
        `share`, `number`, `elapsed_s`, `processor_s`, and `right`, whether the place is.

    Raises:
        A2VError: two exact engines give different answers, or see `growth_search.query`.
    """
    from a2v.benchmarking import growth_search
    from a2v.runtime import Encoder

    encoder, generator = Encoder(model), np.random.default_rng([seed, 10])
    waveforms = [audio.load(path) for path in paths]
    connection, _ = store.connect(Path(library))
    with contextlib.closing(connection):
        _, codes, starts = Catalogue(Path(library), connection, encoder.n_bits // 8).read()
    engines, asked = growth_search.engines(codes, starts), []
    for length_s in lengths_s:
        prints, _ = growth_search.query(encoder, waveforms, starts, length_s, generator)
        for engine in engines.values() if length_s == lengths_s[0] else ():
            engine.best(prints)  # what is made at the first call is not counted
        spent = dict.fromkeys(engines, 0.0)
        for number in range(queries):
            prints, place = growth_search.query(encoder, waveforms, starts, length_s, generator)
            for share in shares:
                flipped = growth_search.disturbed(prints, codes, place, share, generator)
                found = {}
                for name, engine in engines.items():
                    if spent[name] > budget_s and number >= LEAST:
                        continue
                    time, found[name] = timed(lambda e=engine, p=flipped: e.best(p))
                    spent[name] += time["elapsed_s"]
                    right = bool(abs(found[name] - place) <= 1)
                    about = {"engine": name, "length_s": length_s, "share": share}
                    asked.append(about | {"number": number} | time | {"right": right})
                if len({found[name] for name in growth_search.EXACT if name in found}) > 1:
                    raise A2VError(f"exact search and the plain scan differ: {found}; report this")
    return {
        "faiss": version("faiss-cpu"),
        "queries": asked,
    }


def hold(*, model, library, engine):
    """How much memory an engine takes, from opening a library to the end of a query.

    Args:
        model: str; library: str; as for `keep`.
        engine: str, one of `engines.NAMES`.

    Returns:
        dict: `held_bytes`; `elapsed_s` and `processor_s` of opening and of the first query.
    """
    from a2v.library import Library
    from a2v.runtime import Encoder

    noise = 0.1 * np.random.default_rng(0).standard_normal(5 * audio.SAMPLE_RATE)
    noise = noise.astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        # Packages and the encoder are there in any case.
        place = Path(folder) / "small.a2v"
        Library.create(place, model).close()
        encoder = Encoder(model)
        with contextlib.closing(store.connect(place)[0]) as connection:
            codes = np.zeros((100, encoder.n_bits // 8), np.uint8)
            distractors.keep(connection, {"small": codes}, encoder)
        with Library.open(place, engine=engine) as small:
            small.identify(noise)
    before = processes.peak_bytes()
    with Library.open(library, engine=engine) as opened:
        seconds, _ = timed(lambda: opened.identify(noise))
    return seconds | {"held_bytes": processes.peak_bytes() - before}


def landmarks(*, paths, hours, lengths_s, queries, seed, budget_s=BUDGET_S):
    """Looks excerpts up by the landmarks of `classics.wang`.

    Args:
        paths: list of str, recordings; the catalogue is as often as needed again made of their
            landmarks, those of each copy shifted in frequency.
        hours: float, of audio in the catalogue.
        lengths_s, queries, seed, budget_s: as for `search`.

    Returns:
        dict: `bytes` and `hours`, of the index, which holds every recording once at least;
        `queries`, as from `search`, without `share`.
    """
    from a2v.benchmarking.growth_landmarks import Copied

    generator = np.random.default_rng([seed, 11])
    waveforms = [audio.load(path) for path in paths]
    index = Copied(waveforms, hours, shift=SHIFT, generator=generator)
    index.lookup(*index.query_landmarks(waveforms[0]))  # the first one is not counted
    asked = []
    for length_s in lengths_s:
        length, spent = round(length_s * audio.SAMPLE_RATE), 0.0
        for number in range(queries):
            if spent > budget_s and number >= LEAST:
                break
            k = int(generator.choice(np.flatnonzero([len(w) > length for w in waveforms])))
            begin = int(generator.integers(len(waveforms[k]) - length))
            heard = index.query_landmarks(waveforms[k][begin : begin + length])
            time, answers = timed(lambda h=heard: index.lookup(*h))
            spent += time["elapsed_s"]
            right = bool(answers) and answers[0].track == f"{k:08}"
            right = right and abs(answers[0].offset_s - begin / audio.SAMPLE_RATE) <= NEAR_S
            asked.append({"length_s": length_s, "number": number} | time | {"right": right})
    return {"bytes": index.n_bytes, "hours": index.hours, "queries": asked}


if __name__ == "__main__":
    processes.serve({"keep": keep, "search": search, "hold": hold, "landmarks": landmarks})
