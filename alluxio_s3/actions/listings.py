"""Listings of objects: ListObjects and ListObjectsV2.

A page is read from the under-store between two keys, in bounded work, and never skips or doubles a key
that stays. What comes next is always told by the key that it begins with, so nothing is remembered between pages and it
does not matter which worker is asked.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from functools import partial

from attrs import frozen

from alluxio_s3.actions.buckets import XML
from alluxio_s3.actions.exchange import Call, Response
from alluxio_s3.actions.provenance import asks_residency
from alluxio_s3.actions.registry import BUCKET, Action, Need, action
from alluxio_s3.interfaces import IResidency
from alluxio_s3.namespace.mounts import Place
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.listing import (
    MAX_PAGE,
    ContinuationToken,
    common_prefix_xml,
    contents_xml,
    encode_key,
    parse_encoding_type,
    parse_max_keys,
    successor,
)
from alluxio_s3.s3.request import RequestHead
from alluxio_s3.s3.target import MAX_KEY_BYTES, key_problem
from alluxio_s3.s3.xml import document, tag
from alluxio_s3.storage import Status, Unavailable

# How often the store is asked for one page. Only a delimiter that the store cannot fold needs more than a few; then the page
# may be shorter than it was asked to be, which S3 allows.
MAX_LOOKS = 100
# The fewest keys worth asking a store for when most of what it gives is folded away.
_LEAST_STEP = 16
# Of how many entries the XML is made at once; that of a page of a thousand takes some milliseconds, in which nobody else would be answered.
MAX_AT_ONCE = 100


@frozen
class Page:
    """Entries of a listing: (key, Status), or (common prefix, None). ``following`` is where the next page
    begins (keys >= it), None if this was the last.
    """

    entries: tuple[tuple[str, Status | None], ...] = ()
    following: str | None = None


@frozen
class Selection:
    """What a client wants listed: at most ``limit`` keys with ``prefix``, rolled up at ``delimiter`` (unless empty)."""

    prefix: str
    delimiter: str
    limit: int
    encoding_type: str | None

    @classmethod
    def of(cls, call: Call) -> Selection:
        """From the query that both versions share. Raises S3Error InvalidArgument."""
        query = call.query
        return cls(
            prefix=query.get("prefix") or "",
            delimiter=query.get("delimiter") or "",
            limit=parse_max_keys(query.get("max-keys")),
            encoding_type=parse_encoding_type(query.get("encoding-type")),
        )

    def rolled_up(self, key: str) -> str | None:
        """The common prefix that stands for ``key``, if one does."""
        end = key.find(self.delimiter, len(self.prefix)) if self.delimiter else -1
        return None if end < 0 else key[: end + len(self.delimiter)]

    def after(self, marker: str) -> str | None:
        """Where the entries greater than ``marker`` begin; None if there can be none.

        Entries are compared, not keys: the common prefix ``a/`` is not greater than the marker ``a/b``.
        """
        if marker < self.prefix:
            return ""
        if not marker.startswith(self.prefix):
            return None
        folded = self.rolled_up(marker)
        return f"{marker}\0" if folded is None else successor(folded)

    def xml(self, name: str) -> str:
        """The elements that repeat the request; ``name`` is the bucket's."""
        return (
            tag("Name", name)
            + tag("Prefix", self.encoded(self.prefix))
            + tag("MaxKeys", self.limit)
            + tag("Delimiter", self.encoded(self.delimiter) or None)
            + tag("EncodingType", self.encoding_type)
        )

    def encoded(self, key: str) -> str:
        """``key`` as this listing writes keys."""
        return encode_key(key, self.encoding_type)


class Listing(Action):
    """An action that lists what begins with a prefix."""

    def needs(self, head: RequestHead) -> Iterator[Need]:
        """Permission for the prefix: whoever may read it all may list it."""
        yield self.route.permission, head.target.bucket, head.target.query.get("prefix") or ""


@action(
    "ListObjects",
    method="GET",
    on=BUCKET,
    accepts={"delimiter", "encoding-type", "marker", "max-keys", "prefix"},
    permission="s3:ListBucket",
)
class ListObjects(Listing):
    """The first version: pages go on after a marker, which is a key."""

    async def run(self, call: Call) -> Response:
        """Raises S3Error: NoSuchBucket, InvalidArgument."""
        wanted = Selection.of(call)
        marker = call.query.get("marker") or ""
        page = await _page(call, wanted, wanted.after(marker) if marker else "")
        truncated = page.following is not None
        # As with S3, only a delimiter makes a NextMarker: without one it is the last key.
        last = page.entries[-1][0] if truncated and wanted.delimiter else None
        body = (
            wanted.xml(call.bucket)
            + tag("Marker", wanted.encoded(marker))
            + tag("NextMarker", None if last is None else wanted.encoded(last))
            + tag("IsTruncated", truncated)
            + await _rendered(call, wanted, page, owners=True)
        )
        return _answer(call, body)


@action(
    "ListObjectsV2",
    method="GET",
    on=BUCKET,
    query={"list-type"},
    accepts={"continuation-token", "delimiter", "encoding-type", "fetch-owner", "max-keys", "prefix", "start-after"},
    permission="s3:ListBucket",
)
class ListObjectsV2(Listing):
    """The second version: pages go on at a token."""

    async def run(self, call: Call) -> Response:
        """Raises S3Error: NoSuchBucket, InvalidArgument."""
        query = call.query
        if query.get("list-type") != "2":
            raise S3Error("InvalidArgument", "The list-type must be 2.", ArgumentName="list-type")
        wanted = Selection.of(call)
        token, after = query.get("continuation-token"), query.get("start-after") or ""
        start: str | None = ""
        if token:
            start = ContinuationToken.decode(token)
        elif after:
            start = wanted.after(after)
        page = await _page(call, wanted, start)
        following = page.following
        body = (
            wanted.xml(call.bucket)
            + tag("StartAfter", wanted.encoded(after) or None)
            + tag("ContinuationToken", token)
            + tag("NextContinuationToken", None if following is None else ContinuationToken.encode(following))
            + tag("KeyCount", len(page.entries))
            + tag("IsTruncated", following is not None)
            + await _rendered(call, wanted, page, owners=query.get("fetch-owner") == "true")
        )
        return _answer(call, body)


async def read_page(place: Place, wanted: Selection, start: str) -> Page:
    """The entries >= ``start`` that are ``wanted``, and where those after them begin."""
    entries: list[tuple[str, Status | None]] = []
    async with aclosing(_entries(place, wanted, start)) as found:
        async for entry in found:
            if isinstance(entry, str):
                return Page(tuple(entries), entry)
            if len(entries) == wanted.limit:
                return Page(tuple(entries), entry[0])
            entries.append(entry)
    return Page(tuple(entries))


async def _entries(place: Place, wanted: Selection, start: str) -> AsyncGenerator[tuple[str, Status | None] | str]:
    """What is ``wanted`` from ``start`` on, in order, and at last a string if it stopped early: where to go on.

    The store rolls up at ``/`` itself, and it is then asked for no more than fits on the page. For any other delimiter its
    plain keys are rolled up here: a common prefix costs one look, which seeks past its keys.
    """
    native = wanted.delimiter in ("", "/")
    position: str | None = max(wanted.prefix, start)
    given = 0
    step = wanted.limit
    for _ in range(MAX_LOOKS):
        if position is None:
            return
        if native and given >= wanted.limit:
            break
        listing = await place.ufs.list(
            place.path(wanted.prefix), place.path(position), min(step, MAX_PAGE), wanted.delimiter if native else ""
        )
        before = given
        folded: str | None = None
        for one in listing.entries:
            key = place.key(one if isinstance(one, str) else one.path)
            if folded is not None and key.startswith(folded):
                continue
            folded = key if isinstance(one, str) else wanted.rolled_up(key)
            position = f"{key}\0" if folded is None else successor(folded)
            if key:  # else it is the bucket's own folder
                given += 1
                yield (key, one) if folded is None and isinstance(one, Status) else (folded or key, None)
        if listing.complete:
            return
        if not listing.entries:
            raise Unavailable(place.path(wanted.prefix), "The store gave an empty listing and said that more follows.")
        step = wanted.limit - given if native else max(_LEAST_STEP, 2 * (given - before))
    if position is not None:
        yield position


async def _page(call: Call, wanted: Selection, start: str | None) -> Page:
    """The page of ``call``. A listing without entries looks whether the bucket is there: S3Error NoSuchBucket."""
    place = call.services.namespace.locate(call.bucket)
    page = Page()
    if wanted.limit and start is not None and _can_have_keys(wanted.prefix):
        page = await read_page(place, wanted, start)
    if not page.entries:
        await call.services.namespace.bucket(call.bucket)
    return page


def _can_have_keys(prefix: str) -> bool:
    """Whether a key can begin with ``prefix``: no store is asked for names that are not supported as keys."""
    return not prefix or (key_problem(f"{prefix}x") is None and len(prefix.encode()) <= MAX_KEY_BYTES)


async def _rendered(call: Call, wanted: Selection, page: Page, *, owners: bool) -> str:
    resident = await _residency(call, page) if asks_residency(call.headers) else {}
    make = partial(_entries_xml, call.services.namespace.owner, wanted, page, resident, owners=owners)
    return make() if len(page.entries) <= MAX_AT_ONCE else await call.services.threads.run(make)


async def _residency(call: Call, page: Page) -> Mapping[str, int]:
    """How many bytes are in the cache, by key; nothing of folders, and nothing where there is no cache."""
    cache = IResidency(call.services.namespace.locate(call.bucket).ufs, None)
    objects = {key: status for key, status in page.entries if status is not None and not status.is_folder}
    if cache is None or not objects:
        return {}
    return dict(zip(objects, await cache.residency(list(objects.values())), strict=True))


def _entries_xml(default: str, wanted: Selection, page: Page, resident: Mapping[str, int], *, owners: bool) -> str:
    contents, prefixes = [], []
    for key, status in page.entries:
        if status is None:
            prefixes.append(common_prefix_xml(key, encoding_type=wanted.encoding_type))
        else:
            owner = (status.attributes.owner or default) if owners else None
            contents.append(contents_xml(status, key, encoding_type=wanted.encoding_type, owner=owner, residency=resident.get(key)))
    return "".join(contents) + "".join(prefixes)


def _answer(call: Call, body: str) -> Response:
    return Response(headers={**XML, "x-amz-bucket-region": call.services.region}, body=document("ListBucketResult", body))
