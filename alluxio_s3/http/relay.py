"""Bytes from one plain TCP connection to another without passing through the process: splice(2), by way of a pipe.

What comes in while the client takes nothing waits in the kernel: a pipe full, and what the two sockets hold; so a slow client slows the
one that gives, and nothing is copied.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from typing import Any

from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer, ISSLTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from alluxio_s3.http.sendfile import StandIn
from alluxio_s3.interfaces import IFlow
from alluxio_s3.storage import ObjectChanged

# Below this a pipe is not worth its making.
LEAST_BYTES = 64 << 10
# What one transfer keeps in its pipe at most. A user may have 64 MiB in all; whoever comes after that gets small ones (pipe(7)), and with
# those it is cheaper to copy.
PIPE_BYTES = 512 << 10
LEAST_PIPE_BYTES = 64 << 10
_SPLICE_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK


@define(eq=False)
class Pipe:
    """A pipe of ``size`` bytes, of which ``held`` are in it: put in at ``entry``, taken out at ``exit``."""

    entry: int
    exit: int
    size: int
    held: int = 0

    @classmethod
    def opened(cls) -> Pipe | None:
        """A new one; None if there are no descriptors for it, or no room for one that is of use."""
        try:
            way_out, way_in = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return None
        with suppress(OSError):
            fcntl.fcntl(way_in, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        made = cls(way_in, way_out, fcntl.fcntl(way_in, fcntl.F_GETPIPE_SZ))
        if made.size < LEAST_PIPE_BYTES:
            made.close()
            return None
        return made

    def close(self) -> None:
        """Let go of it, and of what is in it."""
        os.close(self.entry)
        os.close(self.exit)


def takes_flows(transport: Any) -> bool:
    """Whether bytes of a pipe can be moved to such a connection: to a plain one."""
    return not hasattr(transport, "move") and not ISSLTransport.providedBy(transport)


@implementer(IPullProducer)
class Relay(StandIn):
    """Sends ``count`` bytes, which are what ``items`` gives, over ``transport``, by way of ``pipe``, which is closed at the end.

    ``channel`` is the transport's own producer, which gets its place back at the end. ``sent`` counts what the transport has taken.
    """

    def __init__(self, transport: Any, channel: Any, pipe: Pipe, items: AsyncIterator[bytes | IFlow], count: int) -> None:
        super().__init__(transport, channel, 0, count)
        self._pipe = pipe
        self._items = items
        self._item: bytes | IFlow = b""
        self._starved = False

    @property
    def warming(self) -> bool:
        """Whether the client waits for us, or for the one that gives."""
        return self._done is None or self._starved

    async def send(self) -> None:
        """Return when the transport has all of it. Raises ObjectChanged when it is more than was announced, and what ``items`` raises."""
        try:
            self._begin_large()
            async with aclosing(self._items) as items:  # type: ignore[type-var]  # async generators, by the interface's word
                async for item in items:
                    await self._pass_on(item)
        finally:
            self._end_large()
            self._pipe.close()
            self._give_back()

    def resumeProducing(self) -> None:
        """All that was written before has gone, or the socket takes more."""
        if self._done is None:
            return
        if isinstance(self._item, bytes):
            self._write(self._item)
        else:
            self._splice(self._item)

    def stopProducing(self) -> None:
        """The connection has gone; the request's own cancellation ends ``send``."""

    async def _pass_on(self, item: bytes | IFlow) -> None:
        if (len(item) if isinstance(item, bytes) else item.left) > self._left:
            raise ObjectChanged("", "there were more bytes than announced")
        self._item = item
        done = self._done = Deferred()
        self._transport.startWriting()
        try:
            await done
        finally:
            self._done, self._starved = None, False
            if not isinstance(item, bytes):
                item.leave()

    def _write(self, piece: bytes) -> None:
        """Give the transport all of it at once; when it asks for more, that has gone."""
        if piece:
            self._item = b""
            self._took(len(piece))
            self._transport.write(piece)
            self._go_on_after(len(piece))
        else:
            self._end_item()

    def _splice(self, flow: IFlow) -> None:
        """A turn: as much of the flow as there is, up to a slice."""
        pipe, before = self._pipe, self.sent
        until = before + self._slice()
        self._starved = False
        try:
            while self.sent < until:
                if not pipe.held:
                    pipe.held = flow.fill(pipe.entry, pipe.size)
                    if not pipe.held:
                        break
                moved = os.splice(pipe.exit, self._transport.fileno(), min(pipe.held, until - self.sent), flags=_SPLICE_FLAGS)
                pipe.held -= moved
                self._took(moved)
        except BlockingIOError:  # who gives has no more for now, or the client takes no more
            self._starved = not pipe.held and (self._pace is None or self.sent == before)
        except ConnectionError:
            self._transport.abortConnection()
            return
        except OSError:
            self._end_item(Failure())
            return
        if flow.over and not pipe.held:
            self._end_item()
        elif self._starved:
            flow.wait(self.resumeProducing)
        else:
            self._go_on_after(self.sent - before)

    def _end_item(self, failure: Failure | None = None) -> None:
        """The item has gone, or can't go."""
        done, self._done = self._done, None
        if done is not None:
            if failure is None:
                done.callback(None)
            else:
                done.errback(failure)
