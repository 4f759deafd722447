"""Processes of this machine."""

import contextlib
import itertools
import multiprocessing
import os
import threading
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from a2v import workers
from a2v.errors import A2VError

# Items a process that lie ready, so that none waits for the one who asks.
_AHEAD = 2
_TRIES = 2
_own = {}  # what `_open` leaves in each process for `_do`


def results(work, items, *, jobs, address):
    """See `workers.mapped`."""
    del address
    jobs = jobs or len(os.sched_getaffinity(0))
    if jobs == 1:
        _opened(work)
        for item in items:
            yield item, _tried(work, item)
        return
    with _Pool(work, jobs) as pool:
        yield from pool.results(iter(items))


class _Pool:
    """Processes that are begun anew when one of them dies."""

    def __init__(self, work, jobs):
        self._work, self._jobs = work, jobs
        self._stack = contextlib.ExitStack()
        self._executor = None

    def __enter__(self):
        self._stack.enter_context(_one_thread_each())
        return self

    def __exit__(self, *error):
        self._stop()
        return self._stack.__exit__(*error)

    def results(self, items):
        """Yields (item, result) in order."""
        pending = deque()  # [item, future]
        while True:
            for item in itertools.islice(items, _AHEAD * self._jobs - len(pending)):
                pending.append([item, self._submit(item)])
            if not pending:
                return
            item, future = pending[0]
            try:
                result = future.result()
            except BrokenProcessPool:
                # Whose fault it was nobody says: the first is tried alone, the others again.
                result = self._alone(item)
                for entry in itertools.islice(pending, 1, None):
                    entry[1] = self._submit(entry[0])
            pending.popleft()
            yield item, result

    def _submit(self, item):
        for _ in range(_TRIES):
            try:
                if self._executor is None:
                    context = multiprocessing.get_context("spawn")
                    asked = (self._jobs, context, _open, (self._work,))
                    self._executor = ProcessPoolExecutor(*asked)
                return self._executor.submit(_do, item)
            except BrokenProcessPool:
                self._stop()
        raise A2VError("processes die as soon as they begin; use 1 job")

    def _alone(self, item):
        for _ in range(_TRIES):
            self._stop()
            with contextlib.suppress(BrokenProcessPool):
                return self._submit(item).result()
        self._stop()
        return workers.died(item)

    def _stop(self):
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)
            self._executor = None


@contextlib.contextmanager
def _one_thread_each():
    """Processes begun inside give every library one thread; they read it as they import NumPy."""
    before = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    os.environ.update(dict.fromkeys(before, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _open(work):
    """In a new process."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _opened(work)
    _own["work"] = work


def _end_with_parent():
    # One that is killed says nothing to its processes; they would wait for ever.
    multiprocessing.parent_process().join()
    os._exit(1)


def _opened(work):
    if hasattr(work, "open"):
        work.open()


def _do(item):
    return _tried(_own["work"], item)


def _tried(work, item):
    try:
        return work(item)
    except A2VError as error:
        return error
