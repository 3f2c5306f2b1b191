"""The parent: holds the ports, keeps its children running, and speaks for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve
from twisted.application.internet import TimerService
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.internet.interfaces import IDelayedCall, IListeningPort
from twisted.logger import Logger

from alluxio_s3.admission import watched_admin_token
from alluxio_s3.clocks import wall_clock
from alluxio_s3.gateway import Gateway, take_signals
from alluxio_s3.http.draining import CUT_SECONDS
from alluxio_s3.inspection.dashboards import build_dashboard
from alluxio_s3.listening import NOTHING_INHERITED, Inherited, listen_for_admin
from alluxio_s3.ops.admin import AdminPages
from alluxio_s3.ops.door import Door
from alluxio_s3.ops.log_level import LogThreshold
from alluxio_s3.ops.metrics import Snapshot
from alluxio_s3.ops.totals import merged
from alluxio_s3.reloading import RELOADS
from alluxio_s3.settings import Loaded, SettingsError
from alluxio_s3.supervisor.keepsakes import Keepsakes
from alluxio_s3.supervisor.messages import HURRY, REOPEN, encode_reload
from alluxio_s3.supervisor.slot import Job, Slot
from alluxio_s3.supervisor.sockets import Listening, open_sockets

# How long the answer to a scrape waits for the figures of now; then those of at most a second ago will do.
NEWS_SECONDS = 1.0
# How soon a change of a file is known to children that start.
LOOK_SECONDS = 1.0
# How long children may take beyond what they may drain.
GRACE_SECONDS = 10.0


class Supervisor(Service):
    """The daemon, as several processes. ``build`` makes one; it starts and stops as a Gateway does. It is a ``Witness`` of them all."""

    name = "alluxio-s3"
    _log = Logger()

    def __init__(self, loaded: Loaded, gateway: Gateway, reactor: Any, read: Callable[[], Loaded] | None = None) -> None:
        self._loaded = loaded
        self._gateway = gateway
        self._read = read
        self._keepsakes = Keepsakes(gateway.renewal.parts)
        self._looks = TimerService(LOOK_SECONDS, self._look)
        self._looks.clock = reactor
        self._threshold = LogThreshold()
        self._door = Door.of(watched_admin_token(loaded.settings, reactor), wall_clock(reactor))
        self._reactor = reactor
        self._slots: list[Slot] = []
        self._listening: Listening | None = None
        self._admin: IListeningPort | None = None
        self._stopping = False

    @classmethod
    def build(
        cls, loaded: Loaded, reactor: Any, inherited: Inherited = NOTHING_INHERITED, read: Callable[[], Loaded] | None = None
    ) -> Supervisor:
        """A parent for as many children as ``loaded`` says; ``read`` reads that again, to ``reload`` it.

        Raises SettingsError for whatever would keep a child from starting.
        """
        if (loaded.settings.ufs_root or "").startswith("memory:"):
            raise SettingsError("alluxio.worker.s3.processes: what is kept in memory is one process's own.")
        gateway = Gateway.build(loaded, reactor, inherited=inherited)
        gateway.abandon()
        return cls(evolve(loaded, warnings=()), gateway, reactor, read)

    def startService(self) -> None:  # noqa: N802  # Twisted's name
        """Listen, for the children. Raises SystemExit when that can't be done."""
        super().startService()
        settings = self._loaded.settings
        self._threshold.set(settings.log_level)
        self._keepsakes.look(self._loaded)
        self._listening = open_sockets(self._gateway.places, self._reactor, settings.processes)
        dashboard = build_dashboard(self._loaded, self._reactor, self, self._listening.served)
        self._admin = listen_for_admin(settings, self._reactor, AdminPages(self, self._door, dashboard).site())
        for number, sockets in enumerate(self._listening.shares):
            job = Job(self._own(number), sockets, announces=number == 0, count=settings.processes)
            self._slots.append(Slot(number, job, self._reactor))
        self._reactor.callWhenRunning(self._start)

    def stopService(self) -> Deferred[None]:  # noqa: N802  # Twisted's name
        """Have all children stop listening, let requests end (up to the drain limit), and end. A second signal ends the draining."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    @property
    def serving(self) -> bool:
        """Whether all of them do."""
        return not self._stopping and bool(self._slots) and all(slot.serving for slot in self._slots)

    async def reload(self) -> None:
        """Have each take what has changed, as ``Gateway.reload`` does."""
        renewal = self._gateway.renewal
        found = renewal.loaded if self._read is None else renewal.read(self._read)
        # What children would refuse, those must not start with that take their places.
        loaded, refused = renewal.rehearse(found)
        self._loaded = evolve(loaded, warnings=())
        self._threshold.set(self._loaded.settings.log_level)
        self._keepsakes.look(self._loaded)
        for number, slot in enumerate(self._slots):
            slot.brief(self._own(number))
            slot.tell(encode_reload(evolve(self._own(number), kept={}), refused))

    def reopen_logs(self) -> None:
        """Have each open its access log anew."""
        self._tell(REOPEN)

    async def snapshot(self) -> Snapshot:
        """Every figure, of all."""
        news = DeferredList([Deferred.fromCoroutine(slot.news()) for slot in self._slots], consumeErrors=True)
        try:
            await news.addTimeout(NEWS_SECONDS, self._reactor)
        except TookTooLong:
            self._log.warn("A process is too busy to say how it is")
        own = tuple(one for one in self._gateway.operations.metrics.snapshot() if one.name == RELOADS)
        return merged((own, *(slot.figures for slot in self._slots)))

    async def reasons(self) -> Mapping[str, str]:
        """Why no requests should come: what any of them says."""
        if self._stopping:
            return {"daemon": "it is stopping"}
        return {name: reason for slot in self._slots for name, reason in slot.reasons.items()}

    def warnings(self) -> Mapping[str, str]:
        """What an operator should look at: what any of them says."""
        return {name: trouble for slot in self._slots for name, trouble in slot.warnings.items()}

    def _own(self, number: int) -> Loaded:
        """What the child of a number is to serve by."""
        settings = self._loaded.settings
        # One of them is enough to look for abandoned uploads; the admin port is the parent's.
        cleans = settings.upload_cleaner_enabled and number == 0
        own = evolve(settings, processes=1, admin_port=None, admin_token=None, upload_cleaner_enabled=cleans)
        return evolve(self._loaded, settings=own, kept=dict(self._keepsakes.contents))

    def _look(self) -> None:
        if self._keepsakes.look(self._loaded):
            for number, slot in enumerate(self._slots):
                slot.brief(self._own(number))

    def _start(self) -> None:
        self._looks.startService()
        for slot in self._slots:
            slot.start()

    def _tell(self, word: bytes) -> None:
        for slot in self._slots:
            slot.tell(word)

    async def _stop(self) -> None:
        self._stopping = True
        if self._looks.running:
            await self._looks.stopService()
        take_signals(self._reactor, lambda: self._tell(HURRY))
        if self._listening is not None:
            self._listening.close()
        settings = self._loaded.settings
        limit = (settings.drain_notice_ms + settings.drain_ms) / 1000 + CUT_SECONDS + GRACE_SECONDS
        late: IDelayedCall = self._reactor.callLater(limit, self._kill)
        await DeferredList([slot.stop() for slot in self._slots])
        if late.active():
            late.cancel()
        if self._admin is not None:
            stopped = self._admin.stopListening()
            if stopped is not None:
                await stopped
        self._threshold.clear()

    def _kill(self) -> None:
        self._log.error("Processes that do not end are killed")
        for slot in self._slots:
            slot.kill()
