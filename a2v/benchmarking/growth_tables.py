"""Tables and figure of the suite `growth` (P8 of benchmarks/README.md), from its raw rows."""

from functools import partial
from statistics import median

import numpy as np

from a2v.benchmarking import growth_charts, growth_search, runner
from a2v.benchmarking.cost_tables import number, ratio
from a2v.benchmarking.report import Picture
from a2v.benchmarking.tables import NONE, head, interval, line

# The engine that the library takes for large catalogues, and what it is compared with.
OURS = "faiss"
PEERS = {"exact": "exact", "numpy": "NumPy", "faiss alone": "FAISS alone", "wang": "wang"}
# What FAISS has beside its scan.
OTHERS = {"faiss alone": "IndexBinaryFlat", "ivf": "IndexBinaryIVF"}
OTHERS["multi-hash"] = "IndexBinaryMultiHash"
SHOWN_S = 5.0
# Catalogues that sizes are calculated for, seconds that a query may take there, and the bytes of
# the key that a server keeps beside each hash.
PLANNED = (10**7, 10**8, 10**9)
ALLOWED_S = 0.3
KEY_BYTES = 8


def parts(rows):
    """All tables and the figure of a run: list of str (Markdown) and `report.Picture`."""
    return [
        "# Growth\n\nDefinitions as in P8 of benchmarks/README.md. Seconds are those of one core, "
        f"one thread per library. {statement(rows)}",
        "## Time of a query\n\nMedians, hashing and landmarks not counted. *a2v* looks up some "
        "windows by FAISS and compares what they point to, as the library does in large "
        "catalogues; *exact* compares every position; NumPy does so plainly, by XOR and a table; "
        "*FAISS alone* looks up every window; *wang* looks up landmarks of as many hours. A ratio "
        "above 1 says that a2v takes less.",
        times(rows),
        *(
            Picture(
                f"growth_{system}",
                partial(growth_charts.times, series(rows, system), SHOWN_S),
                f"A query of {SHOWN_S:g} s with the hashes of {system}: time by size of the "
                "catalogue, and the power of the size that it grows with from the third largest "
                "on.",
            )
            for system in _systems(rows)
        ),
        "## What is found\n\nShare in % of queries whose place is found [95 % Wilson interval], "
        "with so many of their bits flipped, of those that both engines were asked.",
        recall(rows),
        "## Other indices of FAISS\n\nEvery window of a query is looked up, and where its nearest "
        f"hashes line up is compared, in the largest catalogue, clips of {SHOWN_S:g} s. IVF scans "
        f"one of {growth_search.PROBED} of its {growth_search.CELLS:,} cells; multi-hash looks "
        f"pieces of {growth_search.PIECE} bits up with up to {growth_search.FLIPPED} of them "
        "flipped.",
        others(rows),
        "## Memory\n\nWhat a process takes to open a library and to ask it once, packages and the "
        "encoder not counted; of wang, its index.",
        memory(rows),
        "## Sizing\n\nCalculated from the above: memory, file and time grow by as much for each "
        "hash as between the two largest catalogues. *Keys*: hashes and their 64-bit keys, which a "
        "server (`--engine milvus`) holds; *cores*: how many would have to share the look-up, a "
        f"scan, so that a query of {SHOWN_S:g} s takes {1000 * ALLOWED_S:g} ms.",
        sizing(rows),
    ]


def statement(rows):
    """What the tables hold for: str, one line."""
    run, about = rows[0], _of(rows, "growth")[0]
    faiss = _of(rows, "catalogue")[0]["faiss"]
    return (
        f"{len(about['tracks'])} tracks; {about['processor']}; FAISS {faiss}. "
        f"{runner.corpus(run)}; measured by {runner.provenance(run)}."
    )


def times(rows):
    """Milliseconds of each engine, by model, size and clip length: str, Markdown."""
    found = _medians(rows)
    lines = []
    for system, codes, length_s in dict.fromkeys(key[:3] for key in found if key[3] != "wang"):
        keys = {engine: (system, codes, length_s, engine) for engine in PEERS}
        keys["wang"] = ("wang", codes, length_s, "wang")
        ours = found.get((system, codes, length_s, OURS))
        hours = next(r["hours"] for r in rows if _is(r, "catalogue", system, codes))
        cells = [system, f"{codes:,}", number(hours), f"{length_s:g} s", number(ours)]
        for engine in PEERS:
            theirs = found.get(keys[engine])
            both = theirs and ours
            cells += [number(theirs), ratio(theirs / ours) if both else NONE]
        lines.append(line(*cells))
    names = ["model", "hashes", "hours", "clip", "a2v ms"]
    for name in PEERS.values():
        names += [f"{name} ms", "ratio"]
    return "\n".join([*head(*names), *lines])


def series(rows, system):
    """Times of each engine: dict of label to (hours `[n]`, milliseconds `[n]`), of `SHOWN_S`."""
    kinds = "catalogue", "landmarks"
    hours = {(r["system"], r["codes"]): r["hours"] for r in rows if r["kind"] in kinds}
    found = {}
    for (name, codes, length_s, engine), milliseconds in sorted(_medians(rows).items()):
        if length_s == SHOWN_S and name in (system, "wang"):
            label = growth_charts.LABEL if engine == OURS else {**OTHERS, **PEERS}[engine]
            found.setdefault(label, []).append((hours[name, codes], milliseconds))
    return {label: np.array(points).T for label, points in found.items()}


def recall(rows):
    """Shares of queries that are found, a2v's engine beside exact search: str, Markdown."""
    asked = {}
    for row in _of(rows, "search"):
        if row["engine"] in (OURS, "exact"):
            key = row["system"], row["codes"], row["length_s"], row["share"]
            asked.setdefault(key, {}).setdefault(row["engine"], {})[row["number"]] = row["right"]
    lines = []
    for (system, codes, length_s, share), engines in asked.items():
        if len(engines) < 2:
            continue
        both = engines[OURS].keys() & engines["exact"].keys()
        cells = [
            interval(sum(own[k] for k in numbers), len(numbers))
            for own, numbers in (
                (engines[OURS], both),
                (engines["exact"], both),
                (engines[OURS], engines[OURS].keys()),
            )
        ]
        about = [system, f"{codes:,}", f"{length_s:g} s", f"{100 * share:g} %"]
        lines.append(line(*about, f"{len(both)}", *cells[:2], f"{len(engines[OURS])}", cells[2]))
    names = ("model", "hashes", "clip", "flipped", "both asked", "a2v", "exact", "a2v asked", "a2v")
    return "\n".join([*head(*names), *lines])


def others(rows):
    """Time of FAISS' indices and what they find in the largest catalogue: str, Markdown."""
    asked, found = _of(rows, "search"), _medians(rows)
    lines, shares = [], sorted({row["share"] for row in asked if "share" in row})
    for system in _systems(rows):
        codes = max(r["codes"] for r in _of(rows, "catalogue") if r["system"] == system)
        for engine, label in OTHERS.items():
            own = [r for r in asked if _is(r, "search", system, codes) and r["engine"] == engine]
            own = [r for r in own if r["length_s"] == SHOWN_S]
            rights = [[r["right"] for r in own if r["share"] == share] for share in shares]
            cells = [interval(sum(right), len(right)) if right else NONE for right in rights]
            time_ms = number(found.get((system, codes, SHOWN_S, engine)))
            lines.append(line(system, f"{codes:,}", label, time_ms, *cells))
    heads = (f"found of {100 * share:g} % flipped, %" for share in shares)
    return "\n".join([*head("model", "hashes", "index", "ms", *heads), *lines])


def memory(rows):
    """Memory of each engine, by model and size: str, Markdown."""
    lines = []
    for row in _of(rows, "catalogue"):
        system, codes = row["system"], row["codes"]
        held = {r["engine"]: r["held_bytes"] for r in rows if _is(r, "held", system, codes)}
        marks = next((r["bytes"] for r in rows if _is(r, "landmarks", "wang", codes)), None)
        cells = [system, f"{codes:,}", number(row["bytes"] / 1e6)]
        for taken in (held[OURS], held["exact"], marks):
            cells += [number(taken / 1e6), ratio(taken / row["bytes"])]
        lines.append(line(*cells, number(row["file_bytes"] / 1e6)))
    names = ("model", "hashes", "MB of hashes", "a2v MB", "ratio", "exact MB", "ratio")
    return "\n".join([*head(*names, "wang MB", "ratio", "library file MB"), *lines])


def sizing(rows):
    """What larger catalogues will need: str, Markdown."""
    found, lines = _medians(rows), []
    for system in _systems(rows):
        made = sorted(
            (r for r in _of(rows, "catalogue") if r["system"] == system), key=lambda r: r["codes"]
        )
        if len(made) < 2:
            continue
        ends = made[-2:]
        sizes, width = [r["codes"] for r in ends], ends[-1]["bytes"] / ends[-1]["codes"]
        held = {r["codes"]: r["held_bytes"] for r in rows if _is_held(r, system)}
        growing = {  # what grows with the hashes, at the two largest catalogues
            "held": [held[size] / 1e9 for size in sizes],
            "file": [r["file_bytes"] / 1e9 for r in ends],
            "time": [found[system, size, SHOWN_S, OURS] / 1000 for size in sizes],
        }
        for codes in PLANNED:
            at = {
                name: after + (after - before) * (codes - sizes[1]) / (sizes[1] - sizes[0])
                for name, (before, after) in growing.items()
            }
            hours = codes * ends[-1]["hours"] / sizes[1]
            keys_gb = codes * (width + KEY_BYTES) / 1e9
            cells = [codes * width / 1e9, at["held"], at["file"], keys_gb, at["time"]]
            cores = f"{max(1, int(np.ceil(at['time'] / ALLOWED_S)))}"
            cells = map(number, cells)
            lines.append(line(system, f"{codes:,}", f"{hours:,.0f}", *cells, cores))
    names = ("model", "hashes", "hours", "hashes GB", "a2v GB", "file GB", "keys GB")
    return "\n".join([*head(*names, "s of one core", "cores"), *lines])


def _medians(rows):
    """Milliseconds: dict of (system, codes, length_s, engine) to float."""
    found = {}
    for row in _of(rows, "search"):
        key = row["system"], row["codes"], row["length_s"], row["engine"]
        found.setdefault(key, []).append(1000 * row["processor_s"])
    return {key: median(own) for key, own in found.items()}


def _systems(rows):
    return list(dict.fromkeys(row["system"] for row in _of(rows, "catalogue")))


def _is_held(row, system):
    return row["kind"] == "held" and (row["system"], row["engine"]) == (system, OURS)


def _of(rows, kind):
    return [row for row in rows if row["kind"] == kind]


def _is(row, kind, system, codes):
    return row["kind"] == kind and (row["system"], row["codes"]) == (system, codes)
