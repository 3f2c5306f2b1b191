"""Bytes that are partly in files and partly on their way, to a connection: ``sendfile.move`` for the first, a write for the others.

While one stretch goes out the next one is fetched, so that what has to be opened, verified or waited for does not hold up the client.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Generator
from contextlib import aclosing
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from alluxio_s3.http.sendfile import SLICE_BYTES, TAIL_BYTES, StandIn, is_hot, move
from alluxio_s3.interfaces import Span
from alluxio_s3.storage import ObjectChanged
from alluxio_s3.threads import Threads


@frozen
class _Begun:
    """What is left of an ``await`` that has begun: it waits for ``waited``."""

    step: Generator[Any, Any, Any]
    waited: Any

    def __await__(self) -> Generator[Any, Any, Any]:
        waited = self.waited
        while True:
            try:
                try:
                    result = yield waited
                except Exception as problem:  # noqa: BLE001  # it is the other's
                    waited = self.step.throw(problem)
                else:
                    waited = self.step.send(result)
            except StopIteration as done:
                return done.value


async def gathered(items: AsyncIterator[bytes | Span], threads: Threads) -> bytes:
    """What ``items`` gives, which is little, in memory. The files are released. Raises ObjectChanged, and what ``items`` raises."""
    async with aclosing(items) as source:  # type: ignore[type-var]  # async generators, by the interface's word
        return b"".join([item if isinstance(item, bytes) else await _read(item, threads) async for item in source])


async def _read(span: Span, threads: Threads) -> bytes:
    file, count, offset = span.file, span.count, span.offset
    try:
        if is_hot(file.fileno(), offset, count):
            data = os.pread(file.fileno(), count, offset)
        else:
            data = await threads.run(os.pread, file.fileno(), count, offset)
        file.check_unchanged()
    finally:
        file.release()
    if len(data) != count:
        raise ObjectChanged("", "the file is shorter than it was")
    return data


@implementer(IPullProducer)
class SpanSender(StandIn):
    """Sends ``count`` bytes, which are what ``items`` gives, over ``transport``. The files are released as they have gone.

    ``channel`` is the transport's own producer, which gets its place back at the end. ``sent`` counts what the transport has taken.
    """

    def __init__(self, transport: Any, channel: Any, threads: Threads, items: AsyncIterator[bytes | Span], count: int) -> None:
        super().__init__(transport, channel, 0, 0)
        self._threads = threads
        self._items = items
        self._count = count
        # The stretch that goes out now, and up to where it is known to be in memory.
        self._span: Span | None = None
        self._hot_until = 0
        # What comes next: here, or on its way; ``_ended`` when nothing more does, and ``_failed`` if it ought to.
        self._ahead: deque[bytes | Span] = deque()
        self._coming: Deferred[None] | None = None
        self._ended = False
        self._failed: Failure | None = None
        # How much the last turn sent. So many files are fetched together: what is proven is to go out soon.
        self._stride = 0
        self._starved = False
        self._warming: Deferred[None] | None = None
        self._drained = False

    @property
    def warming(self) -> bool:
        """Whether the client waits for us: for the store, or for a disk."""
        return self._starved or self._warming is not None

    async def send(self) -> None:
        """Return when the transport has all of it. Raises ObjectChanged when it is not what was announced, and what ``items`` raises."""
        done = self._done = Deferred(self._cancelled)
        try:
            self._begin_large()
            await done
        finally:
            self._end_large()
            await self._let_go()

    def resumeProducing(self) -> None:
        """All that was written before has gone, or the socket takes more."""
        if not self._drained:
            # This is registerProducer's own call. If the head of the answer still waits, the next comes when it has gone.
            self._drained = True
            if not getattr(self._transport, "idle", False):
                self._transport.startWriting()
                return
        self._go_on()

    def stopProducing(self) -> None:
        """The connection has gone; the request's own cancellation ends ``send``."""

    def _go_on(self) -> None:
        """Give the transport what is here, up to a slice, and have it ask for more."""
        before = self.sent
        try:
            until = before + self._slice()
            while self._done is not None and self.sent < until:
                if not (self._take_next() if self._span is None else self._send_slice(until - self.sent)):
                    return
            if self._done is not None:
                self._go_on_after(self.sent - before)
        except BlockingIOError:
            self._transport.startWriting()
        except ConnectionError:
            self._transport.abortConnection()
        except (OSError, ObjectChanged) as problem:
            self._finish(Failure(problem))
        finally:
            self._stride = self.sent - before

    def _take_next(self) -> bool:
        """Make what comes next what goes out now. False if there is nothing to do but to wait, or all is done."""
        if self.sent == self._count:
            self._finish(None)
            return False
        if not self._ahead:
            self._fetch()
        if not self._ahead:
            if self._failed is not None:
                self._finish(self._failed)
            elif self._ended:
                raise ObjectChanged("", "there were fewer bytes than announced")
            else:
                self._starved = True
            return False
        item = self._ahead.popleft()
        size = len(item) if isinstance(item, bytes) else item.count
        if self.sent + size > self._count:
            self._span = item if isinstance(item, Span) else None
            raise ObjectChanged("", "there were more bytes than announced")
        if isinstance(item, Span):
            self._span, self._offset, self._left = item, item.offset, item.count
            # Whoever made it has just had it open and verified.
            self._hot_until = item.offset + max(SLICE_BYTES, self._slice())
            if not self._ahead and self.sent + size < self._count:
                self._fetch()
            return True
        self.sent += size
        self._transport.write(item)
        if self.sent == self._count:
            self._finish(None)
        else:
            self._fetch()
        return bool(getattr(self._transport, "idle", False))

    def _send_slice(self, room: int) -> bool:
        """Send up to so much of the file. False if a thread has to read it first."""
        span = self._span
        if span is None or not self._is_hot(span):
            return False
        last = self.sent + self._left == self._count
        if last and self._left <= TAIL_BYTES:
            # The end of the answer goes out only after one more look: what was changed meanwhile is never sent whole.
            data = os.pread(span.file.fileno(), self._left, self._offset)
            span.file.check_unchanged()
            if len(data) != self._left:
                raise ObjectChanged("", "the file is shorter than it was")
            self._took(len(data))
            self._finish(None, data)
            return True
        most = min(room, self._hot_until - self._offset, self._left - TAIL_BYTES if last else self._left)
        # It was verified a while ago: what has been damaged since is not to go out, even in an answer that is cut.
        span.file.check_unchanged()
        taken = move(self._transport, span.file.fileno(), self._offset, most)
        if not taken:
            raise ObjectChanged("", "the file is shorter than it was")
        self._took(taken)
        if not self._left:
            span.file.check_unchanged()
            self._release_span()
        return True

    def _is_hot(self, span: Span) -> bool:
        if self._offset < self._hot_until:
            return True
        size = min(self._left, SLICE_BYTES)
        if is_hot(span.file.fileno(), self._offset, size):
            self._hot_until = self._offset + size
            return True
        reading = Deferred.fromCoroutine(self._threads.run(os.pread, span.file.fileno(), size, self._offset))
        self._warming = reading.addBoth(self._warmed, self._offset + size)
        return False

    def _warmed(self, _: object, until: int) -> None:
        self._warming = None
        self._hot_until = until
        if self._done is not None:
            self._go_on()

    def _fetch(self) -> None:
        """Have what is next come, unless there is some, or it comes already. Files that are here are cheaper together than one by one."""
        room = 0 if self._ahead or self._coming is not None or self._ended else max(1, self._stride)
        while room > 0:
            # Most often it is here at once, and a Deferred would cost more than all the rest.
            step = self._items.__anext__().__await__()
            try:
                waited = next(step)
            except StopIteration as done:
                self._ahead.append(done.value)
                room = room - done.value.count if isinstance(done.value, Span) else 0
            except StopAsyncIteration:
                self._ended = True
                return
            except Exception:  # noqa: BLE001  # whoever sends gets it, once what was before it has gone; the answer is cut there
                self._ended, self._failed = True, Failure()
                return
            else:
                coming = Deferred.fromCoroutine(self._advance(_Begun(step, waited)))
                self._coming = None if coming.called else coming
                return

    async def _advance(self, step: _Begun) -> None:
        try:
            self._ahead.append(await step)
        except StopAsyncIteration:
            self._ended = True
        except Exception:  # noqa: BLE001  # as above
            self._ended, self._failed = True, Failure()
        self._coming = None
        if self._starved and self._done is not None:
            self._starved = False
            self._go_on()

    async def _let_go(self) -> None:
        """Release what was not sent, and end what would come."""
        if self._warming is not None:  # the file must stay open under the thread that reads it
            await self._warming
        coming = self._coming
        if coming is not None:
            coming.cancel()
            await coming
        self._release_span()
        for item in self._ahead:
            if isinstance(item, Span):
                item.file.release()
        self._ahead.clear()
        closing: Coroutine[Any, Any, None] = self._items.aclose()  # type: ignore[attr-defined]  # an async generator
        await closing

    def _release_span(self) -> None:
        span, self._span = self._span, None
        if span is not None:
            span.file.release()
