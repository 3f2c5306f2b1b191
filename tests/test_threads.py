"""A lane works on one thing after another in a thread, holds back who brings too much, and loses no error."""

from __future__ import annotations

import gc
import itertools
import queue
import threading
from collections.abc import Iterator
from weakref import ref

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.task import deferLater

import alluxio_s3.threads
from alluxio_s3 import memory
from alluxio_s3.memory import HEADROOM
from alluxio_s3.threads import Lane, Threads


@pytest.fixture
def threads() -> Iterator[Threads]:
    """Two of them."""
    pool = Threads(reactor, 2, "test")  # type: ignore[arg-type]
    pool.start()
    yield pool
    pool.stop()


class Work:
    """Takes things when it is let to; ``broken`` is the one that it can't take."""

    def __init__(self, broken: int | None = None) -> None:
        self.go = threading.Semaphore(0)
        self.taken: list[int] = []
        self.where: set[bool] = set()
        self._broken = broken

    def __call__(self, thing: int) -> None:
        self.go.acquire()
        self.where.add(threading.current_thread() is threading.main_thread())
        if thing == self._broken:
            raise ValueError(thing)
        self.taken.append(thing)


@pytest_twisted.ensureDeferred
async def test_a_lane_keeps_the_order(threads):
    """Everything is done, in the order it was put and off the reactor's thread, however long the lane had been idle between."""
    work = Work()
    lane = Lane(threads, work)
    for number in range(100):
        work.go.release()
        await lane.put(number)
        if not number % 10:
            await lane.settle()
            assert work.taken == list(range(number + 1))
    await lane.settle()
    assert work.taken == list(range(100))
    assert work.where == {False}


@pytest_twisted.ensureDeferred
async def test_a_lane_holds_back(threads):
    """With as many on their way as there is room for ``put`` returns at once; with one more it waits until half are done."""
    work = Work()
    lane = Lane(threads, work, 2)
    await lane.put(0)
    await lane.put(1)
    third = Deferred.fromCoroutine(lane.put(2))
    assert not third.called
    for _ in range(3):
        work.go.release()
    await third
    assert len(work.taken) >= 2
    await lane.settle()
    assert work.taken == [0, 1, 2]


@pytest_twisted.ensureDeferred
async def test_an_error_in_a_lane(threads):
    """What comes after a thing that failed is not done; whoever waits gets the error, and so does each call from then on."""
    work = Work(broken=1)
    lane = Lane(threads, work, 2)
    await lane.put(0)
    await lane.put(1)
    third = Deferred.fromCoroutine(lane.put(2))
    for _ in range(3):
        work.go.release()
    with pytest.raises(ValueError, match="1"):
        await third
    with pytest.raises(ValueError, match="1"):
        await lane.put(3)
    with pytest.raises(ValueError, match="1"):
        await lane.settle()
    assert work.taken == [0]


@pytest_twisted.ensureDeferred
async def test_a_lane_that_is_given_up(threads):
    """A wait can be cancelled; what is not begun is then forgotten on demand, and what is begun ends."""
    work = Work()
    lane = Lane(threads, work, 1)
    await lane.put(0)
    second = Deferred.fromCoroutine(lane.put(1))
    second.cancel()
    with pytest.raises(CancelledError):
        await second
    lane.clear()
    work.go.release()
    await lane.settle()
    assert work.taken in ([0], [])


@pytest_twisted.ensureDeferred
async def test_a_lane_shares_its_thread(monkeypatch):
    """Whatever else waits for a thread gets it in its turn, also while a lane has always something to do."""
    monkeypatch.setattr(alluxio_s3.threads, "TURN_SECONDS", 0.0)
    pool = Threads(reactor, 1, "test")  # type: ignore[arg-type]
    pool.start()
    try:
        work = Work()
        lane = Lane(pool, work)
        await lane.put(0)
        await lane.put(1)
        other = Deferred.fromCoroutine(pool.run(work.taken.append, 100))
        work.go.release()
        await other
        work.go.release()
        await lane.settle()
    finally:
        pool.stop()
    assert work.taken == [0, 100, 1]


@pytest_twisted.ensureDeferred
async def test_figures_count_those_of_others_too(threads):
    """Threads of mounts and of writers are in the figures of the daemon's own, while they are there."""
    others = Threads(reactor, 1, "others", of=threads)  # type: ignore[arg-type]
    others.start()
    go = threading.Event()
    calls = [Deferred.fromCoroutine(others.run(go.wait)) for _ in range(3)]
    assert (threads.busy, threads.waiting) == (others.busy, others.waiting)
    while threads.busy != 1 or threads.waiting != 2:
        await Deferred.fromCoroutine(threads.run(bool))
    go.set()
    for call in calls:
        assert await call
    others.stop()
    del others
    assert threads.waiting == 0


@pytest_twisted.ensureDeferred
async def test_what_is_done_does_not_keep_the_reactor(threads, monkeypatch):
    """However much threads have done at once, all of it is taken up, and the reactor's other work has its turn in between."""
    monkeypatch.setattr(alluxio_s3.threads, "ANSWERING_SECONDS", 0.0)
    order: list[object] = []
    done = threading.Semaphore(0)

    async def one(number: int) -> None:
        await threads.run(done.release)
        order.append(number)

    def other(left: int) -> None:
        order.append("other")
        if left:
            reactor.callLater(0, other, left - 1)  # type: ignore[attr-defined]

    calls = DeferredList([Deferred.fromCoroutine(one(number)) for number in range(20)])
    for _ in range(20):
        assert done.acquire(timeout=60)
    other(40)
    await calls
    assert sorted(item for item in order if isinstance(item, int)) == list(range(20))
    assert not [pair for pair in itertools.pairwise(order) if all(isinstance(item, int) for item in pair)]


@pytest_twisted.ensureDeferred
async def test_what_a_thread_raises_is_raised(threads):
    """An exception in a thread is that of the call; so it is for the next call, which succeeds."""
    with pytest.raises(ZeroDivisionError):
        await threads.run(lambda: 1 // 0)
    assert await threads.run(lambda: 1) == 1


@pytest_twisted.ensureDeferred
async def test_calls_leave_nothing_to_the_garbage_collector(threads):
    """What a call was made of goes when it is over, and so does what it raised: nobody waits while that is looked for."""

    class Problem(Exception):
        pass

    made = []

    def problem() -> Problem:
        one = Problem()
        made.append(ref(one))
        return one

    def fail() -> None:
        raise problem()

    _ = gc.collect()
    gc.disable()
    try:
        for _ in range(100):
            try:
                await threads.run(fail)
            except Problem:
                continue
            raise AssertionError("it was not raised")
        await threads.run(int)
        assert len(made) == 100
        assert [one() for one in made] == [None] * 100
        assert gc.collect() < 100
    finally:
        gc.enable()


@pytest_twisted.ensureDeferred
async def test_a_thread_that_waits_holds_nothing_of_what_it_did(threads):
    """What a call was given goes when it is over, not when its thread has another: it may be some megabytes for each thread."""

    class Page:
        pass

    page = Page()
    seen = ref(page)
    await threads.run(id, page)
    del page
    while threads.busy:
        await deferLater(reactor, 0)
    assert seen() is None


@pytest_twisted.ensureDeferred
async def test_without_more_threads_those_there_are_do_the_work(threads, monkeypatch):
    """Where the kernel gives no more threads the work waits for one of those that there are; where there are none it is refused."""

    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(MemoryError):
            await threads.run(lambda: 1)
        lane = Lane(threads, lambda _: None)
        with pytest.raises(MemoryError):
            await lane.put(1)
        await lane.settle()
    go = threading.Event()
    first = Deferred.fromCoroutine(threads.run(go.wait, 60))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        second = Deferred.fromCoroutine(threads.run(lambda: 2))
    assert (threads.busy, threads.waiting) == (1, 1)
    go.set()
    assert await first
    assert await second == 2


@pytest_twisted.ensureDeferred
async def test_threads_leave_memory_to_requests(threads, monkeypatch):
    """A second thread is not begun if less would be left than a request is let in with: it would stay, and so would every refusal."""
    go, asked = threading.Event(), []

    def little(count: int) -> bool:
        asked.append(count)
        return count < HEADROOM + (8 << 20)

    monkeypatch.setattr(memory, "is_to_be_had", little)
    first = Deferred.fromCoroutine(threads.run(go.wait, 60))
    second = Deferred.fromCoroutine(threads.run(lambda: 2))
    assert (threads.busy, threads.waiting) == (1, 1)
    assert asked
    go.set()
    assert await first
    assert await second == 2


@pytest_twisted.ensureDeferred
async def test_a_thread_that_ends_before_it_begins(threads, monkeypatch):
    """A new thread that has no memory for its first step is as good as none: nobody waits for it, and the next is there to be had."""

    def stillborn(*_: object) -> int:
        return 0

    before = len(threading.enumerate())
    with monkeypatch.context() as patch:
        patch.setattr(threading, "_start_new_thread", stillborn)
        with pytest.raises(MemoryError):
            await threads.run(lambda: 1)
    assert len(threading.enumerate()) == before
    assert await threads.run(lambda: 2) == 2


@pytest_twisted.ensureDeferred
async def test_one_that_fails_does_not_keep_others_from_being_told(threads, monkeypatch):
    """Where there was no memory to go on with what one call has come to, the others of that moment go on, with none to come after them."""
    fail, fails = Deferred.callback, iter([MemoryError()])

    def without_memory(waiting: Deferred[object], result: object) -> None:
        fail(waiting, result)
        if result == "first":
            for problem in fails:
                raise problem

    came: list[object] = []

    async def one(name: str) -> None:
        came.append(await threads.run(lambda: name))

    with monkeypatch.context() as patch:
        patch.setattr(Deferred, "callback", without_memory)
        calls = DeferredList([Deferred.fromCoroutine(one(name)) for name in ("first", "second", "third")])
        while threads.busy or threads.waiting:
            pass
        await calls
    assert sorted(map(str, came)) == ["first", "second", "third"]


@pytest_twisted.ensureDeferred
async def test_who_could_not_be_told_is_told_later(threads, monkeypatch):
    """Where there was no memory to tell who waits for a call what it has come to, he is told when there is some."""
    tell, fails = Deferred.callback, iter([MemoryError(), MemoryError()])

    def without_memory(waiting: Deferred[object], result: object) -> None:
        if result == "done":
            for problem in fails:
                raise problem
        tell(waiting, result)

    monkeypatch.setattr(Deferred, "callback", without_memory)
    call = Deferred.fromCoroutine(threads.run(lambda: "done"))
    late = reactor.callLater(30, call.cancel)  # type: ignore[attr-defined]
    assert await call == "done"
    late.cancel()


@pytest_twisted.ensureDeferred
async def test_a_thread_that_has_no_memory_to_wait(threads, monkeypatch):
    """A thread in which waiting for work fails, for want of memory or of a lock, goes on to do it: it is counted on."""
    get, failures = queue.Queue.get, iter([RuntimeError("can't allocate lock"), MemoryError()])

    def without_memory(things: queue.Queue[object]) -> object:
        for problem in failures:
            raise problem
        return get(things)

    monkeypatch.setattr(queue.Queue, "get", without_memory)
    assert await threads.run(lambda: 1) == 1
    assert await threads.run(lambda: 2) == 2


@pytest_twisted.ensureDeferred
async def test_what_is_done_is_told_when_there_is_memory_for_it(threads, monkeypatch):
    """Where there was no memory to tell the reactor of what a thread has done, or that it failed, nobody waits for ever."""
    tell, failures = reactor.callFromThread, iter([MemoryError(), MemoryError()])

    def without_memory(*given: object) -> None:
        for problem in failures:
            raise problem
        tell(*given)

    def exhausted() -> None:
        raise MemoryError

    monkeypatch.setattr(reactor, "callFromThread", without_memory)
    assert await threads.run(lambda: 1) == 1
    assert await threads.run(lambda: 2) == 2
    with pytest.raises(MemoryError):
        await threads.run(exhausted)
