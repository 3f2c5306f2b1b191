"""Waits go by a clock that nobody can set, dates by the one on the wall."""

import time

import pytest
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from alluxio_s3.clocks import WallClock, go_steadily, wall_clock


@pytest.fixture
def steady():
    made = EPollReactor()
    go_steadily(made)
    yield made
    made.removeAll()
    made.disconnectAll()


def test_waits_do_not_go_by_the_wall(steady, monkeypatch):
    """A wait of a reactor that goes steadily lasts as long as it should while the clock on the wall is set forth and back."""
    happened = []
    steady.callLater(60, happened.append, 1)
    for now in (time.time() + 86_400, time.time() - 86_400):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        steady.runUntilCurrent()
        assert 59 < steady.timeout() <= 60
    assert happened == []


def test_two_clocks(steady):
    """What goes steadily has a clock on the wall beside it, which waits as it does; a clock that doesn't is one itself."""
    wall = wall_clock(steady)
    assert verifyObject(IReactorTime, wall)
    assert isinstance(wall, WallClock)
    assert abs(wall.seconds() - time.time()) < 60
    assert abs(steady.seconds() - time.monotonic()) < 60
    call = wall.callLater(5, print)
    assert list(wall.getDelayedCalls()) == list(steady.getDelayedCalls()) == [call]
    call.cancel()
    clock = Clock()
    assert wall_clock(clock) is clock


def test_not_while_it_has_something_to_do():
    """A reactor with something to do is left alone: that would be put off by half a century."""
    clock = Clock()
    clock.callLater(1, print)
    with pytest.raises(RuntimeError):
        go_steadily(clock)
