"""Bytes of a file to a plain TCP connection without passing through the process: sendfile(2) from a pull producer.

The kernel copies from the page cache to the socket. What is not in the page cache would stall the
reactor while the disk turns, so a slice that is not known to be hot is first read in a thread.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer, ISSLTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from alluxio_s3.http.limits.rates import Pace
from alluxio_s3.interfaces import IFileBacked
from alluxio_s3.storage import ObjectChanged
from alluxio_s3.threads import Threads

# The most that one turn of the reactor gives to one connection, so that a fast reader does not hold up the others; and to all together:
# while others ask for something, and when none has for so long.
SLICE_BYTES = 512 << 10
TURN_BYTES = 2 << 20
QUIET_SLICE_BYTES = 8 << 20
QUIET_TURN_BYTES = 16 << 20
QUIET_SECONDS = 0.05
LEAST_BYTES = 128 << 10
# The end of a file is copied, looked at once more, and only then sent: so a file that was changed in place meanwhile is never sent whole.
TAIL_BYTES = 4096
# So far from one another are the pages by which it is told whether what is between them is in memory.
PROBE_BYTES = 2 << 20


class Crowd:
    """Who shares a reactor, as ``seconds`` tells the time: when a client last asked for something that is no large answer (``asked_at``),
    and how many large answers go out (``large``).
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.asked_at = float("-inf")
        self.large = 0
        self._seconds = seconds

    def ask(self) -> None:
        """A client asks for something."""
        self.asked_at = self._seconds()

    def slice_bytes(self) -> int:
        """How much of its turn a large answer may take."""
        quiet = self._seconds() - self.asked_at > QUIET_SECONDS
        each, together = (QUIET_SLICE_BYTES, QUIET_TURN_BYTES) if quiet else (SLICE_BYTES, TURN_BYTES)
        return max(LEAST_BYTES, min(each, together // max(1, self.large)))


class StandIn:
    """What sends over ``transport`` in the place of ``channel``, the transport's own producer, which gets it back at the end.

    ``sent`` counts what the transport has taken; of the file that goes out now, ``_left`` bytes from ``_offset`` are to be sent. ``_done``
    waits while it is sending. If the channel has a ``crowd``, that is who else is to be served.
    """

    def __init__(self, transport: Any, channel: Any, offset: int, left: int) -> None:
        self.sent = 0
        self._transport = transport
        self._channel = channel
        self._offset = offset
        self._left = left
        self._done: Deferred[None] | None = None
        self._pace: Pace | None = getattr(channel, "pace", None)
        self._crowd: Crowd | None = getattr(channel, "crowd", None)

    @property
    def warming(self) -> bool:
        """Whether the client waits for us, and not we for it."""
        raise NotImplementedError

    def _begin_large(self) -> None:
        """Be the transport's producer, and one of those whose answers are large."""
        self._transport.unregisterProducer()
        if self._crowd is not None:
            self._crowd.large += 1
        self._transport.registerProducer(self, False)

    def _end_large(self) -> None:
        """Be none of those any more."""
        if self._crowd is not None:
            self._crowd.large -= 1

    def _slice(self) -> int:
        most = SLICE_BYTES if self._crowd is None else self._crowd.slice_bytes()
        return most if self._pace is None else min(most, self._pace.slice_bytes)

    def _took(self, count: int) -> None:
        self.sent += count
        self._offset += count
        self._left -= count

    def _go_on_after(self, taken: int) -> None:
        """Have the transport ask for more, as soon as the pace allows."""
        pause = 0.0 if self._pace is None else self._pace.spend(taken)
        if self._pace is None or not pause:
            self._transport.startWriting()
        else:
            self._pace.later(pause, self._go_on_paced)

    def _go_on_paced(self) -> None:
        if self._done is not None:
            self._transport.startWriting()

    def _cancelled(self, _: Deferred[None]) -> None:
        self._done = None
        self._give_back()

    def _finish(self, failure: Failure | None, tail: bytes = b"") -> None:
        if self._done is not None:
            done, self._done = self._done, None
            self._give_back()
            if failure is None:
                self._transport.write(tail)
                done.callback(None)
            else:
                done.errback(failure)

    def _give_back(self) -> None:
        self._transport.unregisterProducer()
        if self._transport.connected:
            self._transport.registerProducer(self._channel, True)
            # If the transport had told it to pause, it is not the one that was told to go on.
            self._channel.resumeProducing()


@implementer(IPullProducer)
class FileSender(StandIn):
    """Sends ``count`` bytes of ``file`` from ``offset`` over ``transport``; the file stays the caller's to close.

    ``channel`` is the transport's own producer, which gets its place back at the end. ``sent`` counts what the transport has taken.
    """

    def __init__(self, transport: Any, channel: Any, threads: Threads, file: IFileBacked, offset: int, count: int) -> None:
        super().__init__(transport, channel, offset, count)
        self._threads = threads
        self._file = file
        self._hot_until = offset
        self._drained = False
        self._warming: Deferred[None] | None = None

    def send_now(self) -> bool:
        """Send what is hot and the connection takes at once; whether that is all. If not, ``send`` sends the rest.

        Raises ObjectChanged as ``send`` does, and OSError when the file cannot be read.
        """
        size = min(self._left, self._slice())
        if self._pace is not None or not self._transport.idle or not is_hot(self._file.fileno(), self._offset, size):
            return False
        self._hot_until = self._offset + size
        try:
            while self._left > TAIL_BYTES and self._offset < self._hot_until:
                most = min(self._left - TAIL_BYTES, self._hot_until - self._offset)
                taken = move(self._transport, self._file.fileno(), self._offset, most)
                if taken == 0:
                    raise ObjectChanged("", "the file is shorter than it was")
                self._took(taken)
        except (BlockingIOError, ConnectionError):
            return False
        if self._left > TAIL_BYTES:
            return False
        self._transport.write(self._tail())
        return True

    async def send(self) -> None:
        """Return when the transport has all of it. Raises ObjectChanged when the file is not what it was when it was opened."""
        done = self._done = Deferred(self._cancelled)
        try:
            self._begin_large()
            await done
        finally:
            self._end_large()
            if self._warming is not None:  # the file must stay open under the thread that reads it
                await self._warming

    @property
    def warming(self) -> bool:
        """Whether a thread reads the disk, and the client waits for it."""
        return self._warming is not None

    def resumeProducing(self) -> None:
        """All that was written before has gone, or the socket takes more."""
        if not self._drained:
            # This is registerProducer's own call. If the head of the answer still waits, the next comes when it has gone.
            self._drained = True
            if not getattr(self._transport, "idle", False):
                self._transport.startWriting()
                return
        if self._offset < self._hot_until or self._probe():
            self._send_slice()

    def stopProducing(self) -> None:
        """The connection has gone; the request's own cancellation ends ``send``."""

    def _send_slice(self) -> None:
        try:
            if self._left <= TAIL_BYTES:
                self._finish_with_tail()
                return
            most = min(self._left - TAIL_BYTES, self._hot_until - self._offset)
            taken = move(self._transport, self._file.fileno(), self._offset, most)
        except BlockingIOError:
            self._transport.startWriting()
        except ConnectionError:
            self._transport.abortConnection()
        except (OSError, ObjectChanged) as problem:
            self._finish(Failure(problem))
        else:
            if taken == 0:
                self._finish(Failure(ObjectChanged("", "the file is shorter than it was")))
                return
            self._took(taken)
            if self._left <= TAIL_BYTES:
                self._send_slice()  # the tail, which needs no turn of its own
            else:
                self._go_on_after(taken)

    def _finish_with_tail(self) -> None:
        tail = self._tail()
        # Not before: a producer that is still registered would be asked for more.
        self._finish(None, tail)

    def _tail(self) -> bytes:
        """The last bytes, of a file that is proven to be what it was."""
        tail = os.pread(self._file.fileno(), self._left, self._offset)
        self._file.check_unchanged()
        if len(tail) != self._left:
            raise ObjectChanged("", "the file is shorter than it was")
        self._took(len(tail))
        return tail

    def _probe(self) -> bool:
        """Whether the next slice is hot; if not, a thread reads it and then lets the transport go on."""
        size = min(self._left, self._slice())
        if is_hot(self._file.fileno(), self._offset, size):
            self._hot_until = self._offset + size
            return True
        size = min(size, SLICE_BYTES)
        reading = Deferred.fromCoroutine(self._threads.run(os.pread, self._file.fileno(), size, self._offset))
        self._warming = reading.addBoth(self._warmed, self._offset + size)
        return False

    def _warmed(self, _: object, until: int) -> None:
        self._warming = None
        self._hot_until = until
        if self._done is not None:
            self._transport.startWriting()


def takes_files(transport: Any) -> bool:
    """Whether bytes of files can be moved to such a connection: to a plain one, and to one that says how."""
    return hasattr(transport, "move") or not ISSLTransport.providedBy(transport)


def move(transport: Any, descriptor: int, offset: int, count: int) -> int:
    """Give a connection up to ``count`` bytes of a file; how many it took, 0 at the end of the file.

    Raises BlockingIOError when it is full, ConnectionError when it is no more. What it did not take must be the next that it is given.
    """
    own = getattr(transport, "move", None)
    return os.sendfile(transport.fileno(), descriptor, offset, count) if own is None else int(own(descriptor, offset, count))


def is_hot(descriptor: int, offset: int, count: int) -> bool:
    """Whether the first and the last page of that range, and some in it, can be read without waiting for a disk.

    The kernel reads ahead in runs, so they tell of what is between them. A file system that has no
    such question (tmpfs keeps everything in memory; overlay asks the one below) is taken to be hot.
    """
    probe = bytearray(1)
    try:
        for at in (*range(offset, offset + count - 1, PROBE_BYTES), max(offset, offset + count - 1)):
            os.preadv(descriptor, [probe], at, os.RWF_NOWAIT)
    except BlockingIOError:
        return False
    except OSError as problem:
        return problem.errno in (errno.EOPNOTSUPP, errno.EINVAL)
    return True
