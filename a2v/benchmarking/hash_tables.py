"""Markdown tables of the suite `hashes` (P3 and P4 of benchmarks/README.md), from its raw rows."""

import base64

import numpy as np
from scipy.stats import spearmanr

from a2v import hashing
from a2v.benchmarking import runner, tables
from a2v.benchmarking.repeats import ALIKE
from a2v.benchmarking.tables import MAIN, NONE
from a2v.errors import A2VError

TOP = 10
PUBLISHED = 20.09  # % collisions at epoch 40
COLLISIONS = ("system", "windows", "silent", "distinct", "collisions", "within a track")
COLLISIONS += ("across tracks", "but repeats")
BITS = ("system", "bits", "lowest mean", "highest mean", "entropy", "lowest entropy")
BITS += ("largest correlation", "degrees of freedom")
DISTANCES = ("system", "features", "features and hashes", "embeddings and hashes", f"recall@{TOP}")
DISTANCES += ("chance",)


def models(rows):
    """The models of a run: dict of system to its row.

    Raises:
        A2VError: there are none, or no windows.
    """
    found = {row["system"]: row for row in rows if row["kind"] == "model"}
    if not found or sum(row["kind"] == "windows" for row in rows) != 1:
        raise A2VError(f"{len(found)} models in these rows, or not one draw; run the suite again")
    return found


def audible(rows, system):
    """Hashes of all windows that are not silent.

    Args:
        rows: list of dicts, see `hashes.measure`.
        system: str.

    Returns:
        (codes, tracks): uint8 `[n, bytes]` and int `[n]`, the number of the track of each.
    """
    codes, tracks, bits = [], [], models(rows)[system]["bits"]
    for number, row in enumerate(_of(rows, system, "hashes")):
        own = np.delete(_codes(row, bits), row["silent"], axis=0)
        codes.append(own)
        tracks += [number] * len(own)
    return np.concatenate(codes), np.array(tracks)


def originals(rows, system):
    """Embeddings of some windows and their works: float32 `[n, d]` and list of str."""
    found = _of(rows, system, "originals")
    bits = models(rows)[system]["bits"]
    values = [np.frombuffer(base64.b64decode(row["embeddings"]), np.float16) for row in found]
    values = [value.reshape(-1, bits).astype(np.float32) for value in values]
    works = [row["work"] for row, value in zip(found, values, strict=True) for _ in value]
    return np.concatenate(values), works


def pooled(rows):
    """The degradations that distances of windows and their copies are pooled over."""
    present = [row["condition"] for row in rows if row["kind"] == "errors"]
    return [name for name in MAIN if name in present and name != "clean"] or present[:1]


def distances(rows, system):
    """Hamming distances of windows and their copies, and of windows of different tracks: ints."""
    turned = [r["bits"] for r in _of(rows, system, "errors") if r["condition"] in pooled(rows)]
    bits = np.array(_of(rows, system, "pairs")[0]["bits"])
    return np.concatenate(turned), bits[_different(rows)]


def error_rates(rows):
    """Bit error rates of every model.

    Returns:
        (names, systems): the conditions, and a dict of system to (rates, halves), float64
        `[conditions]` each, in %, NaN for halves of intervals where there is one track only.
    """
    systems = {}
    for system, about in models(rows).items():
        found = _of(rows, system, "errors")
        names = [row["condition"] for row in found]
        shares = [100 * np.array(row["bits"]) / about["bits"] for row in found]
        rates = [
            (own.mean(), _half(rows, lambda keep, own=own: own[keep].mean())) for own in shares
        ]
        systems[system] = tuple(np.array(rates).T)
    return names, systems


def sections(rows):
    """All tables, with what they hold for.

    Args:
        rows: list of dicts: those of `hashes.measure`, and the run's own where there is one.

    Returns:
        list of str, Markdown: collisions, bits, bit errors, distances.
    """
    return [_collisions(rows), _bits(rows), _errors(rows), _preserved(rows)]


def rate_interval(rate, n):
    """A cell: a rate of n in % [95 % Wilson interval]."""
    return tables.interval(rate * n, n, digits=2)


def _collisions(rows):
    lines = tables.head(*COLLISIONS)
    for system in models(rows):
        codes, tracks = audible(rows, system)
        found, n = hashing.statistics(codes, tracks=tracks), len(codes)
        silent = sum(len(row["silent"]) for row in _of(rows, system, "hashes"))
        rates = [found[f"collision_rate{of}"] for of in ("", "_within", "_across")]
        cells = [rate_interval(rate, n) for rate in rates]
        cells.append(_but_repeats(rows, system, found["collision_rate"], n))
        lines.append(tables.line(system, n, silent, f"{100 * found['unique_rate']:.2f}", *cells))
    return (
        "# Hashes\n\nDefinitions as in P3 and P4 of benchmarks/README.md.\n\n## Collisions\n\n"
        "Audible windows, silent ones (RMS below -60 dBFS, which count nowhere else), distinct "
        "hashes in % of the audible windows, and the rest, collisions, in % [95 % Wilson "
        "interval]: repeats of a hash within one track, and what remains, across tracks. But "
        "repeats: collisions less the windows whose sound itself comes again within the track "
        f"(normalised cross-correlation of {ALIKE} or more with one of the same hash).\n\n"
        + "\n".join(lines)
        + f"\n\n{_statement(rows)} Neighbouring windows share up to three quarters of their "
        "samples, and music repeats itself, so the intervals are narrower than independent windows "
        f"would give. Shah and Sitonic (2017) report {PUBLISHED} % collisions at epoch 40, on "
        "music of their own.\n"
    )


def _but_repeats(rows, system, rate, n):
    """A cell: collisions less repeats of a sound in a track; a dash if these were not counted."""
    counts = [row.get("repeats") for row in _of(rows, system, "hashes")]
    return NONE if None in counts else rate_interval((round(rate * n) - sum(counts)) / n, n)


def _bits(rows):
    lines = tables.head(*BITS)
    for system, about in models(rows).items():
        found = hashing.statistics(audible(rows, system)[0])
        shares = (f"{100 * found[name]:.1f}" for name in ("bit_mean_min", "bit_mean_max"))
        names = ("mean_bit_entropy", "min_bit_entropy", "max_bit_correlation")
        free = f"{found['degrees_of_freedom']:.1f}"
        values = (f"{found[name]:.3f}" for name in names)
        lines.append(tables.line(system, about["bits"], *shares, *values, free))
    return (
        "## Bits\n\nHow often the rarest and the most frequent bit is set, in %; entropy of a bit, "
        "on average and the lowest; the largest absolute correlation of two bits; degrees of "
        "freedom, p (1 - p) / variance of the normalised Hamming distance, over all pairs of "
        "audible windows. Ideal: 50 %, 1, 0 and as many as bits.\n\n" + "\n".join(lines) + "\n"
    )


def _errors(rows):
    names, systems = error_rates(rows)
    lines = tables.head("degradation", *systems)
    for k, name in enumerate(names):
        cells = (_give_or_take(rates[k], halves[k]) for rates, halves in systems.values())
        lines.append(tables.line(name, *cells))
    apart = []
    for system, about in models(rows).items():
        apart.append(f"{100 * distances(rows, system)[1].mean() / about['bits']:.1f}")
    lines.append(tables.line("different tracks (chance)", *apart))
    drawn = _drawn(rows)
    return (
        "## Bit errors\n\nBits that differ between a window and its degraded copy, in % ± half of "
        f"the 95 % interval (jackknife over tracks); {len(drawn['track'])} random windows of "
        f"{len(set(drawn['track']))} tracks, off the grid, the same for every model and "
        "degradation; copies begin where the window begins. Few errors are worth little where the "
        "degrees of freedom are few, too.\n\n" + "\n".join(lines) + "\n"
    )


def _preserved(rows):
    lines = tables.head(*DISTANCES)
    drawn = _drawn(rows)
    for system, about in models(rows).items():
        pairs = _of(rows, system, "pairs")[0]
        cells = [_correlation(rows, pairs, kind) for kind in ("features", "embeddings")]
        found = _of(rows, system, "neighbours")[0]
        shares = 100 * np.array(found["recall"])
        half = _half(rows, lambda keep, shares=shares: shares[keep].mean())
        chance = f"{100 * TOP / found['among']:.2f}"
        recall = _give_or_take(shares.mean(), half)
        lines.append(tables.line(system, about["features"] or NONE, *cells, recall, chance))
    return (
        "## Distances kept\n\nSpearman correlation of Hamming distance with the Euclidean distance "
        "of the model's own input features, frame by frame, and with that of its embeddings, over "
        f"{len(drawn['first'])} random pairs of {len(drawn['track'])} windows; recall of the "
        f"{TOP} nearest windows by embedding among the {TOP} nearest by Hamming distance, in %, "
        "windows that overlap with the query left out; ± half of the 95 % interval (jackknife "
        "over tracks).\n\n" + "\n".join(lines) + "\n"
    )


def _correlation(rows, pairs, kind):
    if pairs[kind] is None:
        return NONE
    values, bits = np.array(pairs[kind]), np.array(pairs["bits"])
    first, second = _drawn(rows)["first"], _drawn(rows)["second"]

    def correlation(keep):
        kept = keep[first] & keep[second]
        if min(len(np.unique(given[kept])) for given in (values, bits)) < 2:
            return float("nan")
        return spearmanr(values[kept], bits[kept]).statistic

    everything = np.ones(len(_drawn(rows)["track"]), bool)
    return _give_or_take(correlation(everything), _half(rows, correlation), digits=3)


def _half(rows, statistic):
    """Half of a 95 % interval, from leaving out one track at a time; NaN for one track alone.

    Args:
        rows: list of dicts.
        statistic: function of bool `[windows drawn]`, which of them to keep, to a float.

    Returns:
        float.

    Reference: J. Tukey, "Bias and confidence in not-quite large samples", Annals of Mathematical
    Statistics 29, 1958.
    """
    owners = np.array(_drawn(rows)["track"])
    names = np.unique(owners)
    if len(names) < 2:
        return float("nan")
    values = np.array([statistic(owners != name) for name in names])
    return float(1.96 * np.sqrt((len(names) - 1) * values.var()))


def _different(rows):
    """Which pairs are of windows of different tracks: bool `[pairs]`."""
    drawn = _drawn(rows)
    owners = np.array(drawn["track"])
    return owners[drawn["first"]] != owners[drawn["second"]]


def _statement(rows):
    runs = [row for row in rows if row["kind"] == "run"]
    tracks = len(_of(rows, next(iter(models(rows))), "hashes"))
    if not runs:
        return f"{tracks} tracks."
    run = runs[0]
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    return (
        f"{runner.corpus(run)}, {tracks} tracks. Measured by {runner.provenance(run)}; {versions}."
    )


def _drawn(rows):
    return next(row for row in rows if row["kind"] == "windows")


def _of(rows, system, kind):
    return [row for row in rows if row["kind"] == kind and row["system"] == system]


def _codes(row, bits):
    return np.frombuffer(base64.b64decode(row["codes"]), np.uint8).reshape(-1, bits // 8)


def _give_or_take(value, half, *, digits=1):
    if np.isnan(value):
        return NONE
    return f"{value:.{digits}f}" + (f" ± {half:.{digits}f}" if np.isfinite(half) else "")
