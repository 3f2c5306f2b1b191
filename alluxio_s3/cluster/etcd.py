"""A client of etcd v3, through its JSON gateway (https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/).

A call that gets no answer is made again at the next endpoint, so every call must be one that may be made twice.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NoReturn

from attrs import define, field
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.web.client import Agent, HTTPConnectionPool

from alluxio_s3.cluster.etcd_connections import Connections, EtcdTls
from alluxio_s3.cluster.etcd_watch import Stream
from alluxio_s3.cluster.etcd_words import (
    Body,
    Entry,
    EtcdError,
    EtcdRefused,
    Event,
    Found,
    Outcome,
    WatchEnded,
    b64_text,
    document_of,
    entries_of,
    events_of,
    number,
    put_of,
    range_of,
    refusal,
    revision_of,
)

TIMEOUT_SECONDS = 2.0


@define(eq=False)
class Etcd:
    """etcd at ``endpoints`` (``http://host:port``), of which one is asked for as long as it answers.

    Every method raises EtcdError when none does, EtcdRefused when it would not. ``tell`` is called with how each attempt ended:
    ``done``, ``refused`` or ``failed``. One that is not ``lasting`` keeps no connections, and need not be closed.
    """

    endpoints: Sequence[str]
    reactor: Any
    tls: EtcdTls | None = None
    username: str = ""
    password: str = field(default="", repr=False)
    timeout: float = TIMEOUT_SECONDS
    lasting: bool = True
    tell: Callable[[str], None] = field(default=lambda _: None, repr=False)
    _current: int = field(default=0, init=False)
    _token: str = field(default="", init=False, repr=False)
    _watches: set[Stream] = field(factory=set, init=False)
    _pool: HTTPConnectionPool = field(init=False, repr=False)
    _client: HTTPClient = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Prepare to connect; nothing is connected yet."""
        self._pool = HTTPConnectionPool(self.reactor, persistent=self.lasting)
        self._client = HTTPClient(Agent.usingEndpointFactory(self.reactor, Connections(self.reactor, self.tls, self.timeout), self._pool))

    async def close(self) -> None:
        """Let go of all connections."""
        self._end_watches("it is being closed")
        await self._pool.closeCachedConnections()

    async def get(self, key: str) -> Entry | None:
        """What is at ``key``."""
        entries = entries_of(await self.call("kv/range", {"key": b64_text(key)}))
        return entries[0] if entries else None

    async def list(self, prefix: str, since: int = 0) -> Found:
        """Everything under ``prefix`` that was changed at revision ``since`` or later."""
        answer = await self.call("kv/range", range_of(prefix) | ({"min_mod_revision": str(since)} if since else {}))
        return Found(revision_of(answer), entries_of(answer))

    async def put(self, key: str, value: bytes, lease: int = 0) -> int:
        """Have ``value`` at ``key``, for as long as the lease. Returns the revision."""
        return revision_of(await self.call("kv/put", put_of(key, value, lease)["request_put"]))

    async def delete(self, key: str) -> None:
        """Have nothing at ``key``."""
        await self.call("kv/deleterange", {"key": b64_text(key)})

    async def transact(self, comparisons: Sequence[Body], then: Sequence[Body], otherwise: Sequence[Body] = ()) -> Outcome:
        """Do ``then`` if all comparisons hold, else ``otherwise``, in one step."""
        answer = await self.call("kv/txn", {"compare": list(comparisons), "success": list(then), "failure": list(otherwise)})
        ranges = [one["response_range"] for one in answer.get("responses", ()) if "response_range" in one]
        header = answer.get("header") or {}
        return Outcome(
            bool(answer.get("succeeded")),
            revision_of(answer),
            tuple(entries_of(one) for one in ranges),
            tuple(number(one, "count") for one in ranges),
            number(header, "cluster_id"),
            number(header, "raft_term"),
        )

    async def grant(self, seconds: int) -> int:
        """A lease of so many seconds; its id."""
        return number(await self.call("lease/grant", {"TTL": str(seconds)}), "ID")

    async def keep_alive(self, lease: int) -> bool:
        """Have a lease begin anew; False if it has ended."""
        answer = await self.call("lease/keepalive", {"ID": str(lease)})
        result = answer.get("result")
        return isinstance(result, dict) and number(result, "TTL") > 0

    async def revoke(self, lease: int) -> None:
        """End a lease, and all that is under it."""
        await self.call("lease/revoke", {"ID": str(lease)})

    async def watch(self, prefix: str, since: int, changed: Callable[[Sequence[Event], int], None]) -> None:
        """Call ``changed`` with each change under ``prefix`` from revision ``since`` on, in order, and the revision that they bring it to.

        Raises WatchEnded, in the end: because the connection is lost, etcd has compacted what was missed, or a call has got no answer,
        in which case what is watched may be as dumb.
        """

        def take(line: bytes) -> None:
            batch = events_of(line)
            if batch is not None:
                changed(*batch)

        request = {"create_request": range_of(prefix) | {"start_revision": str(since)}}
        endpoint = self.endpoints[self._current]
        try:
            response = await self._timely(self._post(endpoint, "watch", request, unbuffered=True))
            if response.code != 200:
                await self._refused(response)
            stream = Stream(take)
            self._watches.add(stream)
            try:
                await stream.run(response)
            finally:
                self._watches.discard(stream)
        except (CancelledError, EtcdRefused):
            raise
        except Exception as problem:  # noqa: BLE001  # whatever a network can do
            raise WatchEnded(message=f"etcd at {endpoint} tells of no more changes: {_in_words(problem)}") from None

    def watch_anew(self) -> None:
        """End all watches: they are behind, and whoever watches is to list again."""
        self._end_watches("it is behind")

    async def call(self, method: str, body: Body) -> dict[str, Any]:
        """The answer of ``/v3/<method>``."""
        problem: EtcdError | None = None
        for attempt in range(max(2, len(self.endpoints))):
            endpoint = self.endpoints[self._current]
            try:
                answer = await self._answer(endpoint, method, body)
            except EtcdRefused:
                self.tell("refused")
                raise
            except EtcdError as error:
                self.tell("failed")
                problem = error
                self._pass_on(endpoint)
                if len(self.endpoints) == 1 and (attempt or isinstance(error.__context__, TookTooLong)):
                    break
            else:
                self.tell("done")
                return answer
        assert problem is not None
        self._end_watches("it does not answer")
        raise problem

    async def _refused(self, response: Any) -> NoReturn:
        raise refusal(response.code, await self._timely(response.content()))

    async def _answer(self, endpoint: str, method: str, body: Body) -> dict[str, Any]:
        if not self.username:
            return await self._ask(endpoint, method, body)
        fresh = not self._token
        if fresh:
            await self._log_in(endpoint)
        try:
            return await self._ask(endpoint, method, body)
        except EtcdRefused:
            # The token is no good any more, or what its owner may do has changed.
            self._token = ""
            if fresh:
                raise
        await self._log_in(endpoint)
        return await self._ask(endpoint, method, body)

    async def _log_in(self, endpoint: str) -> None:
        answer = await self._ask(endpoint, "auth/authenticate", {"name": self.username, "password": self.password})
        self._token = str(answer.get("token", ""))

    async def _ask(self, endpoint: str, method: str, body: Body) -> dict[str, Any]:
        async def exchange() -> tuple[int, bytes]:
            response = await self._post(endpoint, method, body)
            return response.code, await response.content()

        try:
            code, content = await self._timely(exchange())
        except CancelledError:
            raise
        except Exception as problem:  # whatever a network can do
            raise EtcdError(message=f"etcd at {endpoint} does not answer: {_in_words(problem)}") from problem
        if code != 200:
            raise refusal(code, content)
        return document_of(content)

    async def _post(self, endpoint: str, method: str, body: Body, *, unbuffered: bool = False) -> Any:
        # A token of one endpoint is good at every other.
        headers: Any = {"Authorization": self._token} if self._token and method != "auth/authenticate" else None
        url = f"{endpoint.rstrip('/')}/v3/{method}"
        return await self._client.post(url, json=body, headers=headers, unbuffered=unbuffered, allow_redirects=False)

    async def _timely(self, work: Coroutine[Deferred[Any], Any, Any]) -> Any:
        """Its outcome. Raises TookTooLong; CancelledError, if it is given up, whatever Twisted's client makes of that."""
        doing = Deferred.fromCoroutine(work)
        ended: list[type[Exception]] = []

        def end(kind: type[Exception]) -> None:
            ended.append(kind)
            doing.cancel()

        outcome: Deferred[Any] = Deferred(lambda _: end(CancelledError))
        _ = doing.addBoth(outcome.callback)
        timer = self.reactor.callLater(self.timeout, end, TookTooLong)
        try:
            return await outcome
        except Exception:
            if ended:
                raise ended[0] from None
            raise
        finally:
            if timer.active():
                timer.cancel()

    def _pass_on(self, endpoint: str) -> None:
        if len(self.endpoints) > 1 and endpoint == self.endpoints[self._current]:
            self._current = (self._current + 1) % len(self.endpoints)
            self._end_watches(f"{endpoint} does not answer")

    def _end_watches(self, why: str) -> None:
        for stream in tuple(self._watches):
            stream.end(why)


def _in_words(problem: BaseException) -> str:
    reasons = getattr(problem, "reasons", None)  # of Twisted's client, which wraps them
    if reasons:
        return _in_words(reasons[0].value)
    return "it took too long" if isinstance(problem, TookTooLong) else str(problem).rstrip(".") or type(problem).__name__
