"""Which under-store a whole daemon is tested on: `pytest --store=s3 tests/clients`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.under_stores import LOCAL, STORES, NotInstalled, UnderStore, running


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the tests that drive a whole daemon."""
    parser.addoption("--store", choices=STORES, default=LOCAL, help="the under-store of the daemon in tests/{clients,conformance,daemon}")
    parser.addoption("--page-cache", action="store_true", help="put the page cache before it")


@pytest.fixture(scope="session")
def under_store(request: pytest.FixtureRequest) -> Iterator[UnderStore]:
    """The store that was asked for."""
    try:
        with running(request.config.getoption("store"), cached=request.config.getoption("page_cache")) as store:
            yield store
    except NotInstalled as missing:
        pytest.skip(str(missing))


@pytest.fixture(autouse=True)
def _what_it_needs(request: pytest.FixtureRequest) -> None:
    """Skip a test that needs what the store has not."""
    for mark in request.node.iter_markers("needs"):
        store: UnderStore = request.getfixturevalue("under_store")
        for reason in filter(None, map(store.lack, mark.args)):
            pytest.skip(f"{store.name}: {reason}")
