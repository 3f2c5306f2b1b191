"""Commits: whole or not at all, one at a time, and only if their condition holds."""

from __future__ import annotations

from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, ensureDeferred

from alluxio_s3.interfaces import IObjectWriter
from alluxio_s3.s3.conditions import ALWAYS, WriteCondition
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.storage import Attributes, Status
from alluxio_s3.testing.in_reactor import in_reactor
from alluxio_s3.testing.object_contract import same_version
from alluxio_s3.testing.store_fixture import StoreFixture
from alluxio_s3.testing.workbench import Workbench, outcome_of, read, together

ABSENT = WriteCondition(if_none_match=("*",))


def code_of(result: object) -> str:
    """The code of an S3Error, or what the result was instead."""
    return result.code if isinstance(result, S3Error) else type(result).__name__


class CommitContract(StoreFixture):
    """What must hold of the step that makes an object visible."""

    @in_reactor
    async def test_invisible_until_commit(self, store: Workbench) -> None:
        """An object on its way in is nowhere to be seen; then it is there, whole."""
        writer = await store.ufs.create(store.path("dir/a"), Attributes(), 9)
        for piece in (b"some", b"thing"):
            await writer.write(piece)
            assert not await store.exists("dir/a")
            assert await store.keys({"dir/a"}) == []
        await writer.commit(Attributes(), ALWAYS)
        assert await store.get("dir/a") == b"something"
        assert await store.keys({"dir/a"}) == [("dir/a", False)]

    @in_reactor
    async def test_replacing(self, store: Workbench) -> None:
        """Until the commit of a new version the old one is read, whole; after it the new one."""
        old = await store.put("a", b"old version", Attributes(user_metadata={"version": "old"}))
        writer = await store.ufs.create(store.path("a"), Attributes(), None)
        await writer.write(b"new")
        assert same_version(await store.status("a"), old)
        assert await store.get("a") == b"old version"
        await writer.commit(Attributes(user_metadata={"version": "new"}), ALWAYS)
        assert await store.get("a") == b"new"
        assert (await store.status("a")).attributes.user_metadata == {"version": "new"}

    @in_reactor
    async def test_abort(self, store: Workbench) -> None:
        """An aborted writer leaves what was there, or nothing; a second abort, or one after commit, does nothing."""
        old = await store.put("a", b"old")
        for key in ("a", "b", "dir/c"):
            writer = await store.ufs.create(store.path(key), Attributes(), None)
            await writer.write(b"new")
            await writer.abort()
            await writer.abort()
        assert same_version(await store.status("a"), old)
        assert await store.keys({"a"}) == [("a", False)]
        writer = await store.ufs.create(store.path("a"), Attributes(), None)
        await writer.write(b"new")
        await writer.commit(Attributes(), ALWAYS)
        await writer.abort()
        assert await store.get("a") == b"new"

    @in_reactor
    async def test_abort_without_a_byte(self, store: Workbench) -> None:
        """A writer may be aborted before its first byte."""
        writer = await store.ufs.create(store.path("a"), Attributes(), 5)
        await writer.abort()
        assert await store.keys(()) == []

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
        await store.put("a", b"3", Attributes(etag="chosen"), condition=WriteCondition(if_match=("*",), if_none_match=(first.etag,)))
        assert code_of(await outcome_of(store.delete("a", WriteCondition(if_match=(second.etag,))))) == "PreconditionFailed"
        await store.delete("a", WriteCondition(if_match=("chosen",), if_size=1))
        assert not await store.exists("a")

    @in_reactor
    async def test_a_failed_condition_ends_the_writer(self, store: Workbench) -> None:
        """After a failed commit nothing is left, and the same key can be written at once."""
        await store.put("a", b"1")
        writer = await store.ufs.create(store.path("a"), Attributes(), None)
        await writer.write(b"2")
        with pytest.raises(S3Error):
            await writer.commit(Attributes(), ABSENT)
        await writer.abort()
        assert await store.keys({"a"}) == [("a", False)]
        await store.put("a", b"3")
        assert await store.get("a") == b"3"

    @in_reactor
    async def test_one_creator_wins(self, store: Workbench) -> None:
        """Of many commits at once that want the key to be absent exactly one succeeds, and its bytes are there."""
        results = await together(*(outcome_of(store.put("a", b"%d" % number, condition=ABSENT)) for number in range(16)))
        winners = [number for number, result in enumerate(results) if isinstance(result, Status)]
        assert len(winners) == 1, [code_of(result) for result in results]
        assert {code_of(result) for result in results} == {"Status", "PreconditionFailed"}
        assert await store.get("a") == b"%d" % winners[0]

    @in_reactor
    async def test_no_update_is_lost(self, store: Workbench) -> None:
        """Of many commits at once that want the same version to be in place exactly one succeeds."""
        for _ in range(4):
            old = await store.put("a", b"old")
            condition = WriteCondition(if_match=(old.etag,))
            results = await together(*(outcome_of(store.put("a", b"%d" % number, condition=condition)) for number in range(8)))
            winners = [number for number, result in enumerate(results) if isinstance(result, Status)]
            assert len(winners) == 1, [code_of(result) for result in results]
            assert await store.get("a") == b"%d" % winners[0]

    @in_reactor
    async def test_readers_see_whole_versions(self, store: Workbench) -> None:
        """While an object is replaced again and again every reader gets one version: its status, all of its bytes."""

        async def replace(letter: str) -> None:
            for size in (1, 70_000, 300_000, 2, 70_001, 300_001):
                await store.put("a", letter.encode() * size, Attributes(etag=f"{letter}-{size}"))

        async def watch() -> None:
            for _ in range(12):
                reader = await store.ufs.open(store.path("a"))
                data = await outcome_of(read(reader, 0, reader.status.size))
                await reader.close()
                if isinstance(data, bytes):
                    assert f"{data[:1].decode()}-{len(data)}" == reader.status.etag
                    assert data == data[:1] * len(data)

        await store.put("a", b"z", Attributes(etag="z-1"))
        await together(*(replace(letter) for letter in "xyz"), *(watch() for _ in range(3)))

    @in_reactor
    async def test_same_folder_at_once(self, store: Workbench) -> None:
        """Objects written and deleted at the same time in folders of the same names don't disturb each other."""

        async def come_and_go(number: int) -> None:
            for _ in range(8):
                key = f"x/y/{number}"
                await store.put(key, key.encode())
                assert await store.get(key) == key.encode()
                await store.delete(key)

        await together(*(come_and_go(number) for number in range(6)))
        assert await store.keys({"x/y/0"}) == []

    @in_reactor
    async def test_cancelled_writes(self, store: Workbench) -> None:
        """A writer whose client went away in the middle of a write can be aborted, and nothing has changed."""
        old = await store.put("a", b"old")
        writer = await store.ufs.create(store.path("a"), Attributes(), None)
        await cancelled(writer.write(bytes(1 << 20)))
        await writer.abort()
        assert same_version(await store.status("a"), old)
        assert await store.keys({"a"}) == [("a", False)]

    @in_reactor
    async def test_cancelled_commits(self, store: Workbench) -> None:
        """After a commit that was given up the object is the old or the new one, whole, and can be replaced."""
        await store.put("a", b"old", Attributes(etag="old"))
        writer: IObjectWriter = await store.ufs.create(store.path("a"), Attributes(), None)
        await writer.write(b"a new version")
        await cancelled(writer.commit(Attributes(etag="new"), ALWAYS))
        await writer.abort()
        reader = await store.ufs.open(store.path("a"))
        assert (reader.status.etag, await read(reader, 0, reader.status.size)) in {("old", b"old"), ("new", b"a new version")}
        await reader.close()
        await store.put("b", b"b")
        assert await store.get("b") == b"b"


async def cancelled(work: Coroutine[Any, Any, object]) -> None:
    """Begin ``work``, which is a coroutine, give it up at once, and wait until it has noticed."""
    deferred = ensureDeferred(work)
    deferred.cancel()
    with suppress(CancelledError):
        await deferred
