"""Whether clients that are redirected arrive: a worker learns it from those that it sent them to.

Where several processes share a worker's ports, a report reaches any of them: so a process takes a client for one that stops at
redirects only after as many without a word as make that unlikely.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from attrs import define
from twisted.internet.interfaces import IReactorTime

# A client has so long to follow, and the report to come.
ARRIVE_SECONDS = 10.0
# So long counts what was learned.
REMEMBER_SECONDS = 600.0
MOST_CLIENTS = 10_000
_NAME_BYTES = 9


@define
class _Record:
    """What is known of a client: until when each judgement counts, when a report is overdue, and how many never came."""

    arrives_until: float = 0.0
    stops_until: float = 0.0
    due: float | None = None
    missed: int = 0


class Arrivals:
    """Remembers clients, each by a name that tells nobody who it is. ``processes`` is how many share the worker's ports."""

    def __init__(self, clock: IReactorTime, processes: int = 1) -> None:
        self._clock = clock
        self._patience = 4 * (processes - 1) + 1
        self._records: OrderedDict[str, _Record] = OrderedDict()

    @staticmethod
    def name(agent: str, address: str) -> str:
        """The name of a client: of one program at one address."""
        return hashlib.blake2b(f"{address}\0{agent}".encode("utf-8", "surrogatepass"), digest_size=_NAME_BYTES).hexdigest()

    def stops(self, client: str) -> bool:
        """Whether ``client`` was redirected before and never arrived."""
        record = self._records.get(client)
        if record is None:
            return False
        self._settle(record)
        return self._clock.seconds() < record.stops_until

    def wants(self, client: str) -> bool:
        """Whether a report is wanted of ``client`` if it is redirected now."""
        record = self._records.get(client)
        return record is None or self._clock.seconds() >= record.arrives_until

    def sent(self, client: str) -> None:
        """``client`` is redirected now, and its arrival to be reported."""
        now = self._clock.seconds()
        record = self._records.setdefault(client, _Record())
        self._records.move_to_end(client)
        if len(self._records) > MOST_CLIENTS:
            self._records.popitem(last=False)
        self._settle(record)
        if record.due is None:
            record.due = now + ARRIVE_SECONDS

    def arrived(self, client: str) -> None:
        """``client`` has come to where it was sent."""
        if client in self._records or len(self._records) < MOST_CLIENTS:
            self._records[client] = _Record(arrives_until=self._clock.seconds() + REMEMBER_SECONDS)

    def _settle(self, record: _Record) -> None:
        now = self._clock.seconds()
        if record.due is None or now < record.due:
            return
        record.due = None
        record.missed += 1
        if record.missed >= self._patience:
            record.stops_until = now + REMEMBER_SECONDS
            record.missed = 0
