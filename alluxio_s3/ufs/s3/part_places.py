"""Where the parts of an object are in it, as HeadObject with ``partNumber`` tells: in a store's answer, or as the sum of those before."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping, MutableMapping

from attrs import define, field

from alluxio_s3.storage import ObjectChanged, PartPlace, Status
from alluxio_s3.ufs.s3.bucket import Bucket
from alluxio_s3.ufs.s3.client import Order
from alluxio_s3.ufs.s3.failures import Refused, storage_error

# The ETag of an object that was made of parts ends with how many.
_MULTIPART = re.compile(r"-(\d+)$")
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
# Of so many versions of objects the sizes of parts are remembered, of a store that tells how long a part is, but not where.
MOST_REMEMBERED = 32

# By the number of a part, how many bytes it has.
_Sizes = MutableMapping[int, int]


@define(eq=False)
class PartPlaces:
    """The parts of the objects in ``bucket``."""

    _bucket: Bucket
    _sizes: OrderedDict[tuple[str, str], _Sizes] = field(factory=OrderedDict, init=False)

    async def part(self, status: Status, number: int) -> PartPlace | None:
        """See IPartLocator. The sizes of the parts before cost a request each, once."""
        made_of = _MULTIPART.search(status.etag)
        parts = 0 if made_of is None else int(made_of[1])
        if not parts or not status.size:  # a gateway's own ETags of what was not made of parts end with -0
            return None
        headers = None if number > parts else await self._head(status, number)
        if headers is None:
            return PartPlace(status.size, 0, parts, there=False)
        count, parts = int(headers.get("content-length", 0)), int(headers.get("x-amz-mp-parts-count") or parts)
        told = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
        if told is not None:
            return PartPlace(int(told[1]), int(told[2]) + 1 - int(told[1]), parts)
        if parts > 1 and count == status.size and not await self._is_all(status, number, parts):
            return None
        # Some stores tell how long a part is, but not where.
        sizes = self._known(status)
        sizes[number] = count
        offset = status.size - count if number == parts else await self._before(status, number, sizes)
        return PartPlace(offset, count, parts) if offset is not None and 0 <= offset <= status.size - count else None

    async def _is_all(self, status: Status, number: int, parts: int) -> bool:
        """Whether a part has all bytes, since the other is empty, which only the last may be.

        A store that does not know the question tells the size of the whole, too, of any part.
        """
        if (number, parts) != (1, 2):
            return False
        last = await self._head(status, 2)
        return last is not None and last.get("content-length") == "0"

    async def _before(self, status: Status, number: int, sizes: _Sizes) -> int | None:
        """How many bytes the parts before ``number`` have; None if the store does not tell that of each."""
        for before in range(1, number):
            if before not in sizes:
                headers = await self._head(status, before)
                if headers is None or "content-length" not in headers:
                    return None
                sizes[before] = int(headers["content-length"])
        return sum(sizes[before] for before in range(1, number))

    def _known(self, status: Status) -> _Sizes:
        """What is known of the parts of this version; the same ETag is of the same parts."""
        key = (status.path, status.etag)
        sizes = self._sizes.setdefault(key, {})
        self._sizes.move_to_end(key)
        if len(self._sizes) > MOST_REMEMBERED:
            self._sizes.popitem(last=False)
        return sizes

    async def _head(self, status: Status, number: int) -> Mapping[str, str] | None:
        """What the store says of a part; None if there is none. Raises ObjectChanged, StorageError."""
        key, path, client = self._bucket.key(status.path), status.path, self._bucket.client
        try:
            answer = await client.ask(Order("HEAD", key, {"partNumber": str(number)}))
            if answer.headers.get("etag", "").strip('"') != status.etag:
                # It is the part's own, or that of another version.
                await client.ask(Order("HEAD", key, headers={"If-Match": f'"{status.etag}"'}))
        except Refused as refused:
            if refused.status in (404, 412):
                raise ObjectChanged(path) from None
            if refused.status in (400, 416):
                return None
            raise storage_error(refused, path) from None
        return answer.headers
