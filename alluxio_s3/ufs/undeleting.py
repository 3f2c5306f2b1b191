"""An under-store of which nothing is deleted: a delete only takes an object out of the cache before it."""

from __future__ import annotations

from typing import Any

from attrs import define

from alluxio_s3.forwarding import ForwardingBuckets, ForwardingUnderFileSystem
from alluxio_s3.interfaces import IBucketContainer
from alluxio_s3.s3.conditions import ALWAYS, WriteCondition
from alluxio_s3.storage import NoSuchPath, Unsupported


@define(eq=False, slots=False)
class UndeletingUnderFileSystem(ForwardingUnderFileSystem):
    """``ufs``, of which every delete succeeds and changes nothing: Alluxio's ``deletetype=ALLUXIO_ONLY``."""

    def offers(self, interface: Any) -> Any:
        """Buckets are not deleted either, and that is said."""
        found = super().offers(interface)
        return _Buckets(found) if interface is IBucketContainer and found is not None else found

    async def delete(self, path: str, condition: WriteCondition) -> None:
        """Nothing, if ``condition`` holds. Raises S3Error from ``condition.check``."""
        if condition == ALWAYS:
            return
        try:
            status = await self.ufs.status(path)
        except NoSuchPath:
            condition.check(None)
            raise
        condition.check(status.etag, status.size, status.modified_ns)


@define(eq=False, slots=False)
class _Buckets(ForwardingBuckets):
    async def delete_bucket(self, name: str) -> None:
        raise Unsupported(f"{name}/", "With deletetype=ALLUXIO_ONLY buckets are not deleted.")
