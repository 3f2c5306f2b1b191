"""Multipart uploads."""

from __future__ import annotations

from random import Random

import pytest
from attrs import evolve
from zope.interface.verify import verifyObject

from alluxio_s3.interfaces import IMultipartUploads, IRangeCopier
from alluxio_s3.s3.conditions import ALWAYS, WriteCondition
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.storage import Attributes, NoSuchUpload, Part, Status, Upload
from alluxio_s3.testing.commit_contract import ABSENT, code_of
from alluxio_s3.testing.in_reactor import in_reactor
from alluxio_s3.testing.object_contract import FULL, plain
from alluxio_s3.testing.store_fixture import StoreFixture
from alluxio_s3.testing.workbench import NO_ATTRIBUTES, Workbench, outcome_of, together


class Uploading:
    """The multipart uploads of a store; skips the test if it has none."""

    def __init__(self, store: Workbench) -> None:
        found = IMultipartUploads(store.ufs, None)
        if found is None:
            pytest.skip("it takes no multipart uploads")
        self.uploads: IMultipartUploads = found
        self.store = store

    async def begin(self, key: str, attributes: Attributes = NO_ATTRIBUTES) -> Upload:
        """Begin an upload to ``key``."""
        return await self.uploads.create_upload(Upload("", self.store.path(key), 0, attributes, owner="alice"))

    async def part(self, upload: Upload, number: int, data: bytes, *, length: bool = True, etag: str | None = None) -> Part:
        """Send a part, in two pieces; its ETag is one of the store's unless given."""
        writer = await self.uploads.create_part(upload, number, len(data) if length else None)
        try:
            for piece in (data[: len(data) // 3], data[len(data) // 3 :]):
                if piece:
                    await writer.write(piece)
            status = await writer.commit(Attributes(etag=etag or f"{number}-{len(data)}-{hash(data) & 0xFFFF}"), ALWAYS)
        finally:
            await writer.abort()
        assert (status.path, status.size) == ("", len(data))
        return Part(number, len(data), status.modified_ns, status.etag)

    async def complete(
        self, upload: Upload, parts: list[Part], attributes: Attributes = NO_ATTRIBUTES, condition: WriteCondition = ALWAYS
    ) -> Status:
        """Complete with ``parts``."""
        return await self.uploads.complete(upload, parts, attributes, condition)


class UploadContract(StoreFixture):
    """What must hold of multipart uploads, if the store takes them."""

    @in_reactor
    async def test_upload_life(self, store: Workbench) -> None:
        """Parts in any order become one object, in the order of their numbers, with the attributes given; then the upload is over."""
        work = Uploading(store)
        verifyObject(IMultipartUploads, work.uploads)
        upload = await work.begin("dir/a", FULL)
        assert (upload.path, upload.owner, plain(upload.attributes)) == (store.path("dir/a"), "alice", plain(FULL))
        data = {number: Random(number).randbytes(size) for number, size in ((7, 1), (1, 300_000), (3, 70_001), (2, 300_000))}  # noqa: S311 # same each run
        parts = [await work.part(upload, number, data[number]) for number in data]
        parts.sort(key=lambda part: part.number)
        assert [(part.number, part.size, part.etag) for part in await work.uploads.parts(upload)] == [
            (part.number, part.size, part.etag) for part in parts
        ]
        assert await store.keys({"dir/a"}) == []
        status = await work.complete(upload, parts, FULL)
        assert (status.path, status.size, status.etag) == (store.path("dir/a"), 670_002, FULL.etag)
        assert await store.get("dir/a") == b"".join(data[number] for number in sorted(data))
        assert plain((await store.status("dir/a")).attributes) == plain(FULL)
        for over in (work.uploads.upload(upload.path, upload.upload_id), work.complete(upload, parts), work.uploads.abort(upload)):
            assert isinstance(await outcome_of(over), NoSuchUpload)
        done = await work.uploads.completed(upload.path, upload.upload_id)
        assert done is not None
        assert (done.path, done.etag) == (upload.path, status.etag)

    @in_reactor
    async def test_subset(self, store: Workbench) -> None:
        """Only the parts that are listed go into the object."""
        work = Uploading(store)
        for chosen in ((1, 2), (2,), (1, 3), (2, 4), (1, 2, 3, 4)):
            upload = await work.begin("a")
            parts = [await work.part(upload, number, bytes([number]) * 1000) for number in (1, 2, 3, 4)]
            status = await work.complete(upload, [parts[number - 1] for number in chosen])
            assert await store.get("a") == b"".join(bytes([number]) * 1000 for number in chosen)
            assert status.size == 1000 * len(chosen)

    @in_reactor
    async def test_sending_a_part_again(self, store: Workbench) -> None:
        """The later part of a number counts, whatever its size; the earlier one stays until the later is whole."""
        work = Uploading(store)
        for size in (5, 10, 20):
            upload = await work.begin("a")
            first = await work.part(upload, 1, b"a" * 10)
            second = await work.part(upload, 2, b"b" * 10)
            writer = await work.uploads.create_part(upload, 1, size)
            await writer.write(b"x" * (size - 1))
            await writer.abort()
            assert (await work.uploads.parts(upload))[0].etag == first.etag
            again = await work.part(upload, 1, b"c" * size)
            assert [part.size for part in await work.uploads.parts(upload)] == [size, 10]
            assert code_of(await outcome_of(work.complete(upload, [first, second]))) == "InvalidPart"
            await work.complete(upload, [again, second])
            assert await store.get("a") == b"c" * size + b"b" * 10

    @in_reactor
    async def test_parts_of_any_kind(self, store: Workbench) -> None:
        """Parts may be empty, of unknown length, of high numbers, and all sent at once."""
        work = Uploading(store)
        upload = await work.begin("a")
        sizes = {1: 0, 2: 100_000, 3: 0, 500: 100_000, 9_999: 3, 10_000: 250_000}
        parts = await together(
            *(work.part(upload, number, bytes([number % 251]) * size, length=number % 2 == 0) for number, size in sizes.items())
        )
        assert [part.number for part in await work.uploads.parts(upload)] == sorted(sizes)
        await work.complete(upload, sorted(parts, key=lambda part: part.number))
        assert await store.get("a") == b"".join(bytes([number % 251]) * size for number, size in sizes.items())

    @in_reactor
    async def test_checksums_of_parts(self, store: Workbench) -> None:
        """A part is listed with the ETag and checksums that its commit was given."""
        work = Uploading(store)
        upload = await work.begin("a")
        writer = await work.uploads.create_part(upload, 4, None)
        await writer.write(b"1")
        await writer.commit(Attributes(etag="abc", checksums={"CRC32": "AAAAAA=="}), ALWAYS)
        [part] = await work.uploads.parts(upload)
        assert (part.number, part.size, part.etag, dict(part.checksums)) == (4, 1, "abc", {"CRC32": "AAAAAA=="})

    @in_reactor
    async def test_copied_parts(self, store: Workbench) -> None:
        """A part's writer that takes bytes from a reader takes exactly those."""
        work = Uploading(store)
        await store.put("source", bytes(range(256)) * 2000)
        upload = await work.begin("a")
        reader = await store.ufs.open(store.path("source"))
        parts = []
        for number, count, length in ((1, 100_000, 100_000), (2, 50_001, None)):
            writer = await work.uploads.create_part(upload, number, length)
            copier = IRangeCopier(writer, None)
            if copier is None or not await copier.copy_from(reader, 256, count):
                await writer.write((bytes(range(256)) * 2000)[256 : 256 + count])
            status = await writer.commit(Attributes(etag=str(number)), ALWAYS)
            parts.append(Part(number, count, 0, status.etag))
        await reader.close()
        await work.complete(upload, parts)
        assert await store.get("a") == (bytes(range(256)) * 2000)[256:100_256] + (bytes(range(256)) * 2000)[256:50_257]

    @in_reactor
    async def test_wrong_parts(self, store: Workbench) -> None:
        """A list with a part that is not there, or of another ETag, is InvalidPart, and the upload goes on."""
        work = Uploading(store)
        upload = await work.begin("a")
        part = await work.part(upload, 1, b"1")
        for wrong in (evolve(part, number=2), evolve(part, etag="other")):
            assert code_of(await outcome_of(work.complete(upload, [wrong]))) == "InvalidPart"
        assert not await store.exists("a")
        await work.complete(upload, [part])
        assert await store.get("a") == b"1"

    @in_reactor
    async def test_conditions_of_complete(self, store: Workbench) -> None:
        """When the condition fails nothing changes, and the upload can be completed or aborted later."""
        work = Uploading(store)
        old = await store.put("a", b"old")
        upload = await work.begin("a")
        parts = [await work.part(upload, number, b"new") for number in (1, 2)]
        for condition in (ABSENT, WriteCondition(if_match=("x",))):
            assert code_of(await outcome_of(work.complete(upload, parts, condition=condition))) == "PreconditionFailed"
            assert await store.get("a") == b"old"
            assert await work.uploads.completed(upload.path, upload.upload_id) is None
        parts.append(await work.part(upload, 3, b"!"))
        await work.complete(upload, parts, condition=WriteCondition(if_match=(old.etag,)))
        assert await store.get("a") == b"newnew!"

    @in_reactor
    async def test_one_end(self, store: Workbench) -> None:
        """Of completes and aborts at the same time exactly one ends the upload; the others find none."""
        work = Uploading(store)
        for _ in range(5):
            upload = await work.begin("a")
            parts = [await work.part(upload, number, b"x") for number in (1, 2)]
            ends = [work.complete(upload, parts), work.uploads.abort(upload), work.complete(upload, parts), work.uploads.abort(upload)]
            results = await together(*(outcome_of(end) for end in ends))
            winners = [result for result in results if not isinstance(result, NoSuchUpload)]
            assert len(winners) == 1, [code_of(result) for result in results]
            if isinstance(winners[0], Status):
                assert await store.get("a") == b"xx"
                await store.delete("a")
            assert not await store.exists("a")

    @in_reactor
    async def test_abort_upload(self, store: Workbench) -> None:
        """An aborted upload is gone with its parts; a part on its way finds that at its commit, and leaves nothing."""
        work = Uploading(store)
        upload = await work.begin("a")
        await work.part(upload, 1, b"1")
        writers = [await work.uploads.create_part(upload, number, length) for number, length in ((1, 1), (2, 1), (3, None))]
        for writer in writers:
            await writer.write(b"2")
        await work.uploads.abort(upload)
        for writer in writers:
            assert isinstance(await outcome_of(writer.commit(Attributes(etag="2"), ALWAYS)), NoSuchUpload)
            await writer.abort()
        for work_ in (work.uploads.abort(upload), work.uploads.parts(upload), work.uploads.create_part(upload, 1, None)):
            assert isinstance(await outcome_of(work_), NoSuchUpload)
        assert await work.uploads.uploads("") == []
        assert await work.uploads.completed(upload.path, upload.upload_id) is None
        assert await store.keys(()) == []

    @in_reactor
    async def test_unknown_uploads(self, store: Workbench) -> None:
        """An id that is not an upload's, or one of another path, is NoSuchUpload, whatever it looks like."""
        work = Uploading(store)
        upload = await work.begin("a")
        other = upload.upload_id[:-1] + ("A" if upload.upload_id[-1] != "A" else "B")
        for upload_id in ("", ".", "..", "../x", "a/b", "x" * 5000, "é", "\0", f"{upload.upload_id}/", other):
            assert isinstance(await outcome_of(work.uploads.upload(upload.path, upload_id)), NoSuchUpload)
            assert await work.uploads.completed(upload.path, upload_id) is None
            assert isinstance(await outcome_of(work.uploads.abort(evolve(upload, upload_id=upload_id))), NoSuchUpload)
        assert isinstance(await outcome_of(work.uploads.upload(store.path("b"), upload.upload_id)), NoSuchUpload)
        assert isinstance(await outcome_of(work.uploads.abort(evolve(upload, path=store.path("b")))), NoSuchUpload)
        assert (await work.uploads.upload(upload.path, upload.upload_id)).upload_id == upload.upload_id

    @in_reactor
    async def test_list_of_uploads(self, store: Workbench) -> None:
        """Uploads in progress are listed below a prefix, by path, then in the order they began, and never as objects."""
        work = Uploading(store)
        begun = [await work.begin(key) for key in ("b", "dir/b", "a", "b", "dir/é", "dirt", "b")]
        key_of = {one.upload_id: one.path for one in begun}
        listed = await work.uploads.uploads(store.prefix)
        assert [one.path[len(store.prefix) :] for one in listed] == ["a", "b", "b", "b", "dir/b", "dir/é", "dirt"]
        assert [one.upload_id for one in listed if one.path == store.path("b")] == [begun[place].upload_id for place in (0, 3, 6)]
        assert all(key_of[one.upload_id] == one.path for one in listed)
        assert len(key_of) == 7
        assert [one.path for one in await work.uploads.uploads(store.path("dir/"))] == [store.path("dir/b"), store.path("dir/é")]
        assert await work.uploads.uploads(store.path("x")) == []
        assert await store.keys(()) == []

    @in_reactor
    async def test_expiry(self, store: Workbench) -> None:
        """Uploads in which nothing happened since a time are aborted, the others stay."""
        work = Uploading(store)
        upload = await work.begin("a")
        part = await work.part(upload, 1, b"1")
        assert await work.uploads.expire(upload.initiated_ns - 10**9) == 0
        assert (await work.uploads.parts(upload))[0].etag == part.etag
        assert await work.uploads.expire(part.modified_ns + 10**12) == 1
        assert isinstance(await outcome_of(work.uploads.upload(upload.path, upload.upload_id)), NoSuchUpload)

    @in_reactor
    async def test_uploads_to_one_key(self, store: Workbench) -> None:
        """Two uploads to one key don't touch each other; the one that completes last is what is read."""
        work = Uploading(store)
        one, two = await work.begin("a"), await work.begin("a")
        parts = [await work.part(upload, 1, data) for upload, data in ((one, b"one"), (two, b"two"))]
        await work.complete(two, [parts[1]])
        await work.complete(one, [parts[0]])
        assert await store.get("a") == b"one"

    @in_reactor
    async def test_completing_onto_a_conflict(self, store: Workbench) -> None:
        """When the object cannot be published the upload stays, and what is in the way too."""
        work = Uploading(store)
        upload = await work.begin("a/b")
        part = await work.part(upload, 1, b"1")
        await store.put("a", b"in the way")
        result = await outcome_of(work.complete(upload, [part]))
        assert await store.get("a") == b"in the way"
        if not isinstance(result, Status):
            assert not isinstance(result, S3Error)
            await store.delete("a")
            await work.complete(upload, [part])
        assert await store.get("a/b") == b"1"
