"""What is begun while there is little memory, and what outlasts the want of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from inspect import getsource
from typing import Any

import pytest
from twisted.internet import fdesc
from twisted.internet._signals import _FDWaker
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.task import Clock

from alluxio_s3 import memory
from alluxio_s3.http.limits.gate import Gate, Stay
from alluxio_s3.memory import Headroom, is_to_be_had, keep_awake
from alluxio_s3.s3.errors import S3Error

LIMITED = """
import resource, sys
from alluxio_s3.memory import HEADROOM, Headroom, is_to_be_had
there = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (there + 2 * HEADROOM,) * 2)
sys.stdout.write(f"{Headroom().is_short()} {Headroom().is_short(2 * HEADROOM)} {is_to_be_had(3 * HEADROOM)}")
"""

COLLECTED = """
import gc, sys
from alluxio_s3.memory import NEW_CONTAINERS, set_apart
set_apart()
runs = []
gc.callbacks.append(lambda phase, _: runs.append(phase))
under_way = [[] for _ in range(NEW_CONTAINERS - 2000)]
few = len(runs)
for _ in range(NEW_CONTAINERS):
    garbage = []
    garbage.append(garbage)
sys.stdout.write(f"{few} {bool(runs)}")
"""


def test_what_a_limit_leaves_is_known() -> None:
    """In an address space that ends, what is left is told from what is not."""
    told = subprocess.run([sys.executable, "-c", LIMITED], check=True, capture_output=True, text=True, timeout=120).stdout
    assert told == "False True False"


def test_garbage_is_looked_for_seldom() -> None:
    """Hundreds of requests that are under way make the garbage collector look at nothing; garbage does, before there is much."""
    told = subprocess.run([sys.executable, "-c", COLLECTED], check=True, capture_output=True, text=True, timeout=120).stdout
    assert told == "0 True"


def test_to_ask_takes_nothing() -> None:
    """There is memory where nothing limits it, however often one asks."""
    assert all(is_to_be_had(1 << 30) for _ in range(1000))
    assert not Headroom().is_short(1 << 30)


def test_nobody_comes_in_when_little_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request is told to slow down, and nothing of it is left behind; when there is memory again it comes in."""
    gate, asked = Gate(Clock()), []

    def without(count: int) -> bool:
        asked.append(count)
        return False

    with monkeypatch.context() as patched:
        patched.setattr(memory, "is_to_be_had", without)
        with pytest.raises(S3Error) as raised:
            gate.enter(Stay(), "alice", 1000)
    assert (raised.value.code, raised.value.headers["Retry-After"]) == ("SlowDown", "1")
    assert asked == [memory.HEADROOM + 1000]
    assert (gate.requests, gate.memory) == (0, 0)
    monkeypatch.setattr(memory, "LOOK_SECONDS", 0.0)
    gate.enter(Stay(), "alice", 1000)
    assert (gate.requests, gate.memory) == (1, 1000)


@pytest.fixture
def reactor() -> Iterator[Any]:
    """One of its own, not the tests'."""
    made: Any = EPollReactor()
    keep_awake(made)
    yield made
    made.removeAll()


def test_threads_are_heard_though_there_was_no_memory_once(reactor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads wake the loop as before when its pipe could not be emptied for want of memory."""
    assert "fdesc.readFromFD(" in getsource(_FDWaker.doRead)
    done: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr(fdesc, "readFromFD", _without_memory)
        reactor.callFromThread(done.append, "meanwhile")
        turned(reactor, lambda: len(done) == 1)
        reactor.doIteration(0.01)
    assert reactor.waker in reactor.getReaders() or reactor.waker.fileno() in reactor._reads
    reactor.callFromThread(done.append, "afterwards")
    assert reactor._poller.poll(30)
    turned(reactor, lambda: len(done) == 2)
    assert not reactor._poller.poll(0)


def turned(reactor: Any, done: Callable[[], bool]) -> None:
    """Turn it until it is done."""
    for _ in range(3000):
        reactor.doIteration(0.01)
        reactor.runUntilCurrent()
        if done():
            return
    raise AssertionError("nothing came of it")


def _without_memory(*_: object) -> None:
    raise MemoryError
