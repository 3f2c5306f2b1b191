"""Reads of what another worker owns: answered with a redirect to it, or here, as the routing has it."""

from __future__ import annotations

from functools import lru_cache
from typing import cast

from attrs import evolve

from alluxio_s3.actions.exchange import Call, Response
from alluxio_s3.actions.registry import Action
from alluxio_s3.http.answer import render_fields, status_line
from alluxio_s3.http.plain import LAST_CHUNK
from alluxio_s3.interfaces import Elsewhere
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.xml import error_document

_STEERED = "GetObject"
_CACHE_STATUS = "Cache-Status"
_END = b"</Error>"
REDIRECTED = 307


async def steered(call: Call, action: Action) -> Response:
    """The answer of ``action`` to ``call``, or that it is to be had elsewhere. Raises as ``Action.run``.

    Only the bytes of objects are. In Cache-Status (RFC 9211, 2.8) ``detail`` says which it was, and why.
    """
    routing = call.services.routing
    if routing is None or action.route.name != _STEERED:
        return await action.run(call)
    place = call.services.namespace.locate(call.bucket)
    found = await routing.steer(call.head, call.principal, place.ufs, place.path(call.key))
    if found.elsewhere is not None:
        return redirect(found.elsewhere, found.reason, call.bucket, call.head.raw_target, call.request_id)
    response = await action.run(call)
    status = response.headers.get(_CACHE_STATUS)
    if not found.reason or status is None:
        return response
    return evolve(response, headers={**response.headers, _CACHE_STATUS: f"{status}; detail=proxy-{found.reason}"})


def redirect(elsewhere: Elsewhere, reason: str, bucket: str, raw_target: bytes, request_id: str) -> Response:
    """A 307 in the form that most clients follow: with S3's document, and no Content-Length, which some take for that of the object."""
    error = S3Error("TemporaryRedirect", Endpoint=elsewhere.endpoint, Bucket=bucket)
    body = error_document(error, request_id, raw_target.decode("latin-1").partition("?")[0])
    headers = {
        "Location": elsewhere.location,
        "Content-Type": "application/xml",
        _CACHE_STATUS: f"alluxio-s3; fwd=bypass; detail=redirect-{reason}",
    }
    return Response(error.status, headers, body, measured=False)


def redirect_at_once(
    elsewhere: Elsewhere, reason: str, bucket: str, raw_target: bytes, request_id: str, common: bytes, closing: bytes
) -> tuple[bytes, int]:
    """All of a redirect over HTTP/1.1, with the header lines that are ``common`` to all and ``closing``, and how long its body is."""
    fields, start = _rendered(elsewhere, reason, bucket, raw_target)
    body = b"%b<RequestId>%b</RequestId>%b" % (start, request_id.encode(), _END)
    head = b"%b%b%b%b\r\n" % (status_line(REDIRECTED), common, fields, closing)
    return b"%b%x\r\n%b\r\n%b" % (head, len(body), body, LAST_CHUNK), len(body)


# Whoever reads an object in pieces is sent the same way for some seconds.
@lru_cache(maxsize=1024)
def _rendered(elsewhere: Elsewhere, reason: str, bucket: str, raw_target: bytes) -> tuple[bytes, bytes]:
    """The header lines of a redirect, and the document as far as the request's id."""
    response = redirect(elsewhere, reason, bucket, raw_target, "")
    return render_fields({**response.headers, "Transfer-Encoding": "chunked"}), cast("bytes", response.body).removesuffix(_END)
