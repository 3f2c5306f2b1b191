"""A directory of an HDFS as an under-store, by way of WebHDFS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import cast

from twisted.internet.interfaces import IReactorTCP, IReactorTime
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool
from zope.interface import implementer

from alluxio_s3.interfaces import (
    IAttributeUpdater,
    IBucketContainer,
    IIdentified,
    IObjectReader,
    IObjectWriter,
    IPluginFactory,
    IUnderFileSystem,
)
from alluxio_s3.s3.conditions import WriteCondition
from alluxio_s3.storage import Attributes, Listing, ObjectChanged, PathConflict, Status, Unavailable
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.webhdfs import folders
from alluxio_s3.ufs.webhdfs.namenode import NameNodes
from alluxio_s3.ufs.webhdfs.place import Place, parse_place
from alluxio_s3.ufs.webhdfs.reader import WebHdfsReader
from alluxio_s3.ufs.webhdfs.tree import Tree
from alluxio_s3.ufs.webhdfs.walk import list_keys
from alluxio_s3.ufs.webhdfs.writer import FolderWriter, WebHdfsWriter

_CONNECTIONS = 32
# Jetty of Hadoop 2 closes a connection that has been idle for 10 seconds.
_IDLE_SECONDS = 5
_LOOKS = 50


@implementer(IUnderFileSystem, IBucketContainer, IAttributeUpdater, IIdentified)
class WebHdfsUnderFileSystem:
    """The objects below a directory of an HDFS: files are objects, directories folders.

    ``buckets``: its top-level directories are buckets (mounted at ``/``), which only ``create_bucket`` makes; else it is one bucket.
    ``folders``: every directory is a folder object, or only those that somebody made.
    """

    def __init__(self, place: Place, reactor: IReactorTime, *, buckets: bool, folders: bool = True) -> None:
        self.identity = place.identity
        self._pool = HTTPConnectionPool(reactor)
        self._pool.maxPersistentPerHost = _CONNECTIONS
        self._pool.cachedConnectionTimeout = _IDLE_SECONDS
        policy = BrowserLikePolicyForHTTPS(_trust(place.ca_file))
        agent = Agent(cast(IReactorTCP, reactor), policy, connectTimeout=place.connect, pool=self._pool)
        self._nodes = NameNodes(place, agent, reactor)
        self._tree = Tree(self._nodes, buckets, folders)

    async def status(self, path: str) -> Status:
        """See IUnderFileSystem."""
        return await self._tree.status(path)

    async def list(self, prefix: str, start: str, limit: int, delimiter: str) -> Listing:
        """See IUnderFileSystem."""
        return await list_keys(self._tree, prefix, start, limit, delimiter)

    async def open(self, path: str) -> IObjectReader:
        """See IUnderFileSystem."""
        for _ in range(_LOOKS):
            inode, status = await self._tree.look(path)
            if status.is_folder:
                raise PathConflict(path)
            reader = WebHdfsReader(status, inode, self._nodes)
            with suppress(ObjectChanged):
                await reader.begin()
                return reader
        raise Unavailable(path, f"Unavailable: {path}: it is replaced faster than it can be opened")

    async def create(self, path: str, attributes: Attributes, length: int | None) -> IObjectWriter:  # noqa: ARG002 - commit brings them
        """See IUnderFileSystem."""
        await self._tree.check_place(path)
        if path.endswith("/"):
            return FolderWriter(path, self._tree, partial(folders.make, self._tree, path))
        return WebHdfsWriter(path, self._tree, await self._tree.new_temporary())

    async def delete(self, path: str, condition: WriteCondition) -> None:
        """See IUnderFileSystem."""
        remove = folders.delete(self._tree, path, condition) if path.endswith("/") else self._tree.delete(path, condition)
        await self._tree.turns.to_the_end(remove)

    async def set_tags(self, path: str, tags: Mapping[str, str]) -> None:
        """See IAttributeUpdater."""
        inode, _status = await self._tree.look(path)
        await self._tree.records.set_tags(inode, tags)

    async def buckets(self) -> Sequence[Status]:
        """See IBucketContainer."""
        return await folders.buckets(self._tree)

    async def bucket(self, name: str) -> Status:
        """See IBucketContainer."""
        return await folders.bucket(self._tree, name)

    async def create_bucket(self, name: str, attributes: Attributes) -> Status:
        """See IBucketContainer."""
        return await self._tree.turns.to_the_end(folders.create_bucket(self._tree, name, attributes))

    async def delete_bucket(self, name: str) -> None:
        """See IBucketContainer."""
        await self._tree.turns.to_the_end(folders.delete_bucket(self._tree, name))

    async def close(self) -> None:
        """See IUnderFileSystem. What was begun and must not be left half done ends first."""
        await self._tree.turns.settle()
        await self._pool.closeCachedConnections()


def _trust(ca_file: str | None) -> object:
    if ca_file is None:
        return None
    text = Path(ca_file).read_bytes()
    end = b"-----END CERTIFICATE-----"
    return trustRootFromCertificates([Certificate.loadPEM(one + end) for one in text.split(end) if b"-----BEGIN CERTIFICATE-----" in one])


@implementer(IPluginFactory)
class WebHdfsFactory:
    """Builds the store of ``hdfs://``, ``webhdfs://`` and ``swebhdfs://`` URIs; ``place.parse_place`` tells its options."""

    def build(self, options: Mapping[str, str], reactor: object, threads: Threads) -> WebHdfsUnderFileSystem:  # noqa: ARG002 it needs none
        """A store; nothing is asked of HDFS yet. Raises ValueError for an option that is wrong."""
        buckets, folders = _boolean(options, "buckets", "false"), _boolean(options, "folders", "true")
        try:
            return WebHdfsUnderFileSystem(parse_place(options), cast(IReactorTime, reactor), buckets=buckets, folders=folders)
        except OSError as error:
            raise ValueError(f"the option ca.file: {error}") from error


def _boolean(options: Mapping[str, str], name: str, default: str) -> bool:
    value = options.get(name, default).lower()
    if value not in ("true", "false"):
        raise ValueError(f"the option {name} is true or false, not {value!r}")
    return value == "true"
