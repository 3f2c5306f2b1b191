"""The short way for the plainest requests: a whole GET or HEAD of an object that is hot, recognised in the bytes of one read.

It is the pipeline made short, with the same parser of targets, the same namespace, identity, conditions, ranges, headers and
access log; ``tests/http/test_fastpath.py`` holds the two ways to the same answers. What it does not recognise, or cannot
answer with 200 or 206 at once, it leaves untouched to the long way.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, cast
from weakref import WeakKeyDictionary

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from alluxio_s3.actions.object_read import Found, describe
from alluxio_s3.http.answer import render_fields, status_line
from alluxio_s3.http.limits.gate import Stay
from alluxio_s3.http.pipeline import Pipeline, read_head
from alluxio_s3.http.plain import PlainRequest
from alluxio_s3.http.recognition import Recognised, recognise
from alluxio_s3.http.redirection import REDIRECTED, redirect_at_once
from alluxio_s3.http.sendfile import SLICE_BYTES
from alluxio_s3.interfaces import IHotObject, IHotObjects, IPrincipal, IQuickAuthenticator, IQuickAuthorizer, IUnderFileSystem
from alluxio_s3.ops.access_log import Account
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.request import RequestHead
from alluxio_s3.s3.target import Query, Target
from alluxio_s3.storage import StorageError

if TYPE_CHECKING:
    from alluxio_s3.http.channel import S3Channel, S3Request
    from alluxio_s3.http.sendfile import FileSender
    from alluxio_s3.http.transport import EagerServer

_NO_QUERY = Query()
# Up to here head and body leave in one write; beyond, sendfile is cheaper than a copy.
ONE_WRITE_BYTES = 16 << 10
# How many values of x-amz-checksum-mode are worth remembering for a file.
MAX_RENDERED = 4
MAX_STORES = 1024
# For bodies that leave with their heads: a new buffer for each would be cleared first.
_ROOM = memoryview(bytearray(ONE_WRITE_BYTES))
_AGE = b"\r\nAge: "
_CLOSING = b"Connection: close\r\n"


class FastPath:
    """Serves what it recognises. One for all connections."""

    _log = Logger()

    def __init__(self, pipeline: Pipeline) -> None:
        self.gate = pipeline.gate
        self._pipeline = pipeline
        # Each under-store as what it is here, asked once. Those of mounts that are gone go when there are many.
        self._stores: WeakKeyDictionary[IUnderFileSystem, IHotObjects] = WeakKeyDictionary()
        self.renew()

    def renew(self) -> None:
        """Ask those of whom the pipeline has others now."""
        self._services = self._pipeline.services
        self._identify: Callable[[bytes | None, str, bytes, Mapping[bytes, bytes]], IPrincipal | None] | None = None
        self._allows: Callable[[IPrincipal, str, str, str], bool]
        quick = IQuickAuthenticator(self._pipeline.authenticator, None)
        authorizer = IQuickAuthorizer(self._services.authorizer, None)
        if quick is not None and authorizer is not None:
            self._identify = quick.identify
            self._allows = authorizer.allows

    def serve(self, channel: S3Channel, data: bytes) -> bool:
        """Answer the request that ``data`` is, whole, if it is one for here. False: nothing has been done."""
        recognised = recognise(data)
        if recognised is None:
            return False
        asked = recognised.asked
        if asked.action is not None and self._identify is not None and recognised.is_dated_well:
            principal = self._identify(recognised.value(recognised.names.authorization), asked.method, asked.uri, recognised.headers)
            if (
                principal is not None
                # Where tags are elsewhere, HEAD counts them.
                and (self._services.tags.travels or not asked.is_head)
                and self._allows(principal, "s3:GetObject", asked.target.bucket, asked.target.key)
                and self.gate.passes(principal.name)
            ):
                if self.gate.turns.must_wait(principal.name, channel.line):
                    channel.stand_in_line(principal.name)
                    channel.postpone(self.gate.turns.wait(principal.name), data)
                    return True
                if self._answer(channel, recognised, principal) or self._redirect(channel, recognised, principal):
                    self.gate.passed(principal.name)
                    return True
        channel.site.outbox.flush()
        channel.crowd.ask()
        request = PlainRequest(channel, asked.method.encode(), asked.uri, recognised.headers, asked.target)
        channel.occupy(self._run(channel, request))
        return True

    async def _run(self, channel: S3Channel, request: PlainRequest) -> None:
        await self._pipeline.run(cast("S3Request", request))
        if not request.is_cut:
            channel.vacate()

    def _answer(self, channel: S3Channel, recognised: Recognised, principal: IPrincipal) -> bool:
        asked = recognised.asked
        started = self._services.clock.seconds()
        file = self._open(asked.target)
        if file is None:
            return False
        body: bytes | memoryview = b""
        in_one = True
        try:
            found, fields = _described(file, recognised)
            if not asked.is_head:
                in_one = found.count <= ONE_WRITE_BYTES
                if in_one:
                    body = _read_hot(file.fileno(), found.offset, found.count)
            proven = file.is_current()
        except (S3Error, StorageError, OSError, MemoryError):
            proven = False
        if not proven:
            file.release()
            return False
        request_id = self._pipeline.next_id()
        account = Account(
            request_id, asked.method, asked.raw_target, channel.peer, asked.action or "-", principal.name, found.status, "-", 0, len(body)
        )
        closing = b"" if channel.site.keep_alive else _CLOSING
        head = b"".join((status_line(found.status), self._pipeline.common_fields(request_id), fields, closing, b"\r\n", body))
        if in_one:
            file.release()
            self._send_soon(channel, head, account, started)
        else:
            transport, size = cast("EagerServer", channel.transport), min(found.count, SLICE_BYTES)
            channel.site.outbox.send(transport, size, self._send_file, channel, file, found, head, account, started)
        return True

    def _send_soon(self, channel: S3Channel, answer: bytes, account: Account, started: float) -> None:
        """Send a whole answer, with those to others."""
        channel.site.crowd.asked_at = started
        transport = cast("EagerServer", channel.transport)
        channel.site.outbox.send(transport, len(answer), self._deliver, channel, answer, account, started)

    def _deliver(self, channel: S3Channel, answer: bytes, account: Account, started: float) -> None:
        """Send it."""
        channel.transport.write(answer)
        self._close(account, started)
        if not channel.site.keep_alive:
            channel.loseConnection()

    def _redirect(self, channel: S3Channel, recognised: Recognised, principal: IPrincipal) -> bool:
        """Send the client to who owns what it asks for, where that needs no asking."""
        asked, services = recognised.asked, self._services
        if services.routing is None or asked.is_head:
            return False
        started = services.clock.seconds()
        try:
            place = services.namespace.locate(asked.target.bucket)
        except S3Error:
            return False
        asker = recognised.asker(channel.peer, secure=bool(channel.isSecure()))
        head = partial(_head, channel, recognised)
        found = services.routing.send(asker, head, principal, place.ufs, place.path(asked.target.key))
        if found is None or found.elsewhere is None:
            return False
        request_id = self._pipeline.next_id()
        closing = b"" if channel.site.keep_alive else _CLOSING
        common = self._pipeline.common_fields(request_id)
        answer, size = redirect_at_once(found.elsewhere, found.reason, asked.target.bucket, asked.uri, request_id, common, closing)
        account = Account(request_id, "GET", asked.raw_target, channel.peer, asked.action or "-", principal.name, REDIRECTED, "-", 0, size)
        self._send_soon(channel, answer, account, started)
        return True

    def _send_file(self, channel: S3Channel, file: IHotObject, found: Found, head: bytes, account: Account, started: float) -> None:
        transport = cast("EagerServer", channel.transport)
        channel.pace = None  # an earlier answer may have had one
        sender = transport.sender(channel, self._services.threads, file, found.offset, found.count)
        try:
            transport.write_more(head)
            gone = sender.send_now()
        except Exception as problem:  # noqa: BLE001  # as below
            self._cut(channel, account, problem)
            gone = True
        if not gone:
            if self.gate.turns.shared:
                channel.stand_in_line(account.user)
            channel.occupy(self._send(channel, file, sender, account, started))
            return
        if found.count <= SLICE_BYTES:
            channel.site.crowd.asked_at = started
        file.release()
        account.bytes_out = sender.sent
        self._close(account, started)
        if not channel.site.keep_alive:
            channel.loseConnection()

    def _cut(self, channel: S3Channel, account: Account, problem: Exception) -> None:
        """The head is out: all that is left is to cut the answer visibly."""
        account.error = type(problem).__name__
        self._log.failure("{account.request_id} {account.action}: the answer was cut", account=account)
        channel.forceAbortClient()

    async def _send(self, channel: S3Channel, file: IHotObject, sender: FileSender, account: Account, started: float) -> None:
        self._pipeline.in_flight += 1
        stay = Stay()
        self.gate.let_in(stay, account.user)
        visit = self._services.namespace.visits.enter()
        try:
            await sender.send()
        except CancelledError:
            account.error = "ClientGone"
            raise
        except Exception as problem:  # noqa: BLE001  # whatever it was
            self._cut(channel, account, problem)
            return
        finally:
            self._pipeline.in_flight -= 1
            self.gate.leave(stay)
            self._services.namespace.visits.leave(visit)
            file.release()
            account.bytes_out = sender.sent
            self._close(account, started)
        channel.vacate()

    def _open(self, target: Target) -> IHotObject | None:
        try:
            place = self._services.namespace.locate(target.bucket)
        except S3Error:
            return None
        store = self._stores.get(place.ufs)
        if store is None:
            store = IHotObjects(place.ufs, None)
            if store is None:
                return None
            if len(self._stores) >= MAX_STORES:
                self._stores.clear()
            self._stores[place.ufs] = store
        return store.hot(place.path(target.key))

    def _close(self, account: Account, started: float) -> None:
        account.seconds = self._services.clock.seconds() - started
        self._pipeline.access_log.record(account)


def _described(file: IHotObject, recognised: Recognised) -> tuple[Found, bytes]:
    """What the request finds, and the header lines that say so. Raises S3Error."""
    names = recognised.names
    provenance = file.status.provenance
    age = provenance.age if provenance is not None else None
    mode = recognised.value(names.mode)
    known = file.rendered.get(mode) if names.plain else None
    if known is None:
        telling = {name: recognised.headers[given].strip(b" \t").decode("latin-1") for name, given in names.telling}
        found = describe(telling, _NO_QUERY, file.status)
        fields = render_fields({**found.headers, "Content-Length": str(found.count)})
        # All but the age is the same in the next second.
        before, _, after = fields.partition(_AGE) if age is not None else (fields, b"", b"")
        known = (found, before, after[after.find(b"\r\n") :])
        if names.plain and len(file.rendered) < MAX_RENDERED:
            file.rendered[mode] = known
    found, before, after = cast("tuple[Found, bytes, bytes]", known)
    return found, b"%b%b%d%b" % (before, _AGE, age or 0, after) if after else before


def _head(channel: S3Channel, recognised: Recognised) -> RequestHead:
    asked = recognised.asked
    return read_head(cast("S3Request", PlainRequest(channel, asked.method.encode(), asked.uri, recognised.headers, asked.target)))


def _read_hot(descriptor: int, offset: int, count: int) -> memoryview:
    """``count`` bytes that are in memory; they are there until the next call.

    Raises BlockingIOError if they are not, or if the file has become shorter.
    """
    buffer = _ROOM[:count]
    try:
        got = os.preadv(descriptor, [buffer], offset, os.RWF_NOWAIT)
    except OSError as problem:
        if problem.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise BlockingIOError from problem
        got = os.preadv(descriptor, [buffer], offset)
    if got != count:
        raise BlockingIOError
    return buffer
