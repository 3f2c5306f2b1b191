"""Reading objects: GetObject, HeadObject."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from alluxio_s3.actions.begun import begun
from alluxio_s3.actions.exchange import Call, ReaderBody, Response
from alluxio_s3.actions.multipart import part_number
from alluxio_s3.actions.provenance import LOAD, RESIDENCY, asks, cache_headers, prepared
from alluxio_s3.actions.registry import OBJECT, Action, action
from alluxio_s3.interfaces import IEagerReading, IObjectReader, IPartLocator
from alluxio_s3.namespace.mounts import Place
from alluxio_s3.s3.conditions import check_read, parse_http_date
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.metadata import object_headers, response_overrides
from alluxio_s3.s3.ranges import Range, parse_range, parse_stretch
from alluxio_s3.s3.target import Query
from alluxio_s3.storage import ObjectChanged, PartPlace, Status, StorageError

_ACCEPTS = (
    "partNumber",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
)

# With one of these the answer may have no bytes, or others.
_CONDITIONS = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range")


@action("GetObject", method="GET", on=OBJECT, accepts=_ACCEPTS)
class GetObject(Action):
    """An object, or a stretch of it."""

    async def run(self, call: Call) -> Response:
        """One look at one version: conditions, headers and bytes are all of the reader that is open."""
        place = call.services.namespace.locate(call.bucket)
        path = place.path(call.key)
        if path.endswith("/"):
            found = await _found(call, place, await place.ufs.status(path))
            return Response(found.status, found.headers)
        try:
            reader, found, told = await _opened(call, place, path, begins=True)
        except ObjectChanged:  # what was remembered of it is old, or it has just been replaced; now that is known
            reader, found, told = await _opened(call, place, path, begins=True)
        return Response(found.status, found.headers | told, ReaderBody(reader, found.offset, found.count))


@action("HeadObject", method="HEAD", on=OBJECT, accepts=_ACCEPTS, permission="s3:GetObject")
class HeadObject(Action):
    """What GetObject would answer, without the bytes."""

    async def run(self, call: Call) -> Response:
        """The store is asked for the status only; for the number of tags too, where that is not in the status."""
        place = call.services.namespace.locate(call.bucket)
        path = place.path(call.key)
        try:
            status, found, told = await self._look(call, place, path)
        except ObjectChanged:  # as above
            status, found, told = await self._look(call, place, path)
        headers = {**found.headers, **told, "Content-Length": str(found.count)}
        if not call.services.tags.travels:
            headers |= await _tag_count(call, place, status)
        return Response(found.status, headers)

    async def _look(self, call: Call, place: Place, path: str) -> tuple[Status, Found, dict[str, str]]:
        if any(asks(call.headers, name) for name in (LOAD, RESIDENCY)) and not path.endswith("/"):
            reader, found, told = await _opened(call, place, path)
            await reader.close()
            return reader.status, found, told
        status = await place.ufs.status(path)
        return status, await _found(call, place, status), {}


@frozen
class Found:
    """The head of the answer to a read, and which bytes follow it. ``headers`` are all but Content-Length."""

    status: int
    headers: dict[str, str]
    offset: int
    count: int


async def _opened(call: Call, place: Place, path: str, *, begins: bool = False) -> tuple[IObjectReader, Found, dict[str, str]]:
    """An open object, what the request finds of it, and what the cache says of that. Raises ObjectChanged, S3Error.

    ``begins``: its bytes are wanted, and begin to come.
    """
    stretch = _stretch(call) if begins else None
    eager = None if stretch is None else IEagerReading(place.ufs, None)
    reader = await (place.ufs.open(path) if eager is None or stretch is None else eager.open_reading(path, *stretch))
    try:
        found = await _found(call, place, reader.status)
        told = await prepared(reader, call.headers, found.offset, found.count)
        return await begun(reader, found.offset, found.count) if begins else reader, found, told
    except Exception:
        await reader.close()
        raise


def _stretch(call: Call) -> tuple[int, int | None] | None:
    """Which bytes the answer has if there is such an object: from where, and how many at most (None: to its end). None if that depends."""
    if "partNumber" in call.query or any(name in call.headers for name in _CONDITIONS):
        return None
    return parse_stretch(call.headers.get("range"))


def describe(headers: Mapping[str, str], query: Query, status: Status, part: PartPlace | None = None) -> Found:
    """What a read of ``status`` finds, by the request's headers and query.

    ``part``: where the part is that is asked for, if the status does not tell. Raises S3Error when a condition, the range or the part is
    at fault.
    """
    try:
        check_read(headers, status.etag, status.modified_ns)
    except S3Error as refused:
        refused.headers |= cache_headers(status.provenance)
        raise
    stretch: Range | None = None
    extra: dict[str, str] = {}
    if "partNumber" in query:
        stretch, extra = _part(headers, query, status, part)
    elif _range_holds(headers, status):
        stretch = parse_range(headers.get("range"), status.size)
    checksums = stretch is None and headers.get("x-amz-checksum-mode", "").upper() == "ENABLED"
    told = {**object_headers(status, checksums=checksums), **response_overrides(query), **extra, **cache_headers(status.provenance)}
    if stretch is None:
        return Found(200, told, 0, status.size)
    if not stretch.count:  # an empty part, which is no range: RFC 9110, 14.4
        return Found(200, told, 0, 0)
    told["Content-Range"] = stretch.content_range(status.size)
    return Found(206, told, stretch.offset, stretch.count)


async def _found(call: Call, place: Place, status: Status) -> Found:
    if call.principal.how == "anonymous" and response_overrides(call.query):
        raise S3Error("InvalidRequest", "Request specific response headers cannot be used for anonymous GET requests.")
    part = None
    if "partNumber" in call.query and "range" not in call.headers and not status.attributes.part_sizes and not status.is_folder:
        locator = IPartLocator(place.ufs, None)
        part = None if locator is None else await locator.part(status, part_number(call.query))
    return describe(call.headers, call.query, status, part)


def _part(headers: Mapping[str, str], query: Query, status: Status, place: PartPlace | None) -> tuple[Range | None, dict[str, str]]:
    """Where part ``partNumber`` is, and the headers that say so. An object that was put whole is its own part 1."""
    number = part_number(query)
    if "range" in headers:
        raise S3Error("InvalidRequest", "Cannot specify both Range header and partNumber query parameter")
    if place is not None:
        if not place.there:
            raise S3Error("InvalidPartNumber", ActualPartCount=str(place.parts), PartNumberRequested=str(number))
        return Range(place.offset, place.count), {"x-amz-mp-parts-count": str(place.parts)}
    sizes = status.attributes.part_sizes
    if sum(sizes) != status.size or not sizes:  # an object that changed since is in no parts
        sizes, extra = (status.size,), {}
    else:
        extra = {"x-amz-mp-parts-count": str(len(sizes))}
    if number > len(sizes):
        raise S3Error("InvalidPartNumber", ActualPartCount=str(len(sizes)), PartNumberRequested=str(number))
    if not status.size:
        return None, extra
    return Range(sum(sizes[: number - 1]), sizes[number - 1]), extra


def _range_holds(headers: Mapping[str, str], status: Status) -> bool:
    """Whether the Range is still meant: RFC 9110, 13.1.5 (If-Range). Without one it is."""
    value = headers.get("if-range")
    if value is None:
        return True
    if '"' in value:
        return value.strip() == f'"{status.etag}"'
    return parse_http_date(value) == status.modified_ns // 10**9


async def _tag_count(call: Call, place: Place, status: Status) -> dict[str, str]:
    """Clients that copy in parts ask HEAD whether there are tags to copy. No answer fails for want of this one."""
    try:
        count = len(await call.services.tags.get(place.ufs, status))
    except StorageError:
        return {}
    return {"x-amz-tagging-count": str(count)} if count else {}
