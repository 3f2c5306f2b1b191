"""What all tests of faults have in common: the long form says what each of them took."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator

import pytest

from tests.faults.daemons import LONG, report


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


@pytest.fixture(autouse=LONG)
def told_what_it_took(request: pytest.FixtureRequest) -> Iterator[None]:
    """Say how long a test took, and how much of the processors, its daemons and load being counted."""
    begun, used = time.monotonic(), _processor_seconds()
    yield
    told = f"{time.monotonic() - begun:.0f} s, of the processors {_processor_seconds() - used:.0f} s"
    report(f"took {request.node.name}", told)
