"""All that there is to know of an object and the cache."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, TimeoutError  # noqa: A004  # Twisted's own

from alluxio_s3.cache.freshness import Moments
from alluxio_s3.cache.keys import CachedVersion
from alluxio_s3.inspection.cached_place import CachedPlace
from alluxio_s3.storage import Status, StorageError

PAGE = 1000
ASK_SECONDS = 10.0


async def explained(place: CachedPlace, reactor: Any) -> dict[str, Any]:
    """What the store has, what is remembered of it, which pages are here, and what goes next: a title and a value of each.

    The store is asked.
    """
    asking = Deferred.fromCoroutine(place.ufs.status(place.path))
    status: Status | None = None
    try:
        status = await asking.addTimeout(ASK_SECONDS, reactor)
        said = f"{status.size} bytes, ETag {status.etag}"
    except (StorageError, TimeoutError) as problem:
        said = f"no answer: {problem}" if not isinstance(problem, StorageError) else str(problem)
    known = place.pages.recall(place.identity, place.path)
    found = [one for one in await place.threads.run(place.pages.objects, place.identity, place.path, "", PAGE) if one.path == place.path]
    current = known.status if known is not None and known.status is not None else status
    return {
        "object": place.name,
        "under-store": place.uri,
        "path there": place.path,
        "owner": "this worker",
        "the store says": said,
        "remembered": _remembered(known, status),
        "freshness": _freshness(place),
        "validator": None if current is None else current.validator,
        "in the cache": "; ".join(_present(place, one, current) for one in found) or "nothing",
        "evicted next": _eviction(found),
    }


def _remembered(known: Any, status: Status | None) -> str:
    if known is None:
        return "nothing, because the cache is off"
    if known.status is None:
        return "nothing"
    age = Moments().age(known.checked_ns)
    told = "before this machine was started" if age is None else f"{age:.0f} s ago"
    stale = status is not None and status.validator != known.status.validator
    return f"ETag {known.status.etag}, said {told}" + ("; the store has another version now" if stale else "")


def _freshness(place: CachedPlace) -> str:
    freshness = place.options.freshness
    text = f"max_age={freshness.max_age_ms / 1000:g}s" if freshness.kind == "max_age" else str(freshness.kind)
    if place.options.stale_if_error_ms:
        text += f", stale.if.error={place.options.stale_if_error_ms / 1000:g}s"
    return f"{text}, cache={place.options.cache}"


def _present(place: CachedPlace, one: CachedVersion, current: Status | None) -> str:
    pages = -(-one.size // place.pages.page_bytes) or 1
    text = f"{one.pages} of {pages} pages, {one.stored} of {one.size} bytes"
    return text if current is None or current.validator == one.validator else f"{text} of the version {one.validator}"


def _eviction(found: list[CachedVersion]) -> str:
    ranks = [one.rank for one in found if one.rank is not None]
    if not found:
        return "nothing is there to be evicted"
    return f"after {min(ranks)} other pages of its directory, if nothing is read meanwhile" if ranks else "not among the next 1,000 pages"
