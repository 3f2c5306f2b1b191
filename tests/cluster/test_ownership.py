"""Whom a writer has to tell, however often the members have changed; and what a process knows of those beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
import pytest_twisted
from attrs import evolve
from twisted.internet import reactor
from twisted.internet.task import Clock

from alluxio_s3.cluster import ownership
from alluxio_s3.cluster.hops import Guest, Hop
from alluxio_s3.cluster.ownership import RECENT_SECONDS, Ownership
from alluxio_s3.ops.metrics import Metrics
from alluxio_s3.settings import Loaded, Settings
from alluxio_s3.sharing import Sharing
from alluxio_s3.supervisor.slot import Job, Slot
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.memory import MemoryUnderFileSystem
from tests.cluster.fixed_members import FixedMembers, member, owned_by
from tests.cluster.waiting import until
from tests.cluster.workers import start_workers
from tests.supervisor.test_slot import Processes, commission

TRIO = [member(f"worker-{number}") for number in (1, 2, 3)]


def turbulent(clock: Clock, changes: int) -> tuple[FixedMembers, Ownership, str]:
    """Members that change so often in a little while, so that worker-2 is gone; and a path that it owned before."""
    members = FixedMembers("worker-1", TRIO)
    found = Ownership(members, clock.seconds, 0.0)
    path = f"/b/{owned_by(members, 'worker-2')}"
    for number in range(changes):
        clock.advance(0.5)
        members.change([TRIO[0], member(f"worker-{10 + number}"), TRIO[2]])
    members.change([TRIO[0], member("worker-9"), *TRIO[2:]])
    members.live = (*members.live, TRIO[1])  # it is reached again
    return members, found, path


def test_all_that_owned_a_path_within_a_minute_are_told() -> None:
    """However many members came and went meanwhile, who owned a path within the last minute is told of a write."""
    clock = Clock()
    _, found, path = turbulent(clock, 40)
    witnesses = found.witnesses(path)
    assert witnesses is not None
    assert "worker-2" in [one.worker for one in witnesses]


def test_when_there_were_too_many_to_remember(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where not all that were in force within the last minute are known, nobody claims to know whom to tell; later they do again."""
    monkeypatch.setattr(ownership, "MOST_WORKERS", 24)
    clock = Clock()
    _, found, path = turbulent(clock, 40)
    assert found.witnesses(path) is None
    clock.advance(RECENT_SECONDS + 1)
    assert found.witnesses(path) is not None


def test_one_that_has_just_come_tells_everybody() -> None:
    """A worker that has come, or come back, tells all others of each write while they may not know of it; of too many, it can't."""
    clock = Clock()
    members = FixedMembers("worker-1", TRIO)
    found = Ownership(members, clock.seconds, 6.0)
    path = f"/b/{owned_by(members, 'worker-1')}"
    assert found.witnesses(path) == []
    members.leave_word("")
    assert found.witnesses(path) == TRIO[1:]
    members.change([member(f"worker-{number + 1}") for number in range(ownership.MOST_TOLD + 2)])
    assert found.witnesses(path) is None
    clock.advance(6.1)
    assert found.witnesses(path) is not None


def test_children_know_how_many_they_are() -> None:
    """A child is told how many share its ports, and waits for as many reports of clients as that takes."""
    processes = Processes()
    Slot(0, Job(Loaded(Settings(), None, ()), [], announces=True, count=3), processes).start()
    assert commission(processes.children[0]).count == 3
    clock = Clock()
    sharing = Sharing(Settings(), FixedMembers("worker-1", TRIO), clock, Threads(clock, 1, "none"), Metrics(), None, 3)
    for _ in range(5):
        assert not sharing._arrivals.stops("client")
        sharing._arrivals.sent("client")
        clock.advance(60)
    assert not sharing._arrivals.stops("client")


@pytest_twisted.ensureDeferred
async def test_who_has_come_is_told_till_it_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker that redirected may not be reached for a while: it is told of its clients afterwards."""
    monkeypatch.setattr("alluxio_s3.sharing.REPORT_SECONDS", 0.01)
    threads = Threads(reactor, 2, "arrivals-test")
    threads.start()
    first, second = await start_workers(["worker-1", "worker-2"], MemoryUnderFileSystem(reactor, buckets=False), tmp_path, threads)
    sharing = Sharing(Settings(), first.members, reactor, threads, Metrics())
    note, told = sharing.authenticator(None)._arrived, second.members.me  # type: ignore[arg-type, attr-defined]
    try:
        await second.die()
        note(Hop(Guest("a", "simple"), "worker-2", "one"))
        await until(lambda: "worker-2" in first.members.suspects)
        note(Hop(Guest("a", "simple"), "worker-2", "three"))
        await second.listen()
        first.members.change([first.members.me, evolve(told, peer_port=second.port)])
        await until(lambda: {"one", "three"} <= set(second.arrived))
    finally:
        sharing.close()
        await first.close()
        await second.close()
        threads.stop()
    assert not [call for call in reactor.getDelayedCalls() if "_report" in str(call)]  # type: ignore[attr-defined]
