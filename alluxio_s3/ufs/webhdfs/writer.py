"""Writing: a temporary file at a DataNode, which then gets its name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.web.iweb import IResponse
from zope.interface import implementer

from alluxio_s3.interfaces import IObjectWriter
from alluxio_s3.s3.conditions import WriteCondition
from alluxio_s3.storage import Attributes, PathConflict, Status, StorageError, Unavailable
from alluxio_s3.ufs.webhdfs.datanode import Outflow
from alluxio_s3.ufs.webhdfs.namenode import LOST, lost
from alluxio_s3.ufs.webhdfs.tree import Tree

MakeFolder: TypeAlias = Callable[[Attributes, WriteCondition], Awaitable[Status]]


@implementer(IObjectWriter)
@define
class WebHdfsWriter:
    """Streams to a DataNode from its first byte on; the request lasts until ``commit`` or ``abort``."""

    path: str
    _tree: Tree
    _temporary: str
    _flow: Outflow = field(init=False)
    _answer: Deferred[None] | None = field(default=None, init=False)
    _problem: StorageError | None = field(default=None, init=False)
    _begun: bool = field(default=False, init=False)
    _ended: bool = field(default=False, init=False)
    _sent: int = field(default=0, init=False)
    _answered: bool = field(default=False, init=False)
    _certain: bool = field(default=False, init=False)  # whether the DataNode has said what it did

    def __attrs_post_init__(self) -> None:
        nodes = self._tree.nodes
        self._flow = Outflow(nodes.clock, nodes.place.stall)

    async def write(self, data: bytes) -> None:
        """Append ``data``. Raises what HDFS refused it for, Unavailable when the connection is lost."""
        await self._begin()
        try:
            taken = await self._flow.send(data)
            self._sent += len(data)
        except LOST as caught:
            raise lost(self.path, caught) from None
        if not taken:
            await self._end()
            raise Unavailable(self.path, f"Unavailable: {self.path}: the DataNode ended the write early")

    async def commit(self, attributes: Attributes, condition: WriteCondition) -> Status:
        """See IObjectWriter. From here on it goes on to its end, whoever waits for it."""
        await self._begin()
        try:
            await self._flow.finish()
        except LOST as caught:
            raise lost(self.path, caught) from None
        await self._end()
        self._ended = True
        return await self._tree.turns.to_the_end(self._tree.publish(self._temporary, self._sent, self.path, attributes, condition))

    async def abort(self) -> None:
        """See IObjectWriter."""
        if self._ended:
            return
        self._ended = True
        if self._answer is not None and not self._answered:
            self._answer.cancel()
        if self._begun:
            await self._tree.turns.to_the_end(self._tree.discard(self._temporary, coming=self._flow.begun and not self._certain))

    async def _begin(self) -> None:
        if self._answer is not None:
            return
        self._begun = True
        nodes = self._tree.nodes
        url = await nodes.locate(b"PUT", self._temporary, "CREATE", overwrite="false", permission="644")
        self._answer = Deferred.fromCoroutine(self._answer_of(nodes.request(b"PUT", url, self._flow)))
        _ = self._answer.addErrback(self._note)

    async def _answer_of(self, asked: Awaitable[IResponse]) -> None:
        try:
            response = await asked
            self._certain = True
            if response.code != 201:
                self._problem = await self._tree.nodes.problem(response, self.path)
            else:
                await self._tree.nodes.body(response)
        except LOST as caught:
            self._problem = lost(self.path, caught)
        finally:
            self._answered = True
            self._flow.stop()

    def _note(self, failure: Failure) -> None:
        failure.trap(CancelledError)
        self._problem = Unavailable(self.path)

    async def _end(self) -> None:
        """Wait for the answer. Raises what it says."""
        assert self._answer is not None
        if not self._answered:
            waiting: Deferred[None] = Deferred()
            _ = self._answer.addBoth(lambda _result: None if waiting.called else waiting.callback(None))
            try:
                await waiting.addTimeout(self._tree.nodes.place.stall, self._tree.nodes.clock)
            except LOST as caught:
                raise lost(self.path, caught) from None
        if self._problem is not None:
            raise self._problem


@implementer(IObjectWriter)
@define
class FolderWriter:
    """Makes a folder, which holds no bytes."""

    path: str
    _tree: Tree
    _make: MakeFolder

    async def write(self, data: bytes) -> None:
        """Raises PathConflict if there is a byte in it."""
        if data:
            raise PathConflict(self.path, "A folder holds no bytes.")

    async def commit(self, attributes: Attributes, condition: WriteCondition) -> Status:
        """See IObjectWriter."""
        return await self._tree.turns.to_the_end(self._make_it(attributes, condition))

    async def abort(self) -> None:
        """Nothing was made."""

    async def _make_it(self, attributes: Attributes, condition: WriteCondition) -> Status:
        return await self._make(attributes, condition)
