"""Bytes of a file to a plain TCP connection without passing through the process: sendfile(2) from a pull producer.

The kernel copies from the page cache to the socket. What is not in the page cache would stall the
reactor while the disk turns, so a slice that is not known to be hot is first read in a thread.
"""

from __future__ import annotations

import errno
import os
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from alluxio_s3.storage import ObjectChanged
from alluxio_s3.threads import Threads

# The most that one turn of the reactor gives to one connection, so that a fast reader does not hold up the others.
SLICE_BYTES = 512 << 10
_PAGE = 4096


@implementer(IPullProducer)
class FileSender:
    """Sends ``count`` bytes of ``descriptor`` from ``offset`` over ``transport``; the descriptor stays the caller's.

    ``channel`` is the transport's own producer, which gets its place back at the end. ``sent`` counts what the kernel has taken.
    """

    def __init__(self, transport: Any, channel: Any, threads: Threads, descriptor: int, offset: int, count: int) -> None:
        self.sent = 0
        self._transport = transport
        self._channel = channel
        self._threads = threads
        self._descriptor = descriptor
        self._offset = offset
        self._left = count
        self._hot_until = offset
        self._drained = False
        self._done: Deferred[None] | None = None

    async def send(self) -> None:
        """Return when the kernel has all of it. Raises ObjectChanged when the file is shorter than that."""
        self._done = Deferred(self._cancelled)
        self._transport.unregisterProducer()
        self._transport.registerProducer(self, False)
        await self._done

    def resumeProducing(self) -> None:
        """All that was written before has gone, or the socket takes more."""
        if not self._drained:
            # This is registerProducer's own call. The next comes when the head of the answer has gone.
            self._drained = True
            self._transport.startWriting()
            return
        if self._offset >= self._hot_until and not self._probe():
            return
        try:
            taken = os.sendfile(self._transport.fileno(), self._descriptor, self._offset, min(self._left, SLICE_BYTES))
        except BlockingIOError:
            self._transport.startWriting()
            return
        except ConnectionError:
            self._transport.abortConnection()
            return
        except OSError as problem:
            self._finish(Failure(problem))
            return
        if taken == 0:
            self._finish(Failure(ObjectChanged("", "the file is shorter than it was")))
            return
        self.sent += taken
        self._offset += taken
        self._left -= taken
        if self._left:
            self._transport.startWriting()
        else:
            self._finish(None)

    def stopProducing(self) -> None:
        """The connection has gone; the request's own cancellation ends ``send``."""

    def _probe(self) -> bool:
        """Whether the next slice is hot; if not, a thread reads it and then lets the transport go on."""
        size = min(self._left, SLICE_BYTES)
        if is_hot(self._descriptor, self._offset, size):
            self._hot_until = self._offset + size
            return True
        warming = Deferred.fromCoroutine(self._threads.run(os.pread, self._descriptor, size, self._offset))
        warming.addBoth(self._warmed, self._offset + size)  # type: ignore[unused-awaitable]  # it ends by itself
        return False

    def _warmed(self, _: object, until: int) -> None:
        self._hot_until = until
        if self._done is not None:
            self._transport.startWriting()

    def _cancelled(self, _: Deferred[None]) -> None:
        self._done = None
        self._give_back()

    def _finish(self, failure: Failure | None) -> None:
        if self._done is not None:
            done, self._done = self._done, None
            self._give_back()
            if failure is None:
                done.callback(None)
            else:
                done.errback(failure)

    def _give_back(self) -> None:
        self._transport.unregisterProducer()
        if self._transport.connected:
            self._transport.registerProducer(self._channel, True)


def is_hot(descriptor: int, offset: int, count: int) -> bool:
    """Whether the first and the last page of that range can be read without waiting for a disk.

    The kernel reads ahead in runs, so the two ends tell of what is between them. A file system that has no
    such question (tmpfs keeps everything in memory; overlay asks the one below) is taken to be hot.
    """
    probe = bytearray(1)
    try:
        for at in (offset, max(offset, offset + count - 1)):
            os.preadv(descriptor, [probe], at, os.RWF_NOWAIT)
    except BlockingIOError:
        return False
    except OSError as problem:
        return problem.errno in (errno.EOPNOTSUPP, errno.EINVAL)
    return True
