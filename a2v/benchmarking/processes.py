"""Measuring in processes of their own: `python -m MODULE ORDER`, order and answer JSON.

The process that starts another one sets its number of threads, which libraries read when they load.
What a task does not need its module does not import, for that would count as its memory.
"""

import hashlib
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

from a2v import audio
from a2v.errors import A2VError
from a2v.workers.local import ONE_THREAD


def ask(module, task, **order):
    """Has a task done in a process of its own, with one thread per library.

    Args:
        module: module that calls `serve` when it is run.
        task: str, one of its tasks; order: its keyword arguments, as JSON holds them.

    Returns:
        what the task returned, as JSON holds it.

    Raises:
        A2VError: it failed.
    """
    command = [sys.executable, "-m", module.__name__, json.dumps(order | {"task": task})]
    done = subprocess.run(
        command, env=os.environ | ONE_THREAD, capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise A2VError(f"measuring {task} failed: {last[0]}")
    return json.loads(done.stdout.splitlines()[-1])


def serve(tasks):
    """Does the task that the command line orders; `tasks` is a dict of name to function."""
    order = json.loads(sys.argv[1])
    try:
        print(json.dumps(tasks[order.pop("task")](**order)))
    except A2VError as error:
        sys.exit(str(error))


def timed(call):
    """Calls, and returns its `elapsed_s` and `processor_s`, children's included, and its value."""
    elapsed, processor = time.perf_counter(), _processor_s()
    value = call()
    processor = _processor_s() - processor
    return {"elapsed_s": time.perf_counter() - elapsed, "processor_s": processor}, value


def peak_bytes():
    """The most memory that this process has held: int."""
    try:
        # ru_maxrss keeps, through exec, what the process had that started this one.
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.split("VmHWM:")[1].split()[0])
    except (OSError, IndexError):
        return in_bytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def in_bytes(maxrss):
    """What getrusage calls ru_maxrss: kilobytes, on macOS bytes."""
    return maxrss if sys.platform == "darwin" else 1024 * maxrss


def drawn(tracks, generator, *, least_s, most):
    """Draws recordings that can be measured on.

    Args:
        tracks: list of corpora.Track.
        generator: numpy Generator.
        least_s: float, s; shorter, silent and repeated recordings are passed over.
        most: int.

    Returns:
        list of corpora.Track, at most so many.

    Raises:
        A2VError: there is none.
    """
    least = round(least_s * audio.SAMPLE_RATE)
    taken, seen = [], set()
    for k in generator.permutation(len(tracks)):
        waveform = audio.load(tracks[k].path)
        digest = hashlib.sha256(waveform).digest()
        loud = len(waveform) >= least and audio.level_dbfs(waveform) > audio.SILENCE_DBFS
        if loud and digest not in seen:
            taken.append(tracks[k])
            seen.add(digest)
        if len(taken) == most:
            break
    if not taken:
        raise A2VError(
            f"{len(tracks)} tracks, none of {least_s:g} s that is not silent; give longer ones"
        )
    return taken


def counter(total, progress):
    """A function that reports one more of `total` processes as ended; `progress` may be `None`."""
    ended = 0

    def done():
        nonlocal ended
        ended += 1
        if progress:
            progress(ended, total)

    return done


def processor():
    """The processor's name: str."""
    listed = Path("/proc/cpuinfo")
    for line in listed.read_text().splitlines() if listed.exists() else ():
        if line.startswith("model name"):
            return line.split(": ", 1)[1]
    return platform.processor() or platform.machine()


def _processor_s():
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
