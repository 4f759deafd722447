"""Runs cases whose servers bind to all interfaces where there is loopback alone."""

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

# Processes, too, are their own: those of others must not be found by name and killed.
_ALONE = ["unshare", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"]
WAYS = _ALONE, [*_ALONE, "--map-root-user"]
_SET_FLAGS, _UP, _RUNNING = 0x8914, 0x1, 0x40


def run(cases):
    """Runs a file of tests in a network namespace of its own.

    Where none can be made it skips, or fails if the environment variable A2V_EVERY_TEST is set.

    Args:
        cases: str, the file's name, beside this one.
    """
    for way in WAYS if shutil.which("unshare") else ():
        if subprocess.run([*way, "true"], stderr=subprocess.DEVNULL).returncode == 0:
            break
    else:
        no = pytest.fail if os.environ.get("A2V_EVERY_TEST") else pytest.skip
        no("no network namespace of its own can be made here")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
    path = Path(__file__).with_name(cases)
    ran = subprocess.run([*way, *command, str(path)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " passed" in ran.stdout


def loopback_up():
    """Switches loopback on, which a new namespace has switched off."""
    with socket.socket() as any_socket:
        request = struct.pack("16sh", b"lo", _UP | _RUNNING)
        fcntl.ioctl(any_socket, _SET_FLAGS, request)
