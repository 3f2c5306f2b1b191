"""Whether requests should be sent here, and if not, why."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from attrs import define, field, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from alluxio_s3.interfaces import IRemote, IUnderFileSystem
from alluxio_s3.storage import NoSuchPath

# How long a check may take, and how long its outcome is good: whoever asks all the time must not load the stores.
CHECK_SECONDS = 5.0
REMEMBERED_SECONDS = 1.0

# Not the digits of a name or a path.
_FIGURES = re.compile(r"(?<![\w/.-])[-+]?\d[\d.]*")

# Returns what is wrong, empty if nothing is. What it raises is wrong too.
Check = Callable[[], Awaitable[str]]


@frozen
class _Outcome:
    at: float
    reason: str


@define
class Health:
    """The checks of one process. ``stopping`` says that the daemon takes no more requests.

    What ``watch`` adds keeps requests away; what ``warn_of`` adds is for an operator to look at.
    """

    clock: IReactorTime
    stopping: bool = False
    _checks: dict[str, Check] = field(factory=dict)
    _outcomes: dict[str, _Outcome] = field(factory=dict)
    _waiting: dict[str, list[Deferred[None]]] = field(factory=dict)
    _cautions: dict[str, Callable[[], str]] = field(factory=dict)
    _warned: dict[str, str] = field(factory=dict)
    _log = Logger()

    def watch(self, name: str, check: Check) -> None:
        """Ask ``check`` too; ``name`` is what it is about, for whoever reads the reasons."""
        self._checks[name] = check

    def warn_of(self, name: str, trouble: Callable[[], str]) -> None:
        """Have ``trouble`` asked what there is to warn of, at once; empty if there is nothing. ``name`` is what it is about."""
        self._cautions[name] = trouble

    def warnings(self) -> Mapping[str, str]:
        """What an operator should look at, by what it is about."""
        found = {name: trouble() for name, trouble in self._cautions.items()}
        return {name: trouble for name, trouble in found.items() if trouble}

    def tell(self) -> None:
        """Log the warnings that are new or say something else, figures aside, and those that are over."""
        now = self.warnings()
        for name, trouble in now.items():
            if _FIGURES.sub("", trouble) != _FIGURES.sub("", self._warned.get(name, "")):
                self._log.warn("{name}: {trouble}", name=name, trouble=trouble)
        for name in self._warned:
            if name not in now:
                self._log.info("{name}: all is well again", name=name)
        self._warned = dict(now)

    def levels(self) -> Mapping[tuple[str, ...], float]:
        """1 for each warning, 0 for what is well."""
        now = self.warnings()
        return {(name,): float(name in now) for name in self._cautions}

    async def reasons(self) -> Mapping[str, str]:
        """Why no requests should be sent here, by what each reason is about; empty if they should. Never raises."""
        if self.stopping:
            return {"daemon": "it is stopping"}
        found = {name: await self._reason(name) for name in tuple(self._checks)}
        return {name: reason for name, reason in found.items() if reason}

    async def _reason(self, name: str) -> str:
        known = self._outcomes.get(name)
        if known is not None and abs(self.clock.seconds() - known.at) < REMEMBERED_SECONDS:
            return known.reason
        if name not in self._waiting:
            self._waiting[name] = []
            _ = Deferred.fromCoroutine(self._find_out(name))
        if name in self._waiting:
            told: Deferred[None] = Deferred(self._waiting[name].remove)
            self._waiting[name].append(told)
            await told
        return self._outcomes[name].reason

    async def _find_out(self, name: str) -> None:
        """One check for all who ask meanwhile; it goes on if one of them leaves."""
        try:
            reason = await Deferred.fromCoroutine(_run(self._checks[name])).addTimeout(CHECK_SECONDS, self.clock)
        except (TookTooLong, CancelledError):
            reason = f"no answer in {CHECK_SECONDS:.0f} s"
        except Exception as problem:  # noqa: BLE001  # whatever keeps a check from ending well is the reason
            reason = str(problem) or type(problem).__name__
        self._outcomes[name] = _Outcome(self.clock.seconds(), reason)
        for told in self._waiting.pop(name):
            told.callback(None)


def store_check(ufs: IUnderFileSystem) -> Check:
    """Whether the under-store answers."""
    remote = IRemote(ufs, None)

    async def check() -> str:
        if remote is not None:
            await remote.reach()
            return ""
        with suppress(NoSuchPath):  # an answer as well: not every store has a folder at its root
            await ufs.status("")
        return ""

    return check


async def _run(check: Check) -> str:
    return await check()
