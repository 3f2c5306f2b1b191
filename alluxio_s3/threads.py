"""A bounded pool of threads for what may block."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Event, Lock, Thread
from typing import Any, Generic, ParamSpec, TypeVar
from weakref import WeakSet, ref

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.threadpool import ThreadPool

from alluxio_s3.memory import allows_a_thread

LISTENING_SECONDS = 0.002
TURN_SECONDS = 0.02
# For how long what threads have done is taken up at once: then the connections are looked at, where others may wait.
ANSWERING_SECONDS = 0.0003

# After how long a thread that computes gives way to the reactor's, which has to come back after each of its system calls; Python's own
# 5 ms, several times for each answer, would be all that a client waits for.
GIVING_WAY_SECONDS = 0.0005

P = ParamSpec("P")
T = TypeVar("T")


def give_way() -> None:
    """Have the threads of this process give way to each other often."""
    sys.setswitchinterval(GIVING_WAY_SECONDS)


class Threads:
    """Runs blocking functions in up to ``size`` threads; more wait their turn.

    The threads start with ``start`` and end with ``stop``, which waits for what still runs, or ``abandon``, which does not. Those
    that are ``expendable`` do not keep the process from its end. The figures of others count those that are ``of`` them.
    """

    def __init__(self, reactor: IReactorFromThreads, size: int, name: str, *, expendable: bool = False, of: Threads | None = None) -> None:
        self._reactor = reactor
        self._others: WeakSet[Threads] = WeakSet()
        if of is not None:
            of._others.add(self)  # noqa: SLF001  # one of its kind
        self._pool = ThreadPool(minthreads=0, maxthreads=size, name=name)
        team = self._pool._team  # noqa: SLF001  # it has no other door
        team._createWorker = partial(_created, self._pool, team._createWorker)  # noqa: SLF001
        # What is done, and for whom; and whether the reactor's thread has been told that something is.
        self._done: deque[tuple[Deferred[Any], Any]] = deque()
        self._told = False
        # It is called as the class would be.
        self._pool.threadFactory = partial(_Thread, daemon=expendable)  # type: ignore[assignment]

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
        """``function(*args, **kwargs)`` in a thread; its result or exception. Raises MemoryError where there is no thread to be had.

        Cancelling gives up waiting; the function itself still runs to its end.
        """
        waiting: Deferred[T | _Raised] = Deferred()
        raised = _Raised()

        def work() -> None:
            try:
                result: T | _Raised = function(*args, **kwargs)
            except BaseException as problem:  # noqa: BLE001  # who waits raises it
                raised.problem = problem
                result = raised
            surely(partial(self._done.append, (waiting, result)))
            surely(self._tell_that_some_is_done)

        self.begin(work)
        result = await waiting
        if isinstance(result, _Raised):
            raise result.taken()
        return result

    def _tell_that_some_is_done(self) -> None:
        if not self._told:
            self._told = True  # before it may have been taken up
            try:
                self._reactor.callFromThread(self._take_up)
            except MemoryError:
                self._told = False
                raise

    def _take_up(self) -> None:
        self._told = False
        end = time.perf_counter() + ANSWERING_SECONDS
        try:
            while self._done:
                done = self._done.popleft()
                try:
                    done[0].callback(done[1])
                except MemoryError:
                    if not done[0].called:
                        self._done.appendleft(done)
                    raise
                if time.perf_counter() >= end:
                    break
        finally:  # there may have been no memory for one of them
            if self._done:
                surely(self._tell_that_some_is_done)

    def begin(self, function: Callable[[], None]) -> None:
        """Have ``function`` run in a thread; nobody is told when it has ended, and it raises nothing. Raises MemoryError as ``run``."""
        # ThreadPool's own way in leaves a closure that holds itself, each time, for the garbage collector. A thread holds what it was given
        # until it is given something else: all that is in it, such as pages of the cache, has to be gone by then.
        if not self._pool.joined:
            self._pool._team.do(partial(_do_the_last, [function]))  # noqa: SLF001

    @property
    def busy(self) -> int:
        """How many threads have work in hand, of others too."""
        return self._pool._team.statistics().busyWorkerCount + sum(one.busy for one in self._others)  # noqa: SLF001

    @property
    def waiting(self) -> int:
        """How many calls wait for a thread, of others too."""
        return self._pool._team.statistics().backloggedWorkCount + sum(one.waiting for one in self._others)  # noqa: SLF001

    def tell(self, function: Callable[[], None]) -> None:
        """From a thread: have ``function`` run on the reactor's."""
        self._reactor.callFromThread(function)


def _do_the_last(todo: list[Callable[[], None]]) -> None:
    todo.pop()()


class _Raised:
    """An exception that was raised in a thread, until it is ``taken``.

    It knows the frames that it went through, and those know it by whatever hands it on, such as a Failure: the two would stay until the
    garbage collector comes round. So it is handed on in this, which is empty afterwards. It is there before there may be no memory.
    """

    __slots__ = ("problem",)
    problem: BaseException

    def taken(self) -> BaseException:
        """The exception, once."""
        problem = self.problem
        del self.problem
        return problem


def surely(call: Callable[[], object]) -> None:
    """Have ``call`` done, when there is memory for it again: where somebody would wait for ever. Nothing else goes on in its thread."""
    while True:
        try:
            call()
        except (MemoryError, RuntimeError):  # the latter where there is none for a lock
            time.sleep(LISTENING_SECONDS)
        else:
            return


class _Thread(Thread):
    """One whose ``start`` raises RuntimeError also if it had no memory for its first step. Python's waits for it, for ever (before 3.15).

    It looks into what threading keeps to itself (``_bootstrap``, ``_started``, ``_limbo``); ``tests/test_threads.py`` holds it to that.
    """

    def __init__(self, target: Callable[[], object], **given: Any) -> None:
        # It would be counted on when it has gone.
        super().__init__(target=partial(surely, target), **given)

    def start(self) -> None:
        """See Thread."""
        self._started = _Started(self._is_pending)
        try:
            super().start()
        except RuntimeError:
            threading._limbo.pop(self, None)  # type: ignore[attr-defined]  # noqa: SLF001
            raise

    @property
    def _bootstrap(self) -> Callable[[], None]:
        """What the new thread is to do: it alone has it, as long as it is there."""
        first_step = partial(Thread._bootstrap, self)  # type: ignore[attr-defined]  # noqa: SLF001
        self._first_step = ref(first_step)
        return first_step

    def _is_pending(self) -> bool:
        return self._first_step() is not None


class _Started(Event):
    """That a thread has begun, as long as that is ``pending``."""

    def __init__(self, pending: Callable[[], bool]) -> None:
        super().__init__()
        self._pending = pending

    def wait(self, timeout: float | None = None) -> bool:
        """See Event. Raises RuntimeError when it will not come to pass."""
        while not self.is_set():
            if not self._pending() and not self.is_set():
                raise RuntimeError("the new thread could not begin")
            with suppress(MemoryError, RuntimeError):  # the latter where there is none for a lock
                super().wait(LISTENING_SECONDS if timeout is None else timeout)
        return True


def _created(pool: ThreadPool, create: Callable[[], Any]) -> Any:
    """Another thread of ``pool``; None where there is no room for more, and those that there are have to do. Raises MemoryError.

    For the first of a pool nobody is asked: no other could do its work, and a request was let in with room for a stack (``Headroom``).
    Where the kernel gives none all the same, that is the MemoryError.
    """
    if _has_some(pool) and not allows_a_thread():
        return None
    try:
        return create()
    except (RuntimeError, MemoryError):
        if pool.threads and pool.threads[-1].ident is None:
            pool.threads.pop()  # it would be waited for at the end, and has not begun
        if _has_some(pool):
            return None
        raise MemoryError("there is no thread to be had") from None


def _has_some(pool: ThreadPool) -> bool:
    there = pool._team.statistics()  # noqa: SLF001
    return there.busyWorkerCount + there.idleWorkerCount > 0


def _silent_bell() -> Lock:
    bell = Lock()
    bell.acquire()
    return bell


@define(eq=False)
class Lane(Generic[T]):
    """Hands one thing after another to ``work``, in a thread, while who brings them goes on: the order is kept.

    A thread takes what waits as long as something does, so bringing more to one that is busy costs no change of threads.
    Where more than ``depth`` things are on their way ``put`` waits for half of them, so that the reactor is not woken for each.
    When ``work`` has raised, what waits is forgotten and each call raises that error. For one coroutine of the reactor's thread.
    """

    _threads: Threads
    _work: Callable[[T], object]
    _depth: int = 2
    _lock: Lock = field(factory=Lock, init=False)
    _waiting: deque[T] = field(factory=deque, init=False)
    _on_the_way: int = field(default=0, init=False)
    _problem: Exception | None = field(default=None, init=False)
    _running: bool = field(default=False, init=False)
    # A thread that has nothing to do listens for the bell a little, which costs less than to come back.
    _listening: bool = field(default=False, init=False)
    _bell: Lock = field(factory=_silent_bell, init=False)
    # Who waits, and for how few to be on their way.
    _waiter: Deferred[None] | None = field(default=None, init=False)
    _enough: int = field(default=-1, init=False)

    async def put(self, thing: T) -> None:
        """Have ``thing`` worked on after those before it. Returns when there is room for the next."""
        with self._lock:
            self._check()
            self._waiting.append(thing)
            self._on_the_way += 1
            full = self._on_the_way > self._depth
            begin, self._running = not self._running, True
            ring, self._listening = self._listening, False
        if begin:
            self._begin()
        elif ring:
            self._bell.release()
        if full:
            await self._until(self._depth // 2)

    async def settle(self) -> None:
        """Return when all is done that was put."""
        await self._until(0)

    def clear(self) -> None:
        """Forget what is not begun: nobody wants it any more."""
        with self._lock:
            self._forget()

    def _begin(self) -> None:
        try:
            self._threads.begin(self._run)
        except MemoryError:
            with self._lock:
                self._running = False
                self._forget()
            raise

    def _check(self) -> None:
        if self._problem is not None:
            raise self._problem

    def _forget(self) -> None:
        self._on_the_way -= len(self._waiting)
        self._waiting.clear()

    async def _until(self, count: int) -> None:
        while True:
            with self._lock:
                self._check()
                if self._on_the_way <= count:
                    return
                waiter = self._waiter = Deferred()
                self._enough = count
            try:
                await waiter
            finally:
                self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None:
            waiter, self._waiter = self._waiter, None
            waiter.callback(None)

    def _run(self) -> None:
        """In a thread: work until nothing has waited for a while, and in turn with whatever else waits for a thread."""
        end = time.monotonic() + TURN_SECONDS
        while (thing := self._next()) is not None:
            problem = None
            try:
                self._work(thing)
            except Exception as error:  # noqa: BLE001  # who waits raises it
                problem = error
            del thing  # it may be large, and the next may be long in coming
            self._done(problem)
            if time.monotonic() >= end:
                self._threads.begin(self._run)
                return

    def _next(self) -> T | None:
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._listening = True
        rung = self._bell.acquire(timeout=LISTENING_SECONDS)
        with self._lock:
            if not rung and not self._listening:  # it rings just now
                self._bell.acquire()
            self._listening = False
            self._running = bool(self._waiting)
            return self._waiting.popleft() if self._waiting else None

    def _done(self, problem: Exception | None) -> None:
        with self._lock:
            self._on_the_way -= 1
            if problem is not None:
                self._problem = problem
                self._forget()
            tell = self._on_the_way <= self._enough
            if tell:
                self._enough = -1
        if tell:
            self._threads.tell(self._wake)
