"""Folders and buckets."""

from __future__ import annotations

import pytest

from alluxio_s3.interfaces import IBucketContainer
from alluxio_s3.s3.conditions import ALWAYS
from alluxio_s3.storage import AlreadyExists, Attributes, NoSuchPath, NotEmpty, PathConflict, Status
from alluxio_s3.testing.in_reactor import in_reactor
from alluxio_s3.testing.store_fixture import StoreFixture
from alluxio_s3.testing.workbench import Workbench, outcome_of, together


def container_of(store: Workbench) -> IBucketContainer:
    """The store as a container of buckets; skips the test where it isn't one, or is worked on as a mount."""
    container = IBucketContainer(store.ufs, None)
    if container is None or not store.prefix:
        pytest.skip("it is not mounted at /")
    return container


class FolderContract(StoreFixture):
    """What must hold of folders, and of buckets if the store can have them."""

    @in_reactor
    async def test_folder(self, store: Workbench) -> None:
        """A folder that was made is there, empty, with its attributes, and is not an object of its name without the slash."""
        made = await store.put("dir/", b"", Attributes(content_type="application/x-directory", user_metadata={"a": "b"}))
        status = await store.status("dir/")
        for one in (made, status):
            assert (one.path, one.size, one.is_folder) == (store.path("dir/"), 0, True)
            assert one.etag
            assert one.attributes.content_type == "application/x-directory"
            assert dict(one.attributes.user_metadata) == {"a": "b"}
        assert not await store.exists("dir")
        assert await store.keys({"dir/"}) == [("dir/", False)]
        assert await store.keys({"dir/"}, delimiter="/") == [("dir/", True)]
        assert isinstance(await outcome_of(store.get("dir/")), PathConflict)
        assert isinstance(await outcome_of(store.get("dir")), NoSuchPath | PathConflict)

    @in_reactor
    async def test_folder_in_a_folder(self, store: Workbench) -> None:
        """A folder needs no parent that is there, and may be made where objects are."""
        await store.put("x/y/z/")
        await store.put("a/b", b"1")
        await store.put("a/", b"", Attributes(user_metadata={"a": "b"}))
        assert dict((await store.status("a/")).attributes.user_metadata) == {"a": "b"}
        made = {"x/y/z/", "a/", "a/b"}
        assert await store.keys(made) == [("a/", False), ("a/b", False), ("x/y/z/", False)]

    @in_reactor
    async def test_making_it_again(self, store: Workbench) -> None:
        """Making a folder that is there replaces its attributes and nothing in it."""
        await store.put("dir/", b"", Attributes(user_metadata={"version": "1"}))
        await store.put("dir/a", b"1")
        await store.put("dir/", b"", Attributes(user_metadata={"version": "2"}))
        assert dict((await store.status("dir/")).attributes.user_metadata) == {"version": "2"}
        assert await store.get("dir/a") == b"1"

    @in_reactor
    async def test_an_aborted_folder(self, store: Workbench) -> None:
        """A folder is not there before its commit, nor after an abort."""
        writer = await store.ufs.create(store.path("dir/"), Attributes(), 0)
        assert not await store.exists("dir/")
        await writer.abort()
        assert not await store.exists("dir/")

    @in_reactor
    async def test_delete_folder(self, store: Workbench) -> None:
        """An empty folder goes; one that holds something loses its attributes only. Its own lasts until it is deleted."""
        await store.put("empty/")
        await store.put("full/", b"", Attributes(user_metadata={"a": "b"}))
        await store.put("full/a", b"1")
        await store.delete("full/a")
        assert await store.exists("full/")
        await store.put("full/a", b"1")
        await store.delete("empty/")
        await store.delete("full/")
        assert not await store.exists("empty/")
        assert await store.get("full/a") == b"1"
        left = await outcome_of(store.status("full/"))
        assert isinstance(left, NoSuchPath) or (isinstance(left, Status) and not left.attributes.user_metadata)
        assert await store.keys({"full/a"}) == [("full/a", False)]

    @in_reactor
    async def test_folder_and_object(self, store: Workbench) -> None:
        """Where an object is, making a folder of its name fails or both are there; neither harms the other."""
        await store.put("a", b"1")
        result = await outcome_of(store.put("a/"))
        assert isinstance(result, Status | PathConflict)
        assert await store.get("a") == b"1"
        await store.put("b/")
        result = await outcome_of(store.put("b", b"1"))
        assert isinstance(result, Status | PathConflict)
        assert await store.exists("b/")

    @in_reactor
    async def test_root(self, store: Workbench) -> None:
        """The root of the store is always there."""
        status = await store.ufs.status("")
        assert status.path == ""
        assert status.is_folder
        assert status.size == 0

    @in_reactor
    async def test_buckets(self, store: Workbench) -> None:
        """Buckets are made, found by name, listed in order, each with its owner and the time it was made."""
        container = container_of(store)
        before = {status.path for status in await container.buckets()}
        assert before == {store.prefix} - {""}
        made = await container.create_bucket("zoo", Attributes(owner="bob"))
        await container.create_bucket("a-bucket", Attributes(owner="carol"))
        assert (made.path, made.attributes.owner, made.is_folder) == ("zoo/", "bob", True)
        found = await container.buckets()
        assert [status.path for status in found] == sorted([*before, "a-bucket/", "zoo/"])
        assert [status.attributes.owner for status in found if status.path == "a-bucket/"] == ["carol"]
        assert (await container.bucket("zoo")).attributes.owner == "bob"

    @in_reactor
    async def test_bucket_keeps_its_birthday(self, store: Workbench) -> None:
        """A bucket's time and owner stay as they are when objects come and go in it."""
        container = container_of(store)
        made = await container.create_bucket("zoo", Attributes(owner="bob"))
        for key in ("a", "dir/b"):
            writer = await store.ufs.create(f"zoo/{key}", Attributes(owner="carol"), 0)
            await writer.commit(Attributes(owner="carol"), ALWAYS)
        await store.ufs.delete("zoo/a", ALWAYS)
        status = await container.bucket("zoo")
        assert (status.modified_ns, status.attributes.owner) == (made.modified_ns, "bob")

    @in_reactor
    async def test_one_bucket_of_a_name(self, store: Workbench) -> None:
        """A bucket is made once, also when several want it at the same time, and belongs to the one who made it."""
        container = container_of(store)
        users = ("alice", "bob", "carol", "dave")
        results = await together(*(outcome_of(container.create_bucket("zoo", Attributes(owner=user))) for user in users))
        winners = [user for user, result in zip(users, results, strict=True) if isinstance(result, Status)]
        assert len(winners) == 1
        assert sum(isinstance(result, AlreadyExists) for result in results) == 3
        assert (await container.bucket("zoo")).attributes.owner == winners[0]

    @in_reactor
    async def test_delete_bucket(self, store: Workbench) -> None:
        """An empty bucket can be removed, one with keys cannot, and a new one of its name starts afresh."""
        container = container_of(store)
        await container.create_bucket("zoo", Attributes(owner="bob"))
        writer = await store.ufs.create("zoo/dir/a", Attributes(), 0)
        await writer.commit(Attributes(), ALWAYS)
        with pytest.raises(NotEmpty):
            await container.delete_bucket("zoo")
        await store.ufs.delete("zoo/dir/a", ALWAYS)
        await container.delete_bucket("zoo")
        for work in (container.bucket("zoo"), container.delete_bucket("zoo"), store.ufs.create("zoo/a", Attributes(), 0)):
            assert isinstance(await outcome_of(work), NoSuchPath)
        await container.create_bucket("zoo", Attributes(owner="carol"))
        assert (await container.bucket("zoo")).attributes.owner == "carol"

    @in_reactor
    async def test_the_bucket_went_away(self, store: Workbench) -> None:
        """A commit into a bucket that was removed meanwhile is NoSuchPath, and does not bring it back."""
        container = container_of(store)
        await container.create_bucket("zoo", Attributes(owner="bob"))
        writer = await store.ufs.create("zoo/dir/a", Attributes(), 0)
        await container.delete_bucket("zoo")
        assert isinstance(await outcome_of(writer.commit(Attributes(), ALWAYS)), NoSuchPath)
        await writer.abort()
        assert isinstance(await outcome_of(container.bucket("zoo")), NoSuchPath)

    @in_reactor
    async def test_objects_are_no_buckets(self, store: Workbench) -> None:
        """An object at the root is not in the list of buckets."""
        container = container_of(store)
        before = [status.path for status in await container.buckets()]
        result = await outcome_of(store.ufs.create("object", Attributes(), 0))
        if not isinstance(result, Exception):
            await outcome_of(result.commit(Attributes(), ALWAYS))
        assert [status.path for status in await container.buckets()] == before
        assert isinstance(await outcome_of(container.bucket("object")), NoSuchPath)
