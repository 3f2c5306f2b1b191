"""What ``doctor`` finds of stores: whether each is there, and takes what is written to it."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError  # noqa: A004  # Twisted's own

from alluxio_s3.cli.examination import OK, PROBLEM, Finding
from alluxio_s3.interfaces import IReadOnly, IRemote, IUnderFileSystem
from alluxio_s3.s3.conditions import WriteCondition
from alluxio_s3.settings import Loaded, SettingsError
from alluxio_s3.settings.mount_options import without_secrets
from alluxio_s3.storage import Attributes, NoSuchPath, StorageError
from alluxio_s3.stores import MountBuilder, build_mount_table, build_root
from alluxio_s3.threads import Threads

SECONDS = 30.0


async def examine_stores(loaded: Loaded, reactor: Any, *, write: bool) -> list[Finding]:
    """Of each store: whether it answers, and, with ``write``, whether an object can be written to it and deleted."""
    threads = Threads(reactor, 4, "doctor", expendable=True)
    threads.start()
    try:
        found = await _root(loaded, reactor, threads)
        table = build_mount_table(loaded.settings, reactor, threads)
        for one in await table.mounts() if table is not None else ():
            found.append(await _mount(one, loaded, reactor, write=write))
    except (StorageError, SettingsError) as problem:
        found = [Finding(PROBLEM, "mount table", str(problem), "alluxio-s3 mount list tells more")]
    finally:
        threads.abandon()
    return found


async def _root(loaded: Loaded, reactor: Any, threads: Threads) -> list[Finding]:
    if loaded.settings.ufs_root is None:
        return []
    advice = "see alluxio.dora.client.ufs.root and its options"
    try:
        ufs = build_root(loaded, reactor, threads)
        assert ufs is not None
        await _answers(ufs, reactor)
        await ufs.close()
    except (StorageError, SettingsError, TimeoutError) as problem:
        return [Finding(PROBLEM, "store at /", _said(problem), advice)]
    return [Finding(OK, "store at /", f"{loaded.settings.ufs_root} answers")]


async def _mount(one: Any, loaded: Loaded, reactor: Any, *, write: bool) -> Finding:
    about = f"mount {one.path}"
    try:
        store = await MountBuilder(loaded, reactor)(one, at_leisure=True)
        try:
            await _answers(store.ufs, reactor)
            said = f"{one.uri} answers"
            if write and not IReadOnly.providedBy(store.ufs):
                await Deferred.fromCoroutine(_write(store.ufs)).addTimeout(SECONDS, reactor)
                said += ", and takes what is written"
            await store.ufs.close()
        finally:
            store.ended()
    except (StorageError, SettingsError, TimeoutError) as problem:
        told = without_secrets(_said(problem), one.options)
        return Finding(PROBLEM, about, f"{one.uri}: {told}", f"alluxio-s3 mount remove --path {one.path}, and add it with other options")
    return Finding(OK, about, said)


async def _answers(ufs: IUnderFileSystem, reactor: Any) -> None:
    async def ask() -> None:
        remote = IRemote(ufs, None)
        try:
            await (ufs.status("") if remote is None else remote.reach())
        except NoSuchPath:
            await ufs.list("", "", 1, "/")

    await Deferred.fromCoroutine(ask()).addTimeout(SECONDS, reactor)


async def _write(ufs: IUnderFileSystem) -> None:
    path = f".alluxio-s3-doctor-{os.urandom(6).hex()}"
    data = b"written by alluxio-s3 doctor"
    writer = await ufs.create(path, Attributes(), len(data))
    try:
        await writer.write(data)
        await writer.commit(Attributes(), WriteCondition())
    finally:
        await writer.abort()
    await ufs.delete(path, WriteCondition())


def _said(problem: Exception) -> str:
    return f"no answer within {SECONDS:.0f} s" if isinstance(problem, TimeoutError) else str(problem)
