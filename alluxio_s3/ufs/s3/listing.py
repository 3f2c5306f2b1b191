"""Listings, exact where ListObjectsV2 is not.

S3's ``start-after`` is exclusive, and what stores make of one that lies inside a common prefix differs. Ours is inclusive and may
lie anywhere.
"""

from __future__ import annotations

from alluxio_s3.storage import Listing, Status
from alluxio_s3.ufs.s3.bucket import Bucket
from alluxio_s3.ufs.s3.client import Order
from alluxio_s3.ufs.s3.documents import Page, page_of

_PAGE = 1000
_LAST = "\U0010ffff"
# So much XML is read at once; more of it in a thread.
_INLINE_BYTES = 16 << 10


async def list_keys(bucket: Bucket, prefix: str, start: str, limit: int, delimiter: str) -> Listing:
    """See ``IUnderFileSystem.list``. The order of Python's strings is that of their UTF-8."""
    entries: list[Status | str] = []
    start = max(prefix, start)
    slash = start.find(delimiter, len(prefix)) if delimiter and start.startswith(prefix) else -1
    if slash >= 0 and start != start[: slash + 1]:
        # Inside of what is to be one entry, which is there if anything of it is not before the start.
        folded = start[: slash + 1]
        if (await list_keys(bucket, folded, start, 1, "")).entries:
            entries.append(folded)
        start = f"{folded[:-1]}0"  # "0" comes next after "/"
        if not start.startswith(prefix):
            return Listing(tuple(entries), complete=True)
        if len(entries) == limit:
            more = await list_keys(bucket, prefix, start, 1, delimiter)
            return Listing(tuple(entries), complete=not more.entries)
    token: str | None = None
    while True:
        page = await _page(bucket, prefix, start, min(limit - len(entries), _PAGE), delimiter, token)
        for found in page.entries:
            path = bucket.path(found if isinstance(found, str) else found.key)
            if path < start or not path:
                continue  # before the start; the marker of the root
            if len(entries) == limit:
                return Listing(tuple(entries), complete=False)
            entries.append(path if isinstance(found, str) else Status(path, found.size, found.modified_ns, found.etag, found.etag))
        token = page.token
        if token is None or len(entries) == limit:
            return Listing(tuple(entries), complete=token is None)


async def _page(bucket: Bucket, prefix: str, start: str, limit: int, delimiter: str, token: str | None) -> Page:
    query: dict[str, str | None] = {"list-type": "2", "encoding-type": "url", "max-keys": str(limit), "prefix": bucket.key(prefix)}
    if delimiter:
        query["delimiter"] = delimiter
    if token is not None:
        query["continuation-token"] = token
    elif start > prefix:
        query["start-after"] = bucket.key(_before(start))
    answer = await bucket.told(bucket.client.ask(Order("GET", None, query)), prefix)
    if len(answer.body) <= _INLINE_BYTES:
        return page_of(answer.body)
    return await bucket.threads.run(page_of, answer.body)


def _before(text: str) -> str:
    """A string that comes before ``text``, and after nearly all others that do."""
    last = text[-1]
    if last == "\0":
        return text[:-1]
    code = ord(last) - 1
    return f"{text[:-1]}{chr(0xD7FF if 0xD800 <= code <= 0xDFFF else code)}{_LAST}"
