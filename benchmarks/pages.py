"""Measure what the page store costs a read: in the reactor's thread, and in others.

Run it as ``python -m benchmarks.pages [DIRECTORY]``; the directory (on the disk to be measured) is emptied at the end.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable

from alluxio_s3.cache.keys import CachedObject
from alluxio_s3.cache.store import PageStore, Place
from alluxio_s3.storage import Attributes, Status

PAGE_BYTES = 1 << 20
PAGES = 64
ROUNDS = 5


def _fastest(work: Callable[[], object], times: int) -> float:
    """The seconds that one call takes, in the best of some rounds: others use the machine too."""
    taken = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        for _ in range(times):
            work()
        taken.append((time.perf_counter() - begun) / times)
    return min(taken)


def measure(directory: str) -> dict[str, float]:
    """The seconds that each call takes, by its name."""
    store = PageStore([Place(directory, 2 * PAGES * PAGE_BYTES)], PAGE_BYTES, wall_ns=lambda: time.time_ns() + 10**9)
    data = memoryview(os.urandom(PAGE_BYTES))
    things = [CachedObject("mem://benchmark", f"object/{number}", "v", PAGE_BYTES) for number in range(PAGES)]
    versions = [one.version for one in things]
    begun = time.perf_counter()
    for one in things:
        store.put(one, 0, data)
    taken = {"put (1 MiB)": (time.perf_counter() - begun) / PAGES}

    def hot() -> None:
        page = store.hot(versions[0], 0)
        assert page is not None
        page.release()

    def opened() -> None:
        for version in versions:
            page = store.open(version, 0)
            assert page is not None
            page.release()
        store._open.clear()  # noqa: SLF001 - so that they are opened again

    taken["open, verified (1 MiB, in memory)"] = _fastest(opened, 1) / PAGES
    opened_again = store.open(versions[0], 0)
    assert opened_again is not None
    opened_again.release()
    taken["hot"] = _fastest(hot, 10_000)
    taken["holds"] = _fastest(lambda: store.holds(versions[1], 0), 10_000)
    known = store.recall("mem://benchmark", "a")
    assert known is not None
    status = Status("a", 1, 1, "etag", "v", Attributes(content_type="text/plain", user_metadata={"a": "b"}))
    taken["learn"] = _fastest(lambda: store.learn("mem://benchmark", "a", known.generation, status, 1), 1000)
    taken["recall"] = _fastest(lambda: store.recall("mem://benchmark", "a"), 10_000)
    taken["forget"] = _fastest(lambda: store.forget("mem://benchmark", "a"), 1000)
    store.close()
    return taken


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="bench-pages-", dir=sys.argv[1] if len(sys.argv) > 1 else "/var/tmp") as directory:
        for name, seconds in measure(directory).items():
            print(f"{name:36}{seconds * 1e6:10.2f} us")


if __name__ == "__main__":
    main()
