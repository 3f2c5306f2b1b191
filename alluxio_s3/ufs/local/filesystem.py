"""A local directory (or one on a network file system) as an under-store."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import cast, get_args

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from alluxio_s3.interfaces import (
    IAttributeUpdater,
    IBucketContainer,
    IHotObjects,
    IIdentified,
    IMultipartUploads,
    IObjectReader,
    IObjectWriter,
    IPluginFactory,
    IUnderFileSystem,
)
from alluxio_s3.s3.conditions import WriteCondition
from alluxio_s3.storage import Attributes, Listing, Status, StorageError
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.local import buckets, folders, publish, tags
from alluxio_s3.ufs.local.closing import Closer
from alluxio_s3.ufs.local.descriptor import acquire
from alluxio_s3.ufs.local.durability import Mode
from alluxio_s3.ufs.local.failures import storage_errors
from alluxio_s3.ufs.local.open_files import CAPACITY, IDLE_SECONDS, OpenFile, OpenFiles
from alluxio_s3.ufs.local.polled import Polled, bucket_looks, listing_looks
from alluxio_s3.ufs.local.reader import LocalReader, open_at_once, open_object
from alluxio_s3.ufs.local.staging import Temporary
from alluxio_s3.ufs.local.tree import Tree
from alluxio_s3.ufs.local.uploads import LocalUploads
from alluxio_s3.ufs.local.walk import list_keys
from alluxio_s3.ufs.local.windows import Windows
from alluxio_s3.ufs.local.writer import FolderWriter, LocalWriter

_OPTIONS: Mapping[str, str] = MappingProxyType({"buckets": "false", "folders": "true", "xattrs": "true"})
# Threads that may wait for the disk to have what was written. The journal of the disk flushes for all that wait at once.
_WRITERS = 24
_LOSSES: Mapping[str, str] = MappingProxyType(
    {
        "data": "the writes of the last two seconds may be missing",
        "rename": "what was written last may be missing, unreadable or zeros",
    }
)
_log = Logger()


@implementer(IUnderFileSystem, IBucketContainer, IAttributeUpdater, IHotObjects, IIdentified)
class LocalUnderFileSystem:
    """The objects below the directory ``root``: files are objects, directories folders. One hop to a thread per verb.

    ``buckets``: its top-level directories are buckets (mounted at ``/``), which only ``create_bucket`` makes;
    else it is one bucket. ``folders``: every directory is a folder object, or only those that somebody made. ``xattrs``: whether
    extended attributes may be used. With durability ``data`` the ``clock`` makes directories durable each second. What writes, and so may
    wait for a slow disk, is done by the threads ``writers`` (of its own: stopped with it), so that nobody who reads waits for it.
    Raises OSError when ``root`` is not a directory.
    """

    def __init__(
        self,
        root: str,
        threads: Threads,
        *,
        buckets: bool,
        folders: bool = True,
        xattrs: bool = True,
        durability: Mode = "full",
        clock: IReactorTime | None = None,
        writers: Threads | None = None,
    ) -> None:
        closer = Closer(threads)
        self.tree = Tree.at(root, buckets=buckets, folders=folders, xattrs=xattrs, durability=durability, let_go=closer.close)
        self._threads = threads
        self._own_writers = writers
        self._writers = writers or threads
        self._windows = Windows()
        self._polled = Polled(self.tree, threads, keeps=xattrs)
        self._uploads = LocalUploads(self.tree, self._writers)
        self._keeps = xattrs
        self._files = OpenFiles(self.tree.root.fd, closer.close, _open_files() if xattrs else 0)
        self._tidying = LoopingCall(lambda: self._files.drop_idle(time.monotonic()))
        self._flushing = LoopingCall(self._flush)
        if clock is not None:
            self._tidying.clock = clock
            _ = self._tidying.start(IDLE_SECONDS / 2, now=False).addErrback(partial(_log.failure, "Closing of idle files has ended"))
        if durability == "data" and clock is not None:
            self._flushing.clock = clock
            _ = self._flushing.start(1, now=False).addErrback(partial(_log.failure, "Flushing of directories has ended"))
        self.identity = f"file://{os.path.realpath(root)}"

    def __conform__(self, interface: object) -> object:
        """``IMultipartUploads(store)`` is the store's uploads."""
        return self._uploads if interface is IMultipartUploads else None

    def prepare(self) -> None:
        """Make the reserved directory and remove what died in it. Blocks; raises StorageError where nothing can be written.

        Not needed for reading, and done by itself at the first write.
        """
        with storage_errors("", writing=True):
            self.tree.staging.prepare()
            folders.remove_unfinished(self.tree)
        self._uploads.sweep()

    async def status(self, path: str) -> Status:
        """See IUnderFileSystem."""
        return await self._threads.run(self._status, path)

    async def list(self, prefix: str, start: str, limit: int, delimiter: str) -> Listing:
        """See IUnderFileSystem."""
        look = partial(self._list, prefix, start, limit, delimiter)
        if start > prefix:
            return await self._threads.run(look)
        return await self._polled.ask((prefix, limit, delimiter), look, partial(listing_looks, self.tree, prefix, delimiter))

    async def open(self, path: str) -> IObjectReader:
        """See IUnderFileSystem."""
        file = self._files.find(path, time.monotonic())
        if file is not None:
            if file.is_current():
                return LocalReader(file, self._threads)
            file.release()
        file = await acquire(self._threads, partial(open_object, self.tree, path), lambda made: made.descriptor.close())
        file.readers += 1
        self._files.keep(file, time.monotonic())
        return LocalReader(file, self._threads)

    def hot(self, path: str) -> OpenFile | None:
        """See IHotObjects."""
        now = time.monotonic()
        file = self._files.find(path, now)
        if file is None and self._keeps:
            file = open_at_once(self.tree, path, self._files.known(path))
            if file is not None and not self._files.lend(file, now):
                # It has changed just now, so a look cannot prove it.
                file.lent = False
                file.release()
                return None
        return file

    async def create(self, path: str, attributes: Attributes, length: int | None) -> IObjectWriter:  # noqa: ARG002 - commit brings them
        """See IUnderFileSystem."""
        if path.endswith("/"):
            await self._threads.run(folders.check_place, self.tree, path)
            return FolderWriter(path, self._writers, partial(folders.make, self.tree, path))
        temporary = await acquire(self._writers, partial(self._begin, path, length), Temporary.discard)

        def place(temporary: Temporary, attributes: Attributes, condition: WriteCondition) -> Status:
            return publish.publish(self.tree, temporary, path, attributes, condition)

        return LocalWriter(path, temporary, length, self._writers, place)

    async def delete(self, path: str, condition: WriteCondition) -> None:
        """See IUnderFileSystem."""
        remove = folders.delete if path.endswith("/") else publish.delete
        await self._writers.run(remove, self.tree, path, condition)
        self._files.drop(path)

    async def set_tags(self, path: str, tags_: Mapping[str, str]) -> None:
        """See IAttributeUpdater."""
        await self._writers.run(tags.set_tags, self.tree, path, tags_)
        self._files.drop(path)

    async def buckets(self) -> Sequence[Status]:
        """See IBucketContainer."""
        return await self._threads.run(buckets.buckets, self.tree)

    async def bucket(self, name: str) -> Status:
        """See IBucketContainer."""
        return await self._polled.ask((name,), partial(buckets.bucket, self.tree, name), partial(bucket_looks, self.tree, name))

    async def create_bucket(self, name: str, attributes: Attributes) -> Status:
        """See IBucketContainer."""
        return await self._writers.run(buckets.create, self.tree, name, attributes)

    async def delete_bucket(self, name: str) -> None:
        """See IBucketContainer."""
        await self._writers.run(buckets.delete, self.tree, name)

    async def close(self) -> None:
        """See IUnderFileSystem."""
        for repeating in (self._flushing, self._tidying):
            if repeating.running:
                repeating.stop()
        self._files.clear()
        if self._own_writers is not None:
            await self._threads.run(self._own_writers.stop)
        await self._threads.run(self.tree.close)

    def _flush(self) -> Deferred[None]:
        flushed = Deferred.fromCoroutine(self._writers.run(self.tree.durability.flush))
        return flushed.addErrback(partial(_log.failure, "Could not flush directories"))

    def _status(self, path: str) -> Status:
        with storage_errors(path):
            return self.tree.status(path)

    def _list(self, prefix: str, start: str, limit: int, delimiter: str) -> Listing:
        with storage_errors(prefix):
            return list_keys(self.tree, self._windows, prefix, start, limit, delimiter)

    def _begin(self, path: str, length: int | None) -> Temporary:
        publish.check_place(self.tree, path)
        with storage_errors(path, writing=True):
            return self.tree.staging.temporary(length)


@implementer(IPluginFactory)
class LocalFactory:
    """Builds a ``LocalUnderFileSystem``.

    Options: ``root``, the directory (or ``uri``, ``file:///directory``); ``buckets``, ``folders``, ``xattrs``, each ``true`` or
    ``false``; ``durability``, one of ``full``, ``data``, ``rename``. A directory that can't be written to is served for reading.
    """

    def build(self, options: Mapping[str, str], reactor: object, threads: Threads) -> LocalUnderFileSystem:
        """The under-store of an existing directory. Raises ValueError for a wrong option."""
        unknown = sorted(set(options) - {"root", "uri", "durability", *_OPTIONS})
        if unknown:
            raise ValueError(f"an under-store in a local directory has no option {unknown[0]!r}")
        root = options.get("root") or options.get("uri", "").removeprefix("file://")
        if not root.startswith("/"):
            raise ValueError(f"the root of an under-store must be an absolute path, not {root!r}")
        durability = options.get("durability", "full")
        if durability not in get_args(Mode):
            raise ValueError(f"the option durability is one of {', '.join(get_args(Mode))}, not {durability!r}")
        if sys.getfilesystemencoding().lower() != "utf-8":
            raise ValueError(f"the locale's file names are {sys.getfilesystemencoding()}; the daemon needs UTF-8 (LANG=C.UTF-8)")
        writers = Threads(cast("IReactorFromThreads", reactor), _WRITERS, "alluxio-s3-writes", expendable=True, of=threads)
        try:
            ufs = LocalUnderFileSystem(
                root,
                threads,
                buckets=_flag(options, "buckets"),
                folders=_flag(options, "folders"),
                xattrs=_flag(options, "xattrs"),
                durability=cast("Mode", durability),
                clock=cast("IReactorTime", reactor),
                writers=writers,
            )
        except OSError as error:
            raise ValueError(f"cannot serve {root!r}: {error.strerror}") from error
        writers.start()
        if durability in _LOSSES:
            _log.warn("{root} has durability {mode}: after a power cut {loss}", root=root, mode=durability, loss=_LOSSES[durability])
        try:
            ufs.prepare()
        except StorageError as error:
            _log.warn("{root} can only be read: {error}", root=root, error=str(error))
        return ufs


def _flag(options: Mapping[str, str], name: str) -> bool:
    value = options.get(name, _OPTIONS[name]).lower()
    if value not in ("true", "false"):
        raise ValueError(f"the option {name} is true or false, not {value!r}")
    return value == "true"


def _open_files() -> int:
    """How many files may be kept open: what leaves most of the process's descriptors to its connections."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CAPACITY if soft == resource.RLIM_INFINITY else min(CAPACITY, soft // 4)
