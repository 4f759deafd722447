import made_up
import pytest

from a2v.benchmarking import additions, runner
from a2v.errors import A2VError

OLD = ("conv128", "wang", "chance")


def run(systems, commit, seed=0):
    rows = made_up.rows(seed, systems=systems, conditions=("clean",), queries=5)
    rows[0] |= {"systems": list(systems), "commit": commit}
    return rows


def of(rows, system):
    return [row for row in rows if row.get("system") == system]


def test_what_stays_is_untouched_and_what_is_added_is_whole():
    before, after = run(OLD, "a1"), run(("lstm128", "conv128"), "b2")
    rows = additions.merged(before, after)
    assert list(dict.fromkeys(r["system"] for r in rows[1:])) == [
        "conv128",
        "lstm128",
        "wang",
        "chance",
    ]
    for system in ("wang", "chance"):
        assert of(rows, system) == of(before, system)
    for system in ("lstm128", "conv128"):
        assert of(rows, system) == of(after, system)
    assert len(rows) == 1 + sum(len(of(rows, s)) for s in ("conv128", "lstm128", "wang", "chance"))
    assert rows[0]["systems"] == ["conv128", "lstm128", "wang", "chance"]


def test_every_system_keeps_the_commit_that_measured_it():
    rows = additions.merged(run(OLD, "a1"), run(("lstm128",), "b2"))
    rows = additions.merged(rows, run(("wang",), "c3"))
    assert rows[0]["commits"] == {"conv128": "a1", "chance": "a1", "lstm128": "b2"}
    said = runner.provenance(rows[0])
    assert said == "commit c3, conv128, chance by a1, lstm128 by b2; x86_64, 2 cores"
    again = additions.merged(rows, run(("conv128", "chance", "lstm128"), "c3"))
    assert again[0]["commits"] == {}
    assert runner.provenance(again[0]) == "commit c3; x86_64, 2 cores"


def test_runs_of_other_tasks_are_not_mixed():
    with pytest.raises(A2VError, match="seed was 0 in the finished run and is 1 now"):
        additions.merged(run(OLD, "a1"), run(("lstm128",), "b2", seed=1))
