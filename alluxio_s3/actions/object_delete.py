"""Deleting objects: one, or up to a thousand in one request."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, TypeVar

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.logger import Logger

from alluxio_s3.actions.exchange import Call, Response
from alluxio_s3.actions.registry import BUCKET, OBJECT, Action, Need, action
from alluxio_s3.actions.storage_errors import translate_known
from alluxio_s3.actions.transfer import read_body
from alluxio_s3.namespace.mounts import Place
from alluxio_s3.s3.conditions import WriteCondition, condition_on, delete_condition
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.request import RequestHead
from alluxio_s3.s3.target import parse_key
from alluxio_s3.s3.xml import Element, document, element, parse, tag
from alluxio_s3.storage import NoSuchPath, StorageError

MAX_KEYS = 1000
_AT_ONCE = 16
_ELEMENTS = ("Key", "VersionId", "ETag", "Size", "LastModifiedTime")  # of an Object, in the order of _Order's fields

_log = Logger()

T = TypeVar("T")
R = TypeVar("R")


@action("DeleteObject", method="DELETE", on=OBJECT)
class DeleteObject(Action):
    """Removes an object. One that is not there is as good as removed."""

    async def run(self, call: Call) -> Response:
        """Raises S3Error: NoSuchBucket, PreconditionFailed."""
        condition = delete_condition(call.headers)
        place = call.services.namespace.locate(call.bucket)
        if not await _delete(place, call.key, condition):
            await call.services.namespace.bucket(call.bucket)
        return Response(204)


@action("DeleteObjects", method="POST", on=BUCKET, query={"delete"}, permission="s3:DeleteObject")
class DeleteObjects(Action):
    """Removes the objects that a document names, and says for each how it went."""

    def needs(self, head: RequestHead) -> Iterator[Need]:
        """Nothing but what each key needs."""
        del head
        return iter(())

    async def run(self, call: Call) -> Response:
        """Raises S3Error: NoSuchBucket, MalformedXML, and what ``read_body`` raises; what is wrong with a key is in the answer."""
        body = await read_body(call, call.services.limits.xml_body_bytes)
        root = parse(body, "Delete")
        quiet = _truth(root.value("Quiet", "false"))
        orders = [_Order.of(child) for child in root.findall("Object")]
        if not 1 <= len(orders) <= MAX_KEYS or len(root.children) - len(root.findall("Quiet")) != len(orders):
            raise S3Error("MalformedXML")
        place = (await call.services.namespace.bucket(call.bucket)).place
        outcomes = await _map(lambda order: order.accounted_for(call, place), orders)
        results = [_result(order, error) for order, error in zip(orders, outcomes, strict=True) if error is not None or not quiet]
        return Response(200, {"Content-Type": "application/xml"}, document("DeleteResult", "".join(results)))


@frozen
class _Order:
    """One ``Object`` of a DeleteObjects document, as it came: what is wrong with one must not stop the others."""

    key: str
    version: str | None
    etag: str | None
    size: str | None
    modified: str | None

    @classmethod
    def of(cls, given: Element) -> _Order:
        """Read it. Raises S3Error MalformedXML, for an element that is not known, too: it may be a condition."""
        key = given.value("Key")
        if key is None or any(child.name not in _ELEMENTS for child in given.children):
            raise S3Error("MalformedXML")
        return cls(key, *(given.value(name) for name in _ELEMENTS[1:]))

    async def accounted_for(self, call: Call, place: Place) -> S3Error | None:
        """``carry_out``, and have what it came to written down, however it ends."""
        status, code = 500, "InternalError"
        try:
            error = await self.carry_out(call, place)
            status, code = (204, "-") if error is None else (error.status, error.code)
        except CancelledError:
            status, code = 0, "ClientGone"  # it may have been deleted or not
            raise
        finally:
            call.did(self.key, status, code)
        return error

    async def carry_out(self, call: Call, place: Place) -> S3Error | None:
        """Delete it; what went wrong, if anything did."""
        if self.version not in {None, "", "null"}:
            return S3Error("InvalidArgument", "Invalid version id specified")
        try:
            key = parse_key(self.key)
            await call.authorize("s3:DeleteObject", call.bucket, key)
            await _delete(place, key, condition_on(self.etag, self.size, self.modified))
        except S3Error as error:
            return error
        except StorageError as problem:
            answer = translate_known(problem)
            if answer.status >= 500:
                _log.warn("DeleteObjects: {path}: {problem}", path=place.path(self.key), problem=problem)
            return answer
        return None


async def _delete(place: Place, key: str, condition: WriteCondition) -> bool:
    """Whether there was something to delete. Raises S3Error PreconditionFailed.

    The conditions are on what is there; only ``If-Match: *`` asks that something be ("How to perform
    conditional deletes" in S3's user guide).
    """
    try:
        await place.ufs.delete(place.path(key), condition)
    except NoSuchPath:
        if "*" in condition.if_match:
            raise S3Error("PreconditionFailed", Condition="If-Match") from None
        return False
    return True


async def _map(function: Callable[[T], Coroutine[Any, Any, R]], values: Sequence[T]) -> list[R]:
    """``function`` of each value, in their order; a few at the same time. Cancelling cancels them all."""
    results: dict[int, R] = {}
    waiting = iter(enumerate(values))

    async def work() -> None:
        for number, value in waiting:
            results[number] = await function(value)

    workers = [Deferred.fromCoroutine(work()) for _ in range(min(_AT_ONCE, len(values)))]
    outcomes: list[tuple[bool, Any]] = await DeferredList(workers, consumeErrors=True)
    for succeeded, outcome in outcomes:
        if not succeeded:
            outcome.raiseException()
    return [results[number] for number in range(len(values))]


def _result(order: _Order, error: S3Error | None) -> str:
    what = tag("Key", order.key) + tag("VersionId", order.version)
    if error is None:
        return element("Deleted", what)
    return element("Error", what, tag("Code", error.code), tag("Message", error.message))


def _truth(text: str) -> bool:
    value = text.strip().lower()
    if value not in {"true", "false"}:
        raise S3Error("MalformedXML")
    return value == "true"
