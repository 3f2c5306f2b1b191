"""CompleteMultipartUpload: the parts become an object.

The answer may be long in coming while load balancers and clients lose patience. So after a while it begins, with status 200 and white
space that keeps the connection alive, and how it ended is told in its body, as S3 does. And since an answer may
be lost all the same, a completion goes on without its client, and asking again gives the same answer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from urllib.parse import quote

from attrs import evolve
from twisted.logger import Logger

from alluxio_s3.actions.background import Background
from alluxio_s3.actions.buckets import XML
from alluxio_s3.actions.exchange import Call, Response
from alluxio_s3.actions.object_write import stored_attributes
from alluxio_s3.actions.part_list import ListedPart, check_object_size, checksum_of, choose, etag_of, parse_part_list
from alluxio_s3.actions.registry import OBJECT, Action, action
from alluxio_s3.actions.storage_errors import translate
from alluxio_s3.actions.transfer import read_body
from alluxio_s3.interfaces import IMultipartUploads, IRepeatedCompletions
from alluxio_s3.s3.checksums import ALGORITHMS
from alluxio_s3.s3.conditions import WriteCondition, write_condition
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.request import Headers
from alluxio_s3.s3.xml import document, error_document, tag
from alluxio_s3.storage import NoSuchUpload, Part, Status, StorageError

# 10,000 parts, each with its number, its ETag and the longest checksum.
MAX_LIST_BYTES = 4 << 20

_OF_THE_OBJECT = frozenset({"x-amz-sdk-checksum-algorithm", *(one.header for one in ALGORITHMS.values())})

_log = Logger()


@action("CompleteMultipartUpload", method="POST", on=OBJECT, query={"uploadId"}, permission="s3:PutObject")
class CompleteMultipartUpload(Action):
    """Publishes the object that the listed parts make."""

    async def run(self, call: Call) -> Response:
        """Raises NoSuchUpload; S3Error MalformedXML, InvalidPartOrder, InvalidPart, EntityTooSmall, InvalidRequest, BadDigest,
        PreconditionFailed. When it takes long they come in the body of a 200 instead.
        """
        limits = call.services.limits
        condition = write_condition(call.headers)
        body = await read_body(_with_body_headers(call), max(limits.xml_body_bytes, MAX_LIST_BYTES))
        listed = parse_part_list(body)
        completion = Background(call.services.clock, _complete_to_the_end(call, listed, condition))
        try:
            ended = await completion.ends((limits.complete_keepalive and limits.complete_keepalive_seconds) or None)
        except BaseException:
            completion.abandon()
            raise
        if ended:
            return Response(headers=XML, body=result_document(call, completion.result()))
        return Response(headers=XML, body=_kept_alive(call, completion))


async def complete(call: Call, listed: Sequence[ListedPart], condition: WriteCondition) -> Status:
    """Complete the upload that ``call`` names with the ``listed`` parts; the object, also if that was done before.

    Raises what ``CompleteMultipartUpload.run`` does.
    """
    place = call.services.namespace.locate(call.bucket)
    uploads = call.services.namespace.uploads(place)
    path, upload_id = place.path(call.key), call.query.get("uploadId") or ""
    try:
        upload = await uploads.upload(path, upload_id)
        parts = choose(listed, await uploads.parts(upload), upload, call.services.limits)
        check_object_size(call.headers, parts)
        checksum = checksum_of(call.headers, upload, parts)
        attributes = evolve(
            upload.attributes,
            etag=etag_of(parts),
            checksums={} if checksum is None else {checksum.algorithm.name: checksum.value},
            checksum_type=None if checksum is None else checksum.type,
            part_sizes=tuple(part.size for part in parts),
        )
        status = await uploads.complete(upload, parts, stored_attributes(call, attributes), condition)
    except NoSuchUpload:
        done = await uploads.completed(path, upload_id) or await _done_elsewhere(uploads, path, upload_id, listed)
        if done is None:
            raise
        return done
    if not call.services.tags.travels:
        await call.services.tags.put(place.ufs, status, attributes.tags)
    return status


async def _done_elsewhere(uploads: IMultipartUploads, path: str, upload_id: str, listed: Sequence[ListedPart]) -> Status | None:
    """What another daemon has completed, if the store knows of it."""
    repeated = IRepeatedCompletions(uploads, None)
    if repeated is None:
        return None
    parts = [Part(one.number, 0, 0, one.etag, one.checksums) for one in listed]
    return await repeated.complete_again(path, upload_id, parts)


def result_document(call: Call, status: Status) -> bytes:
    """The body of the answer to a completion that succeeded."""
    host = call.headers.get("host")
    origin = f"{'https' if call.head.secure else 'http'}://{host}" if host else ""
    attributes = status.attributes
    body = (
        tag("Location", f"{origin}/{call.bucket}/{quote(call.key)}")
        + tag("Bucket", call.bucket)
        + tag("Key", call.key)
        + tag("ETag", f'"{status.etag}"')
        + "".join(tag(ALGORITHMS[name].element, value) for name, value in attributes.checksums.items() if name in ALGORITHMS)
        + tag("ChecksumType", attributes.checksum_type if attributes.checksums else None)
    )
    return document("CompleteMultipartUploadResult", body)


async def _complete_to_the_end(call: Call, listed: Sequence[ListedPart], condition: WriteCondition) -> Status:
    """``complete``, which keeps the under-store in use also when the request has ended."""
    with call.services.namespace.visits.visit():
        return await complete(call, listed, condition)


def _with_body_headers(call: Call) -> Call:
    """``call`` without the checksum headers: in this action they are of the object, not of the body."""
    headers = {name: value for name, value in call.headers.items() if name not in _OF_THE_OBJECT}
    return evolve(call, head=evolve(call.head, headers=Headers(headers)))


async def _kept_alive(call: Call, completion: Background[Status]) -> AsyncIterator[bytes]:
    """The XML declaration, a space now and then, and in the end the rest of the document: the result, or the error."""
    interval = call.services.limits.complete_keepalive_seconds
    declaration, _, _ = document("", "").partition(b"\n")
    yield declaration + b"\n"
    try:
        while not await completion.ends(interval):
            yield b" "
    except BaseException:
        completion.abandon()
        raise
    _, _, rest = (await _outcome(call, completion)).partition(b"\n")
    yield rest


async def _outcome(call: Call, completion: Background[Status]) -> bytes:
    try:
        try:
            return result_document(call, completion.result())
        except StorageError as problem:
            raise await translate(problem, call.head.target, call.services.namespace) from problem
    except S3Error as error:
        told = error
    except Exception:  # noqa: BLE001  # the status is out; an error of ours is one to the client, too
        _log.failure("{request_id} CompleteMultipartUpload failed", request_id=call.request_id)
        told = S3Error("InternalError")
    return error_document(told, call.request_id, f"/{call.bucket}/{call.key}")
