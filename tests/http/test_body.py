"""The body of a request is held back while nobody reads it, and never lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from alluxio_s3.http.body import HIGH_WATER, RequestBody
from alluxio_s3.s3.errors import S3Error


class Wire:
    """The channel's side of a body."""

    def __init__(self, length: int | None = None, *, expects: bool = False, stall_seconds: float | None = 30.0) -> None:
        self.clock = Clock()
        self.events: list[str] = []
        self.unseen = b""
        self.body = RequestBody(
            length,
            self.clock,
            stall_seconds,
            hold=lambda: self.events.append("hold"),
            release=lambda: self.events.append("release"),
            catch_up=self._catch_up,
            ask=(lambda: self.events.append("continue")) if expects else None,
        )

    def _catch_up(self) -> None:
        data, self.unseen = self.unseen, b""
        if data:
            self.body.deliver(data)

    def read(self) -> Deferred[bytes]:
        return Deferred.fromCoroutine(self.body.read())


def test_what_is_delivered_is_read_in_order() -> None:
    """Reads give the bytes as they came, then an empty end."""
    wire = Wire()
    wire.body.deliver(b"one")
    wire.body.deliver(b"two")
    assert wire.read().result == b"onetwo"
    waiting = wire.read()
    wire.body.deliver(b"three")
    assert waiting.result == b"three"
    wire.body.end()
    assert wire.read().result == b""


def test_the_client_is_held_back_beyond_the_high_water() -> None:
    """No more than about the high water waits unread, and reading lets the client go on."""
    wire = Wire()
    for _ in range(9):
        wire.body.deliver(bytes(HIGH_WATER // 8))
    assert wire.events == ["hold"]
    assert len(wire.read().result) == HIGH_WATER
    assert wire.events == ["hold", "release"]


def test_one_read_gives_at_most_the_high_water() -> None:
    """A piece larger than the limit is cut, and nothing of it is lost."""
    wire = Wire()
    wire.body.deliver(bytes(HIGH_WATER) + b"tail")
    assert len(wire.read().result) == HIGH_WATER
    assert wire.read().result == b"tail"


def test_continue_is_asked_for_by_the_first_read_only() -> None:
    """``100 Continue`` goes out when somebody wants the body, not before, and once."""
    wire = Wire(6, expects=True)
    assert wire.body.unasked
    assert wire.events == []
    reading = wire.read()
    assert wire.events == ["continue"]
    wire.body.deliver(b"abc")
    assert reading.result == b"abc"
    reading = wire.read()
    wire.body.deliver(b"def")
    wire.body.end()
    assert reading.result == b"def"
    assert wire.events == ["continue"]


def test_a_client_that_sends_before_it_is_asked_is_not_asked() -> None:
    """A body that is already there needs no ``100 Continue``."""
    wire = Wire(3, expects=True)
    wire.body.deliver(b"abc")
    assert wire.read().result == b"abc"
    assert wire.events == []


def test_a_client_that_leaves_fails_the_reader() -> None:
    """A body cut short is IncompleteBody, after what did come."""
    wire = Wire(10)
    wire.body.deliver(b"abc")
    wire.body.fail(S3Error("IncompleteBody"))
    assert wire.read().result == b"abc"
    failure = wire.read().result
    with pytest.raises(S3Error, match="IncompleteBody"):
        failure.raiseException()


def test_a_client_that_stalls_times_out() -> None:
    """Waiting for bytes ends after the stall limit, by the clock that was given."""
    wire = Wire(10)
    reading = wire.read()
    wire.clock.advance(29.9)
    assert not reading.called
    wire.clock.advance(0.2)
    with pytest.raises(S3Error, match="RequestTimeout"):
        reading.result.raiseException()
    assert wire.clock.getDelayedCalls() == []


def test_what_came_in_time_and_was_not_looked_at_counts() -> None:
    """Before a client is told that it has sent nothing, what has come is taken; the next wait has all of its time."""
    wire = Wire(10)
    reading = wire.read()
    wire.unseen = b"x"
    wire.clock.advance(31)
    assert reading.result == b"x"
    reading = wire.read()
    wire.clock.advance(29.9)
    assert not reading.called
    wire.clock.advance(0.2)
    with pytest.raises(S3Error, match="RequestTimeout"):
        reading.result.raiseException()


def test_each_wait_has_all_of_its_time() -> None:
    """A client that sends a byte just in time is waited for again; one that is not waited for is not timed."""
    wire = Wire(10)
    for _ in range(3):
        reading = wire.read()
        wire.clock.advance(29.9)
        wire.body.deliver(b"x")
        assert reading.result == b"x"
    wire.clock.advance(100)
    reading = wire.read()
    wire.clock.advance(29.9)
    assert not reading.called
    reading.addErrback(lambda _: None)


@pytest.mark.parametrize("end", ["end", "discard", "fail"])
def test_a_body_leaves_no_timer_behind(end: str) -> None:
    """One timer serves all reads of a body, and goes with it."""
    wire = Wire()
    for _ in range(3):
        reading = wire.read()
        wire.body.deliver(b"x")
        assert reading.called
        assert len(wire.clock.getDelayedCalls()) == 1
    wire.body.fail(S3Error("IncompleteBody")) if end == "fail" else getattr(wire.body, end)()
    assert wire.clock.getDelayedCalls() == []


def test_cancelling_a_read_leaves_the_body_readable() -> None:
    """A cancelled reader loses no bytes."""
    wire = Wire()
    reading = wire.read()
    reading.addErrback(lambda _: None)
    reading.cancel()
    wire.body.deliver(b"x")
    assert wire.read().result == b"x"


def test_discarding_lets_the_rest_come_and_go() -> None:
    """What nobody will read is let in and forgotten, without holding the client."""
    wire = Wire()
    wire.body.deliver(bytes(HIGH_WATER))
    wire.body.discard()
    assert wire.events == ["hold", "release"]
    wire.body.deliver(bytes(HIGH_WATER))
    assert wire.events == ["hold", "release"]
    assert wire.body.received == 2 * HIGH_WATER


@given(st.lists(st.one_of(st.binary(max_size=40), st.none()), max_size=40))
def test_any_interleaving_gives_the_same_bytes(steps: list[bytes | None]) -> None:
    """However deliveries (bytes) and reads (None) interleave, what is read is what was delivered."""
    wire = Wire()
    got: list[bytes] = []
    pending: list[Deferred[bytes]] = []
    for step in steps:
        if step is None:
            if not pending or pending[-1].called:
                pending.append(wire.read())
        elif step:
            wire.body.deliver(step)
    wire.body.end()
    got = [reading.result for reading in pending if reading.called]
    while True:
        piece = wire.read().result
        if not piece:
            break
        got.append(piece)
    assert b"".join(got) == b"".join(step for step in steps if step)


def test_a_client_may_be_given_all_the_time_there_is() -> None:
    """Without a limit a client that sends nothing is waited for."""
    wire = Wire(stall_seconds=None)
    waiting = wire.read()
    wire.clock.advance(10**6)
    assert not waiting.called
    wire.body.deliver(b"late")
    assert waiting.result == b"late"
