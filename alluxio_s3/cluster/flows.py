"""The rest of a body that a peer sends, left in the socket for splice(2)."""

from __future__ import annotations

import os
from collections.abc import Callable

from zope.interface import implementer

from alluxio_s3.cluster.links import Link
from alluxio_s3.interfaces import IFlow

_SPLICE_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK


@implementer(IFlow)
class Flow:
    """What is left of the body of ``link``, which is ``Link.bare``. It is the link's only reader until ``leave``."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._ready: Callable[[], None] | None = None
        link.divert(self._tell)

    @property
    def left(self) -> int:
        """See IFlow."""
        return self._link.left

    @property
    def over(self) -> bool:
        """See IFlow."""
        return not self._link.left or self._link.lost

    def fill(self, pipe: int, most: int) -> int:
        """See IFlow."""
        link = self._link
        if self.over:
            return 0
        try:
            moved = os.splice(link.transport.fileno(), pipe, min(most, link.left), flags=_SPLICE_FLAGS)
        except BlockingIOError:
            raise
        except OSError:
            moved = 0
        if moved:
            link.took(moved)
        else:
            link.abort()
        return moved

    def wait(self, ready: Callable[[], None]) -> None:
        """See IFlow."""
        self._ready = ready
        self._link.listen()

    def leave(self) -> None:
        """See IFlow."""
        self._ready = None
        self._link.restore()

    def _tell(self) -> None:
        ready, self._ready = self._ready, None
        if ready is not None:
            ready()
