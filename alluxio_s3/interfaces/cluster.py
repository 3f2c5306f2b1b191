"""What the other rooms know of the workers beside this one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from attrs import field, frozen
from zope.interface import Attribute, Interface

from alluxio_s3.interfaces.identity import IPrincipal
from alluxio_s3.interfaces.stores import IUnderFileSystem
from alluxio_s3.s3.request import RequestHead


@frozen
class Member:
    """A worker of the cluster. ``worker`` is its id, which stays over restarts; ``boot`` is another at each start.

    ``host`` is where clients and peers reach it, and the ports are those of S3 over HTTP and HTTPS, and of peers; None: there is none.
    ``weight`` is its share of the objects beside that of others. ``owners`` is how many owners a path has, as far as it knows.
    """

    worker: str
    boot: str
    host: str
    http_port: int | None
    https_port: int | None
    peer_port: int | None
    weight: float = 1.0
    owners: int = 1


class IMembers(Interface):
    """Who is there, and who owns what. Ownership is a hint: it makes reads fast, never right."""

    me: Member = Attribute("This worker.")
    epoch: int = Attribute("A number that grows with each change of the members: etcd's revision of their set; 0 alone.")
    live: tuple[Member, ...] = Attribute("Everybody who is there, this worker too, in the order of their ids.")
    secret: bytes = Attribute(
        "What only members know, at least 32 bytes: their requests and tokens are signed with it. It may change: ask for it each time."
    )
    leased: bool = Attribute("Whether members have leases. Where they have none, nobody is ever certain.")

    def owners(path: str, count: int = 1) -> tuple[Member, ...]:
        """The first ``count`` owners of ``path`` (``/bucket/key``), the best first, of those who are not suspect; never empty.

        A few microseconds, for 1,000 workers too.
        """

    def find(worker: str) -> Member | None:
        """The live member of that id."""

    def suspect(worker: str) -> None:
        """A connection to it was refused or hung: it owns nothing until it is heard of again, or some seconds have passed."""

    def is_certain() -> bool:
        """Whether this worker's own lease is certainly valid, by a clock that runs while the machine sleeps.

        Only then may an owner answer from metadata that it remembers without asking the store: whoever writes elsewhere has told it,
        or has waited until it is not certain any more (promises D3).
        """

    def is_alone() -> bool:
        """Whether there has been no other worker since this one began, and that is known: who has not heard of any may be cut off."""

    async def mark(path: str) -> None:
        """Leave word for every owner that ``path`` has changed, and return when none can be certain without having seen it.

        For a writer who could not reach an owner: takes about a lease. Raises Unavailable when there is no leaving word either.
        """

    def watch(changed: Callable[[], None]) -> None:
        """Call ``changed`` after each change of the members."""

    def on_mark(forget: Callable[[str], Awaitable[None] | None]) -> None:
        """Call ``forget`` with each path that another worker has left word of, before being certain again.

        An empty path is everything: under a new lease, what was marked under the one before may be marked no more. It comes before others
        can see this worker, too. What ``forget`` returns is waited for.
        """


class IOwned(Interface):
    """An under-store whose objects are owned by workers."""

    def note(path: str, *, sent: bool) -> None:
        """A client wants the object at ``path``; ``sent``: another worker has sent it here for that."""

    def owner(path: str) -> Member | None:
        """Who should be asked for the object at ``path``; None: this worker. A few microseconds."""

    def size(path: str, owner: Member) -> int | None:
        """How large that object is, if its ``owner`` said so lately, and is there as far as anybody can know without asking it."""


class IRemembering(Interface):
    """An under-store that remembers what the one behind it said, and gives it without asking again."""

    relies = Attribute("bool: whether it does, while all is well. If not, what it remembers is never in the way of what is so.")

    def rely(limit: Callable[[str], float]) -> None:
        """From now on what is remembered of a path may be given only while it is no older than ``limit`` of the path, in seconds.

        Below 0: not at all. The empty path is for what is about many paths, such as a listing.
        """

    async def forget(path: str) -> None:
        """Remember nothing of ``path``, in any process, nor what the store was asked before now."""


@frozen
class Elsewhere:
    """Where a client is to go: the URL, and the host and port in it."""

    location: str
    endpoint: str


@frozen
class Steered:
    """Who answers a read: the client is to go ``elsewhere``, or this worker does. ``reason`` says why in a word; empty if it is ours."""

    elsewhere: Elsewhere | None = None
    reason: str = ""


@frozen
class Asker:
    """Who asks for an object, as far as it matters for where they are sent.

    ``peer`` is their address; ``agent`` is what they say of their program, ``wish`` of redirects; ``uri`` is the target as it came.
    Whoever asks for another ``span`` of it, a Range header's value, is the same.
    """

    peer: str
    secure: bool
    agent: bytes
    wish: bytes
    uri: bytes
    span: str | None = field(default=None, eq=False)


class IRouting(Interface):
    """Says which worker answers a read."""

    async def steer(head: RequestHead, principal: IPrincipal, ufs: IUnderFileSystem, path: str) -> Steered:
        """Where the GET of an object, at ``path`` of ``ufs``, is to be answered. Raises what ``ufs.status`` raises."""

    def send(asker: Asker, head: Callable[[], RequestHead], principal: IPrincipal, ufs: IUnderFileSystem, path: str) -> Steered | None:
        """The same, if it is elsewhere, and can be told without waiting. None: nothing has been done, and ``steer`` tells.

        ``head`` gives the request's, of which ``asker`` is a part.
        """
