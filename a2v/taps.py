"""Bytes of a source that comes at its own pace, read ahead by a thread."""

import contextlib
import queue
import threading

# Chunks that wait for the decoder; a source that is quicker has to wait.
WAITING = 32
POLL_S = 0.2


class Tap:
    """Bytes that a thread reads ahead, a bounded number of them; a file object for decoders.

    Args:
        chunks: generator of bytes; empty ones say that it waits, and may be closed then.
        stop: threading.Event, after which nothing comes any more.
    """

    def __init__(self, chunks, stop):
        self._stop, self._closed = stop, threading.Event()
        self._queue = queue.Queue(WAITING)
        self._rest, self._ended, self._failure = b"", False, None
        # A read cannot be called off: the process does not wait for it.
        threading.Thread(target=self._pump, args=(chunks,), daemon=True).start()

    def read(self, size):
        """Takes bytes, up to `size`, as soon as there are any; none at the end.

        Raises:
            Exception: what ended the source, if that was no ordinary end.
        """
        while not (self._rest or self._ended or self._stop.is_set() or self._closed.is_set()):
            with contextlib.suppress(queue.Empty):
                item = self._queue.get(timeout=POLL_S)
                if isinstance(item, bytes):
                    self._rest = item
                else:
                    self._ended, self._failure = True, item
        if self._stop.is_set():
            return b""
        if not self._rest:
            self.check()
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def exactly(self, size):
        """Takes `size` bytes, fewer only at the end."""
        parts = []
        while size and (data := self.read(size)):
            parts.append(data)
            size -= len(data)
        return b"".join(parts)

    def peek(self, size):
        """The next `size` bytes, which stay; fewer only at the end."""
        head = self.exactly(size)
        self._rest = head + self._rest
        return head

    def check(self):
        """Raises what ended the source, if that was no ordinary end."""
        if self._failure is not None and not self._stop.is_set():
            raise self._failure

    def close(self):
        """Lets go of the source, once its present read is over."""
        self._closed.set()

    def _pump(self, chunks):
        try:
            with contextlib.closing(chunks):
                for chunk in chunks:
                    if chunk:
                        self._put(chunk)
                    if self._closed.is_set():
                        return
            self._put(None)
        except Exception as error:  # it is raised where the bytes are wanted
            self._put(error)

    def _put(self, item):
        while not self._closed.is_set():
            with contextlib.suppress(queue.Full):
                self._queue.put(item, timeout=POLL_S)
                return
