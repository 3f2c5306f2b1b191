"""The short way for the plainest requests: a whole GET or HEAD of an object that is hot, recognised in the bytes of one read.

It is the pipeline made short, with the same parser of targets, the same namespace, identity, conditions, ranges, headers and
access log; ``tests/http/test_fastpath.py`` holds the two ways to the same answers. What it does not recognise, or cannot
answer with 200 or 206 at once, it leaves untouched to the long way.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, cast
from weakref import WeakKeyDictionary

from attrs import frozen
from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from alluxio_s3.actions.object_read import Found, describe
from alluxio_s3.http.answer import render_fields, status_line
from alluxio_s3.http.pipeline import Pipeline
from alluxio_s3.interfaces import IHotObject, IHotObjects, IPrincipal, IQuickAuthenticator, IQuickAuthorizer, IUnderFileSystem
from alluxio_s3.ops.access_log import Account
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.target import Query, Target, parse_target
from alluxio_s3.storage import StorageError

if TYPE_CHECKING:
    from alluxio_s3.http.channel import S3Channel
    from alluxio_s3.http.sendfile import FileSender
    from alluxio_s3.http.transport import EagerServer

# Headers that change nothing in the answer, or only what is looked at below. A request with any other takes the long way.
_HARMLESS = frozenset(
    {b"host", b"user-agent", b"accept", b"accept-encoding", b"authorization", b"x-amz-date", b"x-amz-content-sha256",
     b"x-amz-user-agent", b"amz-sdk-invocation-id", b"amz-sdk-request", b"connection", b"accept-language",
     b"cache-control", b"pragma"}
)  # fmt: skip
_TELLING = frozenset(
    {b"range", b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since", b"if-range", b"x-amz-checksum-mode"}
)
_KNOWN = _HARMLESS | _TELLING
_MODE = b"x-amz-checksum-mode"
_METHODS = {b"GET": "GetObject", b"HEAD": "HeadObject"}
_NO_QUERY = Query()
MAX_HEAD_BYTES = 8192
# What is parsed is remembered, so it must be short.
MAX_LINE_BYTES = 256
# Up to here head and body leave in one write; beyond, sendfile is cheaper than a copy.
ONE_WRITE_BYTES = 16 << 10
# How many values of x-amz-checksum-mode are worth remembering for a file.
MAX_RENDERED = 4
MAX_STORES = 1024
_CLOSING = b"Connection: close\r\n"
_ISO_BASIC = re.compile(rb"[0-9]{8}T[0-9]{6}Z")


@frozen
class Asked:
    """What a request asks for, from its first line."""

    method: str
    action: str
    is_head: bool
    raw_target: str
    target: Target


@frozen
class Names:
    """Which of the headers that matter a request has, each as it is spelled there; None: not.

    ``telling`` are those that change the answer, with their usual names; ``plain`` is whether only ``mode`` is among them.
    """

    authorization: bytes | None
    date: bytes | None
    connection: bytes | None
    mode: bytes | None
    telling: tuple[tuple[str, bytes], ...]
    plain: bool


class FastPath:
    """Serves what it recognises. One for all connections."""

    _log = Logger()

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._services = pipeline.services
        self._identify: Callable[[bytes | None], IPrincipal | None] | None = None
        self._allows: Callable[[IPrincipal, str, str, str], bool]
        # Each under-store as what it is here, asked once. Those of mounts that are gone go when there are many.
        self._stores: WeakKeyDictionary[IUnderFileSystem, IHotObjects] = WeakKeyDictionary()
        quick = IQuickAuthenticator(pipeline.authenticator, None)
        authorizer = IQuickAuthorizer(self._services.authorizer, None)
        if quick is not None and authorizer is not None:
            self._identify = quick.identify
            self._allows = authorizer.allows

    def serve(self, channel: S3Channel, data: bytes) -> bool:
        """Answer the request that ``data`` is, whole, if it is one for here. False: nothing has been done."""
        if self._identify is None or len(data) > MAX_HEAD_BYTES or not data.isascii() or b"\0" in data:
            return False
        lines = data.splitlines()
        # Each line ends with CRLF, and none with anything else; the last is the blank one.
        if sum(map(len, lines)) + 2 * len(lines) != len(data) or lines[-1]:
            return False
        asked = _asked(lines[0]) if len(lines[0]) <= MAX_LINE_BYTES else None
        if asked is None or (asked.is_head and not self._services.tags.travels):  # the long way counts the tags
            return False
        try:
            headers = dict([line.split(b": ", 1) for line in lines[1:-1]])
            names = _told(tuple(headers))
        except ValueError:
            return False
        if (
            len(headers) != len(lines) - 2
            or (names.connection and headers[names.connection].strip(b" \t").lower() != b"keep-alive")
            or (names.date and not _is_time(headers[names.date].strip(b" \t")))
        ):
            return False
        authorization = headers[names.authorization].strip(b" \t") if names.authorization else None
        principal = self._identify(authorization)
        return (
            principal is not None
            and self._allows(principal, "s3:GetObject", asked.target.bucket, asked.target.key)
            and self._answer(channel, asked, names, headers, principal)
        )

    def _answer(self, channel: S3Channel, asked: Asked, names: Names, headers: dict[bytes, bytes], principal: IPrincipal) -> bool:
        started = self._services.clock.seconds()
        file = self._open(asked.target)
        if file is None:
            return False
        body: bytes | bytearray = b""
        in_one = True
        try:
            found, fields = _described(file, names, headers)
            if not asked.is_head:
                in_one = found.count <= ONE_WRITE_BYTES
                if in_one:
                    body = _read_hot(file.fileno(), found.offset, found.count)
            proven = file.is_current()
        except (S3Error, StorageError, OSError):
            proven = False
        if not proven:
            file.release()
            return False
        request_id = self._pipeline.next_id()
        account = Account(
            request_id, asked.method, asked.raw_target, channel.peer, asked.action, principal.name, found.status, "-", 0, len(body)
        )
        closing = b"" if channel.site.keep_alive else _CLOSING
        head = (status_line(found.status), self._pipeline.common_fields(request_id), fields, closing, b"\r\n", body)
        if not in_one:
            self._send_file(channel, file, found, b"".join(head), account, started)
            return True
        channel.transport.write(b"".join(head))
        file.release()
        self._close(account, started)
        if closing:
            channel.loseConnection()
        return True

    def _send_file(self, channel: S3Channel, file: IHotObject, found: Found, head: bytes, account: Account, started: float) -> None:
        transport = cast("EagerServer", channel.transport)
        transport.write_more(head)
        sender = transport.sender(channel, self._services.threads, file, found.offset, found.count)
        try:
            gone = sender.send_now()
        except Exception as problem:  # noqa: BLE001  # as below
            self._cut(channel, account, problem)
            gone = True
        if not gone:
            channel.occupy(self._send(channel, file, sender, account, started))
            return
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


@lru_cache(maxsize=16384)
def _asked(line: bytes) -> Asked | None:
    """What a request's first line asks for, if that is to read an object and nothing more."""
    words = line.split(b" ")
    if len(words) != 3 or words[2] != b"HTTP/1.1" or words[0] not in _METHODS or b"?" in words[1]:
        return None
    try:
        target = parse_target(words[1])
    except S3Error:
        return None
    if not target.key:
        return None
    return Asked(words[0].decode(), _METHODS[words[0]], words[0] == b"HEAD", words[1].decode("latin-1"), target)


@lru_cache(maxsize=256)
def _told(names: tuple[bytes, ...]) -> Names:
    """Which headers of those ``names`` there are. Raises ValueError (and is not remembered) unless each is known and alone."""
    lower = {name.lower(): name for name in names}
    if len(lower) != len(names) or not lower.keys() <= _KNOWN or b"host" not in lower:
        raise ValueError(names)
    telling = tuple((name.decode(), given) for name, given in lower.items() if name in _TELLING)
    mode = lower.get(_MODE)
    return Names(lower.get(b"authorization"), lower.get(b"x-amz-date"), lower.get(b"connection"), mode, telling, len(telling) == bool(mode))


@lru_cache(maxsize=64)
def _is_time(value: bytes | None) -> bool:
    """Whether that x-amz-date, if there is one, is one that is never refused."""
    if value is None:
        return True
    try:
        return _ISO_BASIC.fullmatch(value) is not None and bool(datetime.fromisoformat(value.decode()))
    except ValueError:
        return False


def _described(file: IHotObject, names: Names, headers: dict[bytes, bytes]) -> tuple[Found, bytes]:
    """What the request finds, and the header lines that say so. Raises S3Error."""
    mode = headers[names.mode].strip(b" \t") if names.mode else b""
    known = file.rendered.get(mode) if names.plain else None
    if known is None:
        telling = {name: headers[given].strip(b" \t").decode("latin-1") for name, given in names.telling}
        found = describe(telling, _NO_QUERY, file.status)
        known = (found, render_fields({**found.headers, "Content-Length": str(found.count)}))
        if names.plain and len(file.rendered) < MAX_RENDERED:
            file.rendered[mode] = known
    return cast("tuple[Found, bytes]", known)


def _read_hot(descriptor: int, offset: int, count: int) -> bytearray:
    """``count`` bytes that are in memory. Raises BlockingIOError if they are not, or if the file has become shorter."""
    buffer = bytearray(count)
    try:
        got = os.preadv(descriptor, [buffer], offset, os.RWF_NOWAIT)
    except OSError as problem:
        if problem.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise BlockingIOError from problem
        got = os.preadv(descriptor, [buffer], offset)
    if got != count:
        raise BlockingIOError
    return buffer
