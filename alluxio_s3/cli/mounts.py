"""``alluxio-s3 mount``: which under-stores appear as buckets. A running daemon follows within a second."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from twisted.internet.defer import Deferred, TimeoutError, gatherResults  # noqa: A004  # Twisted's own

from alluxio_s3.cli.configuration import NotDone, ToldWrongly, configured
from alluxio_s3.cli.errand import run
from alluxio_s3.cli.mount_assignments import read_assignments
from alluxio_s3.interfaces import IMountTable
from alluxio_s3.namespace.mount_table import check_path
from alluxio_s3.s3.buckets import check_new_bucket_name
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.settings import Loaded, SettingsError
from alluxio_s3.settings.mount_options import check_uri, masked, split_options, without_secrets
from alluxio_s3.storage import Mount, NoSuchPath, StorageError
from alluxio_s3.stores import LOCAL, MountBuilder, build_mount_table, plugin_of
from alluxio_s3.threads import Threads

# How long a store may take to say that it is there.
CHECK_SECONDS = 30.0
# Of a table that nobody looks at in a terminal.
WIDTH = 200


@click.group()
def mount() -> None:
    """Mount under-stores as buckets, and take them away."""


@mount.command()
@click.option("--path", required=True, metavar="/NAME", help="Where: '/' and the name of the bucket.")
@click.option("--ufs-uri", "uri", required=True, metavar="URI", help="What: s3://bucket/prefix, file:///directory and the like.")
@click.option("--option", "assignments", multiple=True, metavar="NAME=VALUE", help="An option; secrets are @FILE, - or env:NAME.")
@click.option("--no-check", is_flag=True, help="Mount it without asking the under-store whether it is there.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@configured
def add(loaded: Loaded, path: str, uri: str, assignments: tuple[str, ...], *, no_check: bool, as_json: bool) -> None:
    """Mount an under-store."""
    _check_place(loaded, path)
    try:
        check_uri(uri)
        given = Mount(path, uri, read_assignments(assignments, os.environ))
        split_options(given.options)
    except SettingsError as problem:
        raise ToldWrongly(str(problem)) from None

    async def work(reactor: Any) -> None:
        table = _table(loaded, reactor)
        if any(one.path == path for one in await table.mounts()):
            raise NotDone(f"something is mounted at {path} already.")
        if not no_check:
            trouble = await _trouble(given, loaded, reactor)
            if trouble:
                raise NotDone(f"{uri}: {trouble}. Nothing was mounted; --no-check would do it all the same.")
        await table.add(given)

    _run(work)
    click.echo(json.dumps({"path": path, "uri": uri}) if as_json else f"Mounted {uri} at {path}.")


@mount.command()
@click.option("--path", required=True, metavar="/NAME", help="Where: '/' and the name of the bucket.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@configured
def remove(loaded: Loaded, path: str, *, as_json: bool) -> None:
    """Take a mount away. What is in the under-store stays; requests under way end as they would have."""

    async def work(reactor: Any) -> Mount:
        return await _table(loaded, reactor).remove(path)

    uri = _run(work).uri
    click.echo(json.dumps({"path": path, "uri": uri}) if as_json else f"{path} is mounted no more; {uri} is untouched.")


@mount.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--check", is_flag=True, help="Ask each under-store whether it is there; 1 if one is not.")
@configured
def list_(loaded: Loaded, *, as_json: bool, check: bool) -> None:
    """List the mounts. Secrets are not shown."""

    async def work(reactor: Any) -> list[tuple[Mount, str]]:
        mounts = await _table(loaded, reactor).mounts()
        asking = [Deferred.fromCoroutine(_trouble(one, loaded, reactor)) for one in mounts] if check else []
        found = await gatherResults(asking, consumeErrors=True) if check else [""] * len(mounts)
        return list(zip(mounts, found, strict=True))

    found = _run(work)
    if as_json:
        click.echo(json.dumps([_document(one, trouble, check=check) for one, trouble in found], indent=2))
    else:
        _print(found, check=check)
    if any(trouble for _, trouble in found):
        raise click.exceptions.Exit(1)


def _run(work: Any) -> Any:
    try:
        return run(work)
    except StorageError as problem:
        raise NotDone(f"{problem}.") from None
    except SettingsError as problem:
        raise ToldWrongly(str(problem)) from None


def _check_place(loaded: Loaded, path: str) -> None:
    try:
        check_new_bucket_name(check_path(path), restricted=loaded.settings.bucket_naming_restrictions)
    except (ValueError, S3Error) as problem:
        told = str(problem) if isinstance(problem, ValueError) else f"{path[:100]!r} is no name for a bucket of S3"
        raise ToldWrongly(told) from None


def _table(loaded: Loaded, reactor: Any) -> IMountTable:
    threads = Threads(reactor, 1, "mount-table", expendable=True)
    threads.start()
    table = build_mount_table(loaded.settings, reactor, threads)
    if table is None:
        raise SettingsError("No mounts are kept: set alluxio.worker.s3.mount.table to a file or `etcd`, for the daemon too.")
    reactor.addSystemEventTrigger("after", "shutdown", threads.abandon)
    return table


async def _trouble(given: Mount, loaded: Loaded, reactor: Any) -> str:
    """What is wrong with the under-store of a mount; nothing if it answers."""
    if _is_anothers_directory(given.uri):
        return ""
    probing = Deferred.fromCoroutine(_probe(given, loaded, reactor))
    try:
        await probing.addTimeout(CHECK_SECONDS, reactor)
    except TimeoutError:
        return f"no answer within {CHECK_SECONDS:.0f} s"
    except (StorageError, SettingsError) as problem:
        if str(problem) == str(NoSuchPath()):  # it has no words of its own
            return "nothing is there"
        return without_secrets(str(problem), given.options).rstrip(".")
    return ""


def _is_anothers_directory(uri: str) -> bool:
    """Whether it is a directory in which root would, by building the store, leave what its owner could not use."""
    directory = Path(uri.partition("://")[2] or uri)
    return plugin_of(uri) == LOCAL and os.geteuid() == 0 and directory.is_dir() and directory.stat().st_uid != 0


async def _probe(given: Mount, loaded: Loaded, reactor: Any) -> None:
    store = await MountBuilder(loaded, reactor)(given, at_leisure=True)
    try:
        await store.ufs.status("")
        await store.ufs.list("", "", 1, "/")
        await store.ufs.close()
    finally:
        store.ended()


def _document(one: Mount, trouble: str, *, check: bool) -> dict[str, Any]:
    document: dict[str, Any] = {"path": one.path, "uri": one.uri, "options": masked(one.options), "since": _since(one) or None}
    if check:
        document |= {"state": "broken" if trouble else "ok", "trouble": trouble or None}
    return document


def _print(found: Sequence[tuple[Mount, str]], *, check: bool) -> None:
    table = Table("Path", "Under-store", "Options", "Since", *(["State"] if check else []), box=None, header_style="bold")
    for one, trouble in found:
        options = "\n".join(f"{name}={value}" for name, value in sorted(masked(one.options).items()))
        cells = [one.path, one.uri, options, _since(one), *([f"broken: {trouble}" if trouble else "ok"] if check else [])]
        table.add_row(*cells)
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False, markup=False)
    console.print(table if found else "Nothing is mounted.")


def _since(one: Mount) -> str:
    return datetime.fromtimestamp(one.since_ns / 10**9, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if one.since_ns else ""
