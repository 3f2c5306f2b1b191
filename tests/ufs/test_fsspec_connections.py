"""Instances of a filesystem that serve one thread at a time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from pytest import raises

from alluxio_s3.storage import Unavailable
from alluxio_s3.ufs.fsspec_store.connections import Connections


class Connection:
    """What a library has; it notices two users at once."""

    def __init__(self) -> None:
        self.client = self
        self.closed = False
        self._own = threading.Lock()

    def use(self) -> None:
        assert self._own.acquire(blocking=False), "two threads use one connection"
        threading.Event().wait(0.001)
        self._own.release()

    def close(self) -> None:
        self.closed = True


def test_each_serves_one_thread_at_a_time() -> None:
    """Many threads share a few connections, none of which two use at once; all are closed in the end."""
    made: list[Connection] = []

    def make() -> Connection:
        made.append(Connection())
        return made[-1]

    connections = Connections(make, 3, 30)

    def use(_: int) -> None:
        with connections.one() as instance:
            instance.use()

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(use, range(200)))
    assert 1 <= len(made) <= 3
    connections.close()
    assert all(one.closed for one in made)


def test_who_finds_none_free_gives_up() -> None:
    """A call that hangs holds its connection, and the others do not wait for it for ever; one that failed to be made holds none."""
    connections = Connections(Connection, 1, 0.01)
    with connections.one(), raises(Unavailable), connections.one():
        pass
    with connections.one():
        pass

    def fail() -> Connection:
        raise ConnectionError

    broken = Connections(fail, 1, 0.01)
    for _ in range(3):
        with raises(ConnectionError), broken.one():
            pass


def test_a_lost_one_is_closed_and_replaced() -> None:
    """Whoever comes after it gets a new one, where each serves one thread and where one serves all."""
    for most in (0, 1):
        connections = Connections(Connection, most, 1)
        with connections.one() as first:
            connections.lose(first)
        with connections.one() as second:
            assert second is not first
        with connections.one() as third:
            assert third is second
        assert first.closed == bool(most)


def test_what_is_idle_goes_with_a_lost_one() -> None:
    """A server that has started again has lost them all: who tries again after the first that is found out gets a new one."""
    connections = Connections(Connection, 3, 1)
    with connections.one() as first, connections.one() as second, connections.one() as third:
        pass
    with connections.one() as found:
        assert found in (first, second, third)
        connections.lose(found)
    assert first.closed
    assert second.closed
    assert third.closed
    with connections.one() as fresh:
        assert not fresh.closed
