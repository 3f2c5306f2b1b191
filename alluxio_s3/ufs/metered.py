"""An under-store whose calls are counted: how many, how they ended, how long they took, and how many bytes went which way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

from attrs import define, field
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from alluxio_s3.forwarding import ForwardingBuckets, ForwardingUnderFileSystem, ForwardingUploads
from alluxio_s3.interfaces import (
    IAttributeUpdater,
    IBucketContainer,
    IEagerReading,
    IFileBacked,
    IMetrics,
    IMultipartUploads,
    IObjectReader,
    IObjectWriter,
    IPartLocator,
    IRangeCopier,
    ITagReader,
    IUnderFileSystem,
)
from alluxio_s3.s3.conditions import WriteCondition
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.storage import Attributes, Listing, Part, PartPlace, Status, StorageError, Upload

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

T = TypeVar("T")


class UfsFigures:
    """The figures of the under-store that is mounted at ``mount`` (``/`` is the root)."""

    def __init__(self, metrics: IMetrics, mount: str, clock: IReactorTime) -> None:
        calls = metrics.counters(
            "alluxio_s3_ufs_calls_total",
            "Calls of under-stores, by mount, call and how they ended: `ok`, `cancelled` by a client that left, or the error's name.",
            ("mount", "call", "result"),
        )
        seconds = metrics.histograms(
            "alluxio_s3_ufs_call_seconds",
            "How long calls of under-stores took that were not cancelled; of `read`, until its first bytes came.",
            BOUNDS,
            ("mount", "call"),
        )
        self._calls = lambda call, result: calls(mount, call, result)
        self._seconds = lambda call: seconds(mount, call)
        self._clock = clock
        self.read = metrics.counters("alluxio_s3_ufs_read_bytes_total", "Bytes that under-stores gave, by mount.", ("mount",))(mount)
        self.written = metrics.counters("alluxio_s3_ufs_written_bytes_total", "Bytes that under-stores took, by mount.", ("mount",))(mount)

    def now(self) -> float:
        """When a call begins."""
        return self._clock.seconds()

    def took(self, call: str, since: float) -> None:
        """The store has answered a call that was made at ``since``."""
        self._seconds(call).observe(self._clock.seconds() - since)

    def ended(self, call: str, problem: BaseException | None = None) -> None:
        """A call has ended."""
        self._calls(call, _result(problem)).add()

    async def counted(self, call: str, waited: Awaitable[T]) -> T:
        """The result of a call."""
        since = self.now()
        try:
            result = await waited
        except BaseException as problem:
            self.ended(call, problem)
            if isinstance(problem, Exception) and not isinstance(problem, CancelledError):
                self.took(call, since)
            raise
        self.ended(call)
        self.took(call, since)
        return result


def _result(problem: BaseException | None) -> str:
    if problem is None:
        return "ok"
    if isinstance(problem, CancelledError):
        return "cancelled"
    if isinstance(problem, S3Error):
        return problem.code
    # What is no error of a store is one of ours, or of a plugin.
    return type(problem).__name__ if isinstance(problem, StorageError) else "unexpected"


@define(eq=False, slots=False)
class MeteredUnderFileSystem(ForwardingUnderFileSystem):
    """``ufs``, whose calls ``figures`` counts. Not counted are reads of local files that go past the process."""

    figures: UfsFigures = field(kw_only=True)

    def offers(self, interface: Any) -> Any:
        """Everything, counted where it asks the store."""
        found = super().offers(interface)
        wrap: Callable[[Any, UfsFigures], object] | None = {
            IMultipartUploads: _Uploads,
            IBucketContainer: _Buckets,
            IEagerReading: _Eager,
            IAttributeUpdater: _Updater,
            IPartLocator: _Parts,
            ITagReader: _Tags,
        }.get(interface)
        return found if wrap is None or found is None else wrap(found, self.figures)

    async def status(self, path: str) -> Status:
        """See IUnderFileSystem."""
        return await self.figures.counted("status", self.ufs.status(path))

    async def list(self, prefix: str, start: str, limit: int, delimiter: str) -> Listing:
        """See IUnderFileSystem."""
        return await self.figures.counted("list", self.ufs.list(prefix, start, limit, delimiter))

    async def open(self, path: str) -> IObjectReader:
        """See IUnderFileSystem."""
        reader = await self.figures.counted("open", self.ufs.open(path))
        return reader if IFileBacked.providedBy(reader) else MeteredReader(reader, self.figures)

    async def create(self, path: str, attributes: Attributes, length: int | None) -> IObjectWriter:
        """See IUnderFileSystem."""
        return _metered(await self.figures.counted("create", self.ufs.create(path, attributes, length)), self.figures, "commit")

    async def delete(self, path: str, condition: WriteCondition) -> None:
        """See IUnderFileSystem."""
        await self.figures.counted("delete", self.ufs.delete(path, condition))


@implementer(IObjectReader)
@define(eq=False)
class MeteredReader:
    """``reader``, whose reads are counted."""

    reader: IObjectReader
    figures: UfsFigures
    status: Status = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.status = self.reader.status

    async def read(self, offset: int, count: int) -> AsyncIterator[bytes]:
        """See IObjectReader. To take no more of it ends it well."""
        figures, read = self.figures, self.figures.read
        since: float | None = figures.now()
        pieces = self.reader.read(offset, count)
        problem: BaseException | None = None
        try:
            async with aclosing(pieces):  # type: ignore[type-var]  # async generators, by the interface's word
                async for piece in pieces:
                    if since is not None:
                        figures.took("read", since)
                        since = None
                    read.add(len(piece))
                    yield piece
        except Exception as raised:
            problem = raised
            raise
        finally:
            figures.ended("read", problem)

    async def close(self) -> None:
        """See IObjectReader."""
        await self.reader.close()


@implementer(IObjectWriter)
@define(eq=False)
class MeteredWriter:
    """``writer``, whose end is counted as ``call``."""

    writer: IObjectWriter
    figures: UfsFigures
    call: str

    async def write(self, data: bytes) -> None:
        """See IObjectWriter."""
        await self.writer.write(data)
        self.figures.written.add(len(data))

    async def commit(self, attributes: Attributes, condition: WriteCondition) -> Status:
        """See IObjectWriter."""
        return await self.figures.counted(self.call, self.writer.commit(attributes, condition))

    async def abort(self) -> None:
        """See IObjectWriter."""
        await self.writer.abort()


@implementer(IRangeCopier)
@define(eq=False)
class _CopyingWriter(MeteredWriter):
    copier: IRangeCopier

    async def copy_from(self, reader: IObjectReader, offset: int, count: int) -> bool:
        """See IRangeCopier. No bytes of it go to or from the store."""
        own = reader.reader if isinstance(reader, MeteredReader) else reader
        return await self.figures.counted("copy", self.copier.copy_from(own, offset, count))


def _metered(writer: IObjectWriter, figures: UfsFigures, call: str) -> IObjectWriter:
    copier = IRangeCopier(writer, None)
    return MeteredWriter(writer, figures, call) if copier is None else _CopyingWriter(writer, figures, call, copier)


@define(eq=False, slots=False)
class _Uploads(ForwardingUploads):
    figures: UfsFigures

    async def create_upload(self, upload: Upload) -> Upload:
        return await self.figures.counted("create_upload", super().create_upload(upload))

    async def create_part(self, upload: Upload, number: int, length: int | None) -> IObjectWriter:
        return _metered(await super().create_part(upload, number, length), self.figures, "commit_part")

    async def parts(self, upload: Upload) -> Sequence[Part]:
        return await self.figures.counted("parts", super().parts(upload))

    async def complete(self, upload: Upload, parts: Sequence[Part], attributes: Attributes, condition: WriteCondition) -> Status:
        return await self.figures.counted("complete", super().complete(upload, parts, attributes, condition))

    async def abort(self, upload: Upload) -> None:
        await self.figures.counted("abort", super().abort(upload))


@define(eq=False, slots=False)
class _Buckets(ForwardingBuckets):
    figures: UfsFigures

    async def buckets(self) -> Sequence[Status]:
        return await self.figures.counted("buckets", super().buckets())

    async def bucket(self, name: str) -> Status:
        return await self.figures.counted("bucket", super().bucket(name))

    async def create_bucket(self, name: str, attributes: Attributes) -> Status:
        return await self.figures.counted("create_bucket", super().create_bucket(name, attributes))

    async def delete_bucket(self, name: str) -> None:
        await self.figures.counted("delete_bucket", super().delete_bucket(name))


@implementer(IEagerReading)
@define(eq=False)
class _Eager:
    ufs: IEagerReading
    figures: UfsFigures

    async def open_reading(self, path: str, offset: int, count: int | None) -> IObjectReader:
        return MeteredReader(await self.figures.counted("open", self.ufs.open_reading(path, offset, count)), self.figures)


@implementer(IAttributeUpdater)
@define(eq=False)
class _Updater:
    updater: IAttributeUpdater
    figures: UfsFigures

    async def set_tags(self, path: str, tags: Mapping[str, str]) -> None:
        await self.figures.counted("set_tags", self.updater.set_tags(path, tags))


@implementer(IPartLocator)
@define(eq=False)
class _Parts:
    locator: IPartLocator
    figures: UfsFigures

    async def part(self, status: Status, number: int) -> PartPlace | None:
        return await self.figures.counted("part", self.locator.part(status, number))


@implementer(ITagReader)
@define(eq=False)
class _Tags:
    reader: ITagReader
    figures: UfsFigures

    async def tags(self, path: str) -> Mapping[str, str]:
        return await self.figures.counted("tags", self.reader.tags(path))


def metered(ufs: IUnderFileSystem, metrics: IMetrics | None, mount: str, clock: IReactorTime) -> IUnderFileSystem:
    """``ufs``, counted where there is somebody to count for."""
    return ufs if metrics is None else MeteredUnderFileSystem(ufs, figures=UfsFigures(metrics, mount, clock))
