"""Pages of listings that are remembered for a while where a mount asks for it: by each process, until anybody writes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable

from attrs import frozen

from alluxio_s3.cache.freshness import Moments
from alluxio_s3.storage import Listing

# So many pages, and entries of pages, are remembered.
MOST_PAGES, MOST_ENTRIES = 1024, 100_000

Asked = tuple[str, str, int, str]


@frozen
class _Page:
    listing: Listing
    asked: int
    state: bytes


class Listings:
    """Remembers pages for ``max_age`` seconds.

    ``state`` is another as soon as any process has learned or forgotten something (``PageStore.state``), empty if nobody can tell: what
    was asked for before that is of no use after it. So a write is seen at once, and a cold read of something new costs a listing too.
    """

    def __init__(self, max_age: float, state: Callable[[], bytes], moments: Moments) -> None:
        self._max_age = max_age
        self._state = state
        self._moments = moments
        self._pages: OrderedDict[Asked, _Page] = OrderedDict()
        self._entries = 0

    async def look(self, asked: Asked, ask: Callable[[], Awaitable[Listing]], limit: float = float("inf")) -> Listing:
        """The page: what is remembered, if it is no older than ``limit`` seconds, or else what ``ask`` answers."""
        state = self._state()
        found = self._pages.get(asked)
        if found is not None:
            age = self._moments.age(found.asked)
            if state and state == found.state and age is not None and age <= min(self._max_age, limit):
                self._pages.move_to_end(asked)
                return found.listing
            self._drop(asked)
        moment = self._moments.now()
        listing = await ask()
        if state and self._state() == state:
            self._drop(asked)
            self._pages[asked] = _Page(listing, moment, state)
            self._entries += len(listing.entries)
            while len(self._pages) > MOST_PAGES or self._entries > MOST_ENTRIES:
                self._drop(next(iter(self._pages)))
        return listing

    def _drop(self, asked: Asked) -> None:
        page = self._pages.pop(asked, None)
        if page is not None:
            self._entries -= len(page.listing.entries)
