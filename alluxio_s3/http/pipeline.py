"""The one way of a request: head, identity, action, answer, account.

Nothing is answered except from here, so nothing can go round authentication, error rendering or the log.
"""

from __future__ import annotations

import os
from functools import partial
from itertools import count
from urllib.parse import quote

from attrs import define, evolve, field
from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import datetimeToString

from alluxio_s3.actions.cors import headers_for_pages, preflight
from alluxio_s3.actions.exchange import Call, Response, Services
from alluxio_s3.actions.registry import Registry
from alluxio_s3.actions.storage_errors import translate
from alluxio_s3.http.answer import send
from alluxio_s3.http.channel import S3Request
from alluxio_s3.http.limits.gate import Gate, Stay
from alluxio_s3.http.redirection import steered
from alluxio_s3.interfaces import IAuthenticator, IPrincipal
from alluxio_s3.ops.access_log import AccessLog, Account, Deed
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.request import Headers, RequestHead
from alluxio_s3.s3.target import Target
from alluxio_s3.s3.xml import error_document
from alluxio_s3.storage import StorageError


@define
class Pipeline:
    """Runs requests. ``run`` never raises but to let a cancellation pass."""

    authenticator: IAuthenticator
    registry: Registry
    services: Services
    access_log: AccessLog
    gate: Gate = field()
    in_flight: int = 0
    _ids: count[int] = field(factory=lambda: count(1))
    _boot: str = field(factory=lambda: os.urandom(4).hex().upper())
    _second: int = -1
    _same: bytes = b""
    _log = Logger()

    @gate.default
    def _gate(self) -> Gate:
        return Gate(self.services.clock)

    async def run(self, request: S3Request) -> None:
        """Answer ``request``."""
        clock = self.services.clock
        started = clock.seconds()
        account = Account(
            request_id=self.next_id(),
            method=request.method.decode("latin-1"),
            raw_target=request.uri.decode("latin-1"),
            peer=getattr(request.client, "host", ""),
        )
        self.in_flight += 1
        stay = Stay()
        visit = self.services.namespace.visits.enter()
        try:
            response = await self._for_pages(request, await self._respond(request, account, stay))
            account.waited = clock.seconds() - started
            await self._send(request, response, account)
        finally:
            self.in_flight -= 1
            self.gate.leave(stay)
            self.services.namespace.visits.leave(visit)
            account.bytes_in = request.body.received
            account.bytes_out = request.bytes_sent
            account.seconds = clock.seconds() - started
            self.access_log.record(account)

    def refuse(self, error: S3Error, peer: str) -> str:
        """Account for what ``peer`` sent that is not a request and is answered with ``error``; its id."""
        account = Account(self.next_id(), "-", "-", peer, status=error.status, error=error.code)
        self.access_log.record(account)
        return account.request_id

    def next_id(self) -> str:
        """An id for a request."""
        return f"{self._boot}{next(self._ids):08X}"

    def common_fields(self, request_id: str) -> bytes:
        """The header lines of every answer."""
        second = int(self.services.wall.seconds())
        if second != self._second:
            self._second = second
            self._same = f"x-amz-id-2: {self._boot}\r\nServer: AlluxioS3\r\nDate: {datetimeToString(second).decode()}\r\n".encode()
        return b"x-amz-request-id: %s\r\n%s" % (request_id.encode(), self._same)

    async def _respond(self, request: S3Request, account: Account, stay: Stay) -> Response:
        try:
            return await self._act(request, account, stay)
        except CancelledError:
            account.error = "ClientGone"
            raise
        except Exception as problem:  # noqa: BLE001  # the last guard: a stack trace never leaves the process
            return await self._told(problem, request, account)

    async def _told(self, problem: Exception, request: S3Request, account: Account) -> Response:
        """``problem`` in words."""
        error = await self._explain(problem, request, account)
        account.error = error.code
        headers = dict(error.headers)
        if request.method == b"HEAD" or error.status == 304:
            return Response(error.status, headers)
        headers["Content-Type"] = "application/xml"
        return Response(error.status, headers, error_document(error, account.request_id, account.raw_target.partition("?")[0]))

    async def _explain(self, problem: Exception, request: S3Request, account: Account) -> S3Error:
        if isinstance(problem, S3Error):
            return problem
        if isinstance(problem, MemoryError):
            return self.gate.refuse("memory")
        error = S3Error("InternalError")
        if isinstance(problem, StorageError) and isinstance(request.target, Target):
            error = await translate(problem, request.target, self.services.namespace)
        if error.code == "InternalError":
            self._log.failure(
                "{request_id} {action} failed", failure=Failure(problem), request_id=account.request_id, action=account.action
            )
        elif error.status >= 500:
            self._log.warn("{account.request_id} {account.action}: {cause}", account=account, cause=problem)
        return error

    async def _act(self, request: S3Request, account: Account, stay: Stay) -> Response:
        head = read_head(request)
        if head.method == "OPTIONS":
            account.action = "Preflight"
            await self._come_in(request, "", stay)
            return await preflight(self.services, head)
        principal: IPrincipal = await self.authenticator.authenticate(head)
        account.user = principal.name
        await self._come_in(request, principal.name, stay)
        action = self.registry.resolve(head)
        account.action = action.route.name
        for need in action.needs(head):
            await self.services.authorizer.authorize(principal, *need)
        if head.target.bucket:
            await self.services.namespace.expect_owner(head.target.bucket, head.headers.get("x-amz-expected-bucket-owner"))
        became, did = partial(_became, account, head.target.bucket), partial(_did, account, head.target.bucket)
        call = Call(head, principal, request.body, account.request_id, self.services, self.authenticator, became, did)
        return await steered(call, action)

    async def _for_pages(self, request: S3Request, response: Response) -> Response:
        """``response`` with what lets pages of other origins read it, where the bucket does; browsers ask with an Origin."""
        origins = request.requestHeaders.getRawHeaders(b"origin")
        if origins is None or len(origins) > 1 or request.method == b"OPTIONS" or not isinstance(request.target, Target):
            return response
        origin, method = origins[0].decode("latin-1"), request.method.decode("latin-1")
        try:
            more = await headers_for_pages(self.services, request.target.bucket, origin, method) if request.target.bucket else {}
        except Exception:
            await response.close()  # the client may have gone, and nobody is left to send it
            raise
        return evolve(response, headers={**response.headers, **more}) if more else response

    async def _come_in(self, request: S3Request, user: str, stay: Stay) -> None:
        gate = self.gate
        gate.enter(stay, user, request.body.length)
        channel = None if request.gone else request.channel
        line = None if channel is None else channel.line if request.body.length != 0 else channel.waited_in
        if gate.turns.must_wait(user, line):
            if channel is not None:
                channel.stand_in_line(user)
            await gate.turns.wait(user)
        if not request.gone:
            request.channel.pace = gate.reading(user)
        if request.body.length != 0:
            request.body.pace = gate.writing(user)

    async def _send(self, request: S3Request, response: Response, account: Account) -> None:
        account.status = response.status
        try:
            await send(request, response, self.common_fields(account.request_id), self.services.threads)
        except CancelledError:
            account.error = "ClientGone"
            raise
        except Exception as problem:  # noqa: BLE001  # once the head is out, all that is left is to cut the answer visibly
            if isinstance(problem, StorageError) and not request.startedWriting and not request.gone:
                await self._send(request, await self._told(problem, request, account), account)
                return
            account.error = type(problem).__name__
            if isinstance(problem, StorageError):  # which happens: the object was replaced, its store went away
                self._log.warn("{account.request_id} {account.action}: the answer was cut: {problem}", account=account, problem=problem)
            else:
                self._log.failure("{account.request_id} {account.action}: the answer was cut", account=account)
            request.cut()


def _became(account: Account, bucket: str, user: str, key: str) -> None:
    """The body says whose request it is, and about which key: the logs have it as if the head had."""
    account.user = user
    if key:
        account.raw_target = f"/{bucket}/{quote(key)}"


def _did(account: Account, bucket: str, key: str, status: int, error: str) -> None:
    """The body names several keys: the audit log has what each came to."""
    if account.deeds is None:
        account.deeds = []
    account.deeds.append(Deed(f"/{bucket}/{quote(key)}", status, error))


def read_head(request: S3Request) -> RequestHead:
    """The head as the protocol sees it. Raises S3Error for what framing lets pass and HTTP/1.1 does not."""
    if isinstance(request.target, S3Error):
        raise request.target.anew()
    raw = request.requestHeaders
    hosts = raw.getRawHeaders(b"host") or []
    if len(hosts) != 1 and not (not hosts and request.clientproto == b"HTTP/1.0"):
        raise S3Error("InvalidRequest", "The request must have one Host header.")
    expect = raw.getRawHeaders(b"expect")
    if expect and expect[0].lower() != b"100-continue":
        raise S3Error("InvalidRequest", "Only Expect: 100-continue is supported.")
    return RequestHead(
        method=request.method.decode("latin-1"),
        target=request.target,
        headers=Headers.from_raw(raw.getAllRawHeaders()).with_presigned(request.target.query),
        raw_target=request.uri,
        secure=request.isSecure(),
        peer=getattr(request.client, "host", ""),
    )
