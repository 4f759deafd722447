import pytest

from a2v import resources
from a2v.errors import A2VError


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A package folder; its artefacts are put beside it or inside it by the test."""
    package = tmp_path / "site" / "a2v"
    package.mkdir(parents=True)
    monkeypatch.setattr(resources, "files", lambda name: package)
    return package


def fill(folder):
    for name in ("conv128", "lstm128"):
        model = folder / "saved_models" / name / "model.tflite"
        model.parent.mkdir(parents=True)
        model.write_bytes(b"TFL3")
        (folder / "pipelines").mkdir(exist_ok=True)
        (folder / "pipelines" / f"{name}.toml").write_text("[model]\n")
    (folder / "saved_models" / "unfinished").mkdir()


@pytest.mark.parametrize("inside", [True, False])
def test_names_are_found_in_a_wheel_and_in_a_checkout(shipped, inside):
    folder = shipped if inside else shipped.parent
    fill(folder)
    assert resources.pipelines() == ["conv128", "lstm128"]
    assert resources.saved_models() == ["conv128", "lstm128"]
    assert resources.pipeline("lstm128") == folder / "pipelines" / "lstm128.toml"
    assert resources.saved_model("conv128") == folder / "saved_models/conv128/model.tflite"


def test_a_wheel_ignores_folders_of_others_beside_it(shipped):
    fill(shipped)
    (shipped.parent / "pipelines").mkdir()
    (shipped.parent / "pipelines" / "foreign.toml").touch()
    assert "foreign" not in resources.pipelines()


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_paths_are_taken_as_they_are(shipped, tmp_path, kind):
    fill(shipped)
    toml, folder = tmp_path / "my.toml", tmp_path / "mine"
    toml.touch()
    folder.mkdir()
    (folder / "model.tflite").touch()
    assert resources.pipeline(kind(toml)) == toml
    assert resources.saved_model(kind(folder)) == folder / "model.tflite"
    assert resources.saved_model(kind(folder / "model.tflite")) == folder / "model.tflite"


def test_an_unknown_name_suggests_the_nearest(shipped):
    fill(shipped)
    with pytest.raises(A2VError, match="no pipeline 'conv12'; did you mean 'conv128'"):
        resources.pipeline("conv12")
    with pytest.raises(A2VError, match="no model 'zzz'; there are: conv128, lstm128"):
        resources.saved_model("zzz")


def test_a_missing_file_is_named(shipped, tmp_path):
    fill(shipped)
    with pytest.raises(A2VError, match="gone.toml: no such file"):
        resources.pipeline("gone.toml")
    with pytest.raises(A2VError, match="model.tflite: no such file"):
        resources.saved_model(tmp_path)
    with pytest.raises(A2VError, match="runs/gone: no such file"):
        resources.saved_model("runs/gone")


def test_an_installation_without_artefacts_says_so(shipped):
    assert resources.pipelines() == resources.saved_models() == []
    with pytest.raises(A2VError, match="there are none"):
        resources.saved_model("conv128")


def test_every_shipped_name_leads_to_its_file():
    for name in resources.pipelines():
        assert resources.pipeline(name).is_file()
    for name in resources.saved_models():
        assert resources.saved_model(name).is_file()
