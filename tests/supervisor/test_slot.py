"""When children start again, and what of them counts."""

from __future__ import annotations

import errno
from typing import Any

from twisted.internet.error import ProcessTerminated
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from alluxio_s3.ops.metrics import Metrics
from alluxio_s3.settings import Loaded, Settings
from alluxio_s3.supervisor.messages import LOG, REPORTS, WORDS, Commission, Report
from alluxio_s3.supervisor.slot import FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS, SETTLED_SECONDS, SILENT_SECONDS, Child, Job, Slot


class Pipes:
    """What was written to a child."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data


class Processes(Clock):
    """A reactor whose processes do nothing by themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.children: list[Child] = []
        self.out_of: str | None = None

    def spawnProcess(self, child: Child, *_: Any, childFDs: dict[int, Any]) -> None:  # noqa: N803
        assert childFDs == {WORDS: "w", LOG: "r", 2: "r", REPORTS: "r"}
        if self.out_of is not None:
            raise OSError(errno.EAGAIN, self.out_of)
        self.children.append(child)
        child.makeConnection(Pipes())  # type: ignore[arg-type]

    def end(self) -> None:
        """The youngest child ends."""
        self.children[-1].processEnded(Failure(ProcessTerminated(1)))


def slot() -> tuple[Slot, Processes]:
    processes = Processes()
    made = Slot(0, Job(Loaded(Settings(), None, ()), [], announces=True), processes)
    made.start()
    return made, processes


def commission(child: Child) -> Commission:
    return child._commission


def report(**counted: int) -> bytes:
    metrics = Metrics()
    for name, value in counted.items():
        metrics.counter(name, "").add(value)
    metrics.gauge("g", "", lambda: 1)
    return Report(metrics.snapshot()).encode()


def test_children_that_die_young_wait_longer_and_longer() -> None:
    """From a tenth of a second, twice as long each time, up to ten seconds; after one that lived, none."""
    _, processes = slot()
    delays = []
    for _ in range(10):
        processes.end()
        (call,) = processes.getDelayedCalls()
        delays.append(call.getTime() - processes.seconds())
        processes.advance(delays[-1])
    assert [round(delay, 1) for delay in delays] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, *[LONGEST_DELAY_SECONDS] * 3]
    assert len(processes.children) == 11
    processes.advance(SETTLED_SECONDS)
    processes.end()
    processes.advance(0)
    assert len(processes.children) == 12


def test_a_machine_that_has_no_room_for_a_child_is_asked_again() -> None:
    """Where a process cannot be started the slot is empty until one can be, and stopping it waits for nobody."""
    one, processes = slot()
    processes.out_of = "processes"
    processes.end()
    processes.advance(FIRST_DELAY_SECONDS)
    assert not one.serving
    one.tell(b"reload")
    processes.out_of = None
    processes.advance(2 * FIRST_DELAY_SECONDS)
    assert len(processes.children) == 2
    processes.out_of = "processes"
    processes.end()
    processes.advance(LONGEST_DELAY_SECONDS)
    assert one.stop().called


def test_nobody_starts_after_the_end() -> None:
    """To stop waits for the child that is there, and cancels the one that is to come."""
    one, processes = slot()
    ended = one.stop()
    assert not ended.called
    assert processes.children[-1].transport.written.endswith(b"stop\n")
    processes.end()
    assert ended.called
    two, processes = slot()
    processes.end()
    assert two.stop().called
    assert processes.getDelayedCalls() == []


def test_what_the_dead_counted_counts() -> None:
    """Figures of those before add to those of the child; what was so at the moment goes with who said so."""
    one, processes = slot()
    for _ in range(2):
        processes.children[-1].childDataReceived(REPORTS, report(c_total=3))
        processes.end()
        assert [figures.name for figures in one.figures] == ["c_total"]
        processes.advance(1)
    assert [figures.samples[0].values for figures in one.figures] == [(6,)]
    processes.children[-1].childDataReceived(REPORTS, report(c_total=1)[:-5])  # cut short, where it died
    processes.end()
    assert [figures.samples[0].values for figures in one.figures] == [(6,)]


def test_a_child_is_well_while_it_says_so() -> None:
    """One that has not begun to serve, or has long been silent, should get no requests."""
    one, processes = slot()
    assert one.reasons == {"process 0": "it is not there yet"}
    processes.children[-1].childDataReceived(REPORTS, report())
    assert one.reasons == {}
    processes.advance(SILENT_SECONDS + 1)
    assert one.reasons == {"process 0": "it does not answer"}


def test_the_first_that_serves_announces() -> None:
    """Its successors serve in the same place, and say nothing."""
    _, processes = slot()
    processes.end()
    processes.advance(1)
    assert commission(processes.children[-1]).announces
    processes.children[-1].childDataReceived(REPORTS, report())
    processes.end()
    processes.advance(1)
    assert not commission(processes.children[-1]).announces
