"""Tests and fixtures that are coroutines, run in Twisted's reactor by pytest-twisted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import pytest_twisted  # type: ignore[import-untyped]  # it has no types

F = TypeVar("F", bound=Callable[..., object])


def in_reactor(test: F) -> F:
    """The test, which is a coroutine function, as pytest can run it."""
    return cast(F, pytest_twisted.ensureDeferred(test))


def reactor_fixture(make: F) -> F:
    """A fixture that is an async generator."""
    return cast(F, pytest_twisted.async_yield_fixture(make))
