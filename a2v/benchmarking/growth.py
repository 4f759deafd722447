"""P8, growth: what search costs and finds as the catalogue grows, beside peers in the same run.

Catalogues are made of the hashes of a few recordings, and of copies of them with a quarter of the
bits flipped; those of the peer `wang` of as many hours of landmarks. Queries are excerpts of the
recordings, with bits flipped. All engines that share hashes are asked the same in one process, in
turn, with one thread per library; seconds are those of one core.
"""

import tempfile
from pathlib import Path

import numpy as np

from a2v import attached, engines, resources
from a2v.benchmarking import growth_process, processes
from a2v.benchmarking.growth_tables import parts  # noqa: F401, what every suite has
from a2v.errors import A2VError

SIZES = (10**4, 10**5, 10**6, 10**7)
LENGTHS_S = (1.0, 5.0, 10.0)
# Of a query's bits so many differ from the catalogue's.
SHARES = (0.1, 0.25)
QUERIES = 300  # of each length and share, as far as time allows
TRACKS = 12
HELD = (engines.EXACT, engines.FAISS)


def measure(models, tracks, *, seed, sizes=SIZES, queries=QUERIES, progress=None):
    """Asks catalogues of every size.

    Args:
        models: list of str or Path, shipped models' names or `.tflite` files.
        tracks: list of corpora.Track; at most `TRACKS` are drawn, silent ones, repeated ones and
            those shorter than the longest query and a second passed over.
        seed: int; sizes: ints, hashes in the catalogue; queries: int, see `QUERIES`.
        progress: function `(done, total)`, of processes.

    Returns:
        list of dicts, rows of the answers file by kind: `growth`, what was drawn and where; of
        each model and size `catalogue`, of each of its engines `held`, and `search`, one for each
        query and engine; of each size `landmarks` and their `search`.

    Raises:
        A2VError: two models of one name or of different hops, no FAISS, no track that is long
            enough, a catalogue too small for a query, or a process failed.
    """
    if not sizes or min(sizes) < 1 or queries < 1:
        raise A2VError(f"sizes {list(sizes)}, {queries} queries: give numbers from 1 on")
    paths = [resources.saved_model(name) for name in models]
    metadata = [attached.read_metadata(path.read_bytes(), name=str(path)) for path in paths]
    names = [each["name"] for each in metadata]
    if not names or len(set(names)) < len(names):
        raise A2VError(f"models: {', '.join(names) or 'none'}; give some, of different names")
    if len({own["hop_s"] for own in metadata}) > 1:
        raise A2VError(f"models: {', '.join(names)}; ask those of one hop in one run")
    engines.check(engines.FAISS)
    chosen = processes.drawn(
        tracks, np.random.default_rng([seed, 8]), least_s=max(LENGTHS_S) + 1, most=TRACKS
    )
    common = {"paths": [str(track.path) for track in chosen], "seed": seed}
    asked = {"lengths_s": LENGTHS_S, "queries": queries}
    done = processes.counter(len(sizes) * (len(paths) * (2 + len(HELD)) + 1), progress)
    about = {"tracks": [track.track for track in chosen], "processor": processes.processor()}
    rows = [{"kind": "growth", **about}]
    for size in sizes:
        for path, own in zip(paths, metadata, strict=True):
            about = {"system": own["name"], "model_id": own["model_id"], "codes": int(size)}
            about["hours"] = size * own["hop_s"] / 3600
            rows += _model_rows(str(path), about, own["n_bits"] // 8, common, asked, done)
        hours = size * metadata[0]["hop_s"] / 3600
        found = processes.ask(growth_process, "landmarks", hours=hours, **common, **asked)
        about = {"system": "wang", "codes": int(size), "hours": found["hours"]}
        rows.append({"kind": "landmarks", **about, "bytes": found["bytes"]})
        rows += [{"kind": "search", **about, "engine": "wang", **row} for row in found["queries"]]
        done()
    return rows


def _model_rows(path, about, width, common, asked, done):
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        library = {"model": path, "library": str(Path(folder) / "library.a2v")}
        kept = processes.ask(growth_process, "keep", size=about["codes"], **library, **common)
        done()
        for engine in HELD:
            held = processes.ask(growth_process, "hold", engine=engine, **library)
            rows.append({"kind": "held", **about, "engine": engine, **held})
            done()
        found = processes.ask(growth_process, "search", shares=SHARES, **library, **common, **asked)
        done()
    kept |= {"bytes": about["codes"] * width, "faiss": found["faiss"]}
    searches = [{"kind": "search", **about, **row} for row in found["queries"]]
    return [{"kind": "catalogue", **about, **kept}, *rows, *searches]
