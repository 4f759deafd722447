import base64
import json

import made_up
import numpy as np
import pytest

from a2v import cards
from a2v.benchmarking import shipped, tables
from a2v.errors import A2VError

CODES = np.array([[1, 2], [3, 4], [1, 2], [5, 6], [0, 0]], np.uint8)
SILENT = [4]


@pytest.fixture(scope="module")
def answers():
    return made_up.rows(conditions=("clean", "10 dB"), systems=("conv128", "wang"))


@pytest.fixture
def folder(tmp_path):
    """A folder of two saved models, as far as their table is concerned."""
    for name in ("conv128", "other"):
        write_card(tmp_path / "saved", name)
    return tmp_path / "saved"


def write_card(folder, name, **changes):
    """A card, changed as asked; None leaves out."""
    card = {
        "name": name,
        "model_id": "1a2b",
        "feature": "logmel",
        "n_bits": 16,
        "parameters": 12345,
        "files": {"model.tflite": 60_000, "model.int8.tflite": 20_000},
        "speed": {"ms_per_window": 0.5},
        "data": {"splits": {"train": {"tracks": 7, "hours": 1.21}}},
        "training": {"history": [{"seconds": 100.0}, {"seconds": 50.0}]},
    }
    card = {key: value for key, value in (card | changes).items() if value is not None}
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / cards.CARD).write_text(json.dumps(card))


def write_run(folder, rows):
    folder.mkdir()
    (folder / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def hashed(name):
    """Rows of the suite `hashes`: five windows of one track, the last of them silent."""
    codes = base64.b64encode(CODES.tobytes()).decode()
    return [
        {"kind": "run", "suite": "hashes"},
        {"kind": "windows"},
        {"kind": "model", "system": name, "model_id": "1a2b", "bits": 16},
        {"kind": "hashes", "system": name, "codes": codes, "silent": SILENT},
    ]


def cells(table):
    """`{model: {column: cell}}` of a table of saved models."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    head, _, *body = ([cell.strip() for cell in line[1:-1].split("|")] for line in lines)
    rows = [dict(zip(head, row, strict=True)) for row in body]
    return {row["model"].split("`")[1]: row for row in rows}


def test_table_without_runs_is_that_of_the_cards(folder):
    table = shipped.table(folder, [])
    assert table == cards.table(folder)
    assert cells(table)["other"] == {
        "model": "[`other`](other/README.md)",
        "feature": "logmel",
        "bits": "16",
        "parameters": "12,345",
        "TFLite": "60 kB",
        "dynamic range": "20 kB",
        "ms per window": "0.50",
        "10 dB, 1 s": "–",
        "10 dB, 3 s": "–",
        "collisions": "–",
        "trained in": "2.5 min",
        "on": "7 tracks, 1.2 h",
    }


def test_accuracy_is_that_of_the_main_table(folder, answers, tmp_path):
    found = cells(shipped.table(folder, [write_run(tmp_path / "asked", answers)]))
    main = [line[2:-2].split(" | ") for line in tables.accuracy(answers).splitlines()]
    (row,) = (line for line in main if line[:2] == ["10 dB", "conv128"])
    for length in ("1 s", "3 s"):
        assert found["conv128"][f"10 dB, {length}"] == row[main[0].index(length)]
        assert found["other"][f"10 dB, {length}"] == "–"


def test_accuracy_is_of_these_weights_only(folder, answers, tmp_path):
    run = write_run(tmp_path / "asked", answers)
    write_card(folder, "conv128", model_id="3c4d")
    assert cells(shipped.table(folder, [run])) == cells(cards.table(folder))


def test_collisions_are_of_audible_windows_and_these_weights(folder, tmp_path):
    run = write_run(tmp_path / "hashed", hashed("other"))
    found = cells(shipped.table(folder, [run]))
    assert found["other"]["collisions"].startswith("25.00 [")
    assert found["conv128"]["collisions"] == "–"
    write_card(folder, "other", model_id="3c4d")
    assert cells(shipped.table(folder, [run]))["other"]["collisions"] == "–"


def test_order_of_runs_changes_no_cell(folder, answers, tmp_path):
    runs = [write_run(tmp_path / "asked", answers), write_run(tmp_path / "h", hashed("conv128"))]
    found = cells(shipped.table(folder, runs))
    assert found == cells(shipped.table(folder, runs[::-1]))
    assert "–" not in found["conv128"].values()


def test_table_links_to_the_runs(folder, answers, tmp_path):
    table = shipped.table(folder, [write_run(tmp_path / "asked", answers)])
    assert "[asked](../asked/tables.md)" in table


def test_runs_that_give_no_column_are_refused(folder, answers, tmp_path):
    run = write_run(tmp_path / "cost", [answers[0] | {"suite": "cost"}])
    with pytest.raises(A2VError, match="cost: a run of cost; give runs of retrieval and hashes"):
        shipped.table(folder, [run])
    with pytest.raises(A2VError, match="none.*answers.jsonl: cannot be read"):
        shipped.table(folder, [tmp_path / "none"])


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ({"history": []}, "–"),
        ({"history": [{"seconds": 6.0}, {}]}, "–"),
        ({"history": [{"seconds": 6.0}]}, "6 s"),
        ({"history": [{"seconds": 3600.0}, {"seconds": 1800.0}]}, "90.0 min"),
        ({"history": [{"seconds": 3600.0}] * 3}, "3.0 h"),
        ({"history": [], "adapting_s": 4.2}, "4 s"),
        ({"history": [{"seconds": 3600.0}], "adapting_s": 60.0}, "61.0 min"),
    ],
)
def test_training_time_is_the_sum_of_adapting_and_all_epochs(training, said):
    assert cards.training_time({"training": training}) == said


def test_what_a_card_does_not_tell_is_a_dash(folder):
    write_card(folder, "other", parameters=None, data={"splits": {}})
    found = cells(cards.table(folder))["other"]
    assert (found["parameters"], found["on"]) == ("–", "–")
