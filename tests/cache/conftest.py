"""What the tests of the cache share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor

from alluxio_s3.cache.freshness import CachePolicy
from alluxio_s3.threads import Threads
from tests.cache.stores import Bench, Trouble


@pytest.fixture
def threads() -> Iterator[Threads]:
    """A few threads."""
    made = Threads(reactor, 4, "cache-test")
    made.start()
    yield made
    made.stop()


@pytest.fixture
def bench(tmp_path: Path, threads: Threads) -> Iterator[Callable[..., Bench]]:
    """Makes a cache before a store; ``policy`` as CachePolicy's fields, ``store`` and ``clock`` as Bench's."""
    made: list[Bench] = []

    def make(name: str = "pages", store: Trouble | None = None, clock: Any = reactor, **policy: Any) -> Bench:
        made.append(Bench(tmp_path / name, threads, CachePolicy(**policy), store, clock))
        return made[-1]

    yield make
    for one in made:
        one.pages.close()
