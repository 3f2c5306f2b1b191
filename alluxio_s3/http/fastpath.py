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

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from alluxio_s3.actions.object_read import Found, describe
from alluxio_s3.http.answer import render_fields, status_line
from alluxio_s3.http.pipeline import Pipeline
from alluxio_s3.interfaces import IHotObjects, IHotReader, IPrincipal, IQuickAuthenticator, IUnderFileSystem
from alluxio_s3.ops.access_log import Account
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.target import Query, Target, parse_target
from alluxio_s3.storage import StorageError

if TYPE_CHECKING:
    from alluxio_s3.http.channel import S3Channel
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
_METHODS = {b"GET": "GetObject", b"HEAD": "HeadObject"}
_NO_QUERY = Query()
MAX_HEAD_BYTES = 8192
# What is parsed is remembered, so it must be short.
MAX_TARGET_BYTES = 256
# Up to here head and body leave in one write; beyond, sendfile is cheaper than a copy.
ONE_WRITE_BYTES = 16 << 10
# How many values of x-amz-checksum-mode are worth remembering for a file.
MAX_RENDERED = 4
_CLOSING = b"Connection: close\r\n"
_ISO_BASIC = re.compile(rb"[0-9]{8}T[0-9]{6}Z")


class FastPath:
    """Serves what it recognises. One for all connections."""

    _log = Logger()

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._services = pipeline.services
        self._identify: Callable[[bytes | None], IPrincipal | None] | None = None
        # Each under-store as what it is here, asked once; it goes when the under-store does.
        self._stores: WeakKeyDictionary[IUnderFileSystem, IHotObjects] = WeakKeyDictionary()
        quick = IQuickAuthenticator(pipeline.authenticator, None)
        if quick is not None:
            self._identify = quick.identify

    def serve(self, channel: S3Channel, data: bytes) -> bool:
        """Answer the request that ``data`` is, whole, if it is one for here. False: nothing has been done."""
        if self._identify is None or len(data) > MAX_HEAD_BYTES or not data.isascii():
            return False
        lines = data.split(b"\r\n")
        # One blank line and what split leaves behind it; no line end of another kind anywhere.
        if lines[-2:] != [b"", b""] or data.count(b"\n") != len(lines) - 1 or data.count(b"\r") != len(lines) - 1 or b"\0" in data:
            return False
        request = lines[0].split(b" ")
        if len(request) != 3 or request[2] != b"HTTP/1.1" or request[0] not in _METHODS:
            return False
        if request[0] == b"HEAD" and not self._services.tags.travels:
            return False  # the long way counts the tags
        headers = _headers(lines)
        if headers is None:
            return False
        target = _target(request[1]) if len(request[1]) <= MAX_TARGET_BYTES else None
        return target is not None and self._answer(channel, request[0], request[1], target, headers)

    def _answer(self, channel: S3Channel, method: bytes, raw: bytes, target: Target, headers: dict[bytes, bytes]) -> bool:
        started = self._services.clock.seconds()
        principal = self._identify(headers.get(b"authorization")) if self._identify is not None else None
        reader = self._open(target) if principal is not None else None
        if principal is None or reader is None:
            return False
        try:
            found, fields = _described(reader, headers)
            body = b"" if method == b"HEAD" or found.count > ONE_WRITE_BYTES else _read_hot(reader.fileno(), found.offset, found.count)
            reader.check_unchanged()
        except (S3Error, StorageError, OSError):
            reader.release()
            return False
        account = Account(
            request_id=self._pipeline.next_id(),
            method=method.decode(),
            raw_target=raw.decode("latin-1"),
            peer=channel.peer,
            action=_METHODS[method],
            user=principal.name,
            status=found.status,
            bytes_out=len(body),
        )
        closing = b"" if channel.site.keep_alive else _CLOSING
        head = b"".join((status_line(found.status), self._pipeline.common_fields(account.request_id), fields, closing, b"\r\n"))
        if method == b"GET" and found.count > ONE_WRITE_BYTES:
            channel.occupy(self._send(channel, reader, found, head, account, started))
            return True
        channel.transport.write(head + body)
        reader.release()
        self._close(account, started)
        if closing:
            channel.loseConnection()
        return True

    async def _send(self, channel: S3Channel, reader: IHotReader, found: Found, head: bytes, account: Account, started: float) -> None:
        transport = cast("EagerServer", channel.transport)
        transport.write_more(head)
        sender = transport.sender(channel, self._services.threads, reader, found.offset, found.count)
        self._pipeline.in_flight += 1
        try:
            await sender.send()
        except CancelledError:
            account.error = "ClientGone"
            raise
        except Exception as problem:  # noqa: BLE001  # the head is out: all that is left is to cut the answer visibly
            account.error = type(problem).__name__
            self._log.failure("{account.request_id} {account.action}: the answer was cut", account=account)
            channel.forceAbortClient()
            return
        finally:
            self._pipeline.in_flight -= 1
            reader.release()
            account.bytes_out = sender.sent
            self._close(account, started)
        channel.vacate()

    def _open(self, target: Target) -> IHotReader | None:
        try:
            place = self._services.namespace.locate(target.bucket)
        except S3Error:
            return None
        store = self._stores.get(place.ufs)
        if store is None:
            store = IHotObjects(place.ufs, None)
            if store is None:
                return None
            self._stores[place.ufs] = store
        return store.hot(place.path(target.key))

    def _close(self, account: Account, started: float) -> None:
        account.seconds = self._services.clock.seconds() - started
        self._pipeline.access_log.record(account)


def _headers(lines: list[bytes]) -> dict[bytes, bytes] | None:
    """The headers of a head, by lower-case name, if each is known, simple and alone."""
    headers: dict[bytes, bytes] = {}
    for line in lines[1:-2]:
        name, separator, value = line.partition(b": ")
        name = name.lower()
        if not separator or name not in _KNOWN or name in headers:
            return None
        headers[name] = value.strip(b" \t")
    if b"host" not in headers or headers.get(b"connection", b"keep-alive").lower() != b"keep-alive":
        return None
    return headers if _is_time(headers.get(b"x-amz-date")) else None


@lru_cache(maxsize=64)
def _is_time(value: bytes | None) -> bool:
    """Whether that x-amz-date, if there is one, is one that is never refused."""
    if value is None:
        return True
    try:
        return _ISO_BASIC.fullmatch(value) is not None and bool(datetime.fromisoformat(value.decode()))
    except ValueError:
        return False


@lru_cache(maxsize=4096)
def _target(raw: bytes) -> Target | None:
    """What ``raw`` is about, if that is an object and nothing more."""
    if b"?" in raw:
        return None
    try:
        target = parse_target(raw)
    except S3Error:
        return None
    return target if target.key else None


def _described(reader: IHotReader, headers: dict[bytes, bytes]) -> tuple[Found, bytes]:
    """What the request finds, and the header lines that say so. Raises S3Error."""
    telling = {name.decode(): value.decode("latin-1") for name, value in headers.items() if name in _TELLING}
    mode = telling.get("x-amz-checksum-mode", "")
    known = reader.rendered.get(mode) if len(telling) == bool(mode) else None
    if known is None:
        found = describe(telling, _NO_QUERY, reader.status)
        known = (found, render_fields({**found.headers, "Content-Length": str(found.count)}))
        if len(telling) == bool(mode) and len(reader.rendered) < MAX_RENDERED:
            reader.rendered[mode] = known
    return cast("tuple[Found, bytes]", known)


def _read_hot(descriptor: int, offset: int, count: int) -> bytes:
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
    return bytes(buffer)
