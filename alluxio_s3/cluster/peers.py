"""What a worker asks of others: to tell an object's status, to give its bytes, to forget what they remember of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from attrs import define, frozen
from twisted.internet import error
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from alluxio_s3.cluster.flows import Flow
from alluxio_s3.cluster.links import Head, Link, LinkBroken
from alluxio_s3.cluster.messages import ANSWERS, ARRIVED, FORGET, HELLO, METHODS, OPEN, STATUS, TOLD, Question, Told
from alluxio_s3.cluster.seals import HEADER, Seals
from alluxio_s3.interfaces import IFlow, IMembers, Member
from alluxio_s3.storage import ObjectChanged, Status

# Connections that are kept for each peer while nobody uses them.
MOST_IDLE = 16
# A host that has several addresses is tried at the next of them so soon. Only then does it count that all have refused, too.
ATTEMPT_SECONDS = 0.02


@frozen
class Patience:
    """How many seconds a peer may take: for a connection, for a sign of life, and to answer after that."""

    connect: float
    sign: float
    answer: float


# What a reader waits for another can give too, or the store: whoever is silent for the first is cut off or stands still, and whoever takes
# the last may have lost the store that others reach.
FOR_READERS = Patience(0.6, 0.6, 5.0)
# Nobody else can do the rest: forget, or load.
FOR_OTHERS = Patience(1.0, 1.0, 60.0)


class PeerFailed(Exception):
    """A peer did not answer, or can't. What it was asked may be asked of another, or of the store."""


class PeerAbsent(PeerFailed):
    """Its machine says that nobody listens there."""


@define(eq=False)
class Given:
    """A stretch of an object that a peer gives: ``count`` bytes from ``told.offset``. Read it, or ``close`` it."""

    told: Told
    status: Status
    count: int
    _peers: Peers
    _member: Member
    _link: Link
    _closed: bool = False

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The bytes. Raises PeerFailed where they end too early; ``close`` is the caller's."""
        while piece := await self._piece():
            yield piece

    async def flows(self) -> AsyncGenerator[bytes | IFlow, None]:
        """The bytes; those that are still in a plain connection as an IFlow. Raises as ``pieces``, after a flow too."""
        while True:
            if self._link.bare:
                flow = Flow(self._link)
                try:
                    yield flow
                finally:
                    flow.leave()
                if flow.left:
                    raise PeerFailed(f"{self._member.worker}: it ended in the middle of a body")
                return
            piece = await self._piece()
            if not piece:
                return
            yield piece

    async def _piece(self) -> bytes:
        try:
            return await self._link.read()
        except LinkBroken as problem:
            raise PeerFailed(f"{self._member.worker}: {problem}") from None

    def close(self) -> None:
        """Let go of it; what was not read is not sent any more."""
        if not self._closed:
            self._closed = True
            self._peers.release(self._member, self._link)


@frozen
class _Answer:
    head: Head
    told: Told
    link: Link


class Peers:
    """Asks them. A peer that refuses a connection, or is silent, is suspected. ``trust`` makes TLS options for a host; None: no TLS.

    ``lost`` is called whenever a peer may be gone: a connection to it has ended, or it is suspected.
    """

    _log = Logger()

    def __init__(
        self, members: IMembers, seals: Seals, reactor: Any, trust: Any = None, *, lost: Callable[[], None] = lambda: None
    ) -> None:
        self._lost = lost
        self._members = members
        self._seals = seals
        self._reactor = reactor
        self._trust = trust
        self._idle: dict[tuple[str, int | None], list[Link]] = {}
        self._looking: dict[str, Deferred[None]] = {}
        self._closed = False

    async def status(self, member: Member, path: str, store: str) -> Status:
        """The Status of ``path`` (``/bucket/key``) in the store of that name. Raises PeerFailed, NoSuchPath, PathConflict."""
        answer = await self._ask(member, STATUS, {"path": path, "store": store}, FOR_READERS)
        self.release(member, answer.link)
        if answer.told.status is None:
            raise PeerFailed(f"{member.worker}: it tells nothing")
        return answer.told.status

    async def open(
        self, member: Member, path: str, store: str, offset: int, count: int, *, validator: str = "", asks: Iterable[str] = ()
    ) -> Given:
        """``count`` bytes from ``offset``, or as many as there are; of the version of ``validator``, if one is given.

        ``asks``: ``load`` and ``residency``; ``dry``: no bytes. Raises PeerFailed, NoSuchPath, PathConflict, ObjectChanged.
        """
        values = {"path": path, "store": store, "offset": str(offset), "count": str(count), "validator": validator}
        values |= dict.fromkeys(asks, "true")
        answer = await self._ask(member, OPEN, values, FOR_OTHERS if "dry" in values else FOR_READERS)
        status = answer.told.status
        wanted = None if status is None else 0 if "dry" in values else max(0, min(count, status.size - offset))
        if status is None or answer.head.length != wanted or answer.told.offset != offset:
            answer.link.abort()
            raise PeerFailed(f"{member.worker}: it gives something else than it was asked for")
        if validator and status.validator != validator:
            answer.link.abort()
            raise ObjectChanged(path)
        return Given(answer.told, status, wanted, self, member, answer.link)

    async def forget(self, member: Member, path: str, store: str) -> str:
        """Have it remember nothing of ``path``; the ring that it knows of. Raises PeerFailed."""
        answer = await self._ask(member, FORGET, {"path": path, "store": store}, FOR_OTHERS)
        self.release(member, answer.link)
        return answer.told.ring

    async def arrived(self, member: Member, clients: Iterable[str]) -> None:
        """Tell it that those of its clients have come here. Raises PeerFailed."""
        answer = await self._ask(member, ARRIVED, {"clients": ",".join(clients)}, FOR_OTHERS)
        answer.link.abort()  # the next report is to reach another of its processes

    def release(self, member: Member, link: Link) -> None:
        """``link`` is not needed any more."""
        idle = self._idle.setdefault((member.host, member.peer_port), [])
        if link.usable and not self._closed and len(idle) < MOST_IDLE:
            link.ended = partial(self._ended, member, link)
            idle.append(link)
            return
        if link.lost:
            self._lost()
        link.abort()

    def close(self) -> None:
        """Close what is kept."""
        self._closed = True
        for links in self._idle.values():
            for link in links:
                link.abort()
        self._idle.clear()
        for looking in tuple(self._looking.values()):
            looking.cancel()

    async def _ask(self, member: Member, verb: str, values: Mapping[str, str], patience: Patience) -> _Answer:
        question = Question(verb, values)
        while True:
            kept = self._kept(member)
            link = kept or await self._greeted(member, patience)
            try:
                return await self._exchanged(member, link, question, patience)
            except LinkBroken as problem:
                self._lost()
                if kept is not None and problem.closed:
                    continue  # it was closed while nobody looked
                self._suspect(member, problem)
                raise PeerFailed(f"{member.worker}: {problem}") from None

    async def _greeted(self, member: Member, patience: Patience) -> Link:
        """A new connection, of which it is known which process has it."""
        link = await self._connected(member, patience.connect)
        try:
            answer = await self._exchanged(member, link, Question(HELLO, {}), patience)
        except LinkBroken as problem:
            self._suspect(member, problem)
            raise PeerFailed(f"{member.worker}: {problem}") from None
        link.process = answer.told.process
        return link

    async def _exchanged(self, member: Member, link: Link, question: Question, patience: Patience) -> _Answer:
        """The answer, if it is a member's. Raises LinkBroken, PeerFailed."""
        method, target = METHODS[question.verb], question.target
        value, mark = self._seals.seal(member.worker, method, target, link.process)
        request = f"{method} {target} HTTP/1.1\r\nHost: {member.host}\r\nContent-Length: 0\r\n{HEADER}: {value}\r\n\r\n"
        return self._checked(member, link, await link.ask(request.encode(), patience.sign, patience.answer), mark)

    def _checked(self, member: Member, link: Link, head: Head, mark: str) -> _Answer:
        text = head.headers.get(TOLD, "")
        if not self._seals.is_answer(head.headers.get(HEADER, ""), mark, head.status, head.length, text):
            link.abort()
            self._log.warn(
                "{worker} at {host} gives an answer that is no member's ({status})",
                worker=member.worker,
                host=member.host,
                status=head.status,
            )
            raise PeerFailed(f"{member.worker}: its answer is no member's")
        try:
            told = Told.read(text)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            link.abort()
            raise PeerFailed(f"{member.worker}: it is of another version") from None
        if head.status == 200:
            return _Answer(head, told, link)
        self.release(member, link)
        known = ANSWERS.get(told.error)
        if known is not None:
            raise known()
        raise PeerFailed(f"{member.worker}: {told.error}")

    def _kept(self, member: Member) -> Link | None:
        idle = self._idle.get((member.host, member.peer_port), [])
        while idle:
            link = idle.pop()
            link.ended = None
            if link.usable:
                return link
        return None

    async def _connected(self, member: Member, seconds: float) -> Link:
        if member.peer_port is None:
            raise PeerFailed(f"{member.worker}: it has no port for peers")
        try:
            endpoint: Any = HostnameEndpoint(self._reactor, member.host, member.peer_port, timeout=seconds, attemptDelay=ATTEMPT_SECONDS)
            if self._trust is not None:
                endpoint = wrapClientTLS(self._trust(member.host), endpoint)
            connecting = endpoint.connect(Factory.forProtocol(lambda: Link(self._reactor)))
            # The endpoint's limit is that of each address; who knows the addresses may not answer either.
            link: Link = await connecting.addTimeout(2 * seconds, self._reactor)
        except CancelledError:
            raise
        except Exception as problem:  # noqa: BLE001  # whatever a network can do, and a name that is none
            self._suspect(member, problem)
            failure = PeerAbsent if isinstance(problem, error.ConnectionRefusedError) else PeerFailed
            raise failure(f"{member.worker}: {problem or type(problem).__name__}") from None
        return link

    def _ended(self, member: Member, link: Link) -> None:
        """A connection to it has ended that nobody used."""
        self._lost()
        where = (member.host, member.peer_port)
        left = [one for one in self._idle.pop(where, []) if one is not link]
        if left:
            self._idle[where] = left
        self._look_after(member)

    def _look_after(self, member: Member) -> None:
        """Who has died is suspected before anybody is sent there, or waits for it."""
        if self._closed or member.worker in self._looking or self._members.find(member.worker) != member:
            return
        looking = self._looking[member.worker] = Deferred.fromCoroutine(self._look(member))
        _ = looking.addBoth(self._looked, member)

    def _looked(self, _: object, member: Member) -> None:
        del self._looking[member.worker]

    async def _look(self, member: Member) -> None:
        with suppress(PeerFailed):
            (await self._greeted(member, FOR_READERS)).abort()

    def _suspect(self, member: Member, problem: Exception) -> None:
        self._log.info("{worker} is suspected: {problem}", worker=member.worker, problem=str(problem) or type(problem).__name__)
        self._members.suspect(member.worker)
        self._lost()
