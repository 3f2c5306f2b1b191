"""How large objects are, as their owners said lately: whoever sends a client to one of them needs to ask nobody for that again.

That is so only while the owner has said something a moment ago, and there was no word since of anybody being gone. A size that is old does
no harm: a client goes elsewhere, or is served, though the other would have been quicker. An owner to which clients are sent all the time is
asked ahead, when half of that time is over, so that they need not wait for its word.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

# A moment. Questions so far apart cost nothing, and by the first of them a worker that is cut off is found out.
MOMENT_SECONDS = 0.5
SIZE_SECONDS = 60.0
MOST_SIZES = 4096
# The part of either after which there is a question ahead.
_AHEAD = 0.5
# Told by the store, of objects of whoever it may be.
STORE = ""


class Sizes:
    """``now`` tells seconds by a clock that never goes back."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._told: OrderedDict[str, tuple[int, str, float]] = OrderedDict()
        # When each worker has said anything.
        self._heard: dict[str, float] = {}
        # When each was asked ahead.
        self._asked: dict[str, float] = {}

    def tell(self, path: str, size: int, who: str) -> None:
        """``who``, a worker or the store, says just now that the object at ``path`` (``/bucket/key``) has ``size`` bytes."""
        now = self._heard[who] = self._now()
        self._told[path] = (size, who, now)
        self._told.move_to_end(path)
        if len(self._told) > MOST_SIZES:
            self._told.popitem(last=False)

    def find(self, path: str, owner: str) -> int | None:
        """The size of the object at ``path``, if the store told it lately; or ``owner``, of which something was heard a moment ago."""
        told = self._told.get(path)
        if told is None:
            return None
        size, who, when = told
        now = self._now()
        if now - when > SIZE_SECONDS or who not in (owner, STORE) or (who == owner and now - self._heard[who] > MOMENT_SECONDS):
            return None
        return size

    def is_due(self, path: str, owner: str) -> bool:
        """Whether it is time to ask ``owner`` for a size that ``find`` still gives. True once; again if it has been silent for as long."""
        told, now = self._told.get(path), self._now()
        if told is None or told[1] != owner:
            return False
        aging = now - self._heard[owner] > MOMENT_SECONDS * _AHEAD or now - told[2] > SIZE_SECONDS * _AHEAD
        if not aging or now - self._asked.get(owner, -MOMENT_SECONDS) < MOMENT_SECONDS * _AHEAD:
            return False
        self._asked[owner] = now
        return True

    def forget(self) -> None:
        """Some worker may be gone, or another have come."""
        self._told.clear()
        self._heard.clear()
        self._asked.clear()
