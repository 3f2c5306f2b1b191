"""The instances of a filesystem: one for all threads, or several that each serve one thread at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from attrs import define, field

from alluxio_s3.storage import Unavailable


@define(eq=False)
class Connections:
    """Instances that ``make`` makes when they are first needed, and again when one is lost.

    ``most`` is for a library whose connection mixes up the answers to two threads (paramiko, ftplib): so many instances at most, each with
    a connection, for one thread at a time; who finds none free for ``patience`` seconds gives up. 0: one instance is for all threads.
    """

    make: Callable[[], Any]
    most: int
    patience: float
    _changed: threading.Condition = field(factory=threading.Condition, init=False)
    _shared: Any = field(default=None, init=False)
    _idle: list[Any] = field(factory=list, init=False)
    _lost: list[Any] = field(factory=list, init=False)
    _lent: int = field(default=0, init=False)

    @contextmanager
    def one(self) -> Iterator[Any]:
        """An instance, while it is used. Raises Unavailable."""
        if not self.most:
            yield self._only()
            return
        instance = self._take()
        try:
            if instance is None:
                instance = self.make()
            yield instance
        finally:
            with self._changed:
                self._lent -= 1
                lost = any(one is instance for one in self._lost)
                self._lost = [one for one in self._lost if one is not instance]
                if instance is not None and not lost:
                    self._idle.append(instance)
                self._changed.notify()
            if lost:
                _end(instance)

    def lose(self, instance: Any) -> None:
        """Its connection is of no more use: call this where ``one`` gave it, before it is given back.

        The idle ones go with it: a server that has started again has lost them all, and who tries again may have no try for each.
        """
        idle: list[Any] = []
        with self._changed:
            if self._shared is instance:
                self._shared = None
            elif self.most:
                self._lost.append(instance)
                idle, self._idle = self._idle, []
        for one in idle:
            _end(one)

    def close(self) -> None:
        """Let go of the connections that nobody uses, as far as the library can."""
        with self._changed:
            instances, self._idle, self._shared = [*self._idle, self._shared], [], None
        for instance in instances:
            _end(instance)

    def _only(self) -> Any:
        with self._changed:
            if self._shared is None:
                self._shared = self.make()
            return self._shared

    def _take(self) -> Any:
        """An idle one, or None where one may be made; it counts as lent."""
        until = time.monotonic() + self.patience
        with self._changed:
            while self._lent >= self.most:
                if not self._changed.wait(max(0.0, until - time.monotonic())) and time.monotonic() >= until:
                    raise Unavailable(message="Unavailable: all connections to the store are in use")
            self._lent += 1
            return self._idle.pop() if self._idle else None


def _end(instance: Any) -> None:
    for name in ("client", "ftp"):
        with suppress(Exception):
            getattr(instance, name).close()
