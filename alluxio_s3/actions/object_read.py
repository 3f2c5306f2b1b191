"""Reading objects: GetObject, HeadObject."""

from __future__ import annotations

from attrs import frozen

from alluxio_s3.actions.exchange import Call, ReaderBody, Response
from alluxio_s3.actions.multipart import part_number
from alluxio_s3.actions.registry import OBJECT, Action, action
from alluxio_s3.namespace.mounts import Place
from alluxio_s3.s3.conditions import check_read, parse_http_date
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.metadata import object_headers, response_overrides
from alluxio_s3.s3.ranges import Range, parse_range
from alluxio_s3.s3.request import Headers
from alluxio_s3.storage import Status, StorageError

_ACCEPTS = (
    "partNumber",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
)


@action("GetObject", method="GET", on=OBJECT, accepts=_ACCEPTS)
class GetObject(Action):
    """An object, or a stretch of it."""

    async def run(self, call: Call) -> Response:
        """One look at one version: conditions, headers and bytes are all of the reader that is open."""
        place = call.services.namespace.locate(call.bucket)
        path = place.path(call.key)
        if path.endswith("/"):
            found = _answer(call, await place.ufs.status(path))
            return Response(found.status, found.headers)
        reader = await place.ufs.open(path)
        try:
            found = _answer(call, reader.status)
        except Exception:
            await reader.close()
            raise
        return Response(found.status, found.headers, ReaderBody(reader, found.offset, found.count))


@action("HeadObject", method="HEAD", on=OBJECT, accepts=_ACCEPTS, permission="s3:GetObject")
class HeadObject(Action):
    """What GetObject would answer, without the bytes."""

    async def run(self, call: Call) -> Response:
        """The store is asked for the status only; for the number of tags too, where that is not in the status."""
        place = call.services.namespace.locate(call.bucket)
        status = await place.ufs.status(place.path(call.key))
        found = _answer(call, status)
        headers = {**found.headers, "Content-Length": str(found.count)}
        if not call.services.tags.travels:
            headers |= await _tag_count(call, place, status)
        return Response(found.status, headers)


@frozen
class _Answer:
    """The head of the answer to a read, and which bytes follow it."""

    status: int
    headers: dict[str, str]
    offset: int
    count: int


def _answer(call: Call, status: Status) -> _Answer:
    """What a read of ``status`` answers. Raises S3Error: a condition, the range, the part or an override is at fault."""
    check_read(call.headers, status.etag, status.modified_ns)
    stretch: Range | None = None
    extra: dict[str, str] = {}
    if "partNumber" in call.query:
        stretch, extra = _part(call, status)
    elif _range_holds(call.headers, status):
        stretch = parse_range(call.headers.get("range"), status.size)
    checksums = stretch is None and call.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED"
    headers = {**object_headers(status, checksums=checksums), **_overrides(call), **extra}
    if stretch is None:
        return _Answer(200, headers, 0, status.size)
    headers["Content-Range"] = stretch.content_range(status.size)
    return _Answer(206, headers, stretch.offset, stretch.count)


def _part(call: Call, status: Status) -> tuple[Range | None, dict[str, str]]:
    """Where part ``partNumber`` is, and the headers that say so. An object that was put whole is its own part 1."""
    number = part_number(call.query)
    if "range" in call.headers:
        raise S3Error("InvalidRequest", "Cannot specify both Range header and partNumber query parameter")
    sizes = status.attributes.part_sizes
    if sum(sizes) != status.size or not sizes:  # an object that changed since is in no parts
        sizes, extra = (status.size,), {}
    else:
        extra = {"x-amz-mp-parts-count": str(len(sizes))}
    if number > len(sizes):
        raise S3Error("InvalidPartNumber", ActualPartCount=str(len(sizes)), PartNumberRequested=str(number))
    count = sizes[number - 1]
    return (Range(sum(sizes[: number - 1]), count) if count else None), extra


def _range_holds(headers: Headers, status: Status) -> bool:
    """Whether the Range is still meant: RFC 9110, 13.1.5 (If-Range). Without one it is."""
    value = headers.get("if-range")
    if value is None:
        return True
    if '"' in value:
        return value.strip() == f'"{status.etag}"'
    return parse_http_date(value) == status.modified_ns // 10**9


def _overrides(call: Call) -> dict[str, str]:
    overrides = response_overrides(call.query)
    if overrides and call.principal.how == "anonymous":
        raise S3Error("InvalidRequest", "Request specific response headers cannot be used for anonymous GET requests.")
    return overrides


async def _tag_count(call: Call, place: Place, status: Status) -> dict[str, str]:
    """Clients that copy in parts ask HEAD whether there are tags to copy. No answer fails for want of this one."""
    try:
        count = len(await call.services.tags.get(place.ufs, status))
    except StorageError:
        return {}
    return {"x-amz-tagging-count": str(count)} if count else {}
