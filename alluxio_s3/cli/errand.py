"""A piece of asynchronous work that a command does: the reactor runs for as long as it takes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import click
from twisted.internet.defer import Deferred
from twisted.internet.task import react

T = TypeVar("T")


def run(work: Callable[[Any], Coroutine[Deferred[Any], Any, T]]) -> T:
    """What ``work`` returns, which is called with the reactor; raises what it raises. Once in a process: a reactor runs once.

    Raises click.Abort when the user interrupts it.
    """
    outcome: list[T] = []
    problem: list[Exception] = []

    async def errand(reactor: Any) -> None:
        try:
            outcome.append(await work(reactor))
        except Exception as raised:  # noqa: BLE001  # it is raised below, where no reactor runs
            problem.append(raised)

    with suppress(SystemExit):
        react(errand)
    if problem:
        raise problem[0]
    if not outcome:
        raise click.Abort
    return outcome[0]
