"""Requests to NameNodes: questions with an answer in JSON, and the way to a DataNode.

A request is tried again, with pauses that grow and vary, when there is no connection, and when the NameNode says that it will be able to
answer later. A NameNode that is on standby, or can't be reached, hands over to the next one.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from attrs import define, field
from twisted.internet import defer, error
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web.client import RequestGenerationFailed, RequestTransmissionFailed, ResponseFailed
from twisted.web.error import Error as WebError
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse

from alluxio_s3.storage import StorageError, Unavailable
from alluxio_s3.ufs.webhdfs.datanode import inflow
from alluxio_s3.ufs.webhdfs.place import Place
from alluxio_s3.ufs.webhdfs.refusals import Standby, refusal

T = TypeVar("T")
# How a request can fail without an answer.
LOST = (
    error.ConnectError,
    error.ConnectionClosed,
    error.DNSLookupError,
    defer.TimeoutError,
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseFailed,
    WebError,
)
# Those of them after which the request has certainly not been done.
_UNSENT = (error.ConnectError, error.DNSLookupError)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0


@define
class NameNodes:
    """The NameNodes of a ``place``. Raises the StorageErrors of ``refusals``, and Unavailable when there is no answer."""

    place: Place
    agent: IAgent
    clock: IReactorTime
    random: Random = field(factory=Random)
    _active: int = field(default=0, init=False)

    async def ask(self, method: bytes, path: str, op: str, *, once: bool = False, **parameters: str) -> Any:
        """The JSON that answers ``op`` on ``path`` (relative to the place, or ``inode_path``), or None for an answer without.

        ``once``: do not ask again when the answer is lost, since then it may have been done.
        """

        async def attempt(node: str) -> Any:
            response = await self.request(method, self._url(node, path, op, parameters))
            body = await self.body(response)
            if response.code != 200:
                raise refusal(path, response.code, body)
            return json.loads(body) if body else None

        return await self.tried(path, attempt, once=once)

    async def locate(self, method: bytes, path: str, op: str, **parameters: str) -> bytes:
        """The URL at a DataNode to which the NameNode sends us for ``op`` on ``path``."""

        async def attempt(node: str) -> bytes:
            response = await self.request(method, self._url(node, path, op, parameters))
            body = await self.body(response)
            places: list[bytes] = response.headers.getRawHeaders(b"location") or []
            # A token must not leave by a way that is less safe than the one it was given for.
            if response.code != 307 or not places or not places[0].startswith(node.partition("://")[0].encode() + b"://"):
                raise refusal(path, response.code, body)
            return places[0]

        return await self.tried(path, attempt)

    async def request(self, method: bytes, url: bytes, body: IBodyProducer | None = None) -> IResponse:
        """The answer's head. Waits without end for it while ``body`` is on its way."""
        headers = Headers({b"Content-Type": [b"application/octet-stream"]} if body is not None else {})
        asked = _cancellable(self.agent.request(method, url, headers, body))
        return await (asked if body is not None else asked.addTimeout(self.place.stall, self.clock))

    async def body(self, response: IResponse) -> bytes:
        """All of an answer that is small."""
        return await inflow(response, self.clock, self.place.stall).all()

    async def problem(self, response: IResponse, path: str) -> StorageError:
        """The error that the answer of a DataNode to a request about ``path`` is."""
        try:
            return refusal(path, response.code, await self.body(response))
        except LOST as caught:
            return lost(path, caught)

    async def tried(self, path: str, attempt: Callable[[str], Awaitable[T]], *, once: bool = False) -> T:
        """What ``attempt`` gives, which takes the URL of a NameNode; tried again as long as that may help."""
        problem: Exception = Unavailable(path)
        for number in range(self.place.retries + len(self.place.namenodes)):
            if number >= len(self.place.namenodes):
                await self.pause(number - len(self.place.namenodes))
            active = self._active
            try:
                return await attempt(self.place.namenodes[active])
            except Standby as caught:
                self._pass_on(active)
                problem = caught
            except Unavailable as caught:
                problem = caught
            except LOST as caught:
                self._pass_on(active)
                problem = lost(path, caught)
                if once and not isinstance(caught, _UNSENT):
                    break
            except ValueError as caught:
                problem = lost(path, caught)
        raise Unavailable(path, str(problem)) from problem

    async def pause(self, number: int) -> None:
        """Wait a while before retry ``number``, so that many who wait don't come back at once."""
        longest = min(_FIRST_PAUSE * 2**number, _LONGEST_PAUSE)
        await deferLater(self.clock, longest * self.random.uniform(0.5, 1.0))

    def _pass_on(self, active: int) -> None:
        if self._active == active:
            self._active = (active + 1) % len(self.place.namenodes)

    def _url(self, node: str, path: str, op: str, parameters: dict[str, str]) -> bytes:
        who = {"delegation": self.place.token} if self.place.token else {"user.name": self.place.user}
        named = {name.replace("_", "."): value for name, value in parameters.items()}
        query = urlencode({"op": op, **named, **who}, quote_via=quote, safe="/")
        where = path if path.startswith("/webhdfs/") else self.place.url_path(path)
        return f"{node}{where}?{query}".encode()


def inode_path(number: int) -> str:
    """The path of the file or directory of that number, wherever it has been moved (HDFS: ``/.reserved/.inodes``)."""
    return f"/webhdfs/v1/.reserved/.inodes/{number}"


def lost(path: str, problem: BaseException) -> StorageError:
    """A request about ``path`` that had no answer. The message tells no URL, which may hold a token."""
    return Unavailable(path, f"Unavailable: {path}: no answer from HDFS ({type(problem).__name__})")


def _cancellable(asked: defer.Deferred[IResponse]) -> defer.Deferred[IResponse]:
    """The same, but cancelled it is CancelledError. The agent says that the connection was lost, which would be tried again."""
    cancelled = False

    def cancel(_waiting: object) -> None:
        nonlocal cancelled
        cancelled = True
        asked.cancel()

    waiting: defer.Deferred[IResponse] = defer.Deferred(cancel)

    def pass_on(result: IResponse | Failure) -> None:
        if not cancelled:
            waiting.callback(result)

    _ = asked.addBoth(pass_on)
    return waiting
