"""CORS of buckets: the rules, the questions that browsers ask beforehand, and the headers of the answers to pages of other origins."""

from __future__ import annotations

from collections.abc import Mapping

from alluxio_s3.actions.buckets import XML
from alluxio_s3.actions.exchange import Call, Response, Services
from alluxio_s3.actions.registry import BUCKET, Action, action
from alluxio_s3.actions.transfer import read_body
from alluxio_s3.interfaces import ICorsStore
from alluxio_s3.s3.cors import MAX_DOCUMENT_BYTES, METHODS, answer_headers, cors_document, parse_cors, preflight_headers
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.request import RequestHead
from alluxio_s3.storage import StorageError

NOT_ENABLED = "CORSResponse: CORS is not enabled for this bucket."
# S3's own words, and spelling.
NOT_ALLOWED = (
    "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request method"
    " / Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource's CORS spec."
)


@action("GetBucketCors", method="GET", on=BUCKET, query={"cors"}, permission="s3:GetBucketCORS")
class GetBucketCors(Action):
    """The CORS rules of a bucket."""

    async def run(self, call: Call) -> Response:
        """Raises S3Error: NoSuchBucket; NoSuchCORSConfiguration if there are none."""
        await call.services.namespace.bucket(call.bucket)
        rules = await _store(call).rules(call.bucket)
        if not rules:
            raise S3Error("NoSuchCORSConfiguration", BucketName=call.bucket)
        return Response(headers=XML, body=cors_document(rules))


@action("PutBucketCors", method="PUT", on=BUCKET, query={"cors"}, permission="s3:PutBucketCORS")
class PutBucketCors(Action):
    """Replaces the CORS rules of a bucket."""

    async def run(self, call: Call) -> Response:
        """Raises S3Error: NoSuchBucket, MalformedXML, InvalidRequest."""
        rules = parse_cors(await read_body(call, MAX_DOCUMENT_BYTES))
        await call.services.namespace.bucket(call.bucket)
        await _store(call).keep(call.bucket, rules)
        return Response()


@action("DeleteBucketCors", method="DELETE", on=BUCKET, query={"cors"}, permission="s3:PutBucketCORS")
class DeleteBucketCors(Action):
    """Removes the CORS rules of a bucket, and nothing else."""

    async def run(self, call: Call) -> Response:
        """Raises S3Error NoSuchBucket."""
        await call.services.namespace.bucket(call.bucket)
        await _store(call).keep(call.bucket, ())
        return Response(204)


async def preflight(services: Services, head: RequestHead) -> Response:
    """The answer to an OPTIONS request: whether a page of that origin may ask what it is about to ask.

    It is asked without credentials, and says nothing of what there is: a bucket that is not there has no rules. Raises
    S3Error: BadRequest, AccessForbidden.
    """
    headers = head.headers
    origin, method = headers.get("origin"), headers.get("access-control-request-method")
    if not origin:
        raise S3Error("BadRequest", "Insufficient information. Origin request header needed.")
    if method not in METHODS:
        raise S3Error("BadRequest", f"Invalid Access-Control-Request-Method: {'null' if method is None else method}")
    store = services.cors
    rules = await store.rules(head.target.bucket) if store is not None and head.target.bucket else ()
    kind = "OBJECT" if head.target.key else "BUCKET"
    if not rules:
        raise S3Error("AccessForbidden", NOT_ENABLED, Method=method, ResourceType=kind)
    allowed = preflight_headers(rules, origin, method, headers.get("access-control-request-headers"))
    if allowed is None:
        raise S3Error("AccessForbidden", NOT_ALLOWED, Method=method, ResourceType=kind)
    return Response(headers=allowed)


async def headers_for_pages(services: Services, bucket: str, origin: str, method: str) -> Mapping[str, str]:
    """What lets a page of ``origin`` read the answer to its request, be it an error; empty where nothing does."""
    if services.cors is None:
        return {}
    try:
        rules = await services.cors.rules(bucket)
    except StorageError:
        return {}  # the answer itself is right; the page does not get to see it
    return answer_headers(rules, origin, method) if rules else {}


def _store(call: Call) -> ICorsStore:
    store = call.services.cors
    if store is None:
        raise S3Error("NotImplemented", "There is no place for the CORS rules of buckets here: set alluxio.worker.s3.cors.path.")
    return store
