"""File descriptors that threads and the reactor share, safe when a request is given up.

A thread cannot be interrupted: when its request is cancelled it still runs to its end. So a descriptor must not be closed
(and its number used again) under a thread, and what a thread made for nobody must be given back.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Generic, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from alluxio_s3.threads import Threads

T = TypeVar("T")
_log = Logger()


class Descriptor:
    """An open file descriptor. ``close`` takes effect when the last user has let go; may be called twice."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._lock = Lock()
        self._users = 0
        self._closing = False
        self._open = True

    @contextmanager
    def held(self) -> Iterator[int]:
        """The descriptor, which stays open meanwhile. Raises ValueError after ``close``."""
        with self._lock:
            if self._closing:
                raise ValueError("the file is closed")
            self._users += 1
        try:
            yield self.number
        finally:
            with self._lock:
                self._users -= 1
                self._settle()

    @property
    def is_open(self) -> bool:
        """Whether it has not been closed yet."""
        return self._open

    def close(self) -> None:
        """Close it as soon as nobody holds it."""
        with self._lock:
            self._closing = True
            self._settle()

    def __del__(self) -> None:
        self.close()

    def _settle(self) -> None:
        if self._closing and self._open and not self._users:
            self._open = False
            os.close(self.number)


@define
class _Claim(Generic[T]):
    make: Callable[[], T]
    dispose: Callable[[T], None]
    lock: Lock = field(factory=Lock)
    abandoned: bool = False
    made: list[T] = field(factory=list)

    def run(self) -> T:
        thing = self.make()
        with self.lock:
            if not self.abandoned:
                self.made.append(thing)
                return thing
        self.dispose(thing)
        return thing

    def abandon(self) -> list[T]:
        with self.lock:
            self.abandoned = True
            made, self.made = self.made, []
        return made


async def acquire(threads: Threads, make: Callable[[], T], dispose: Callable[[T], None]) -> T:
    """What ``make`` returns, made in a thread; if the wait for it is cancelled, ``dispose`` gets it, in a thread too."""
    claim = _Claim(make, dispose)
    taken = False
    try:
        thing = await threads.run(claim.run)
        taken = True
        return thing
    finally:
        if not taken:
            for made in claim.abandon():
                _ = Deferred.fromCoroutine(threads.run(dispose, made)).addErrback(_report)


def _report(reason: Failure) -> None:
    _log.failure("Could not give back what a cancelled request had opened", reason)
