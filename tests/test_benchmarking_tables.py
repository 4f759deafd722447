import copy
import math
import re

import made_up
import numpy as np
import pytest

from a2v import metrics
from a2v.benchmarking import retrieval, tables
from a2v.errors import A2VError


@pytest.fixture(scope="module")
def rows():
    return made_up.rows(conditions=("clean", "10 dB", "-20 dB gain", "room + 5 dB"), queries=20)


def cells(table):
    """A Markdown table as lists of cells: head, then body."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    parted = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    assert len({len(line) for line in parted}) == 1
    return parted[:1] + parted[2:]


def changed(rows, where, **changes):
    return [row | changes if row["kind"] == "answer" and where(row) else row for row in rows]


def test_accuracy_has_a_row_for_every_condition_and_system(rows):
    head, *body = cells(tables.accuracy(rows, shown=None))
    assert head == ["condition", "system", "1 s", "2 s", "3 s", "5 s", "6 s", "10 s"]
    names = ("clean", "10 dB", "-20 dB gain", "room + 5 dB")
    assert [row[:2] for row in body] == [[c, s] for c in names for s in made_up.SKILL]


def test_main_table_is_part_of_the_full_one(rows):
    main, full = cells(tables.accuracy(rows)), cells(tables.accuracy(rows, shown=None))
    assert main == [row for row in full if row[0] != "-20 dB gain"]


def test_accuracy_counts_the_right_tracks(rows):
    head, *body = cells(tables.accuracy(rows, shown=None))
    for condition, system, *found in body:
        for length, cell in zip(head[2:], found, strict=True):
            mine = [
                row["answer"] == row["truth"]
                for row in rows
                if row["kind"] == "answer"
                and row["split"] == "test"
                and row["known"]
                and (row["condition"], row["system"]) == (condition, system)
                and f"{row['length_s']:g} s" == length
            ]
            rate, low, high = map(float, re.fullmatch(r"(.*) \[(.*)-(.*)\]", cell).groups())
            assert len(mine) == 14
            assert rate == pytest.approx(100 * np.mean(mine), abs=0.051)
            assert low <= rate <= high


def test_tables_do_not_depend_on_the_order_of_answers(rows):
    answers = [row for row in rows if row["kind"] == "answer"]
    others = [row for row in rows if row["kind"] != "answer"]
    shuffled = [answers[i] for i in np.random.default_rng(0).permutation(len(answers))]
    for table in (tables.accuracy, tables.quality, tables.statement):
        assert table(others + shuffled) == table(rows)


def test_tables_show_test_queries_only(rows):
    other = changed(rows, lambda row: row["split"] == "tune", answer="x", rank=None, ms=1e9)
    assert tables.accuracy(other, shown=None) == tables.accuracy(rows, shown=None)
    assert tables.quality(other) == tables.quality(rows)
    assert tables.statement(other) == tables.statement(rows)


def test_thresholds_come_from_the_tune_split_only(rows):
    before = tables.thresholds(rows, "wang")
    assert list(before) == list(made_up.LENGTHS_S)
    other = changed(rows, lambda row: row["split"] == "test", score=99.0)
    assert tables.thresholds(other, "wang") == before
    other = changed(rows, lambda row: row["split"] == "tune", score=99.0)
    assert min(tables.thresholds(other, "wang").values()) > 99.0


def test_thresholds_keep_their_rate_on_the_tune_split(rows):
    for length_s, threshold in tables.thresholds(rows, "wang").items():
        tune = [r for r in rows if r["kind"] == "answer" and r["split"] == "tune"]
        tune = metrics.select(tune, system="wang", length_s=length_s)
        assert metrics.false_accepts(tune, threshold) <= tables.FALSE_ACCEPT_RATE


def test_thresholds_of_the_system_itself_are_taken(rows):
    assert tables.thresholds(rows, "conv128") == dict.fromkeys(made_up.LENGTHS_S, 1.7)
    assert tables.thresholds(rows, "lstm128") == dict.fromkeys(made_up.LENGTHS_S, 2.0)
    without = [row for row in rows if row.get("split") != "tune"]
    assert tables.thresholds(without, "wang") == {}


def test_quality_judges_at_the_threshold(rows):
    for threshold, accepts, rejects in ((-math.inf, "100.0", "0.0"), (math.inf, "0.0", "100.0")):
        other = copy.deepcopy(rows)
        for row in other:
            if row["kind"] == "system":
                row["threshold"] = threshold
        head, *body = cells(tables.quality(other))
        at = head.index("false accepts")
        assert {row[at].split(" [")[0] for row in body} == {accepts}
        assert {row[at + 1].split(" [")[0] for row in body} == {rejects}


def test_quality_orders_exact_near_and_mrr(rows):
    head, *body = cells(tables.quality(rows))
    assert [row[:2] for row in body] == [
        [system, f"{length_s:g} s"] for system in made_up.SKILL for length_s in made_up.LENGTHS_S
    ]
    for row in body:
        line = dict(zip(head, row, strict=True))
        near, exact = (float(line[f"{kind} hits"].split(" [")[0]) for kind in ("near", "exact"))
        assert exact <= near <= 100 * float(line["MRR"]) + 0.1
        assert 0 < float(line["ms, p50"]) <= float(line["ms, p95"])
        assert line["bytes per s"] == "64"


def test_tables_mark_what_was_not_measured(rows):
    holes = [
        row
        for row in rows
        if row["kind"] != "answer"
        or row["split"] == "test"
        and not (row["length_s"] == 5.0 and row["condition"] == "clean" and row["system"] == "wang")
        and not (row["length_s"] == 6.0 and not row["known"])
    ]
    body = cells(tables.accuracy(holes))
    assert [row[:2] for row in body if tables.NONE in row] == [["clean", "wang"]]
    _, *body = cells(tables.quality(holes))
    assert all((row[5] == tables.NONE) == (row[0] in ("wang", "haitsma_kalker", "chance")
               or row[1] == "6 s") for row in body)  # fmt: skip


def test_statement_says_what_the_numbers_hold_for(rows):
    said = tables.statement(rows)
    for part in (
        "made up",
        "0123456789ab",
        "207 tracks",
        "7.8 h",
        "each cell 14 queries",
        "and 6 ",
    ):
        assert part in said
    assert f"chance {100 / 207:.2f} %" in said
    assert "tune split alone (those of wang, haitsma_kalker, chance here" in said
    assert "abcdef123456" in said and "numpy 1.26.4" in said and "x86_64" in said


def test_page_holds_all_tables(rows):
    page = made_up.text(retrieval.parts(rows))
    for table in (tables.accuracy(rows), tables.quality(rows), tables.statement(rows)):
        assert table in page
    assert tables.accuracy(rows, shown=None) in page


@pytest.mark.parametrize(
    ("drop", "says"),
    [("run", "0 runs"), ("answer", "0 answers"), ("system", "not described")],
)
def test_incomplete_answers_are_errors(rows, drop, says):
    with pytest.raises(A2VError, match=says):
        retrieval.parts([row for row in rows if row["kind"] != drop])
