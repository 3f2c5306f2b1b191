"""The stores behind the daemon, built as its settings say: under-stores, staging, tags."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

from alluxio_s3.interfaces import IBucketContainer, IMultipartUploads, ITagStore, IUnderFileSystem
from alluxio_s3.namespace.staged_uploads import StagedUploads
from alluxio_s3.plugins import TAG_STORES, UFS, build_plugin
from alluxio_s3.settings import Loaded, Settings, SettingsError
from alluxio_s3.storage import PermissionRefused
from alluxio_s3.threads import Threads


def build_root(loaded: Loaded, reactor: Any, threads: Threads) -> IUnderFileSystem:
    """The under-store that is mounted at ``/``. Raises SettingsError."""
    settings = loaded.settings
    if settings.ufs_root is None:
        raise SettingsError("Nothing to serve: set alluxio.dora.client.ufs.root to a directory.")
    scheme, separator, path = settings.ufs_root.partition("://")
    scheme = scheme.lower() if separator else scheme
    if not separator or scheme == "file":
        return _local(settings, path or scheme, reactor, threads, buckets=True)
    options = {"uri": settings.ufs_root, "buckets": "true", **loaded.plugin_options.get(scheme, {})}
    ufs = build_plugin(UFS, scheme, IUnderFileSystem, options, reactor, threads)
    if IBucketContainer(ufs, None) is None:
        raise SettingsError(f"alluxio.dora.client.ufs.root: a store of {scheme}:// has no buckets, so it can't be mounted at '/'.")
    return ufs


def _local(settings: Settings, directory: str, reactor: Any, threads: Threads, *, buckets: bool) -> IUnderFileSystem:
    options = {
        "root": directory,
        "buckets": str(buckets).lower(),
        "folders": str(settings.list_folders).lower(),
        "xattrs": str(settings.xattr_change).lower(),
        "durability": settings.durability,
    }
    return build_plugin(UFS, "local", IUnderFileSystem, options, reactor, threads)


def stage(settings: Settings, reactor: Any, threads: Threads, name: str, ufs: IUnderFileSystem) -> IMultipartUploads:
    """Multipart uploads for ``ufs``, mounted as ``name``, which has none of its own. Raises PermissionRefused."""
    whose = hashlib.sha256(f"{settings.ufs_root}\n{settings.rest_port}".encode()).hexdigest()[:16]
    base = Path(settings.staging_dir or Path(tempfile.gettempdir()) / f"alluxio-s3-{os.geteuid()}-{whose}")
    base.mkdir(parents=True, exist_ok=True, mode=0o700)
    if base.is_symlink() or base.stat().st_uid != os.geteuid():
        raise PermissionRefused(str(base), f"{base} belongs to somebody else; set alluxio.worker.s3.staging.dir")
    directory = base / (name or "root")
    directory.mkdir(exist_ok=True, mode=0o700)
    return StagedUploads(ufs, _local(settings, str(directory), reactor, threads, buckets=False), reactor)


def build_tag_store(loaded: Loaded, reactor: Any, threads: Threads) -> ITagStore:
    """Where tags are kept. Raises SettingsError."""
    settings = loaded.settings
    options = {"path": settings.tag_store_path} if settings.tag_store_path else {}
    options |= loaded.plugin_options.get(settings.tag_store, {})
    return build_plugin(TAG_STORES, settings.tag_store, ITagStore, options, reactor, threads)
