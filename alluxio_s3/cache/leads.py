"""Who is the first to read an object of which nothing is kept: one at a time, of all processes.

The first may ask for bytes before it is known which version they are of, and what nobody knows yet nobody can claim. The others wait until
those pages are on their way, and claimed, so that none is fetched twice.
"""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater

from alluxio_s3.cache.keys import version_key
from alluxio_s3.cache.store import PageStore

# How long the others wait, and how often they look; and for how long at most a page of the first's may be on its way to the disk.
PATIENCE_SECONDS = 5.0
POLL_SECONDS = 0.005
# Two claims go with each path: on being the first, until pages of it are kept, and on having nothing on its way yet.
_FIRST, _BARE = range(1), range(1, 2)


class Lead:
    """The part of the first reader of one object. ``begun`` and then ``end``, or ``end`` alone; each may be called again."""

    def __init__(self, leads: Leads, key: bytes, identity: str, path: str) -> None:
        self.bare = True
        self._leads = leads
        self._key = key
        self._thing = (identity, path)
        self._until = 0.0
        self._look: IDelayedCall | None = None

    def begun(self) -> None:
        """Pages are on their way, and claimed. When some are kept it ends by itself."""
        if self.bare and self._leads.led.get(self._key) is self:
            self._until = self._leads.clock.seconds() + PATIENCE_SECONDS
            self._bare_no_more()
            self._watch()

    def end(self) -> None:
        """There are no such pages, or they are kept."""
        if self._leads.led.get(self._key) is self:
            del self._leads.led[self._key]
            if self._look is not None and self._look.active():
                self._look.cancel()
            self._bare_no_more()
            self._leads.store.claims.give_back(self._key, _FIRST)

    def _bare_no_more(self) -> None:
        if self.bare:
            self.bare = False
            self._leads.store.claims.give_back(self._key, _BARE)

    def _watch(self) -> None:
        clock = self._leads.clock
        if self._leads.store.has(*self._thing) or clock.seconds() >= self._until:
            self.end()
        else:
            self._look = clock.callLater(POLL_SECONDS, self._watch)


class Leads:
    """The leads that this process has, in the objects of ``store``. For the reactor's thread; ``clock`` is its."""

    def __init__(self, store: PageStore, clock: IReactorTime) -> None:
        self.store = store
        self.clock = clock
        self.led: dict[bytes, Lead] = {}

    async def take(self, identity: str, path: str) -> Lead | None:
        """Be the first; None where pages are kept, or another is it, whose pages are on their way by now."""
        if self.store.has(identity, path):
            return None
        key = version_key(identity, path, "")  # no version has that one
        claims = self.store.claims
        if key not in self.led and claims.take(key, _FIRST):
            if claims.take(key, _BARE):
                lead = self.led[key] = Lead(self, key, identity, path)
                if not self.store.has(identity, path):  # who was it before may just have ended
                    return lead
                lead.end()
                return None
            claims.give_back(key, _FIRST)
        until = self.clock.seconds() + PATIENCE_SECONDS
        while self.clock.seconds() < until:
            if not (key in self.led and self.led[key].bare) and claims.take(key, _BARE):
                claims.give_back(key, _BARE)
                break
            await deferLater(self.clock, POLL_SECONDS)
        return None

    def close(self) -> None:
        """End all."""
        for lead in list(self.led.values()):
            lead.end()
