"""A file of the configuration that may be changed while the daemon runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

T = TypeVar("T")

LOOK_EVERY_SECONDS = 1.0


class WatchedFile(Generic[T]):
    """What ``parse`` makes of the text of the file at ``path``: read at once, and again when it has changed.

    It is looked at no more than once a second, and only when somebody asks. A file that can't be read or parsed any more
    leaves what was there, and is told of once. ``parse`` raises ValueError with a message for the operator that holds no secret.
    ``kept`` is a text that the file had before, which holds if what it has at first can't be used.
    """

    _log = Logger()

    def __init__(self, path: str, parse: Callable[[str], T], clock: IReactorTime, kept: str | None = None) -> None:
        self._path = Path(path)
        self._parse = parse
        self._clock = clock
        self._looked_at = clock.seconds()
        self._stamp = self._look()
        try:
            self._value = self._read()
        except ValueError as problem:
            if kept is None:
                raise
            self._value = parse(kept)
            self._log.error("{problem}; what it said before holds on", problem=problem)

    @property
    def value(self) -> T:
        """What the file says now."""
        now = self._clock.seconds()
        if not self._looked_at <= now < self._looked_at + LOOK_EVERY_SECONDS:
            self._looked_at = now
            stamp = self._look()
            if stamp != self._stamp:
                self._stamp = stamp
                self.reload()
        return self._value

    def reload(self) -> None:
        """Read it again, whether it looks changed or not; what can't be used changes nothing."""
        try:
            self._value = self._read()
        except ValueError as problem:
            self._log.error("{problem}; what it said before holds on", problem=problem)
        else:
            self._log.info("{path} was read again", path=self._path)

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _read(self) -> T:
        try:
            text = self._path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as problem:
            raise ValueError(f"{self._path}: {getattr(problem, 'strerror', None) or 'it is not UTF-8'}") from None
        try:
            return self._parse(text)
        except ValueError as problem:
            raise ValueError(f"{self._path}: {problem}") from None
