"""An under-store that takes no writes, whatever the one behind it would take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from attrs import define
from zope.interface import implementer

from alluxio_s3.forwarding import ForwardingBuckets, ForwardingUnderFileSystem
from alluxio_s3.interfaces import IAttributeUpdater, IBucketContainer, IMultipartUploads, IObjectWriter, IReadOnly
from alluxio_s3.s3.conditions import WriteCondition
from alluxio_s3.storage import Attributes, NoSuchUpload, Part, ReadOnly, Status, Upload


def _refuse(path: str) -> NoReturn:
    raise ReadOnly(path)


@implementer(IReadOnly)
@define(eq=False, slots=False)
class ReadOnlyUnderFileSystem(ForwardingUnderFileSystem):
    """``ufs`` for reading. Every write raises ReadOnly before a byte of it is taken."""

    def offers(self, interface: Any) -> Any:
        """Uploads are offered also where the store has none: else parts would be staged here, for nothing."""
        if interface is IMultipartUploads:
            return NoUploads()
        found = super().offers(interface)
        if found is None:
            return None
        if interface is IBucketContainer:
            return _Buckets(found)
        return _Updater() if interface is IAttributeUpdater else found

    async def create(self, path: str, attributes: Attributes, length: int | None) -> IObjectWriter:  # noqa: ARG002 - the interface's
        """Raises ReadOnly."""
        _refuse(path)

    async def delete(self, path: str, condition: WriteCondition) -> None:  # noqa: ARG002 - the interface's
        """Raises ReadOnly."""
        _refuse(path)


@implementer(IMultipartUploads)
@define(eq=False)
class NoUploads:
    """Uploads of which there are none, and none can be begun."""

    async def create_upload(self, upload: Upload) -> Upload:
        """Raises ReadOnly."""
        _refuse(upload.path)

    async def upload(self, path: str, upload_id: str) -> Upload:  # noqa: ARG002 - the interface's
        """Raises NoSuchUpload."""
        raise NoSuchUpload(path)

    async def uploads(self, prefix: str) -> Sequence[Upload]:  # noqa: ARG002 - the interface's
        """None."""
        return ()

    async def create_part(self, upload: Upload, number: int, length: int | None) -> IObjectWriter:  # noqa: ARG002 - the interface's
        """Raises ReadOnly."""
        _refuse(upload.path)

    async def parts(self, upload: Upload) -> Sequence[Part]:
        """Raises NoSuchUpload."""
        raise NoSuchUpload(upload.path)

    async def complete(self, upload: Upload, parts: Sequence[Part], attributes: Attributes, condition: WriteCondition) -> Status:  # noqa: ARG002
        """Raises ReadOnly."""
        _refuse(upload.path)

    async def completed(self, path: str, upload_id: str) -> Status | None:  # noqa: ARG002 - the interface's
        """None."""
        return None

    async def abort(self, upload: Upload) -> None:
        """Raises NoSuchUpload."""
        raise NoSuchUpload(upload.path)

    async def expire(self, before_ns: int) -> int:  # noqa: ARG002 - the interface's
        """None."""
        return 0


@define(eq=False, slots=False)
class _Buckets(ForwardingBuckets):
    async def create_bucket(self, name: str, attributes: Attributes) -> Status:  # noqa: ARG002 - the interface's
        _refuse(f"{name}/")

    async def delete_bucket(self, name: str) -> None:
        _refuse(f"{name}/")


@implementer(IAttributeUpdater)
@define(eq=False)
class _Updater:
    async def set_tags(self, path: str, tags: Mapping[str, str]) -> None:  # noqa: ARG002 - the interface's
        _refuse(path)
