"""``alluxio-s3 ls-cache``, ``free`` and ``explain``: what is in the cache, and why. They work whether the daemon runs or not."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import click
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from alluxio_s3.cache.keys import CachedVersion
from alluxio_s3.cli.cached_places import cached_place
from alluxio_s3.cli.configuration import NotDone, configured
from alluxio_s3.cli.errand import run
from alluxio_s3.inspection.cached_place import CachedPlace
from alluxio_s3.inspection.explanation import explained
from alluxio_s3.settings import Loaded

PAGE = 1000
# Of a table that nobody looks at in a terminal.
WIDTH = 200


@click.command(name="ls-cache")
@click.argument("name", metavar="BUCKET[/PREFIX]")
@click.option("--json", "as_json", is_flag=True, help="For programs: one document a line.")
@configured
def ls_cache(loaded: Loaded, name: str, *, as_json: bool) -> None:
    """List what the cache holds of the objects under a prefix."""

    async def work(reactor: Any) -> None:
        async with cached_place(loaded, name, reactor) as place:
            await _list(place, _show_json if as_json else _show_table)

    run(work)


@click.command()
@click.argument("name", metavar="BUCKET[/PREFIX]")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@configured
def free(loaded: Loaded, name: str, *, as_json: bool) -> None:
    """Take the objects under a prefix out of the cache. The under-store keeps them; what is being read is read to its end."""

    async def work(reactor: Any) -> Any:
        async with cached_place(loaded, name, reactor) as place:
            try:
                return await place.threads.run(place.pages.free, place.identity, place.path)
            except OSError as problem:
                raise NotDone(str(problem)) from None

    freed = run(work)
    if as_json:
        click.echo(json.dumps({"objects": freed.objects, "bytes": freed.stored}))
    else:
        click.echo(f"Freed {decimal(freed.stored)} of {freed.objects} {'object' if freed.objects == 1 else 'objects'}.")


@click.command()
@click.argument("name", metavar="BUCKET/KEY")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@configured
def explain(loaded: Loaded, name: str, *, as_json: bool) -> None:
    """Tell all that there is to know of an object and the cache: what the store has, what is remembered, which pages are here."""

    async def work(reactor: Any) -> dict[str, Any]:
        async with cached_place(loaded, name, reactor) as place:
            return await explained(place, reactor)

    found = run(work)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else WIDTH)
    table = Table(box=None, show_header=False)
    for title, value in found.items():
        table.add_row(title, str(value))
    console.print(table)


async def _versions(place: CachedPlace) -> AsyncIterator[list[CachedVersion]]:
    start = ""
    while True:
        found = await place.threads.run(place.pages.objects, place.identity, place.path, start, PAGE)
        if found:
            yield found
        if len(found) < PAGE:
            return
        start = f"{found[-1].path}\0"


async def _list(place: CachedPlace, show: Callable[[CachedPlace, list[CachedVersion]], None]) -> None:
    none = True
    async for found in _versions(place):
        none = False
        show(place, found)
    if none:
        show(place, [])


def _document(place: CachedPlace, one: CachedVersion) -> dict[str, Any]:
    return {
        "object": place.shown(one.path),
        "size": one.size,
        "cached": one.stored,
        "pages": one.pages,
        "validator": one.validator,
        "pages_evicted_before": one.rank,
    }


def _show_json(place: CachedPlace, found: list[CachedVersion]) -> None:
    for one in found:
        click.echo(json.dumps(_document(place, one)))


def _show_table(place: CachedPlace, found: list[CachedVersion]) -> None:
    console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else WIDTH)
    if not found:
        console.print(f"Nothing of {place.name} is in the cache.")
        return
    table = Table("Object", "Size", "Cached", "Pages", "Pages evicted before", box=None, header_style="bold")
    for one in found:
        share = f"{100 * one.stored / one.size:.0f} %" if one.size else "100 %"
        table.add_row(place.shown(one.path), decimal(one.size), share, str(one.pages), "many" if one.rank is None else str(one.rank))
    console.print(table)
