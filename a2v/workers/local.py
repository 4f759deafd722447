"""Processes of this machine."""

import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from a2v import workers
from a2v.errors import A2VError

# Read as libraries are loaded; beside each other, processes need a thread each and no more.
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")} | {
    "VECLIB_MAXIMUM_THREADS": "1"
}
# Items a process that lie ready, so that none waits for the one who asks.
_AHEAD = 2
_TRIES = 2
_own = {}  # what `_open` leaves in each process


def results(work, items, *, jobs, address):
    """See `workers.mapped`."""
    del address
    jobs = jobs or len(os.sched_getaffinity(0))
    if jobs == 1:
        workers.opened(work)
        for item in items:
            yield item, workers.tried(work, item)
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
        """Yields (item, Done) in order."""
        pending = deque()  # [item, future]
        while True:
            for item in itertools.islice(items, _AHEAD * self._jobs - len(pending)):
                pending.append([item, self._submit(item)])
            if not pending:
                return
            item, future = pending[0]
            try:
                done = future.result()
            except BrokenProcessPool:
                # Whose fault it was nobody says: the first is tried alone, then the others again.
                done = self._alone(item)
                for entry in itertools.islice(pending, 1, None):
                    if not _is_kept(entry[1]):
                        entry[1] = self._submit(entry[0])
            pending.popleft()
            if isinstance(done, A2VError):
                raise done  # of `open`: no item will fare better
            yield item, done

    def _submit(self, item):
        for _ in range(_TRIES):
            try:
                return self._begun().submit(_do, item)
            except BrokenProcessPool:
                self._stop()
        raise _stillborn()

    def _begun(self):
        if self._executor is None:
            context = multiprocessing.get_context("spawn")
            self._executor = ProcessPoolExecutor(self._jobs, context, _open, (self._work,))
        return self._executor

    def _alone(self, item):
        for _ in range(_TRIES):
            self._stop()
            try:
                self._begun().submit(_nothing).result()
            except BrokenProcessPool:
                raise _stillborn() from None
            with contextlib.suppress(BrokenProcessPool):
                return self._submit(item).result()
        self._stop()
        return workers.Done(workers.Died(), [])

    def _stop(self):
        """Ends all processes at once: what they are at can be done again."""
        if self._executor is not None:
            for process in list((self._executor._processes or {}).values()):
                process.terminate()
            self._executor.shutdown(cancel_futures=True)
            self._executor = None


def _is_kept(future):
    return future.done() and not future.cancelled() and future.exception() is None


def _stillborn():
    return A2VError(
        "processes die as soon as they begin; use 1 job, and in a script of your own call a2v "
        'below `if __name__ == "__main__"`'
    )


@contextlib.contextmanager
def _one_thread_each():
    """Processes begun inside give every library one thread."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _open(work):
    """In a new process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asked is interrupted, and ends this one
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _own["work"] = work
    try:
        workers.opened(work)
    except A2VError as error:
        _own["failed"] = error


def _end_with_parent():
    # One that is killed says nothing to its processes; they would wait for ever.
    multiprocessing.parent_process().join()
    os._exit(1)


def _nothing():
    return None


def _do(item):
    return _own.get("failed") or workers.tried(_own["work"], item)
