"""The under-store on S3 keeps the contract, as far as S3 lets it; what differs is in docs/understores.md."""

from __future__ import annotations

import pytest
from attrs import evolve
from twisted.internet import reactor

from alluxio_s3.s3.conditions import ALWAYS, WriteCondition
from alluxio_s3.storage import Attributes, NoSuchPath, Status
from alluxio_s3.testing import listing_contract, object_contract
from alluxio_s3.testing.commit_contract import ABSENT, cancelled, code_of
from alluxio_s3.testing.in_reactor import in_reactor
from alluxio_s3.testing.object_contract import FULL, plain, same_version
from alluxio_s3.testing.ufs_contract import UfsContract
from alluxio_s3.testing.upload_contract import Uploading
from alluxio_s3.testing.workbench import ODD_NAMES, Workbench, outcome_of, read
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.s3.filesystem import S3Factory

# What S3 keeps of FULL: the ETag is its own, checksums are of the bytes, and sizes of parts and an owner it does not know.
KEPT = evolve(FULL, etag=None, checksums={}, checksum_type=None, part_sizes=(), owner=None)
FULL_OF_12345 = evolve(FULL, etag="827ccb0eea8a706c4c34a16891f84e7b", checksums={"CRC32": "y/U6HA=="}, checksum_type="FULL_OBJECT")


class S3Contract(UfsContract):
    """In a fresh bucket of moto's."""

    buckets = True
    prefix = ""
    keeps_checksums = True
    longest_tag = 128, 256

    @pytest.fixture(autouse=True)
    def server(self, moto, monkeypatch):
        self.moto = moto
        # moto loses line ends and DEL of a path.
        for suite in (listing_contract, object_contract):
            monkeypatch.setattr(suite, "ODD_NAMES", tuple(name for name in ODD_NAMES if name.isprintable()))
        self.threads = Threads(reactor, 8, "store")
        self.threads.start()
        yield
        self.threads.stop()

    async def make_ufs(self):
        options = {
            "uri": f"s3://{self.moto.make_bucket()}{self.prefix}",
            "buckets": str(self.buckets).lower(),
            "s3a.accessKeyId": "AKIAIOSFODNN7EXAMPLE",
            "s3a.secretKey": "secret",
            "alluxio.underfs.s3.endpoint": self.moto.endpoint,
        }
        return S3Factory().build(options, reactor, self.threads)

    async def make_place(self, ufs):
        return await super().make_place(ufs) if self.buckets else ""

    @in_reactor
    async def test_attributes(self, store: Workbench) -> None:
        """Attributes come back as they were given; the ETag is the store's, which for an object that was put whole is its MD5."""
        committed = await store.put("a", b"12345", FULL_OF_12345)
        status = await store.status("a")
        assert committed.etag == status.etag == "827ccb0eea8a706c4c34a16891f84e7b"
        assert committed.validator == status.validator
        checksums = {"checksums": {"CRC32": "y/U6HA=="}, "checksum_type": "FULL_OBJECT"} if self.keeps_checksums else {}
        assert plain(status.attributes) == plain(evolve(KEPT, **checksums))
        reader = await store.ufs.open(store.path("a"))
        assert same_version(status, reader.status)
        await reader.close()
        [entry] = (await store.page("a")).entries
        assert isinstance(entry, Status)
        assert (entry.size, entry.etag, entry.modified_ns) == (5, status.etag, status.modified_ns)

    @in_reactor
    async def test_attributes_of_commit_win(self, store: Workbench) -> None:
        """The object has the attributes that commit was given, whatever was known before the bytes."""
        writer = await store.ufs.create(store.path("a"), Attributes(content_type="text/plain", user_metadata={"a": "b"}), None)
        await writer.write(b"1")
        await writer.commit(Attributes(content_type="text/html"), ALWAYS)
        assert plain((await store.status("a")).attributes) == plain(Attributes(content_type="text/html"))

    @in_reactor
    async def test_tags_travel_with_the_object(self, store: Workbench) -> None:
        """Ten tags of the longest go with the object, and they go with it; they are asked for apart from its Status."""
        key, value = self.longest_tag
        tags = {f"{number}{'é' * (key - 1)}": "あ" * value for number in range(10)}
        await store.put("a", b"1", evolve(KEPT, tags=tags))
        assert dict(await store.ufs.tags(store.path("a"))) == tags
        await store.put("a", b"2")
        assert not await store.ufs.tags(store.path("a"))

    @in_reactor
    async def test_tags_can_change_in_place(self, store: Workbench) -> None:
        """set_tags changes the tags and nothing else, of objects, folders, buckets and the root."""
        before = await store.put("a", b"12345", KEPT)
        await store.put("dir/")
        for path in {store.path("a"), store.path("dir/"), store.prefix, ""}:
            await store.ufs.set_tags(path, {"colour": "blue", "é": ""})
            assert dict(await store.ufs.tags(path)) == {"colour": "blue", "é": ""}
        after = await store.status("a")
        assert (after.size, after.etag, plain(after.attributes)) == (before.size, before.etag, plain(KEPT))
        await store.ufs.set_tags(store.path("a"), {})
        assert not await store.ufs.tags(store.path("a"))
        for work in (store.ufs.set_tags(store.path("nothing"), {"a": "b"}), store.ufs.tags(store.path("nothing"))):
            assert isinstance(await outcome_of(work), NoSuchPath)

    @in_reactor
    async def test_derived_etags(self, store: Workbench) -> None:
        """An object's ETag stays while it stays, and changes with its bytes."""
        first = await store.put("a", b"12345")
        assert (await store.status("a")).etag == first.etag == "827ccb0eea8a706c4c34a16891f84e7b"
        assert (await store.put("a", b"54321")).etag != first.etag

    @in_reactor
    async def test_conditions(self, store: Workbench) -> None:
        """A commit or delete happens if its condition holds of what is there then, and else changes nothing."""
        assert code_of(await outcome_of(store.put("a", b"0", condition=WriteCondition(if_match=("x",))))) == "NoSuchKey"
        assert code_of(await outcome_of(store.put("a", b"0", condition=WriteCondition(if_match=("*",))))) == "NoSuchKey"
        assert not await store.exists("a")
        first = await store.put("a", b"1", condition=ABSENT)
        for condition in (ABSENT, WriteCondition(if_match=("x",)), WriteCondition(if_none_match=(first.etag,))):
            assert code_of(await outcome_of(store.put("a", b"refused", condition=condition))) == "PreconditionFailed"
            assert await store.get("a") == b"1"
            assert code_of(await outcome_of(store.delete("a", condition))) == "PreconditionFailed"
            assert await store.get("a") == b"1"
        second = await store.put("a", b"2", condition=WriteCondition(if_match=("x", first.etag)))
        third = await store.put("a", b"3", condition=WriteCondition(if_match=("*",), if_none_match=(first.etag,)))
        assert code_of(await outcome_of(store.delete("a", WriteCondition(if_match=(second.etag,))))) == "PreconditionFailed"
        await store.delete("a", WriteCondition(if_match=(third.etag,), if_size=1))
        assert not await store.exists("a")

    @in_reactor
    async def test_readers_see_whole_versions(self, store: Workbench) -> None:
        """Every reader gets one version, whole, or is told that it changed: of bytes that are read later the ETag is the judge."""
        await store.put("a", b"x" * 300_000)
        reader = await store.ufs.open(store.path("a"))
        pieces = reader.read(0, 300_000)
        await store.put("a", b"y" * 300_000)
        data = await outcome_of(_joined(pieces))
        assert not isinstance(data, bytes)
        await store.put("a", b"x" * 300_000)
        assert await outcome_of(_joined(reader.read(5, 100_000))) == b"x" * 100_000

    @in_reactor
    async def test_cancelled_commits(self, store: Workbench) -> None:
        """After a commit that was given up the object is the old or the new one, whole, and can be replaced."""
        await store.put("a", b"old")
        writer = await store.ufs.create(store.path("a"), Attributes(), None)
        await writer.write(b"a new version")
        await cancelled(writer.commit(Attributes(), ALWAYS))
        await writer.abort()
        reader = await store.ufs.open(store.path("a"))
        assert await read(reader, 0, reader.status.size) in {b"old", b"a new version"}
        await reader.close()
        await store.put("a", b"b")
        assert await store.get("a") == b"b"

    @in_reactor
    async def test_upload_life(self, store: Workbench) -> None:
        """Parts in any order become one object, in the order of their numbers, with the attributes it was begun with."""
        work = Uploading(store)
        begun = evolve(KEPT, tags={"colour": "blue"})
        upload = await work.begin("dir/a", begun)
        assert (upload.path, upload.owner, plain(upload.attributes)) == (store.path("dir/a"), "alice", plain(begun))
        data = {number: bytes([number]) * size for number, size in ((7, 1), (1, 300_000), (3, 70_001), (2, 300_000))}
        parts = sorted([await work.part(upload, number, data[number]) for number in data], key=lambda part: part.number)
        listed = await work.uploads.parts(upload)
        assert [(part.number, part.size, part.etag) for part in listed] == [(part.number, part.size, part.etag) for part in parts]
        assert await store.keys({"dir/a"}) == []
        status = await work.complete(upload, parts, begun)
        assert (status.path, status.size, status.etag) == (store.path("dir/a"), 670_002, (await store.status("dir/a")).etag)
        assert await store.get("dir/a") == b"".join(data[number] for number in sorted(data))
        assert plain((await store.status("dir/a")).attributes) == plain(KEPT)
        assert await store.ufs.tags(store.path("dir/a")) == {"colour": "blue"}
        for over in (work.uploads.upload(upload.path, upload.upload_id), work.complete(upload, parts), work.uploads.abort(upload)):
            assert code_of(await outcome_of(over)) == "NoSuchUpload"
        done = await work.uploads.completed(upload.path, upload.upload_id)
        assert done is not None
        assert (done.path, done.etag) == (upload.path, status.etag)

    @in_reactor
    async def test_checksums_of_parts(self, store: Workbench) -> None:
        """A part is listed with the ETag that the store gives it, and its checksum if the store keeps that."""
        work = Uploading(store)
        upload = await work.begin("a")
        writer = await work.uploads.create_part(upload, 4, None)
        await writer.write(b"1")
        await writer.commit(Attributes(etag="c4ca4238a0b923820dcc509a6f75849b", checksums={"CRC32": "g9ztrw=="}), ALWAYS)
        [part] = await work.uploads.parts(upload)
        assert (part.number, part.size, part.etag) == (4, 1, "c4ca4238a0b923820dcc509a6f75849b")


async def _joined(pieces):
    return b"".join([piece async for piece in pieces])


class TestRoot(S3Contract):
    """A prefix in a bucket, whose top-level prefixes are buckets."""

    prefix = "/some/where"


class TestMount(S3Contract):
    """A bucket as a bucket."""

    buckets = False
