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
from twisted.internet.defer import Deferred, TimeoutError  # noqa: A004  # Twisted's own

from alluxio_s3.cache.freshness import Moments
from alluxio_s3.cache.keys import CachedVersion
from alluxio_s3.cli.cached_place import CachedPlace, cached_place
from alluxio_s3.cli.configuration import NotDone, configured
from alluxio_s3.cli.errand import run
from alluxio_s3.settings import Loaded
from alluxio_s3.storage import Status, StorageError

PAGE = 1000
ASK_SECONDS = 10.0
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
    found = run(lambda reactor: _explained(loaded, name, reactor))
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


async def _explained(loaded: Loaded, name: str, reactor: Any) -> dict[str, Any]:
    async with cached_place(loaded, name, reactor) as place:
        asking = Deferred.fromCoroutine(place.ufs.status(place.path))
        status: Status | None = None
        try:
            status = await asking.addTimeout(ASK_SECONDS, reactor)
            said = f"{status.size} bytes, ETag {status.etag}"
        except (StorageError, TimeoutError) as problem:
            said = f"no answer: {problem}" if not isinstance(problem, StorageError) else str(problem)
        known = place.pages.recall(place.identity, place.path)
        found = [
            one for one in await place.threads.run(place.pages.objects, place.identity, place.path, "", PAGE) if one.path == place.path
        ]
        current = known.status if known is not None and known.status is not None else status
        return {
            "object": name,
            "under-store": place.uri,
            "path there": place.path,
            "owner": "this worker",
            "the store says": said,
            "remembered": _remembered(known, status),
            "freshness": _freshness(place),
            "validator": None if current is None else current.validator,
            "in the cache": "; ".join(_present(place, one, current) for one in found) or "nothing",
            "evicted next": _eviction(found),
        }


def _remembered(known: Any, status: Status | None) -> str:
    if known is None:
        return "nothing, because the cache is off"
    if known.status is None:
        return "nothing"
    age = Moments().age(known.checked_ns)
    told = "before this machine was started" if age is None else f"{age:.0f} s ago"
    stale = status is not None and status.validator != known.status.validator
    return f"ETag {known.status.etag}, said {told}" + ("; the store has another version now" if stale else "")


def _freshness(place: CachedPlace) -> str:
    freshness = place.options.freshness
    text = f"max_age={freshness.max_age_ms / 1000:g}s" if freshness.kind == "max_age" else str(freshness.kind)
    if place.options.stale_if_error_ms:
        text += f", stale.if.error={place.options.stale_if_error_ms / 1000:g}s"
    return f"{text}, cache={place.options.cache}"


def _present(place: CachedPlace, one: CachedVersion, current: Status | None) -> str:
    pages = -(-one.size // place.pages.page_bytes) or 1
    text = f"{one.pages} of {pages} pages, {one.stored} of {one.size} bytes"
    return text if current is None or current.validator == one.validator else f"{text} of the version {one.validator}"


def _eviction(found: list[CachedVersion]) -> str:
    ranks = [one.rank for one in found if one.rank is not None]
    if not found:
        return "nothing is there to be evicted"
    return f"after {min(ranks)} other pages of its directory, if nothing is read meanwhile" if ranks else "not among the next 1,000 pages"
