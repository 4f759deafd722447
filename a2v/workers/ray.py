"""Ray: tasks on a cluster of machines, which all have to see the files that they are given."""

import contextlib
import os
import re
import socket
import uuid
from collections import deque

from a2v import workers
from a2v.errors import A2VError

NEEDED = {"ray": "'a2v[ray]'"}
ADDRESSED = True
# Tasks a core that lie ready.
_AHEAD = 2
# A task whose worker or machine died is done again by another.
_RETRIES = 3
_REACHED_S = 10.0
_opened = {}  # by key, in each worker


def results(work, items, *, jobs, address):
    """See `workers.mapped`; without an address Ray takes the cluster it finds, or begins one."""
    import ray

    begun = not ray.is_initialized()
    if begun:
        _connect(address)
    pending = deque()
    try:
        # Paths may be relative to where the caller is.
        key, held, folder = uuid.uuid4().hex, ray.put(work), os.getcwd()
        task = ray.remote(max_retries=_RETRIES)(_do)
        limit = jobs or _AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
        items = iter(items)
        while True:
            while len(pending) < limit:
                try:
                    item = next(items)
                except StopIteration:
                    break
                # In a list, a reference is passed on and not its value.
                pending.append((item, task.remote(key, [held], folder, item)))
            if not pending:
                return
            item, reference = pending.popleft()
            try:
                done = ray.get(reference)
            except (
                ray.exceptions.WorkerCrashedError,
                ray.exceptions.NodeDiedError,
                ray.exceptions.OutOfMemoryError,
            ):
                done = workers.Done(workers.Died(), [])
            if isinstance(done, A2VError):
                raise done  # of `open`: no item will fare better
            yield item, done
    finally:
        for _, reference in pending:
            ray.cancel(reference)
        if begun:
            ray.shutdown()


def _connect(address):
    import ray

    try:
        if address and (parts := re.fullmatch(r"(.+):(\d+)", address)) and "//" not in address:
            # Ray itself tries for minutes.
            socket.create_connection((parts[1], int(parts[2])), _REACHED_S).close()
        options = {"include_dashboard": False} if address is None else {}
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **options)
    except (OSError, ValueError, RuntimeError) as error:
        line = str(error).strip().splitlines()[0]
        raise A2VError(
            f"no Ray cluster at {address or 'this machine'} ({line}); `ray start --head` begins one"
        ) from error


def _do(key, held, folder, item):
    """In a worker: opens the work at its first item."""
    import ray

    if key not in _opened:
        _opened.clear()  # of an earlier caller
        with contextlib.suppress(OSError):
            os.chdir(folder)
        work = ray.get(held[0])
        try:
            workers.opened(work)
        except A2VError as error:
            return error
        _opened[key] = work
    return workers.tried(_opened[key], item)
