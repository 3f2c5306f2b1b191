"""Coroutines in tests and fixtures, run in Twisted's reactor by pytest-twisted."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

import pytest_twisted  # type: ignore[import-untyped]  # it has no types
from twisted.internet.defer import ensureDeferred

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., object])


def in_reactor(test: F) -> F:
    """The test, which is a coroutine function, as pytest can run it."""
    return cast(F, pytest_twisted.ensureDeferred(test))


def wait_for(work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, for a fixture, which pytest runs outside of the reactor."""
    return cast(T, pytest_twisted.blockon(ensureDeferred(work)))
