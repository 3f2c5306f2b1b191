"""What readers of local files promise, whose bytes need not pass through the process. See the package for the rules that hold for all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from attrs import frozen
from zope.interface import Attribute, Interface

from alluxio_s3.storage import Provenance, Status


class IFileBacked(Interface):
    """A reader whose bytes are one open local file, at the same offsets (so sendfile can serve it)."""

    def fileno() -> int:
        """The open file descriptor; the reader's to close."""

    def check_unchanged() -> None:
        """Raise ObjectChanged if the bytes may not be those of ``status`` any more. Does not wait (an fstat)."""


class IHotReader(IFileBacked):
    """A reader of what is open already, shared with other readers."""

    status: Status = Attribute("As IObjectReader's.")
    rendered: dict[object, object] = Attribute(
        "What earlier readers of this version made of its status, whatever its age, to be used again."
    )

    def release() -> None:
        """What IObjectReader's ``close`` does, without waiting. Called once."""


@frozen
class Span:
    """``count`` bytes of ``file`` from ``offset``: a stretch of an object. Whoever has sent it calls ``file.release()``."""

    file: IHotReader
    offset: int
    count: int


class ISpanReader(Interface):
    """A reader some of whose bytes are in local files (so sendfile can serve them), others not."""

    def spans(offset: int, count: int) -> AsyncIterator[bytes | Span]:
        """What ``read`` gives, with a Span for what is in a file and is proven to be right."""


class IFlow(Interface):
    """Bytes that come over a connection, and are left in the kernel for splice(2)."""

    left: int = Attribute("How many of them have not been taken.")
    over: bool = Attribute("Whether no more come: all have been taken, or the connection has ended before.")

    def fill(pipe: int, most: int) -> int:
        """Move up to ``most`` of them into a pipe, by its descriptor; how many that were, 0 if it is over.

        Raises BlockingIOError if none is here yet, or the pipe is full.
        """

    def wait(ready: Callable[[], None]) -> None:
        """Call ``ready``, once, when there is more, or it is over."""

    def leave() -> None:
        """Nobody takes any more of it. What it is a part of goes on, or ends, as if it had been given as bytes up to here."""


class IFlowingReader(Interface):
    """A reader some of whose bytes come over a connection, as they are (so splice can pass them on)."""

    def flows(offset: int, count: int) -> AsyncIterator[bytes | IFlow]:
        """What ``read`` gives, with an IFlow for what is left in a connection.

        The next item is asked for when a flow is over; if that gave fewer than it had left, the rest of it comes next, if from anywhere.
        """


class ICachedReader(Interface):
    """A reader before whose store a cache stands. What is asked of it here comes before its bytes."""

    async def prepare(offset: int, count: int) -> Provenance:
        """Make sure that these bytes can be given, as far as that can be known before they are, and say where they come from.

        Raises ObjectChanged when the store has another version by now: opening it again may help. Unavailable.
        """

    async def load(offset: int, count: int) -> None:
        """Have these bytes in the cache, with less haste than what clients wait for. Raises what ``read`` raises."""

    async def resident(offset: int, count: int) -> int:
        """How many of these bytes are in the cache."""


class IResidency(Interface):
    """An under-store before which a cache stands, which can tell what it holds of many objects at once."""

    async def residency(statuses: Sequence[Status]) -> Sequence[int]:
        """Of each, how many bytes of that version are in the cache of this worker. The store is not asked; pages come and go meanwhile."""


class IBeginner(Interface):
    """A reader that can begin to read before its bytes are asked for."""

    async def begin(offset: int, count: int) -> None:
        """Return when the first of these bytes are here, as far as they come from a store. Raises what ``read`` raises.

        The next read of the same bytes goes on from there; ``close`` gives it up.
        """


class IHotObject(IHotReader):
    """An object that is open since it was read lately; what it says is right only if it is proven afterwards."""

    def is_current() -> bool:
        """Whether its path still means what is open here, untouched since it was opened. Does not wait (a stat).

        To be asked when all has been read that is to be proven. False: it is of no use any more.
        """


class IHotObjects(Interface):
    """An under-store that keeps open what was read lately."""

    def hot(path: str) -> IHotObject | None:
        """What was the object at ``path``, or None if to know that would mean to wait. Raises nothing. It is to be proven, and released."""
