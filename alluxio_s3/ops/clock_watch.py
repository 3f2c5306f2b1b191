"""Whether the machine's clock can be trusted: signatures, tokens and certificates are good or not by it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import suppress

from alluxio_s3.interfaces import IMetrics

# A step of this much, within the second between two looks, is no drift; it is told of for so long.
STEP_SECONDS = 2.0
REMEMBERED_SECONDS = 600.0
# adjtimex(2).
_UNSYNCHRONIZED = 0x40
_BYTES = 256
_STATUS_AT = 40


def kernel_is_unsynchronized() -> bool:
    """Whether the kernel knows of nobody who keeps its clock right; false where it can't say."""
    with suppress(OSError, AttributeError):
        # struct timex: modes (int, padded), offset, freq, maxerror, esterror (long each), status (int). All zeros change nothing.
        buffer = ctypes.create_string_buffer(_BYTES)
        if ctypes.CDLL(None, use_errno=True).adjtimex(buffer) >= 0:
            return bool(int.from_bytes(buffer.raw[_STATUS_AT : _STATUS_AT + 4], "little") & _UNSYNCHRONIZED)
    return False


class ClockWatch:
    """Looks at the clock of ``wall``, which should go as ``monotonic`` does, when ``look`` is called: every second."""

    def __init__(
        self,
        metrics: IMetrics,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
        unsynchronized: Callable[[], bool] = kernel_is_unsynchronized,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._unsynchronized = unsynchronized
        self._difference = wall() - monotonic()
        self._stepped_at: float | None = None
        self._step = 0.0
        self._steps = metrics.counter("alluxio_s3_clock_steps_total", "How often the machine's clock was set by two seconds or more.")
        metrics.levels("alluxio_s3_clock_unsynchronized", "1 while the kernel knows of nobody who keeps its clock right.", self._level, ())

    def look(self) -> None:
        """See whether it has been set since the last time."""
        difference = self._wall() - self._monotonic()
        before, self._difference = self._difference, difference
        if abs(difference - before) >= STEP_SECONDS:
            self._step = difference - before
            self._stepped_at = self._monotonic()
            self._steps.add()

    def trouble(self) -> str:
        """Why an operator should look at the clock; empty if there is no reason."""
        if self._stepped_at is not None and self._monotonic() < self._stepped_at + REMEMBERED_SECONDS:
            return f"the machine's clock was set by {self._step:+.1f} s"
        return "nobody keeps the machine's clock right (timedatectl tells more)" if self._unsynchronized() else ""

    def _level(self) -> dict[tuple[str, ...], float]:
        return {(): float(self._unsynchronized())}
