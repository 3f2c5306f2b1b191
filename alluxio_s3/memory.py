"""Memory that there may not be: whether there is enough to begin something with, and what has to outlast the want of it.

Python does not always survive it: where there is no memory for the smallest things, 3.11 may end the process ("Cannot recover from
stack overflow"). So nothing is begun when little is left, which a limit of the address space or strict overcommitment can bring
about (RLIMIT_AS of setrlimit(2), /proc/sys/vm/overcommit_memory); what is under way gets along with the rest.
"""

from __future__ import annotations

import gc
import mmap
import time
from contextlib import suppress
from functools import partial
from typing import Any

from attrs import define, field

# What has to be left, in bytes: a thread's stack and what a few requests that are under way may still want.
HEADROOM = 32 << 20
# What one more thread may take of the address space for as long as the process lives: its stack, and what the C library sets aside for it.
THREAD_BYTES = 72 << 20
# For how long the answer holds, in seconds.
LOOK_SECONDS = 0.005
# Only after so many more containers have come than have gone does Python look for garbage among them. Requests leave none; its own 700
# has it look all the time at those that are under way, for some milliseconds in which nobody is answered. More would keep buffers of
# requests that ended badly, and may be garbage, for too long.
NEW_CONTAINERS = 10_000


def is_to_be_had(count: int) -> bool:
    """Whether so many bytes are to be had at present. They are not touched, so to ask takes no memory."""
    try:
        mmap.mmap(-1, count, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except (OSError, MemoryError):
        return False
    return True


def allows_a_thread() -> bool:
    """Whether one more thread would leave as much as requests need to be let in: threads stay, and so would what they took of that."""
    return is_to_be_had(HEADROOM + THREAD_BYTES)


@define
class Headroom:
    """What is left above what has been promised. May be asked by any thread."""

    _looked_at: float = field(default=float("-inf"), init=False)
    _short: bool = field(default=False, init=False)

    def is_short(self, promised: int = 0) -> bool:
        """Whether something new would take what others need, who may still want ``promised`` bytes."""
        now = time.monotonic()
        if now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            self._short = not is_to_be_had(HEADROOM + promised)
        return self._short


def keep_awake(reactor: Any) -> None:
    """Have ``reactor`` keep the pipe by which threads and signals wake it, if it has one, though it can't be emptied for want of memory.

    Twisted disconnects whatever raises; nobody would hear from a thread again. ``tests/test_memory.py`` holds this to its version.
    """
    waker = reactor.waker
    if waker is not None:
        waker.doRead = partial(_emptied, waker)


def set_apart() -> None:
    """Have the garbage collector look no more at what is there by now, and stays, and seldom at anything else.

    Else it would take some 60 ms now and then, and some milliseconds often, in which nobody is answered.
    """
    _ = gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_CONTAINERS, *gc.get_threshold()[1:])


def _emptied(waker: Any) -> None:
    with suppress(MemoryError):  # it is looked at again at the next turn
        type(waker).doRead(waker)
