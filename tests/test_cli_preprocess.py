import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import soundfile

from a2v import records
from a2v.corpora import Track, manifest

# TensorFlow starts slowly: this process imports it once and forks for each command, before any of
# TensorFlow's threads run.
FORKS = """
import json, os, resource, signal, sys
import tqdm
from a2v import cli, preprocessing, settings
from a2v.cli import preprocess

os.environ.pop("TF_CPP_MIN_LOG_LEVEL", None)  # see conftest.py
# What a shell begins in the background would ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
for line in sys.stdin:
    order = json.loads(line)
    pid = os.fork()
    if not pid:
        for number, path in enumerate(order["files"]):
            flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            os.dup2(os.open(path, flags), number)
        sys.stdin, sys.stdout, sys.stderr = (open(n, m) for n, m in ((0, "r"), (1, "w"), (2, "w")))
        if order["limit"]:
            resource.setrlimit(resource.RLIMIT_FSIZE, (order["limit"], order["limit"]))
        try:
            status = cli.run("preprocess", order["argv"])
        except SystemExit as usage:
            status = usage.code
        finally:
            sys.stdout.flush()
        os._exit(status)
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def server():
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    command = [sys.executable, "-c", FORKS]
    with subprocess.Popen(command, text=True, env=environment, **pipes) as process:
        yield process
        process.stdin.close()


def running(server, folder):
    """A function: runs `a2v-preprocess` in a process of its own.

    `until` is asked again and again; once it is true, the process gets `signal`.
    """

    def run(*argv, stdin="", until=None, signal=signal.SIGKILL, limit=None):
        files = [folder / f".{name}" for name in ("in", "out", "err")]
        files[0].write_text(stdin)
        order = {"argv": list(map(str, argv)), "files": list(map(str, files)), "limit": limit}
        print(json.dumps(order), file=server.stdin, flush=True)
        pid = int(server.stdout.readline())
        if until:
            with contextlib.suppress(ProcessLookupError):  # it ended before
                while not until():
                    os.kill(pid, 0)
                    time.sleep(0.002)
                os.kill(pid, signal)
        status = int(server.stdout.readline())
        out, err = files[1].read_text(), files[2].read_text()
        return SimpleNamespace(returncode=status, stdout=out, stderr=err)

    return run


@pytest.fixture
def preprocess(server, tmp_path):
    """The command, see `running`."""
    return running(server, tmp_path)


@pytest.fixture(scope="module")
def music(melody, write_wav, tmp_path_factory):
    """A manifest of twelve recordings of six works."""
    folder = tmp_path_factory.mktemp("music")
    tracks = []
    for i in range(12):
        path = write_wav(folder / f"{i}.wav", melody(i, 4 + 0.5 * i))
        tracks.append(Track(str(path), f"track {i}", work=f"work {i % 6}", artist=f"artist {i}"))
    manifest.write(folder / "music.csv", tracks)
    return folder / "music.csv"


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """A pipeline file."""
    path = tmp_path_factory.mktemp("pipelines") / "mine.toml"
    path.write_text(
        '[features]\nname = "mfcc"\n[model]\nname = "lstm128"\n[dataset]\nshards = 6\n'
        'feature_names = ["mfcc", "waveform"]\nmargin_s = 0.5\n'
    )
    return path


def contents(folder):
    """Every file below a folder, by name."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def clean(stderr):
    """Whether there are sentences of the command alone."""
    return all(line.startswith("a2v-preprocess: ") for line in stderr.splitlines())


@pytest.fixture(scope="module")
def undisturbed(server, music, pipeline, tmp_path_factory):
    """What an undisturbed run writes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    ran = running(server, folder)(music, "--out", folder / "out", "--pipeline", pipeline)
    assert (ran.returncode, ran.stderr) == (0, "")
    return contents(folder / "out")


def test_summary_goes_to_stdout(preprocess, music, pipeline, tmp_path):
    ran = preprocess(music, "--out", tmp_path / "out", "--pipeline", pipeline)
    data = records.Dataset(tmp_path / "out")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert [line.split() for line in ran.stdout.splitlines()] == [
        [split, str(len(data.tracks(split))), "tracks", str(data.count(split)), "windows"]
        for split in ("train", "tune", "test")
    ]
    assert [len(data.tracks(split)) for split in ("train", "tune", "test")] == [8, 2, 2]
    assert list(data.shapes) == ["mfcc", "waveform"]
    assert len([s for s in data.manifest["shards"] if s["split"] == "train"]) == 6


def test_options_override_the_pipeline(preprocess, music, pipeline, tmp_path):
    out = tmp_path / "out"
    options = ["--features", "chroma,logmel", "--shards", 2, "--jobs", 1]
    ran = preprocess(music, "--out", out, "--pipeline", pipeline, *options)
    assert ran.returncode == 0
    data = records.Dataset(out)
    assert data.shapes == {"chroma": [100, 12], "logmel": [100, 128]}
    assert len([s for s in data.manifest["shards"] if s["split"] == "train"]) == 2


def test_jobs_change_no_byte(preprocess, music, pipeline, undisturbed, tmp_path):
    ran = preprocess(music, "--out", tmp_path / "out", "--pipeline", pipeline, "--jobs", 1)
    assert ran.returncode == 0 and contents(tmp_path / "out") == undisturbed


def test_paths_are_read_from_standard_input(preprocess, music, tmp_path):
    listed = "".join(f"{music.parent}/{i}.wav\n" for i in range(3))
    options = ["--out", tmp_path / "out", "--pipeline", "lstm128", "--from-list", "-"]
    assert preprocess(*options, stdin=listed).returncode == 0
    tracks = records.Dataset(tmp_path / "out").manifest["tracks"]
    assert {t["path"] for t in tracks} == set(listed.split())


def test_bad_recordings_are_named_and_exit_is_3(preprocess, melody, write_wav, music, tmp_path):
    folder = tmp_path / "bad"
    write_wav(folder / "short.wav", melody(0, 0.5))
    write_wav(folder / "silent.wav", 0 * melody(0, 2))
    (folder / "text.wav").write_text("dear diary")
    (folder / "empty.wav").touch()
    (folder / "again.wav").write_bytes((music.parent / "3.wav").read_bytes())
    write_wav(folder / "cut.wav", melody(20, 6))
    soundfile.write(folder / "cut.mp3", melody(20, 6), 16000)
    (folder / "cut.wav").unlink()
    data = (folder / "cut.mp3").read_bytes()
    (folder / "cut.mp3").write_bytes(data[: len(data) // 2])
    ran = preprocess(music, folder, "--out", tmp_path / "out", "--pipeline", "lstm128")
    assert ran.returncode == 3 and clean(ran.stderr)
    for name, reason in {
        "short.wav": "too short: 0.50 s, one window is 1.0 s; left out",
        "silent.wav": "silent: -inf dBFS, below -60; left out",
        "text.wav": "cannot be decoded: damaged, or no audio at all; left out",
        "empty.wav": "empty file (0 bytes); left out",
        "again.wav": f"duplicate: the same bytes as {music.parent / '3.wav'}; left out",
        "cut.mp3": "truncated; only the first ",
    }.items():
        assert f"a2v-preprocess: {folder / name}: {reason}" in ran.stderr
    assert len(ran.stderr.splitlines()) == 6
    done = records.Dataset(tmp_path / "out").manifest
    assert len(done["tracks"]) == 13 and len(done["rejected"]) == 5


def refused(ran, sentence):
    assert ran.returncode == 2 and ran.stdout == ""
    assert ran.stderr.startswith("a2v-preprocess: ") and len(ran.stderr.splitlines()) == 1
    assert sentence in ran.stderr


def test_what_cannot_be_done_is_one_sentence(preprocess, music, tmp_path):
    out = ["--out", tmp_path / "out"]
    (tmp_path / "no audio").mkdir()
    (tmp_path / "text.wav").write_text("dear diary")
    (tmp_path / "file").touch()
    refused(preprocess(*out), "no recordings given")
    refused(preprocess(tmp_path / "missing", *out), "missing: no such file or folder")
    refused(preprocess(tmp_path / "no audio", *out), "no audio in this folder")
    refused(preprocess(tmp_path / "text.wav", *out), "no usable recording: ")
    refused(preprocess(music, "--out", tmp_path / "file"), "file: is a file; choose another")
    refused(preprocess(music, "--out", music.parent), "holds something else than a dataset")
    refused(preprocess(music, "--out", "/proc/out"), "/proc/out: cannot write")
    refused(preprocess(music, *out, "--features", "mffc"), "feature 'mffc': use one of mfcc, chr")
    refused(preprocess(music, *out, "--pipeline", "lstm182"), "did you mean 'lstm128'?")
    assert not (tmp_path / "out").exists()


def test_existing_output_wants_a_word(preprocess, music, pipeline, undisturbed, tmp_path):
    out = ["--out", tmp_path / "out", "--pipeline", pipeline]
    assert preprocess(music, *out).returncode == 0
    refused(preprocess(music, *out), "exists; use --resume to go on or --overwrite to replace it")
    refused(preprocess(music, *out, "--resume", "--shards", 3), "other files or settings")
    assert preprocess(music, *out, "--overwrite", "--shards", 3).returncode == 0
    assert preprocess(music, *out, "--overwrite").returncode == 0
    assert contents(tmp_path / "out") == undisturbed


def shards(folder):
    return len(list(folder.glob("*.tfrecord"))) if folder.exists() else -1


def broken_off(preprocess, options, out, at, sent):
    """A run that got a signal once `at` shards were written.

    On a busy machine a run may be done before the signal comes; then it is tried again.
    """
    for _ in range(8):
        shutil.rmtree(out, ignore_errors=True)
        ran = preprocess(*options, until=lambda: shards(out) >= at, signal=sent)
        if ran.returncode:
            return ran
    return pytest.fail(f"done before the signal came, 8 times; {at} shards awaited")


@pytest.mark.parametrize("at", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in (0, 2, 4))])
def test_killed_and_resumed_ends_in_the_same_bytes(
    at, preprocess, music, pipeline, undisturbed, tmp_path
):
    out = tmp_path / "out"
    options = [music, "--out", out, "--pipeline", pipeline]
    ran = broken_off(preprocess, options, out, at, signal.SIGKILL)
    assert ran.returncode == -signal.SIGKILL
    assert not (out / records.MANIFEST).exists()
    assert preprocess(*options, "--resume").returncode == 0
    assert contents(out) == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_killed_again_and_again_ends_in_the_same_bytes(
    seed, preprocess, music, pipeline, undisturbed, tmp_path
):
    out, generator, statuses = tmp_path / "out", random.Random(seed), []
    while not is_done(out):
        # The first is killed for sure, the later ones unless they are done before.
        least = 99 if statuses else generator.randrange(8)
        end = time.monotonic() + generator.uniform(0.1, 2.0)
        ran = preprocess(
            *(music, "--out", out, "--pipeline", pipeline, "--resume"),
            until=lambda least=least, end=end: shards(out) >= least or time.monotonic() > end,
        )
        statuses.append(ran.returncode)
    assert contents(out) == undisturbed
    assert statuses[0] == -signal.SIGKILL and set(statuses) <= {0, -signal.SIGKILL}


def is_done(out):
    return (out / records.MANIFEST).exists() and not (out / records.PROGRESS).exists()


def test_interrupted_is_told_and_resumed(preprocess, music, pipeline, undisturbed, tmp_path):
    out = tmp_path / "out"
    options = [music, "--out", out, "--pipeline", pipeline]
    ran = broken_off(preprocess, options, out, 0, signal.SIGINT)
    assert (ran.returncode, ran.stderr) == (130, "a2v-preprocess: interrupted\n")
    assert preprocess(*options, "--resume").returncode == 0
    assert contents(out) == undisturbed


def test_full_disk_is_told_and_resumed(preprocess, music, pipeline, undisturbed, tmp_path):
    out = tmp_path / "out"
    options = [music, "--out", out, "--pipeline", pipeline]
    limit = sorted(map(len, undisturbed.values()))[-1] - 1
    refused(preprocess(*options, limit=limit), f"{out}: cannot write (File too large); make room")
    assert shards(out) > 0 and not (out / records.MANIFEST).exists()
    assert preprocess(*options, "--resume").returncode == 0
    assert contents(out) == undisturbed


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own with 4 MB of room; a function changes that."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a file system takes the superuser's rights")
    yield (
        place,
        lambda size: subprocess.run(
            ["mount", "-o", f"remount,size={size}", str(place)], check=True
        ),
    )
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.slow
def test_really_full_disk_is_told_and_resumed(
    small_disk, preprocess, music, pipeline, undisturbed, tmp_path
):
    place, resize = small_disk
    assert sum(map(len, undisturbed.values())) > 8e6
    options = [music, "--out", place / "out", "--pipeline", pipeline]
    sentence = "cannot write (No space left on device); make room or choose another folder, then"
    refused(preprocess(*options), sentence)
    refused(preprocess(*options, "--resume"), sentence)
    resize("64m")
    assert preprocess(*options, "--resume").returncode == 0
    assert contents(place / "out") == undisturbed


def test_usage_is_answered_without_tensorflow(call):
    program = "import sys; from a2v.cli import run\ntry: run('preprocess', ['--help'])\n"
    program += "finally: print('tensorflow' in sys.modules, file=sys.stderr)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.returncode == 0 and "--from-list" in ran.stdout and ran.stderr == "False\n"
    assert call("preprocess", "--jobs", "0").returncode == 2
    assert call("preprocess", "a.wav").returncode == 2


def test_no_library_adds_to_stderr(call, melody, tmp_path):
    """In a process of its own, where TensorFlow greets and mpg123 complains."""
    soundfile.write(tmp_path / "a.mp3", melody(0, 6), 16000)
    data = (tmp_path / "a.mp3").read_bytes()
    (tmp_path / "a.mp3").write_bytes(data[: len(data) // 2])
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    options = ["--out", tmp_path / "out", "--features", "mfcc"]
    ran = call("preprocess", tmp_path / "a.mp3", *options, env=environment)
    assert ran.returncode == 0, ran.stderr
    (sentence,) = ran.stderr.splitlines()
    assert sentence.startswith(f"a2v-preprocess: {tmp_path}/a.mp3: truncated; only the first ")
