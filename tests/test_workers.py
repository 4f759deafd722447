import importlib.util
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import apart
import pytest

from a2v import workers
from a2v.errors import A2VError, A2VWarning

ROOT = str(Path(workers.__file__).parents[2])


class Work:
    """Squares; refuses 3; is killed by 5, and by 7 the first time alone."""

    def __init__(self, folder):
        self.folder, self.opened = folder, 0

    def open(self):
        self.opened += 1
        self.lock = open(os.devnull)  # noqa: SIM115, what cannot be pickled

    def __call__(self, item):
        assert self.opened == 1 and not self.lock.closed
        if item == 3:
            raise A2VError("3: not this one; give another")
        flag = self.folder / f"{item}"
        if item == 5 or (item == 7 and not flag.exists()):
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return item * item


def plain(found):
    return [(item, str(result)) for item, result in found]


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_come_in_order_and_errors_take_their_place(jobs, tmp_path):
    found = plain(workers.mapped(Work(tmp_path), iter([4, 3, 2, *range(10, 40)]), jobs=jobs))
    expected = [(4, "16"), (3, "3: not this one; give another"), (2, "4")]
    assert found == expected + [(k, str(k * k)) for k in range(10, 40)]


def test_items_are_read_as_there_is_room(tmp_path):
    read = []

    def items():
        for item in range(10, 100):
            read.append(item)
            yield item

    results = workers.mapped(Work(tmp_path), items(), jobs=2)
    assert next(results) == (10, 100)
    assert len(read) < 10
    results.close()


def test_what_kills_its_worker_is_named_and_the_rest_goes_on(tmp_path):
    found = plain(workers.mapped(Work(tmp_path), [1, 2, 5, 4, 7, 6, 8], jobs=2))
    assert found[2] == (5, str(workers.Died()))
    assert found[:2] + found[3:] == [(k, str(k * k)) for k in (1, 2, 4, 7, 6, 8)]


class Warning_:
    """Warns of odd numbers; cannot be opened where it is told so."""

    def __init__(self, closed=False):
        self.closed = closed

    def open(self):
        if self.closed:
            raise A2VError("the cellar is locked; bring a key")

    def __call__(self, item):
        if item % 2:
            warnings.warn(f"{item} is odd", A2VWarning, stacklevel=2)
        return item


@pytest.mark.parametrize("jobs", [1, 2])
def test_warnings_are_given_where_the_results_go(jobs):
    with pytest.warns(A2VWarning) as heard:
        assert [result for _, result in workers.mapped(Warning_(), range(6), jobs=jobs)] == [
            *range(6)
        ]
    assert [str(w.message) for w in heard] == ["1 is odd", "3 is odd", "5 is odd"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_work_that_cannot_be_opened_is_one_error(jobs):
    with pytest.raises(A2VError, match="the cellar is locked; bring a key"):
        list(workers.mapped(Warning_(closed=True), range(6), jobs=jobs))


def test_a_script_without_a_guard_is_told_what_it_lacks(tmp_path):
    script = "from a2v import workers\nprint(list(workers.mapped(len, ['a', 'b'], jobs=2)))\n"
    (tmp_path / "script.py").write_text(script)
    command = [sys.executable, str(tmp_path / "script.py")]
    environment = os.environ | {"PYTHONPATH": ROOT}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert "processes die as soon as they begin" in done.stderr


def test_unknown_engines_and_needless_addresses_are_refused(tmp_path):
    with pytest.raises(A2VError, match="engine 'rai'.*ray"):
        list(workers.mapped(None, [1], engine="rai"))
    with pytest.raises(A2VError, match="engine local with address here: it has none"):
        list(workers.mapped(None, [1], address="here"))


def test_an_engine_that_is_not_installed_is_named_with_its_package(monkeypatch):
    monkeypatch.setattr(workers.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(A2VError, match=r"engine ray: not installed; `pip install 'a2v\[ray\]'`"):
        workers.check("ray")


def test_processes_end_with_a_parent_that_is_killed(tmp_path):
    script = (
        "import os, pathlib, sys, time\n"
        "from a2v import workers\n"
        "from test_workers_sleep import Sleep\n"
        "if __name__ == '__main__':\n"
        "    for item, result in workers.mapped(Sleep(), range(9), jobs=2):\n"
        "        print(result, flush=True)\n"
    )
    (tmp_path / "script.py").write_text(script)
    (tmp_path / "test_workers_sleep.py").write_text(
        "import os, time\n"
        "class Sleep:\n"
        "    def __call__(self, item):\n"
        "        time.sleep(0.2 if item < 2 else 600)\n"
        "        return os.getpid()\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), ROOT])}
    command = [sys.executable, str(tmp_path / "script.py")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    pids = {int(process.stdout.readline()) for _ in range(2)}
    process.kill()
    process.wait()
    until = time.monotonic() + 20
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < until, "a process outlived the one that began it"
        time.sleep(0.1)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="ray is not installed")
def test_the_engine_of_a_real_cluster():
    apart.run("ray_cases.py")
