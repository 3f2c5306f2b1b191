"""What answers say of the cache before a mount; nothing where there is none.

Cache-Status is RFC 9211's, Age that of RFC 9111 (5.1), Warning that of RFC 7234 (5.5).
"""

from __future__ import annotations

from alluxio_s3.interfaces import ICachedReader, IObjectReader
from alluxio_s3.s3.request import Headers
from alluxio_s3.storage import Provenance

# A request with this header has its range loaded before it is answered, behind what clients wait for.
LOAD = "x-alluxio-load"
# A request with this header is told in a header of the same name how many of its bytes were in the cache.
RESIDENCY = "x-alluxio-residency"
# S3's own way to ask a listing for more than it tells; its value is a list. This is ours in it, and the element of the answer.
_OPTIONAL = "x-amz-optional-object-attributes"
_ATTRIBUTE = "Residency"


def cache_headers(provenance: Provenance | None) -> dict[str, str]:
    """The headers that say how the cache came by an answer; none where there is no cache."""
    if provenance is None:
        return {}
    parts = ["alluxio-s3", f"fwd={provenance.forward}" if provenance.forward else "hit"]
    if provenance.validated:
        parts.append("fwd-status=304")
    if provenance.stored:
        parts.append("stored")
    if provenance.collapsed:
        parts.append("collapsed")
    told = {"Cache-Status": "; ".join(parts)}
    if provenance.age is not None:
        told["Age"] = str(provenance.age)
    if provenance.unreachable:
        told["Warning"] = '110 alluxio-s3 "Response is Stale"'
    return told


def asks(headers: Headers, name: str) -> bool:
    """Whether the request has that header of ours, and says ``true``."""
    return headers.get(name, "").lower() == "true"


def asks_residency(headers: Headers) -> bool:
    """Whether the request for a listing asks how much of each object is in the cache: by the header of ours, or in S3's own way."""
    return asks(headers, RESIDENCY) or _ATTRIBUTE in (one.strip() for one in headers.get(_OPTIONAL, "").split(","))


async def prepared(reader: IObjectReader, headers: Headers, offset: int, count: int) -> dict[str, str]:
    """Have these bytes of ``reader`` ready, and loaded if the request asks for it; what the answer says of the cache.

    Raises what ``ICachedReader.prepare`` raises.
    """
    cached = ICachedReader(reader, None)
    if cached is None:
        return {}
    told = {}
    if asks(headers, RESIDENCY):
        told[RESIDENCY] = str(await cached.resident(offset, count))
    told |= cache_headers(await cached.prepare(offset, count))
    if asks(headers, LOAD):
        await cached.load(offset, count)
    return told
