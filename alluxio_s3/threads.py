"""A bounded pool of threads for what may block."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Thread
from typing import ParamSpec, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """Runs blocking functions in up to ``size`` threads; more wait their turn.

    The threads start with ``start`` and end with ``stop``, which waits for what still runs, or ``abandon``, which does not. Those
    that are ``expendable`` do not keep the process from its end.
    """

    def __init__(self, reactor: IReactorFromThreads, size: int, name: str, *, expendable: bool = False) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(minthreads=0, maxthreads=size, name=name)
        if expendable:
            self._pool.threadFactory = partial(Thread, daemon=True)  # type: ignore[assignment]  # it is called as the class would be

    def start(self) -> None:
        """Begin to take work."""
        self._pool.start()

    def stop(self) -> None:
        """Wait for the work in hand, then end the threads."""
        self._pool.stop()

    def abandon(self) -> None:
        """End each thread when it is done with the work in hand, and wait for none of them: what one waits for may never come."""
        Thread(target=self._pool.stop, name="ending-threads", daemon=True).start()

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """``function(*args, **kwargs)`` in a thread; its result or exception.

        Cancelling gives up waiting; the function itself still runs to its end.
        """
        deferred: Deferred[T] = deferToThreadPool(self._reactor, self._pool, function, *args, **kwargs)
        return await deferred
