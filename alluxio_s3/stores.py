"""The stores behind the daemon, built as its settings say: under-stores, mounts, staging, tags."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from attrs import frozen
from twisted.internet.defer import CancelledError

from alluxio_s3.cache.freshness import CachePolicy
from alluxio_s3.cache.store import PageStore
from alluxio_s3.cache.store import Place as PagePlace
from alluxio_s3.cache.ufs import Cache, CachedUnderFileSystem
from alluxio_s3.clocks import wall_clock
from alluxio_s3.cluster.mount_table import EtcdMountTable
from alluxio_s3.cluster.watched import WatchedPrefix
from alluxio_s3.clustering import build_etcd, root_of
from alluxio_s3.interfaces import (
    IBucketContainer,
    ICorsStore,
    IForeseeingFactory,
    IIdentified,
    IMetrics,
    IMultipartUploads,
    IReadOnly,
    ITagStore,
    IUnderFileSystem,
)
from alluxio_s3.namespace.cors_files import CorsFiles
from alluxio_s3.namespace.live_mounts import LiveMounts, Store
from alluxio_s3.namespace.mount_table import FileMountTable, MountFile
from alluxio_s3.namespace.mounts import Namespace
from alluxio_s3.namespace.staged_uploads import StagedUploads
from alluxio_s3.plugins import TAG_STORES, UFS, build_plugin, load_factory
from alluxio_s3.settings import Loaded, Settings, SettingsError
from alluxio_s3.settings.mount_options import MountOptions, check_uri, split_options, without_secrets
from alluxio_s3.storage import Mount, PermissionRefused, StorageError, Unavailable
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.local.containment import RESERVED
from alluxio_s3.ufs.metered import metered
from alluxio_s3.ufs.rate_limited import Allowance, RateLimitedUnderFileSystem
from alluxio_s3.ufs.read_only import ReadOnlyUnderFileSystem
from alluxio_s3.ufs.undeleting import UndeletingUnderFileSystem

# Makes of a store, and where it is mounted (``/`` or ``/bucket``), one that workers share.
Sharer = Callable[[IUnderFileSystem, str], IUnderFileSystem]

LOCAL = "local"
# Where mounts may be kept but in a file.
IN_ETCD = "etcd"
# A disk on which less than this is free is full, if the cache is to have more.
FULL_BYTES = 16 << 20
# Schemes that are the names of no plugin, and the plugin for each.
_ALIASES = {"": LOCAL, "file": LOCAL, "s3a": "s3"}
_HDFS = ("hdfs", "webhdfs", "swebhdfs")
_S3_KEYS = ("s3a.accessKeyId", "s3a.secretKey", "aws.accessKeyId", "aws.secretKey")


def plugin_of(uri: str) -> str:
    """The name of the under-store plugin for ``uri``: its scheme, mostly. A path is local, ``fsspec+sftp://`` is ``fsspec``'s."""
    scheme, separator, _ = uri.partition("://")
    scheme = scheme.lower().partition("+")[0] if separator else ""
    return _ALIASES.get(scheme, scheme)


def build_cache(settings: Settings, reactor: Any, threads: Threads, metrics: IMetrics | None = None) -> Cache | None:
    """The page cache, if there are directories for it. Raises SettingsError."""
    directories, sizes = settings.page_store_dirs, settings.page_store_sizes
    if not directories:
        return None
    if len(sizes) != len(directories):
        raise SettingsError("alluxio.worker.page.store.sizes: as many as alluxio.worker.page.store.dirs are needed.")
    try:
        store = PageStore([PagePlace(path, size) for path, size in zip(directories, sizes, strict=True)], settings.page_size)
    except ValueError as problem:
        raise SettingsError(f"alluxio.worker.page.store.dirs: {problem}") from None
    return Cache(store, threads, reactor, metrics=metrics)


def cache_trouble(cache: Cache) -> str:
    """What is wrong with the disks of the cache; empty if nothing is."""
    found = []
    for one in cache.store.stats().places:
        if not one.on:
            found.append(f"{one.path} is not in use: its disk or its index fails")
            continue
        try:
            disk = os.statvfs(one.path)
        except OSError as problem:
            found.append(f"{one.path}: {problem.strerror}")
            continue
        left = disk.f_bavail * disk.f_frsize
        if left < min(FULL_BYTES, one.size - one.stored):
            found.append(f"the disk of {one.path} is full: {left} bytes are left, and {one.size - one.stored} are promised to the cache")
    return "; ".join(found)


@frozen
class Shell:
    """What every store has around it, as far as there is any: the page cache, figures of its calls, and the other workers."""

    cache: Cache | None = None
    metrics: IMetrics | None = None
    share: Sharer | None = None

    def around(self, ufs: IUnderFileSystem, own: MountOptions, mount: str, reactor: Any, *, wanted: bool) -> IUnderFileSystem:
        """``ufs``, mounted at ``mount`` (``/`` or ``/bucket``), with what its options ask for; ``wanted``: they ask for the cache."""
        decorated = _decorated(metered(ufs, self.metrics, mount, reactor), own, reactor)
        cached = _cached(decorated, own, self.cache, mount, wanted=wanted)
        return cached if self.share is None else self.share(cached, mount)


BARE = Shell()


def _cached(ufs: IUnderFileSystem, own: MountOptions, cache: Cache | None, mount: str, *, wanted: bool) -> IUnderFileSystem:
    """``ufs`` with the page cache before it, where there is one and it is of use; ``wanted`` says whether the mount asks for it."""
    freshness = own.freshness
    idle = own.cache == "never" and freshness.kind == "strong" and not (own.negative_ms or own.listing_ms or own.stale_if_error_ms)
    if cache is None or not wanted or idle or IIdentified(ufs, None) is None:
        return ufs
    policy = CachePolicy(
        freshness=cast("Any", freshness.kind),
        max_age=freshness.max_age_ms / 1000,
        negative_max_age=own.negative_ms / 1000,
        listing_max_age=own.listing_ms / 1000,
        stale_if_error=own.stale_if_error_ms / 1000,
        pages=cast("Any", own.cache),
    )
    return CachedUnderFileSystem(ufs, cache, policy, mount)


def _asks_for_cache(uri: str, options: Mapping[str, str]) -> bool:
    """A local directory is as fast without, unless it is on a network: so there the mount has to say it."""
    return plugin_of(uri) != LOCAL or any(name.strip().lower() in ("cache", "freshness") for name in options)


def build_root(loaded: Loaded, reactor: Any, threads: Threads, shell: Shell = BARE) -> IUnderFileSystem | None:
    """The under-store that is mounted at ``/``, if one is. Raises SettingsError."""
    settings = loaded.settings
    if settings.ufs_root is None:
        if settings.mount_table is None:
            raise SettingsError(
                "Nothing to serve: set alluxio.dora.client.ufs.root to a directory, or alluxio.worker.s3.mount.table to a file of mounts."
            )
        return None
    check_uri(settings.ufs_root)
    own, rest = split_options(loaded.root_options, MountOptions(delete_type=settings.delete_type))
    try:
        ufs = _plain(loaded, settings.ufs_root, rest, reactor, threads, buckets=True)
    except SettingsError as problem:
        raise SettingsError(without_secrets(str(problem), _secrets(loaded, rest))) from None
    if IBucketContainer(ufs, None) is None:
        raise SettingsError(f"alluxio.dora.client.ufs.root: a store of {plugin_of(settings.ufs_root)}:// cannot be mounted at '/'.")
    return shell.around(ufs, own, "/", reactor, wanted=_asks_for_cache(settings.ufs_root, loaded.root_options))


def build_mount(mount: Mount, loaded: Loaded, reactor: Any, threads: Threads, shell: Shell = BARE) -> IUnderFileSystem:
    """The under-store of ``mount``, with what the mount's options ask for around it. Raises SettingsError, secrets and all."""
    own, rest = split_options(mount.options, MountOptions(delete_type=loaded.settings.delete_type))
    ufs = _plain(loaded, mount.uri, rest, reactor, threads, buckets=False)
    return shell.around(ufs, own, mount.path, reactor, wanted=_asks_for_cache(mount.uri, mount.options))


def _decorated(ufs: IUnderFileSystem, own: MountOptions, reactor: Any) -> IUnderFileSystem:
    if own.rate_limit:
        ufs = RateLimitedUnderFileSystem(ufs, allowance=Allowance(own.rate_limit, reactor))
    if own.delete_type == "ALLUXIO_ONLY":
        ufs = UndeletingUnderFileSystem(ufs)
    if own.readonly:
        ufs = ReadOnlyUnderFileSystem(ufs)
    return ufs


def _plain(loaded: Loaded, uri: str, options: Mapping[str, str], reactor: Any, threads: Threads, *, buckets: bool) -> IUnderFileSystem:
    name = plugin_of(uri)
    if name == LOCAL:
        directory = uri.partition("://")[2] or uri
        return _local(loaded.settings, directory, reactor, threads, buckets=buckets, options=options)
    given = {**_defaults(loaded.settings, name, options), **loaded.plugin_options.get(name, {}), **options}
    given |= {"uri": uri, "buckets": str(buckets).lower()}
    return build_plugin(UFS, name, IUnderFileSystem, given, reactor, threads)


def _defaults(settings: Settings, name: str, options: Mapping[str, str]) -> dict[str, str]:
    """What Alluxio's properties for all stores of a kind say. Keys go together: a mount that brings one of a pair brings both."""
    if name in _HDFS:
        return {"folders": str(settings.list_folders).lower()}
    if name != "s3":
        return {}
    known = {
        "alluxio.underfs.s3.endpoint": settings.s3_endpoint,
        "alluxio.underfs.s3.region": settings.s3_region,
        "alluxio.underfs.s3.disable.dns.buckets": settings.s3_path_style,
    }
    if not any(key in options for key in _S3_KEYS):
        known |= {"s3a.accessKeyId": settings.s3_access_key, "s3a.secretKey": settings.s3_secret_key}
    return {option: value for option, value in known.items() if value is not None}


def _local(
    settings: Settings, directory: str, reactor: Any, threads: Threads, *, buckets: bool, options: Mapping[str, str] | None = None
) -> IUnderFileSystem:
    given = {
        "folders": str(settings.list_folders).lower(),
        "xattrs": str(settings.xattr_change).lower(),
        "durability": settings.durability,
        **(options or {}),
        "root": directory,
        "buckets": str(buckets).lower(),
    }
    return build_plugin(UFS, LOCAL, IUnderFileSystem, given, reactor, threads)


def build_cors_store(settings: Settings, threads: Threads, root: IUnderFileSystem | None) -> ICorsStore | None:
    """Where the CORS rules of buckets are kept, if there is a place for them; ``root`` is one unless it takes no writes."""
    directory = settings.cors_dir
    writable = root is not None and IReadOnly(root, None) is None
    if directory is None and settings.ufs_root is not None and writable and plugin_of(settings.ufs_root) == LOCAL:
        directory = f"{settings.ufs_root.partition('://')[2] or settings.ufs_root}/{RESERVED}/cors"
    return None if directory is None else CorsFiles(Path(directory), threads)


def build_mount_table(
    settings: Settings, reactor: Any, threads: Threads, watched: WatchedPrefix | None = None
) -> FileMountTable | EtcdMountTable | None:
    """The mount table, if there are mounts. Without what is ``watched`` in etcd it is for looking once. Raises SettingsError."""
    if settings.mount_table is None:
        return None
    if settings.mount_table == IN_ETCD:
        if watched is None:
            return EtcdMountTable(build_etcd(settings, reactor, lasting=False), root_of(settings))
        return EtcdMountTable(watched.etcd, watched.prefix, watched)
    if "://" in settings.mount_table:
        raise SettingsError("alluxio.worker.s3.mount.table: mounts are kept in a file, or in etcd (`etcd`).")
    return FileMountTable(MountFile(settings.mount_table), threads, reactor)


def check_mount_table(settings: Settings) -> None:
    """That the mount table, if there is one, is good. Reads it, and waits for that. Raises SettingsError."""
    if settings.mount_table is not None and settings.mount_table != IN_ETCD:
        try:
            MountFile(settings.mount_table).read()
        except StorageError as problem:
            raise SettingsError(str(problem)) from None


def build_mounts(
    loaded: Loaded,
    namespace: Namespace,
    reactor: Any,
    threads: Threads,
    shell: Shell = BARE,
    watched: WatchedPrefix | None = None,
) -> LiveMounts | None:
    """The mounts beside the root, if there is a mount table. Raises SettingsError for one that cannot be read."""
    if loaded.settings.mount_table == IN_ETCD and watched is None:
        raise SettingsError("alluxio.worker.s3.mount.table: mounts are in etcd only where members are (alluxio.etcd.endpoints).")
    table = build_mount_table(loaded.settings, reactor, threads, watched)
    if table is None:
        return None
    builder = MountBuilder(loaded, reactor, shell, threads)
    if isinstance(table, EtcdMountTable):
        return LiveMounts(namespace, table, builder, reactor)
    try:
        first = table.file.read()
    except StorageError as problem:
        kept = loaded.kept.get(str(loaded.settings.mount_table))
        if kept is None:
            raise SettingsError(str(problem)) from None
        first = table.file.parse(kept)
    return LiveMounts(namespace, table, builder, reactor, first)


@frozen
class MountBuilder:
    """Builds the store of a mount, with threads of its own: a store that hangs takes nobody else's. ``threads`` count them as theirs."""

    loaded: Loaded
    reactor: Any
    shell: Shell = BARE
    threads: Threads | None = None

    async def __call__(self, mount: Mount, *, at_leisure: bool) -> Store:
        """See ``StoreBuilder``. Raises SettingsError."""
        size = self.loaded.settings.io_threads
        threads = Threads(self.reactor, size, f"mount-{mount.bucket}", expendable=True, of=self.threads)
        threads.start()
        try:
            check_uri(mount.uri)
            if at_leisure:
                await threads.run(_foresee, mount.uri)
            ufs = build_mount(mount, self.loaded, self.reactor, threads, self.shell)
        except CancelledError:
            threads.abandon()
            raise
        except Exception as problem:  # noqa: BLE001  # a plugin may raise anything
            threads.abandon()
            known = isinstance(problem, SettingsError | StorageError)
            # Whoever wrote it, there may be a secret in it.
            raise self._told(mount, str(problem) if known else f"{type(problem).__name__}: {problem}") from None
        return Store(ufs, threads.abandon)

    def _told(self, mount: Mount, problem: str) -> SettingsError:
        return SettingsError(without_secrets(problem, _secrets(self.loaded, mount.options)))


def _foresee(uri: str) -> None:
    """Do what takes long in building a store: import its plugin; touch a directory, which hangs where a network file system does."""
    name = plugin_of(uri)
    foreseeing = IForeseeingFactory(load_factory(UFS, name).factory, None)
    if foreseeing is not None:
        foreseeing.foresee(uri)
    if name == LOCAL:
        Path(uri.partition("://")[2] or uri).is_dir()


def _secrets(loaded: Loaded, options: Mapping[str, str]) -> dict[str, str]:
    shared = {"s3a.secretKey": loaded.settings.s3_secret_key or ""}
    for plugin, given in loaded.plugin_options.items():
        shared |= {f"{plugin}.{name}": value for name, value in given.items()}
    return {f"shared.{name}": value for name, value in shared.items()} | dict(options)


def stage(settings: Settings, reactor: Any, threads: Threads, uri: str, ufs: IUnderFileSystem) -> IMultipartUploads:
    """Multipart uploads for ``ufs``, which has none of its own, mounted from ``uri`` (empty: the root).

    What is mounted again finds its uploads, what is mounted in its place does not. Raises PermissionRefused, Unavailable.
    """
    whose = hashlib.sha256(f"{settings.ufs_root}\n{settings.rest_port}".encode()).hexdigest()[:16]
    base = Path(settings.staging_dir or Path(tempfile.gettempdir()) / f"alluxio-s3-{os.geteuid()}-{whose}")
    identified = IIdentified(ufs, None)
    which = identified.identity if identified is not None else uri
    directory = base / (f"mount-{hashlib.sha256(which.encode()).hexdigest()[:16]}" if uri else "root")
    try:
        base.mkdir(parents=True, exist_ok=True, mode=0o700)
        if base.is_symlink() or base.stat().st_uid != os.geteuid():
            raise PermissionRefused(str(base), f"{base} belongs to somebody else; set alluxio.worker.s3.staging.dir")
        directory.mkdir(exist_ok=True, mode=0o700)
        return StagedUploads(ufs, _local(settings, str(directory), reactor, threads, buckets=False), wall_clock(reactor))
    except (OSError, SettingsError) as problem:
        raise Unavailable(str(base), f"alluxio.worker.s3.staging.dir: {base}: {getattr(problem, 'strerror', problem)}") from None


def build_tag_store(loaded: Loaded, reactor: Any, threads: Threads) -> ITagStore:
    """Where tags are kept. Raises SettingsError."""
    settings = loaded.settings
    options = {"path": settings.tag_store_path} if settings.tag_store_path else {}
    options |= loaded.plugin_options.get(settings.tag_store, {})
    return build_plugin(TAG_STORES, settings.tag_store, ITagStore, options, reactor, threads)
