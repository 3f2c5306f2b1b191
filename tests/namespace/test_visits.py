"""Who is still inside."""

from __future__ import annotations

from contextlib import suppress

import pytest_twisted
from twisted.internet.defer import CancelledError, Deferred

from alluxio_s3.namespace.visits import Visits


def departure(visits):
    return Deferred.fromCoroutine(visits.departed())


@pytest_twisted.ensureDeferred
async def test_nobody_inside():
    """With nobody inside there is nobody to wait for, each time."""
    visits = Visits()
    with visits.visit():
        pass
    for _ in range(3):
        await visits.departed()


def test_those_before_are_waited_for():
    """A departure waits for all who came before it, however they leave, and for nobody who came after."""
    visits = Visits()
    early, other = visits.enter(), visits.enter()
    first = departure(visits)
    later = visits.enter()
    second = departure(visits)
    latest = visits.enter()
    visits.leave(early)
    assert not first.called
    visits.leave(later)
    assert not second.called  # those before the first are before the second, too
    visits.leave(other)
    assert first.called
    assert second.called
    visits.leave(latest)


def test_a_visit_ends_with_its_error():
    """Whoever is thrown out has left."""
    visits = Visits()
    done = []

    def work():
        with visits.visit():
            done.append(departure(visits))
            raise ValueError

    with suppress(ValueError):
        work()
    assert done[0].called


def test_giving_up_the_wait():
    """A wait that is cancelled disturbs neither the others nor those inside."""
    visits = Visits()
    inside = visits.enter()
    first, second = departure(visits), departure(visits)
    first.addErrback(lambda reason: reason.trap(CancelledError))
    first.cancel()
    visits.leave(inside)
    assert second.called
