"""How much of what is told reaches the daemon's log.

Twisted gives no way to filter observers that are there already but to take their places, so this touches what a ``LogPublisher`` keeps
to itself (``_observers``); ``tests/ops/test_log_level.py`` holds it to Twisted's version.
"""

from __future__ import annotations

from twisted.logger import FilteringLogObserver, LogLevel, LogLevelFilterPredicate, LogPublisher, globalLogPublisher

# One line for each request: whoever wants none has it written to a file.
_ALWAYS = "alluxio_s3.access"


class LogThreshold:
    """The threshold before the observers of ``publisher``."""

    def __init__(self, publisher: LogPublisher = globalLogPublisher) -> None:
        self._publisher = publisher
        self._predicate = LogLevelFilterPredicate(LogLevel.info)
        self._ours: list[FilteringLogObserver] = []

    def set(self, name: str) -> None:
        """Let through what is of the level ``name`` or above."""
        level = LogLevel.lookupByName(name)
        self._predicate.clearLogLevels()
        self._predicate.defaultLogLevel = level
        self._predicate.setLogLevelForNamespace("", level)
        self._predicate.setLogLevelForNamespace(_ALWAYS, LogLevel.info)
        if name == "info" and not self._ours:
            return
        for observer in tuple(self._publisher._observers):  # noqa: SLF001
            if observer not in self._ours:
                filtering = FilteringLogObserver(observer, [self._predicate])
                self._publisher.removeObserver(observer)
                self._publisher.addObserver(filtering)
                self._ours.append(filtering)

    def clear(self) -> None:
        """Let everything through again, as before."""
        for filtering in self._ours:
            self._publisher.removeObserver(filtering)
            self._publisher.addObserver(filtering._observer)  # noqa: SLF001
        self._ours.clear()
