"""Who is the first to read an object of which nothing is kept: one at a time, of all processes.

The first may ask for bytes before it is known which version they are of, and what nobody knows yet nobody can claim. The others wait until
those pages are on their way, and claimed, so that none is fetched twice.
"""

from __future__ import annotations

from contextlib import suppress

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater

from alluxio_s3.cache.keys import version_key
from alluxio_s3.cache.store import PageStore

# How long the others wait, and for how long at most a page of the first's may be on its way to the disk.
PATIENCE_SECONDS = 5.0
# How soon it is looked whether that is over; then after twice as long, and so on.
LOOK_SECONDS = 0.005
# Two claims go with each path: on being the first, until pages of it are kept, and on having nothing on its way yet.
_FIRST, _BARE = range(1), range(1, 2)


class Lead:
    """The part of the first reader of one object. ``begun`` and then ``end``, or ``end`` alone; each may be called again."""

    def __init__(self, leads: Leads, key: bytes, identity: str, path: str) -> None:
        self.bare = True
        self._leads = leads
        self._key = key
        self._thing = (identity, path)
        self._waiting: list[Deferred[None]] = []
        self._begun_at = 0.0
        self._look: IDelayedCall | None = None

    def begun(self) -> None:
        """Pages are on their way, and claimed. When some are kept it ends by itself."""
        if self.bare and self._leads.led.get(self._key) is self:
            self._begun_at = self._leads.clock.seconds()
            self._bare_no_more()
            self._watch()

    def end(self) -> None:
        """There are no such pages, or they are kept."""
        if self._leads.led.get(self._key) is self:
            del self._leads.led[self._key]
            if self._look is not None and self._look.active():
                self._look.cancel()
            self._leads.store.claims.give_back(self._key, _FIRST)
            self._bare_no_more()

    async def follow(self) -> None:
        """Return when there are pages on their way, or it has ended; or after a while."""
        if self.bare:
            waiting: Deferred[None] = Deferred()
            self._waiting.append(waiting)
            with suppress(TookTooLong):
                await waiting.addTimeout(PATIENCE_SECONDS, self._leads.clock)

    def _bare_no_more(self) -> None:
        if self.bare:
            self.bare = False
            self._leads.store.claims.give_back(self._key, _BARE)
            waiting, self._waiting = self._waiting, []
            for one in waiting:
                if not one.called:
                    one.callback(None)

    def _watch(self) -> None:
        clock = self._leads.clock
        passed = clock.seconds() - self._begun_at
        if self._leads.store.has(*self._thing) or passed >= PATIENCE_SECONDS:
            self.end()
        else:
            self._look = clock.callLater(_pause(passed), self._watch)


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
        found = self.led.get(key)
        if found is not None:
            await found.follow()
            return None
        claims = self.store.claims
        if claims.take(key, _FIRST):
            if claims.take(key, _BARE):
                lead = self.led[key] = Lead(self, key, identity, path)
                if not self.store.has(identity, path):  # who was it before may just have ended
                    return lead
                lead.end()
                return None
            claims.give_back(key, _FIRST)
        await self._follow_another(key)
        return None

    async def _follow_another(self, key: bytes) -> None:
        """Return when the process that has the lead has pages on their way, or after a while."""
        began = self.clock.seconds()
        while (passed := self.clock.seconds() - began) < PATIENCE_SECONDS:
            # One that is this process's own now came later.
            if key in self.led or self.store.claims.take(key, _BARE):
                break
            await deferLater(self.clock, _pause(passed))
        if key not in self.led:
            self.store.claims.give_back(key, _BARE)

    def close(self) -> None:
        """End all."""
        for lead in list(self.led.values()):
            lead.end()


def _pause(passed: float) -> float:
    """Until it is looked again, so long after it began."""
    return max(LOOK_SECONDS, min(passed, PATIENCE_SECONDS - passed))
