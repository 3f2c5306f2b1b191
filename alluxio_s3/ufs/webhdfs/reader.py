"""Reading one version of a file.

The bytes are asked for by the file's number, not by its path, so that they never are another file's, whatever is put at the path
meanwhile. That nobody appended to the file or cut it is asked before the last piece is given. A connection that is lost is taken up again
where it was.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from attrs import define, field
from zope.interface import implementer

from alluxio_s3.interfaces import IObjectReader
from alluxio_s3.storage import NoSuchPath, ObjectChanged, Status, StorageError, Unavailable
from alluxio_s3.ufs.webhdfs.datanode import Inflow, inflow
from alluxio_s3.ufs.webhdfs.inode import Inode, parse_inode
from alluxio_s3.ufs.webhdfs.namenode import LOST, NameNodes, inode_path, lost

# Of an object up to this size a DataNode is asked for when it is opened.
_AHEAD = 8 << 20


@implementer(IObjectReader)
@define
class WebHdfsReader:
    """Holds nothing between two reads. Before the first one a DataNode may be about to send: see ``begin``."""

    status: Status
    _inode: Inode
    _nodes: NameNodes
    _ahead: Inflow | None = field(default=None, init=False)

    async def begin(self) -> None:
        """Have a DataNode open the file, if it is not large. Raises ObjectChanged when it has gone: what took its path can be opened.

        A file that is open there can be read to its end when it is replaced.
        """
        if 0 < self.status.size <= _AHEAD:
            try:
                self._ahead = await self._connect(0, self.status.size)
            except NoSuchPath as caught:
                raise ObjectChanged(self.status.path) from caught
            except (*LOST, Unavailable):
                return  # the read tries again

    async def read(self, offset: int, count: int) -> AsyncGenerator[bytes, None]:
        """See IObjectReader."""
        position, end = offset, offset + count
        if end > self.status.size:
            raise ObjectChanged(self.status.path, "The object does not reach so far.")
        fruitless = 0
        while position < end:
            before = position
            problem: StorageError = Unavailable(self.status.path)
            try:
                async with aclosing(self._checked(position, end - position)) as pieces:
                    async for data in pieces:
                        position += len(data)
                        yield data
            except Unavailable as caught:
                problem = caught
            if position < end:
                fruitless = fruitless + 1 if position == before else 0
                if fruitless > self._nodes.place.retries:
                    raise problem
                await self._nodes.pause(fruitless)

    async def close(self) -> None:
        """See IObjectReader."""
        self._drop()

    def _drop(self) -> None:
        if self._ahead is not None:
            self._ahead.abort()
            self._ahead = None

    async def _checked(self, offset: int, count: int) -> AsyncGenerator[bytes, None]:
        """What one connection gives of the range, the last of it only while the file is what it was. Raises Unavailable, ObjectChanged."""
        try:
            async with aclosing(self._stream(offset, count)) as pieces:
                async for data in pieces:
                    count -= len(data)
                    if not count:
                        await self._check_unchanged()
                    yield data
        except LOST as caught:
            raise lost(self.status.path, caught) from None
        except NoSuchPath as caught:
            raise ObjectChanged(self.status.path) from caught
        if count:
            await self._check_unchanged()

    async def _stream(self, offset: int, count: int) -> AsyncGenerator[bytes, None]:
        """What one DataNode gives of the range; it may end early."""
        if offset:
            self._drop()
        body, self._ahead = self._ahead, None
        if body is None:
            body = await self._connect(offset, count)
        try:
            while count and (data := await body.next()):
                yield data[:count]
                count -= min(count, len(data))
        finally:
            body.abort()

    async def _connect(self, offset: int, count: int) -> Inflow:
        url = await self._nodes.locate(b"GET", inode_path(self._inode.number), "OPEN", offset=str(offset), length=str(count))
        response = await self._nodes.request(b"GET", url)
        if response.code != 200:
            raise await self._nodes.problem(response, self.status.path)
        return inflow(response, self._nodes.clock, self._nodes.place.stall)

    async def _check_unchanged(self) -> None:
        """Raise ObjectChanged if the file has been changed. One that was deleted is what it was as far as it was read."""
        try:
            found = await self._nodes.ask(b"GET", inode_path(self._inode.number), "GETFILESTATUS")
        except NoSuchPath:
            return
        if parse_inode(found["FileStatus"]).validator != self._inode.validator:
            raise ObjectChanged(self.status.path)
