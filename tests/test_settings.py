import pytest

from a2v import features, resources, settings
from a2v.errors import A2VError


def changed(tmp_path, table, line):
    """A pipeline like lstm128 with one more line in a table."""
    text = resources.pipeline("lstm128").read_text(encoding="utf-8")
    if f"[{table}]" not in text:
        text += f"[{table}]\n"
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(f"[{table}]\n", f"[{table}]\n{line}\n"), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", resources.pipelines())
def test_every_pipeline_is_in_order(name):
    chosen = settings.read(name)
    assert chosen["model"] == name
    assert chosen["feature"] in features.FEATURES


def test_values_reach_their_tables(tmp_path):
    chosen = settings.read(changed(tmp_path, "dataset", 'decoder = "libsndfile"\nmargin_s = 1'))
    assert chosen["dataset"]["decoder"] == "libsndfile"
    assert chosen["dataset"]["margin_s"] == 1.0
    chosen = settings.read(changed(tmp_path, "features", "lifter = 30"))
    assert chosen["feature_options"] == {"lifter": 30}


@pytest.mark.parametrize(
    ("table", "line", "sentence"),
    [
        ("dataset", "hops = 1.0", r"\[dataset\]: unknown key 'hops'; did you mean 'hop_s'"),
        ("dataset", 'margin_s = "1"', r"\[dataset\]: margin_s = '1'; it has to be a number"),
        ("dataset", "resume = true", r"\[dataset\]: resume is no setting of a pipeline"),
        ("training", "verbose = 1", r"\[training\]: verbose is no setting of a pipeline"),
        ("export", "licens = 'MIT'", r"\[export\]: unknown key 'licens'; did you mean 'licence'"),
        ("features", "n_mffc = 3", r"\[features\]: unknown key 'n_mffc'; did you mean 'n_mfcc'"),
        ("model", "unit = 3", r"\[model\]: unknown key 'unit'"),
    ],
)
def test_faults_are_named(table, line, sentence, tmp_path):
    path = changed(tmp_path, table, line)
    with pytest.raises(A2VError, match=sentence) as error:
        settings.read(path)
    assert str(error.value).startswith(f"{path}: ")


def test_feature_of_another_model_is_refused(tmp_path):
    text = resources.pipeline("lstm128").read_text(encoding="utf-8")
    path = tmp_path / "mine.toml"
    path.write_text(text.replace('name = "mfcc"', 'name = "chroma"'), encoding="utf-8")
    with pytest.raises(A2VError, match=r"\[features\] chroma, lstm128 takes mfcc"):
        settings.read(path)
