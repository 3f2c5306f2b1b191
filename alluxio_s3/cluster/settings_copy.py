"""The properties that etcd has for all workers of a cluster, ``<prefix>settings/<name>``, in a file that the daemon reads when it starts.

So a worker starts with them when etcd is away, too. What would keep the daemon from starting is not taken.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import javaproperties
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from alluxio_s3.cluster.etcd_words import Entry
from alluxio_s3.cluster.watched import WatchedPrefix

SETTINGS = "settings/"
LISTED_SECONDS = 60.0


def properties_of_entries(entries: Mapping[str, Entry]) -> str:
    """The text of a properties file. Values that are not UTF-8 are not properties: they are left out."""
    found: dict[str, str] = {}
    for name, entry in sorted(entries.items()):
        try:
            found[name] = entry.value.decode("utf-8")
        except UnicodeDecodeError:
            continue
    return javaproperties.dumps(found, timestamp=None)


class SettingsCopy(Service):
    """Keeps the file at ``path`` as what is ``watched`` says, and has that read anew (``reload``).

    ``check`` is asked of a candidate first; it raises ValueError, which says what is wrong.
    """

    _log = Logger()

    def __init__(
        self, watched: WatchedPrefix, path: Path, check: Callable[[Path], None], reload: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        self._watched = watched
        self._path = path
        self._check = check
        self._reload = reload
        self._beginning: Deferred[None] | None = None

    def startService(self) -> None:  # noqa: N802  # Twisted's name
        """Begin to follow etcd."""
        super().startService()
        self._watched.start()
        self._beginning = Deferred.fromCoroutine(self._begin()).addErrback(self._failed)

    def stopService(self) -> Deferred[None]:  # noqa: N802  # Twisted's name
        """Follow no more."""
        super().stopService()
        if self._beginning is not None:
            self._beginning.cancel()
        self._watched.stop()
        return Deferred.fromCoroutine(self._watched.etcd.close())

    async def _begin(self) -> None:
        while not await self._watched.listed(LISTED_SECONDS):
            pass
        self._watched.subscribe("", lambda _: self._take())
        self._take()

    def _take(self) -> None:
        if self._watched.lost and not self._watched.entries:
            self._log.warn("etcd has lost the properties of the cluster; they stay as they were")
            return
        text = properties_of_entries(self._watched.entries)
        fresh = self._path.with_name(f"{self._path.name}.new")
        try:
            if text == (self._path.read_text(encoding="utf-8") if self._path.exists() else ""):
                return
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh.unlink(missing_ok=True)
            # There may be secrets in it.
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w", encoding="utf-8") as file:
                file.write(text)
            self._check(fresh)
            fresh.replace(self._path)
        except OSError as problem:
            self._log.error("{path} cannot be written: {problem}", path=self._path, problem=problem.strerror)
            return
        except ValueError as problem:
            fresh.unlink(missing_ok=True)
            self._log.error("What etcd has for all workers is not taken: {problem}", problem=problem)
            return
        self._log.info("Properties of the cluster have changed in etcd")
        _ = Deferred.fromCoroutine(self._reload()).addErrback(self._failed)

    def _failed(self, reason: Failure) -> None:
        if not reason.check(CancelledError):
            self._log.failure("The properties of the cluster are not followed", reason)
