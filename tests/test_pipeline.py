import pytest

from a2v import pipeline, resources
from a2v.errors import A2VError


def train(
    dataset,
    *,
    out,
    epochs=40,
    rate=1e-3,
    optimizer="adam",
    resume=False,
    bands=[1],  # noqa: B006 - a default that is a list is the case to test
    snr_db=(0, 15),
    limit=None,
):
    """Stands for a function that a table holds the keyword arguments of."""


def written(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_read_returns_every_table(tmp_path):
    path = written(tmp_path, '[model]\nname = "lstm128"\nunits = 64\n[training]\nepochs = 2\n')
    assert pipeline.read(path) == {
        "features": {},
        "dataset": {},
        "model": {"name": "lstm128", "units": 64},
        "training": {"epochs": 2},
        "export": {},
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[trainig]\nepochs = 2\n", r"unknown table \[trainig\]; did you mean 'training'"),
        ("[zzz]\n", r"unknown table \[zzz\]; there are: dataset, export, features, model"),
        ("epochs = 2\n", "unknown key 'epochs'; there are: "),
        ('model = "conv128"\n', r"model = 'conv128'; it is a table, write \[model\]"),
        ("[[model]]\n", r"it is a table, write \[model\]"),
        ("[model\n", "not a TOML file: .*line 1"),
        ("[model]\na = 1\na = 2\n", "not a TOML file"),
    ],
)
def test_read_names_file_and_fault(tmp_path, text, sentence):
    path = written(tmp_path, text)
    with pytest.raises(A2VError, match=sentence) as error:
        pipeline.read(path)
    assert str(error.value).startswith(f"{path}: ")


def test_read_refuses_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(A2VError, match="not a TOML file"):
        pipeline.read(path)


def test_check_returns_keyword_arguments_in_the_types_of_the_defaults():
    table = {"out": "run", "epochs": 3, "rate": 1, "snr_db": [0, 10], "bands": [2], "limit": "any"}
    before = dict(table)
    checked = pipeline.check(table, train, where="x")
    assert checked == {**table, "rate": 1.0, "snr_db": (0, 10)}
    assert type(checked["rate"]) is float
    assert table == before


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("epoch", 3, "unknown key 'epoch'; did you mean 'epochs'"),
        ("dataset", "x", "unknown key 'dataset'"),
        ("epochs", 2.5, "epochs = 2.5; it has to be an integer, such as 40"),
        ("epochs", True, "epochs = True; it has to be an integer"),
        ("epochs", "3", "epochs = '3'; it has to be an integer"),
        ("rate", "fast", "rate = 'fast'; it has to be a number, such as 0.001"),
        ("rate", False, "it has to be a number"),
        ("optimizer", 1, "it has to be a string, such as 'adam'"),
        ("resume", 1, "resume = 1; it has to be true or false"),
        ("bands", 5, "it has to be a list"),
        ("snr_db", 5, r"snr_db = 5; it has to be a list, such as \(0, 15\)"),
        ("epochs", {"a": 1}, "it has to be an integer"),
    ],
)
def test_check_names_place_key_and_value(key, value, sentence):
    with pytest.raises(A2VError, match=sentence) as error:
        pipeline.check({key: value}, train, where="pipelines/x.toml [training]")
    assert str(error.value).startswith("pipelines/x.toml [training]: ")


def test_check_takes_a_class():
    class Layer:
        def __init__(self, *, units=128):
            self.units = units

    assert pipeline.check({"units": 64}, Layer, where="x") == {"units": 64}
    with pytest.raises(A2VError, match="did you mean 'units'"):
        pipeline.check({"unit": 64}, Layer, where="x")


@pytest.mark.parametrize("name", resources.pipelines())
def test_every_shipped_pipeline_reads(name):
    assert pipeline.read(name)["model"]


def test_conv_lstm128_is_trained_as_conv128_was_first():
    tables = {name: pipeline.read(name) for name in ("conv128", "conv_lstm128")}
    for table in tables.values():
        del table["model"], table["training"]["learning_rate"], table["training"]["epochs"]
        del table["training"]["augmentation"]["snr_db"]
    for later in ("varispeed", "mixed", "gaps"):
        del tables["conv128"]["training"]["augmentation"][later]
    del tables["conv128"]["export"]["overhang_s"], tables["conv128"]["export"]["shrinkage"]
    assert tables["conv_lstm128"] == tables["conv128"]
