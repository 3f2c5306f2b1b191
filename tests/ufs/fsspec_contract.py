"""What a store on fsspec keeps of the contract: all, but that ETags are its own."""

from __future__ import annotations

import pytest
from attrs import evolve
from twisted.internet import reactor

from alluxio_s3.s3.conditions import ALWAYS, WriteCondition
from alluxio_s3.storage import Attributes, ObjectChanged, Status
from alluxio_s3.testing import listing_contract, object_contract
from alluxio_s3.testing.commit_contract import ABSENT, cancelled, code_of
from alluxio_s3.testing.in_reactor import in_reactor
from alluxio_s3.testing.object_contract import FULL, plain, same_version
from alluxio_s3.testing.ufs_contract import UfsContract
from alluxio_s3.testing.workbench import ODD_NAMES, Workbench, outcome_of, read, together
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.fsspec_store.filesystem import FsspecFactory

KEPT = evolve(FULL, etag=None)


class FsspecContract(UfsContract):
    """In the store of the URI that ``place`` gives, fresh for each test."""

    buckets = True
    # Some libraries parse a path as a URL, and so lose line ends.
    odd_names = ODD_NAMES

    def place(self):
        """The options of a fresh place, ``uri`` among them."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def threads(self, monkeypatch):
        for suite in (listing_contract, object_contract):
            monkeypatch.setattr(suite, "ODD_NAMES", self.odd_names)
        self.pool = Threads(reactor, 8, "store")
        self.pool.start()
        yield
        self.pool.stop()

    async def make_ufs(self):
        return FsspecFactory().build({"buckets": str(self.buckets).lower(), **self.place()}, reactor, self.pool)

    async def make_place(self, ufs):
        return await super().make_place(ufs) if self.buckets else ""

    @in_reactor
    async def test_attributes(self, store: Workbench) -> None:
        """Attributes come back as they were given, but for the ETag, from commit, status and reader; a listing tells the same ETag."""
        committed = await store.put("a", b"12345", FULL)
        assert plain(committed.attributes) == plain(KEPT)
        assert "-" in committed.etag
        assert same_version(committed, await store.status("a"))
        reader = await store.ufs.open(store.path("a"))
        assert same_version(committed, reader.status)
        await reader.close()
        [entry] = (await store.page("a")).entries
        assert isinstance(entry, Status)
        assert (entry.size, entry.etag, entry.modified_ns) == (5, committed.etag, committed.modified_ns)

    @in_reactor
    async def test_attributes_of_commit_win(self, store: Workbench) -> None:
        """The object has the attributes that commit was given, whatever was known before the bytes."""
        writer = await store.ufs.create(store.path("a"), Attributes(content_type="text/plain", user_metadata={"a": "b"}), None)
        await writer.write(b"1")
        await writer.commit(Attributes(content_type="text/html", etag="abc"), ALWAYS)
        assert plain((await store.status("a")).attributes) == plain(Attributes(content_type="text/html"))

    @in_reactor
    async def test_conditions(self, store: Workbench) -> None:
        """A commit or delete happens if its condition holds of what is there then, and else changes nothing."""
        assert code_of(await outcome_of(store.put("a", b"0", condition=WriteCondition(if_match=("x",))))) == "NoSuchKey"
        assert code_of(await outcome_of(store.put("a", b"0", condition=WriteCondition(if_match=("*",))))) == "NoSuchKey"
        assert not await store.exists("a")
        first = await store.put("a", b"1", condition=ABSENT)
        for condition in (ABSENT, WriteCondition(if_match=("x",)), WriteCondition(if_none_match=(first.etag,))):
            attributes = Attributes(user_metadata={"version": "refused"})
            assert code_of(await outcome_of(store.put("a", b"refused", attributes, condition))) == "PreconditionFailed"
            assert same_version(await store.status("a"), first)
            assert await store.get("a") == b"1"
            assert code_of(await outcome_of(store.delete("a", condition))) == "PreconditionFailed"
            assert same_version(await store.status("a"), first)
        second = await store.put("a", b"2", condition=WriteCondition(if_match=("x", first.etag)))
        third = await store.put("a", b"3", condition=WriteCondition(if_match=("*",), if_none_match=(first.etag,)))
        assert code_of(await outcome_of(store.delete("a", WriteCondition(if_match=(second.etag,))))) == "PreconditionFailed"
        await store.delete("a", WriteCondition(if_match=(third.etag,), if_size=1))
        assert not await store.exists("a")

    @in_reactor
    async def test_readers_see_whole_versions(self, store: Workbench) -> None:
        """While an object is replaced again and again every reader gets one version: its attributes, all of its bytes, or ObjectChanged."""

        async def replace(letter: str) -> None:
            for size in (1, 70_000, 300_000, 2, 70_001, 300_001):
                await store.put("a", letter.encode() * size, Attributes(user_metadata={"is": f"{letter}-{size}"}))

        async def watch() -> None:
            for _ in range(12):
                reader = await store.ufs.open(store.path("a"))
                data = await outcome_of(read(reader, 0, reader.status.size))
                await reader.close()
                if isinstance(data, bytes):
                    assert f"{data[:1].decode()}-{len(data)}" == reader.status.attributes.user_metadata["is"]
                    assert data == data[:1] * len(data)
                else:
                    assert isinstance(data, ObjectChanged)

        await store.put("a", b"z", Attributes(user_metadata={"is": "z-1"}))
        await together(*(replace(letter) for letter in "xyz"), *(watch() for _ in range(3)))

    @in_reactor
    async def test_cancelled_commits(self, store: Workbench) -> None:
        """After a commit that was given up the object is the old or the new one, whole, and can be replaced."""
        await store.put("a", b"old", Attributes(user_metadata={"is": "old"}))
        writer = await store.ufs.create(store.path("a"), Attributes(), None)
        await writer.write(b"a new version")
        await cancelled(writer.commit(Attributes(user_metadata={"is": "new"}), ALWAYS))
        await writer.abort()
        reader = await store.ufs.open(store.path("a"))
        data = await outcome_of(read(reader, 0, reader.status.size))
        known = {b"old": "old", b"a new version": "new"}
        assert isinstance(data, ObjectChanged) or known[data] == reader.status.attributes.user_metadata["is"]
        await reader.close()
        await store.put("a", b"b")
        assert await store.get("a") == b"b"
