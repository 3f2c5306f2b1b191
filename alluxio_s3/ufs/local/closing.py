"""Closing of files for which nobody has to wait: the last descriptor of a file without a name frees its blocks, the more the longer."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from functools import partial
from threading import Lock

from twisted.logger import Logger
from twisted.python.failure import Failure

from alluxio_s3.threads import Threads
from alluxio_s3.ufs.local.descriptor import Descriptor

_log = Logger()


class Closer:
    """Closes descriptors in one of ``threads``, all that come meanwhile too."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._lock = Lock()
        self._waiting: deque[Descriptor] = deque()
        self._working = False

    def close(self, descriptor: Descriptor) -> None:
        """Close ``descriptor``, later. From any thread."""
        with self._lock:
            self._waiting.append(descriptor)
            if self._working:
                return
            self._working = True
        try:
            self._threads.begin(self._run)
        except MemoryError:  # there is no thread to be had, and nobody else would come for it
            self._run()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._working = False
                    return
                descriptor = self._waiting.popleft()
            try:
                descriptor.close()
            except OSError:
                with suppress(MemoryError):  # others are to be closed all the same
                    self._threads.tell(partial(_log.failure, "Could not close a file", Failure()))
