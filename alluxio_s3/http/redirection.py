"""Reads of what another worker owns: answered with a redirect to it, or here, as the routing has it."""

from __future__ import annotations

from attrs import evolve

from alluxio_s3.actions.exchange import Call, Response
from alluxio_s3.actions.registry import Action
from alluxio_s3.interfaces import Elsewhere
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.xml import error_document

_STEERED = "GetObject"
_CACHE_STATUS = "Cache-Status"


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
