"""Adds further systems to a finished run: what others answered need not be asked again."""

from a2v.benchmarking.systems import PEERS
from a2v.errors import A2VError

# What may differ between the two runs; it is kept for each system.
AROUND = ("systems", "versions", "commit", "commits", "machine")


def merged(before, after):
    """Rows of a finished run with those of another run of the same tasks.

    Args:
        before: list of dicts, the rows of the finished run.
        after: list of dicts, rows of the other; its systems take the place of earlier answers of
            theirs.

    Returns:
        list of dicts: the later run's row, in which `commits` says by which commit each system
        that stays was measured, then the rows of each system, models first.

    Raises:
        A2VError: the runs are not of the same tasks.
    """
    old, new = before[0], after[0]
    check(old, new, (old.keys() | new.keys()) - set(AROUND))
    asked = _systems(after)
    kept = [name for name in _systems(before) if name not in asked]
    commits = {name: old.get("commits", {}).get(name, old["commit"]) for name in kept}
    order = [name for name in _systems(before) + asked if name in commits or name in asked]
    order = sorted(dict.fromkeys(order), key=PEERS.__contains__)
    run = new | {"commits": {k: v for k, v in commits.items() if v != new["commit"]}}
    if "systems" in new:
        named = dict.fromkeys([*old["systems"], *new["systems"]])
        run["systems"] = sorted(named, key=PEERS.__contains__)
    rows = [run, *(row for row in after[1:] if "system" not in row)]
    for name in order:
        source = after if name in asked else before
        rows += [row for row in source if row.get("system") == name]
    return rows


def check(old, new, keys):
    """Raises A2VError unless two runs' rows agree on `keys`."""
    for key in sorted(keys):
        if old.get(key) != new.get(key):
            raise A2VError(
                f"{key} was {old.get(key)!r} in the finished run and is {new.get(key)!r} now; "
                "what is added has to be asked the same"
            )


def _systems(rows):
    return list(dict.fromkeys(row["system"] for row in rows if "system" in row))
