"""Tags kept by the under-store itself, with the object that they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from zope.interface import implementer

from alluxio_s3.interfaces import IAttributeUpdater, IPluginFactory, ITagReader, ITagStore, IUnderFileSystem
from alluxio_s3.storage import Status, Unsupported
from alluxio_s3.threads import Threads


@implementer(ITagStore)
class CarriedTagStore:
    """Reads tags from an object's Status, or asks for them (``ITagReader``).

    It changes them where the under-store can (``IAttributeUpdater``).
    """

    travels: ClassVar[bool] = True

    async def get(self, ufs: IUnderFileSystem, status: Status) -> Mapping[str, str]:
        """The tags that ``status`` came with, or those that its path has now."""
        reader = ITagReader(ufs, None)
        return status.attributes.tags if reader is None else await reader.tags(status.path)

    async def put(self, ufs: IUnderFileSystem, status: Status, tags: Mapping[str, str]) -> None:
        """Have the under-store replace them. Raises NoSuchPath, Unsupported."""
        updater = IAttributeUpdater(ufs, None)
        if updater is not None:
            await updater.set_tags(status.path, tags)
        elif tags or status.attributes.tags:
            raise Unsupported(
                status.path,
                "The under-store of this bucket cannot change the tags of what it holds."
                " With the property alluxio.worker.s3.tag.store=embedded the daemon keeps them itself.",
            )

    async def close(self) -> None:
        """Nothing is held."""


@implementer(IPluginFactory)
class CarriedFactory:
    """Builds a ``CarriedTagStore``, which has no options of its own."""

    def build(self, options: Mapping[str, str], reactor: object, threads: Threads) -> CarriedTagStore:  # noqa: ARG002 it needs none
        """A new store."""
        return CarriedTagStore()
