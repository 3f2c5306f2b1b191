"""Whether the machine's clock can be trusted."""

from __future__ import annotations

from alluxio_s3.ops.clock_watch import REMEMBERED_SECONDS, ClockWatch, kernel_is_unsynchronized
from alluxio_s3.ops.metrics import Metrics


class Time:
    """Two clocks."""

    def __init__(self) -> None:
        self.wall, self.monotonic, self.unsynchronized = 1e9, 5.0, False
        self.metrics = Metrics()
        self.watch = ClockWatch(self.metrics, lambda: self.wall, lambda: self.monotonic, lambda: self.unsynchronized)

    def go(self, seconds: float, step: float = 0.0) -> str:
        self.monotonic += seconds
        self.wall += seconds + step
        self.watch.look()
        return self.watch.trouble()

    def figure(self, name: str) -> float:
        return next(one.samples[0].values[0] for one in self.metrics.snapshot() if one.name == name)


def test_a_step_is_noticed() -> None:
    """A clock that is set is told of for a while, by how much, and counted; drift and lag are not taken for it."""
    time = Time()
    assert [time.go(1), time.go(30), time.go(1, 0.5)] == ["", "", ""]
    assert time.go(1, -3600) == "the machine's clock was set by -3600.0 s"
    assert time.figure("alluxio_s3_clock_steps_total") == 1
    assert time.go(REMEMBERED_SECONDS) == ""


def test_a_step_before_the_first_look() -> None:
    """The second before the daemon first looks at the clock counts, too."""
    assert Time().go(1, 86400) == "the machine's clock was set by +86400.0 s"


def test_what_the_kernel_says() -> None:
    """A clock that nobody keeps right is told of, and is a figure."""
    time = Time()
    assert time.figure("alluxio_s3_clock_unsynchronized") == 0
    time.unsynchronized = True
    assert "timedatectl" in time.go(1)
    assert time.figure("alluxio_s3_clock_unsynchronized") == 1
    assert kernel_is_unsynchronized() in (True, False)
