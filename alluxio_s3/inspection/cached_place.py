"""What ``bucket/prefix`` means to the cache: the under-store behind it, and the pages that all processes share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from attrs import frozen

from alluxio_s3.cache.store import PageStore
from alluxio_s3.cache.ufs import Cache
from alluxio_s3.interfaces import IIdentified, IUnderFileSystem
from alluxio_s3.settings import Loaded
from alluxio_s3.settings.mount_options import MountOptions, split_options
from alluxio_s3.storage import Mount
from alluxio_s3.stores import MountBuilder, build_cache, build_mount_table, build_root
from alluxio_s3.threads import Threads


class NothingCached(LookupError):
    """There is nothing to tell, since nothing is cached there; the message says why."""


class NothingThere(NothingCached):
    """The name leads nowhere, or to what can't be cached: the question was good, and there is no answer."""


@frozen
class CachedPlace:
    """Where a name leads: ``path`` in the under-store ``ufs``, which the cache calls ``identity``. ``uri`` is the mount or root."""

    name: str
    uri: str
    options: MountOptions
    ufs: IUnderFileSystem
    identity: str
    path: str
    prefix: str
    pages: PageStore
    threads: Threads

    def shown(self, path: str) -> str:
        """What ``path`` of the under-store is called by who asked."""
        bucket = self.name.partition("/")[0]
        return f"{bucket}/{path[len(self.prefix) :]}"


@asynccontextmanager
async def cached_place(loaded: Loaded, name: str, reactor: Any, cache: Cache | None = None) -> AsyncIterator[CachedPlace]:
    """``name`` (``bucket/key`` or ``bucket/prefix``) looked up, for as long as the block lasts.

    ``cache`` is that of this process, if it has one: its index can't be open twice. Raises NothingCached, SettingsError, StorageError.
    """
    bucket, _, key = name.removeprefix("/").partition("/")
    if not bucket:
        raise NothingCached("say which bucket: BUCKET or BUCKET/PREFIX")
    threads = Threads(reactor, 4, "cache", expendable=True)
    threads.start()
    try:
        own = build_cache(loaded.settings, reactor, threads) if cache is None else cache
        if own is None:
            raise NothingCached("there is no cache: alluxio.worker.page.store.dirs is not set")
        try:
            mount = await _mount(loaded, bucket, reactor, threads)
            ufs, uri, given, prefix = await _store(loaded, mount, bucket, reactor, threads)
            try:
                identified = IIdentified(ufs, None)
                if identified is None:
                    raise NothingThere(f"the under-store of {bucket} is one that is not cached")
                yield CachedPlace(name, uri, given, ufs, identified.identity, prefix + key, prefix, own.store, threads)
            finally:
                await ufs.close()
        finally:
            if cache is None:
                await threads.run(own.store.close)
    finally:
        threads.abandon()


async def _mount(loaded: Loaded, bucket: str, reactor: Any, threads: Threads) -> Mount | None:
    table = build_mount_table(loaded.settings, reactor, threads)
    mounts = await table.mounts() if table is not None else ()
    return next((one for one in mounts if one.bucket == bucket), None)


async def _store(
    loaded: Loaded, mount: Mount | None, bucket: str, reactor: Any, threads: Threads
) -> tuple[IUnderFileSystem, str, MountOptions, str]:
    """The store behind ``bucket`` without its cache, its URI, its options, and what stands before keys in it."""
    defaults = MountOptions(delete_type=loaded.settings.delete_type)
    if mount is not None:
        store = await MountBuilder(loaded, reactor)(mount, at_leisure=True)
        return store.ufs, mount.uri, split_options(mount.options, defaults)[0], ""
    root = build_root(loaded, reactor, threads)
    if root is None:
        raise NothingThere(f"nothing is mounted at /{bucket}")
    return root, str(loaded.settings.ufs_root), split_options(loaded.root_options, defaults)[0], f"{bucket}/"
