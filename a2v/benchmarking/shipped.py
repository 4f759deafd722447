"""What finished runs of suites say of saved models: cells of the table of these."""

from pathlib import Path

from a2v import cards, hashing, metrics
from a2v.benchmarking import hash_tables, runner, tables
from a2v.errors import A2VError

CONDITION = "10 dB"
LENGTHS_S = 1.0, 3.0


def table(folder, runs):
    """The table of saved models, with what was measured of them.

    Args:
        folder: path that holds one folder a model, see `cards.table`.
        runs: list of paths, finished runs of the suites `retrieval` and `hashes`.

    Returns:
        str, Markdown.

    Raises:
        A2VError: a path is no finished run, or one of another suite.
    """
    saved = cards.read(folder)
    cells = {card["name"]: {} for card in saved}
    for run in runs:
        rows = runner.read(Path(run) / runner.ANSWERS)
        suite = rows[0]["suite"]
        if suite not in SUITES:
            raise A2VError(f"{run}: a run of {suite}; give runs of {' and '.join(SUITES)}")
        for card in saved:
            cells[card["name"]] |= SUITES[suite](rows, card)
    return cards.table(folder, measured=cells, runs=runs)


def _accuracy(rows, card):
    """Right tracks by column, `{}` where these weights were not asked."""
    _, measured, answers = tables.parts(rows)
    about = measured.get(card["name"])
    if not about or about.get("model_id") != card["model_id"]:
        return {}
    mine = metrics.select(answers, system=card["name"], condition=CONDITION, known=True)
    return {
        f"{CONDITION}, {length_s:g} s": tables.hits(
            metrics.select(mine, length_s=length_s), "track"
        )
        for length_s in LENGTHS_S
    }


def _collisions(rows, card):
    """Collisions by column, `{}` where these weights were not asked."""
    about = hash_tables.models(rows).get(card["name"])
    if not about or about["model_id"] != card["model_id"]:
        return {}
    codes, _ = hash_tables.audible(rows, card["name"])
    rate = hashing.statistics(codes)["collision_rate"]
    return {"collisions": hash_tables.rate_interval(rate, len(codes))}


SUITES = {"retrieval": _accuracy, "hashes": _collisions}
