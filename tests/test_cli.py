import subprocess
import sys

import pytest


def without(package, verb):
    """The command line of a verb where a package is not installed."""
    start = f"import sys; sys.modules[{package!r}] = None; from a2v.cli import run"
    return [sys.executable, "-c", f"{start}; sys.exit(run({verb!r}))"]


def told(command, *arguments, **options):
    """Standard error of a command that is to end with 2 and one sentence."""
    options = {"stdout": subprocess.DEVNULL} | options
    done = subprocess.run(
        [*command, *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
        **options,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
    return done.stderr


@pytest.mark.parametrize(
    ("verb", "package", "arguments"),
    [
        ("preprocess", "tqdm", ("--out", "out")),
        ("train", "keras", ("data", "--out", "out")),
        ("export", "tensorflow", ("run", "--out", "out")),
    ],
)
def test_a_package_that_is_missing_is_named(verb, package, arguments, write_wav, melody, tmp_path):
    if verb == "preprocess":
        arguments = (write_wav(tmp_path / "one.wav", melody(1, 2.0)), *arguments)
    said = told(without(package, verb), *arguments, cwd=tmp_path)
    assert said.startswith(f"a2v-{verb}: needs {package}, which is not installed; get it with pip")


def test_full_disk_under_standard_output_is_one_sentence(command, call, encoder_path, tmp_path):
    from a2v.library import Library

    with Library.create(tmp_path / "lib.a2v", encoder_path):
        pass
    with open("/dev/full", "w") as full:
        said = told(command("index", tmp_path / "lib.a2v", "verify"), stdout=full)
    assert said.startswith("a2v-index: standard output: No space left on device; check")


def test_closed_standard_output_stops_no_command(command, encoder_path, tmp_path):
    from a2v.library import Library

    with Library.create(tmp_path / "lib.a2v", encoder_path):
        pass
    words = command("index", tmp_path / "lib.a2v", "verify")
    done = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", *words], stderr=subprocess.PIPE, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_one_missing_input_does_not_keep_the_others_from_being_preprocessed(
    call, write_wav, melody, tmp_path
):
    write_wav(tmp_path / "one.wav", melody(1, 4.0))
    (tmp_path / "empty").mkdir()
    inputs = [tmp_path / name for name in ("one.wav", "missing.wav", "empty")]
    options = ("--out", tmp_path / "data", "--features", "mfcc", "--pipeline", "lstm128")
    done = call("preprocess", *inputs, *options)
    assert done.returncode == 3
    assert "missing.wav: no such file or folder; left out" in done.stderr
    assert "empty: no audio in this folder" in done.stderr
    assert (tmp_path / "data" / "dataset.json").exists()
    alone = call("preprocess", tmp_path / "missing.wav", "--out", tmp_path / "other")
    assert alone.returncode == 2
    assert not (tmp_path / "other").exists()
