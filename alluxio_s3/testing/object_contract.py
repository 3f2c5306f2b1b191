"""Objects: their bytes, attributes, names, readers."""

from __future__ import annotations

import os
from random import Random

import pytest
from attrs import evolve
from zope.interface.verify import verifyObject

from alluxio_s3.interfaces import (
    IAttributeUpdater,
    IEagerReading,
    IFileBacked,
    IObjectReader,
    IObjectWriter,
    IRangeCopier,
    IUnderFileSystem,
)
from alluxio_s3.s3.conditions import ALWAYS
from alluxio_s3.storage import Attributes, NoSuchPath, ObjectChanged, PathConflict, PathTooLong, Status
from alluxio_s3.testing.in_reactor import in_reactor
from alluxio_s3.testing.store_fixture import StoreFixture
from alluxio_s3.testing.workbench import ODD_NAMES, Workbench, outcome_of, read

FULL = Attributes(
    content_type="text/plain; charset=utf-8",
    headers={"cache-control": "no-cache", "content-disposition": 'attachment; filename="é.txt"'},
    user_metadata={"colour": "blue", "name": "Grüße 😀", "long": "x" * 1900},
    etag="9e107d9d372bb6826bd81d3542a419d6-2",
    checksums={"CRC32": "AAAAAA==-2", "SHA256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="},
    checksum_type="COMPOSITE",
    part_sizes=(5 << 20, 17),
    owner="alice",
)


def plain(attributes: Attributes) -> Attributes:
    """The same with ordinary dictionaries, so that equal means equal."""
    return evolve(
        attributes,
        headers=dict(attributes.headers),
        user_metadata=dict(attributes.user_metadata),
        tags=dict(attributes.tags),
        checksums=dict(attributes.checksums),
    )


def same_version(one: Status, other: Status) -> bool:
    """Whether both describe the same version of the same object, in all that clients see."""
    facts = [(s.path, s.size, s.modified_ns, s.etag, s.validator, plain(s.attributes)) for s in (one, other)]
    return facts[0] == facts[1]


class ObjectContract(StoreFixture):
    """What must hold of one object at a time."""

    @in_reactor
    async def test_interfaces(self, store: Workbench) -> None:
        """The store, its readers and its writers have every method and attribute of their interfaces."""
        verifyObject(IUnderFileSystem, store.ufs)
        writer = await store.ufs.create(store.path("a"), Attributes(), 0)
        verifyObject(IObjectWriter, writer)
        await writer.commit(Attributes(), ALWAYS)
        reader = await store.ufs.open(store.path("a"))
        verifyObject(IObjectReader, reader)
        await reader.close()

    @in_reactor
    async def test_round_trip(self, store: Workbench) -> None:
        """What was written is read back, byte for byte, whatever the pieces it came in."""
        random = Random(1)  # noqa: S311 # the same bytes in every run
        for number, sizes in enumerate([(0,), (1,), (1, 0, 70_000), (1 << 20, 1 << 20, 3), (65_536, 65_537)]):
            pieces = [random.randbytes(size) for size in sizes]
            status = await store.put(f"key-{number}", pieces)
            assert status.size == sum(sizes)
            assert await store.get(f"key-{number}") == b"".join(pieces)

    @in_reactor
    async def test_length_is_optional(self, store: Workbench) -> None:
        """The length need not be known beforehand."""
        writer = await store.ufs.create(store.path("a"), Attributes(), None)
        await writer.write(b"some")
        await writer.write(b"thing")
        await writer.commit(Attributes(), ALWAYS)
        assert await store.get("a") == b"something"

    @in_reactor
    async def test_ranges(self, store: Workbench) -> None:
        """A reader gives exactly the bytes of a range, also none, in any order, more than once."""
        random = Random(2)  # noqa: S311 # the same ranges in every run
        data = random.randbytes(700_001)
        await store.put("a", data)
        reader = await store.ufs.open(store.path("a"))
        for _ in range(25):
            offset = random.randrange(len(data) + 1)
            count = random.randrange(len(data) - offset + 1)
            assert await read(reader, offset, count) == data[offset : offset + count]
        assert await read(reader, len(data), 0) == b""
        assert await read(reader, 0, len(data)) == data
        await reader.close()
        await reader.close()

    @in_reactor
    async def test_eager_reading(self, store: Workbench) -> None:
        """Whatever was announced, a reader gives exactly the bytes of a range; what is not there is not opened; none has to be read."""
        eager = IEagerReading(store.ufs, None)
        if eager is None:
            pytest.skip("it is asked for bytes when they are read")
        random = Random(3)  # noqa: S311 # as above
        data = random.randbytes(300_001)
        await store.put("a", data)
        await store.put("empty", b"")
        for offset, count in ((0, None), (0, 10), (5, 100_000), (300_000, None), (300_000, 10), (len(data), None), (10**9, 1)):
            reader = await eager.open_reading(store.path("a"), offset, count)
            assert reader.status.size == len(data)
            end = len(data) if count is None else min(offset + count, len(data))
            if offset < end:
                assert await read(reader, offset, end - offset) == data[offset:end]
            assert await read(reader, 7, 11) == data[7:18]
            await reader.close()
            await (await eager.open_reading(store.path("a"), offset, count)).close()
            empty = await eager.open_reading(store.path("empty"), offset, count)
            assert await read(empty, 0, empty.status.size) == b""
            await empty.close()
            assert isinstance(await outcome_of(eager.open_reading(store.path("nothing"), offset, count)), NoSuchPath)

    @in_reactor
    async def test_reading_may_stop_early(self, store: Workbench) -> None:
        """A range may be left half read, and the reader still be used and closed."""
        data = bytes(3 << 20)
        await store.put("a", data)
        reader = await store.ufs.open(store.path("a"))
        pieces = reader.read(0, len(data))
        assert await anext(aiter(pieces))
        await pieces.aclose()  # type: ignore[attr-defined]  # every reader's iterator is a generator, or has its aclose
        assert await read(reader, 5, 7) == data[5:12]
        await reader.close()

    @in_reactor
    async def test_file_backed_readers(self, store: Workbench) -> None:
        """A reader with a file descriptor has the object's bytes in that file at the same offsets."""
        await store.put("a", b"0123456789")
        reader = await store.ufs.open(store.path("a"))
        backed = IFileBacked(reader, None)
        try:
            if backed is None:
                pytest.skip("its readers are not files")
            assert os.pread(backed.fileno(), 4, 3) == b"3456"
            assert os.fstat(backed.fileno()).st_size == 10
        finally:
            await reader.close()

    @in_reactor
    async def test_attributes(self, store: Workbench) -> None:
        """Attributes come back as they were given, from commit, status, listing and reader alike."""
        committed = await store.put("a", b"12345", FULL)
        assert plain(committed.attributes) == plain(FULL)
        assert committed.etag == FULL.etag
        assert same_version(committed, await store.status("a"))
        reader = await store.ufs.open(store.path("a"))
        assert same_version(committed, reader.status)
        await reader.close()
        [entry] = (await store.page("a")).entries
        assert isinstance(entry, Status)
        assert (entry.size, entry.etag, entry.modified_ns) == (5, FULL.etag, committed.modified_ns)

    @in_reactor
    async def test_attributes_of_commit_win(self, store: Workbench) -> None:
        """The object has the attributes that commit was given, whatever was known before the bytes."""
        writer = await store.ufs.create(store.path("a"), Attributes(content_type="text/plain", user_metadata={"a": "b"}), None)
        await writer.write(b"1")
        await writer.commit(Attributes(content_type="text/html", etag="abc"), ALWAYS)
        status = await store.status("a")
        assert plain(status.attributes) == plain(Attributes(content_type="text/html", etag="abc"))

    @in_reactor
    async def test_tags_travel_with_the_object(self, store: Workbench) -> None:
        """A store that keeps tags takes ten of the longest with the object, and they go with it."""
        if IAttributeUpdater(store.ufs, None) is None:
            pytest.skip("it keeps no tags")
        tags = {f"{number}{'é' * 127}": "あ" * 256 for number in range(10)}
        await store.put("a", b"1", evolve(FULL, tags=tags))
        assert dict((await store.status("a")).attributes.tags) == tags
        await store.put("a", b"2")
        assert not (await store.status("a")).attributes.tags

    @in_reactor
    async def test_tags_can_change_in_place(self, store: Workbench) -> None:
        """set_tags changes the tags and nothing else, of objects, folders, buckets and the root."""
        updater = IAttributeUpdater(store.ufs, None)
        if updater is None:
            pytest.skip("it keeps no tags")
        before = await store.put("a", b"12345", FULL)
        await store.put("dir/")
        reader = await store.ufs.open(store.path("a"))
        for path in {store.path("a"), store.path("dir/"), store.prefix, ""}:
            await updater.set_tags(path, {"colour": "blue", "é": ""})
            assert dict((await store.ufs.status(path)).attributes.tags) == {"colour": "blue", "é": ""}
        after = await store.status("a")
        assert (after.size, after.etag, after.modified_ns) == (before.size, before.etag, before.modified_ns)
        assert plain(evolve(after.attributes, tags={})) == plain(before.attributes)
        assert await read(reader, 0, 5) == b"12345"
        await reader.close()
        await updater.set_tags(store.path("a"), {})
        assert not (await store.status("a")).attributes.tags
        with pytest.raises(NoSuchPath):
            await updater.set_tags(store.path("nothing"), {"a": "b"})

    @in_reactor
    async def test_derived_etags(self, store: Workbench) -> None:
        """Without an ETag of its own an object has one that stays while it stays, changes with its bytes, and is no MD5."""
        first = await store.put("a", b"12345")
        assert first.etag
        assert '"' not in first.etag
        assert not (len(first.etag) == 32 and set(first.etag) <= set("0123456789abcdef"))
        assert (await store.status("a")).etag == first.etag
        second = await store.put("a", b"54321")
        assert second.etag != first.etag

    @in_reactor
    async def test_validators(self, store: Workbench) -> None:
        """Each version has its own validator, however quickly it replaced another of the same size and ETag."""
        seen = set()
        for number in range(20):
            status = await store.put("a", b"%05d" % number, Attributes(etag="same"))
            assert (await store.status("a")).validator == status.validator
            seen.add(status.validator)
        assert len(seen) == 20

    @in_reactor
    async def test_a_reader_keeps_its_version(self, store: Workbench) -> None:
        """An open reader gives the bytes it was opened on, or ObjectChanged, but never another version's, nor fewer."""
        old = bytes(2 << 20)
        for key, ending in (("replaced", store.put("replaced", b"\1" * len(old))), ("deleted", None)):
            status = await store.put(key, old)
            reader = await store.ufs.open(store.path(key))
            await (ending if ending is not None else store.delete(key))
            assert same_version(reader.status, status)
            result = await outcome_of(read(reader, 0, len(old)))
            assert isinstance(result, ObjectChanged) or result == old
            await reader.close()

    @in_reactor
    async def test_missing(self, store: Workbench) -> None:
        """What is not there is NoSuchPath: beside an object, below one, in a folder that is not there."""
        await store.put("object", b"1")
        for key in ("a", "a/", "a/b/c", "object/", "object/a", "objec", "objects"):
            for work in (store.status(key), store.delete(key)):
                assert isinstance(await outcome_of(work), NoSuchPath), key
            if not key.endswith("/"):
                assert isinstance(await outcome_of(store.get(key)), NoSuchPath), key

    @in_reactor
    async def test_delete(self, store: Workbench) -> None:
        """Deleting removes that object, and no other."""
        for key in ("a", "a-b", "dir/a", "dir/b"):
            await store.put(key, key.encode())
        await store.delete("a")
        await store.delete("dir/a")
        assert not await store.exists("a")
        assert await store.keys({"a-b", "dir/b"}) == [("a-b", False), ("dir/b", False)]
        assert await store.get("dir/b") == b"dir/b"
        await store.delete("dir/b")
        await store.put("dir/a", b"again")
        assert await store.get("dir/a") == b"again"

    @in_reactor
    async def test_odd_names(self, store: Workbench) -> None:
        """A key may hold any character; two that differ in one byte are two keys."""
        keys = [*(f"top {name}" for name in ODD_NAMES), *(f"dir {name}/{name}" for name in ODD_NAMES)]
        for key in keys:
            await store.put(key, key.encode())
        for key in keys:
            assert (await store.status(key)).path == store.path(key)
            assert await store.get(key) == key.encode()
        assert await store.keys(keys) == [(key, False) for key in sorted(keys, key=str.encode)]

    @in_reactor
    async def test_long_names(self, store: Workbench) -> None:
        """Keys of 1,024 bytes work while their segments are at most 255; a longer segment works too, or is PathTooLong."""
        long = "/".join(["s" * 255] * 4)
        await store.put(long[:1000], b"long")
        assert await store.get(long[:1000]) == b"long"
        for key in ("x" * 256, "é" * 128, "dir/" + "x" * 900, "あ" * 341):
            result = await outcome_of(store.put(key, b"1"))
            if isinstance(result, Status):
                assert await store.get(key) == b"1"
            else:
                assert isinstance(result, PathTooLong)
                assert isinstance(await outcome_of(store.status(key)), NoSuchPath | PathTooLong)

    @in_reactor
    async def test_below_an_object(self, store: Workbench) -> None:
        """Whether or not a store takes ``a`` and ``a/b`` together, what was there first stays as it is."""
        await store.put("a", b"first")
        for key in ("a/b", "a/b/c"):
            result = await outcome_of(store.put(key, b"second"))
            assert isinstance(result, Status | PathConflict)
            assert await store.get("a") == b"first"
            assert await store.exists(key) == isinstance(result, Status)
        await store.put("b/c", b"first")
        result = await outcome_of(store.put("b", b"second"))
        assert isinstance(result, Status | PathConflict)
        assert await store.get("b/c") == b"first"

    @in_reactor
    async def test_copying(self, store: Workbench) -> None:
        """A writer that takes bytes from a reader takes exactly that range, between others, or nothing at all."""
        random = Random(3)  # noqa: S311 # the same bytes in every run
        data = random.randbytes(3_000_000)
        await store.put("source", data)
        reader = await store.ufs.open(store.path("source"))
        writer = await store.ufs.create(store.path("a"), Attributes(), None)
        copier = IRangeCopier(writer, None)
        if copier is None:
            await writer.abort()
            await reader.close()
            pytest.skip("its writers don't copy")
        await writer.write(b"before")
        for offset, count in ((0, 0), (17, 2_000_000), (2_999_999, 1)):
            if not await copier.copy_from(reader, offset, count):
                await writer.write(data[offset : offset + count])
            await writer.write(b"|")
        await writer.commit(Attributes(), ALWAYS)
        await reader.close()
        assert await store.get("a") == b"before|" + data[17:2_000_017] + b"|" + data[-1:] + b"|"
