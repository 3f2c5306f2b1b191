"""Tag stores."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from attrs import frozen
from zope.interface.verify import verifyObject

from alluxio_s3.interfaces import ITagStore
from alluxio_s3.storage import Attributes, NoSuchPath, Status
from alluxio_s3.testing.in_reactor import in_reactor, wait_for
from alluxio_s3.testing.store_fixture import StoreFixture
from alluxio_s3.testing.workbench import Workbench, outcome_of, together

TAGS = {"colour": "blue", "é" * 128: "あ" * 256, "empty": "", "a=b&c": "+ %"}


@frozen
class Tagging:
    """A tag store with an under-store on the bench."""

    tags: ITagStore
    store: Workbench

    async def put(self, key: str, data: bytes, tags: dict[str, str]) -> Status:
        """Write an object with its tags, as the daemon does."""
        status = await self.store.put(key, data, Attributes(tags=tags if self.tags.travels else {}))
        if not self.tags.travels:
            await self.tags.put(self.store.ufs, status, tags)
        return status

    async def get(self, key: str) -> dict[str, str]:
        """The tags of what is at ``key`` now."""
        return dict(await self.tags.get(self.store.ufs, await self.store.status(key)))


class TagStoreContract(StoreFixture):
    """What must hold of a tag store. Subclass it and give ``make_tags`` and ``make_ufs``."""

    async def make_tags(self) -> ITagStore:
        """A tag store, fresh and empty. The suite closes it."""
        raise NotImplementedError("the contract suite of tag stores needs make_tags")

    @pytest.fixture
    def tagging(self, store: Workbench) -> Iterator[Tagging]:
        """The tag store, and the under-store whose tags it keeps."""
        tags = wait_for(self.make_tags())
        try:
            yield Tagging(tags, store)
        finally:
            wait_for(tags.close())

    @in_reactor
    async def test_tags_interface(self, tagging: Tagging) -> None:
        """The tag store has every method and attribute of its interface."""
        verifyObject(ITagStore, tagging.tags)
        assert tagging.tags.travels in (True, False)

    @in_reactor
    async def test_tags_with_the_object(self, tagging: Tagging) -> None:
        """Tags that were given with an object are those of the object, and of no other."""
        await tagging.put("a", b"1", TAGS)
        await tagging.put("b", b"1", {})
        assert await tagging.get("a") == TAGS
        assert await tagging.get("b") == {}

    @in_reactor
    async def test_replacing_tags(self, tagging: Tagging) -> None:
        """New tags replace all of the old ones; none removes them; the object stays as it is."""
        status = await tagging.put("a", b"12345", {"old": "1", "colour": "red"})
        for tags in ({"new": "2", "colour": "blue"}, TAGS, {}):
            await tagging.tags.put(tagging.store.ufs, await tagging.store.status("a"), tags)
            assert await tagging.get("a") == tags
        after = await tagging.store.status("a")
        assert (after.etag, after.size, after.modified_ns) == (status.etag, status.size, status.modified_ns)
        assert await tagging.store.get("a") == b"12345"

    @in_reactor
    async def test_tags_of_an_overwritten_object(self, tagging: Tagging) -> None:
        """The tags of an object that was overwritten or deleted never show on the one that follows it."""
        await tagging.put("a", b"12345", TAGS)
        await tagging.store.put("a", b"54321")
        assert await tagging.get("a") == {}
        await tagging.put("a", b"12345", TAGS)
        await tagging.store.delete("a")
        await tagging.store.put("a", b"12345")
        assert await tagging.get("a") == {}

    @in_reactor
    async def test_tags_of_folders_and_buckets(self, tagging: Tagging) -> None:
        """Folders, buckets and the root have tags of their own, which stay when objects come and go in them."""
        await tagging.store.put("dir/")
        paths = {tagging.store.path("dir/"), tagging.store.prefix, ""}
        for path in paths:
            await tagging.tags.put(tagging.store.ufs, await tagging.store.ufs.status(path), {"path": f"tags of {path}"})
        await tagging.store.put("dir/a", b"1")
        await tagging.store.put("b", b"1")
        await tagging.store.delete("b")
        for path in paths:
            assert dict(await tagging.tags.get(tagging.store.ufs, await tagging.store.ufs.status(path))) == {"path": f"tags of {path}"}
        assert await tagging.get("dir/a") == {}

    @in_reactor
    async def test_tags_of_nothing(self, tagging: Tagging) -> None:
        """Tags cannot be put on what is no longer there."""
        status = await tagging.put("a", b"1", {})
        await tagging.store.delete("a")
        assert isinstance(await outcome_of(tagging.tags.put(tagging.store.ufs, status, TAGS)), NoSuchPath)

    @in_reactor
    async def test_tags_at_the_same_time(self, tagging: Tagging) -> None:
        """Of several who put tags at once one is last, and its tags are there whole; other objects are not touched."""
        await together(*(tagging.put(f"key-{number}", b"1", {}) for number in range(10)))
        statuses = [await tagging.store.status(f"key-{number}") for number in range(10)]
        candidates = [{"one": str(number), "two": str(number)} for number in range(4)]
        await together(*(tagging.tags.put(tagging.store.ufs, status, tags) for status in statuses for tags in candidates))
        for number in range(10):
            assert await tagging.get(f"key-{number}") in candidates
