import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from a2v import __version__
from a2v.cli import VERBS

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("a2v", "pipelines", "saved_models")
pytestmark = pytest.mark.slow


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel's members, built from the sdist, so that each is tested; the tree stays clean."""
    out = tmp_path_factory.mktemp("built")
    tree = out / "tree"
    tree.mkdir()
    for part in PARTS:
        shutil.copytree(ROOT / part, tree / part)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, tree)

    def run(*command, cwd):
        ran = subprocess.run([sys.executable, *command], cwd=cwd, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr

    run("setup.py", "-q", "sdist", "--dist-dir", out, cwd=tree)
    with tarfile.open(out / f"a2v-{__version__}.tar.gz") as archive:
        archive.extractall(out, filter="data")
    stale = out / f"a2v-{__version__}" / "build" / "lib" / "a2v" / "stale.py"
    stale.parent.mkdir(parents=True)
    stale.touch()
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", out)
    run("-m", "pip", "wheel", "--quiet", *options, ".", cwd=stale.parents[3])
    with zipfile.ZipFile(out / f"a2v-{__version__}-py3-none-any.whl") as wheel:
        return {name: wheel.read(name) for name in wheel.namelist() if not name.endswith("/")}


def test_wheel_installs_one_top_level_package(built):
    assert {name.split("/")[0] for name in built} == {"a2v", f"a2v-{__version__}.dist-info"}


def test_wheel_holds_the_package_and_its_artefacts_byte_for_byte(built):
    expected = {f"a2v/{name}": data for name, data in files(ROOT / "a2v").items()}
    for part in PARTS[1:]:
        expected |= {f"a2v/{part}/{name}": data for name, data in files(ROOT / part).items()}
    assert {name: data for name, data in built.items() if name.startswith("a2v/")} == expected


def test_wheel_brings_a_command_for_every_verb(built):
    lines = built[f"a2v-{__version__}.dist-info/entry_points.txt"].decode().split("\n")
    commands = {line.split(" = ")[0] for line in lines if " = " in line}
    assert commands == {"a2v"} | {f"a2v-{verb}" for verb in VERBS}


def test_wheel_brings_the_licence(built):
    licence = (ROOT / "LICENSE").read_bytes()
    assert licence in built.values()
