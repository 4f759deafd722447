import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from a2v.errors import A2VError
from a2v.library import Library

# The server binds to all interfaces of its machine: it gets one that has loopback alone.
WAYS = ["unshare", "--net"], ["unshare", "--net", "--map-root-user"]


def alone():
    """The command that runs another one without a network, `None` where nothing does."""
    for way in WAYS if shutil.which("unshare") else ():
        if subprocess.run([*way, "true"], stderr=subprocess.DEVNULL).returncode == 0:
            return way
    return None


@pytest.mark.slow
@pytest.mark.skipif(
    not (importlib.util.find_spec("pymilvus") and importlib.util.find_spec("milvus")),
    reason="pymilvus and milvus are not installed",
)
def test_the_engine_beside_a_real_server():
    way = alone()
    if way is None:
        pytest.skip("no network namespace of its own can be made here")
    cases = Path(__file__).with_name("milvus_cases.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
    ran = subprocess.run([*way, *command, str(cases)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " passed" in ran.stdout


def test_milvus_needs_an_address(encoder_path, tmp_path):
    pytest.importorskip("pymilvus")
    Library.create(tmp_path / "l.a2v", encoder_path).close()
    with pytest.raises(A2VError, match="give its server, as in --uri"):
        Library.open(tmp_path / "l.a2v", engine="milvus")


def test_engines_without_a_server_take_no_address(encoder_path, tmp_path):
    Library.create(tmp_path / "l.a2v", encoder_path).close()
    with pytest.raises(A2VError, match="engine exact with uri http://x: it has no server"):
        Library.open(tmp_path / "l.a2v", engine="exact", uri="http://x")
