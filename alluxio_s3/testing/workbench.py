"""A store on the bench: what the contract suites do with an under-store, in few words."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from attrs import frozen
from twisted.internet.defer import Deferred, ensureDeferred, gatherResults

from alluxio_s3.interfaces import IObjectReader, IUnderFileSystem
from alluxio_s3.s3.conditions import ALWAYS, WriteCondition
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.storage import Attributes, Listing, NoSuchPath, Status, StorageError

T = TypeVar("T")

NO_ATTRIBUTES = Attributes()

# Every kind of character that a key may hold, on both sides of "/" in the order of bytes.
ODD_NAMES = (
    "a", "a b", "a!b", "a-b", "a.b", "a0", "a+b&c", "%41", "<'\">", "é", "e\u0301", "あ", "😀", "\uffee", "~", "\x01\n\x7f", ".a", "_",
)  # fmt: skip


@frozen
class Workbench:
    """An under-store, and the prefix below which the tests put their objects (``""`` or ``"bucket/"``)."""

    ufs: IUnderFileSystem
    prefix: str

    def path(self, key: str) -> str:
        """The path of ``key``."""
        return self.prefix + key

    async def put(
        self, key: str, data: bytes | Sequence[bytes] = b"", attributes: Attributes = NO_ATTRIBUTES, condition: WriteCondition = ALWAYS
    ) -> Status:
        """Write an object, in the pieces given; abort if that fails."""
        pieces = [data] if isinstance(data, bytes) else data
        writer = await self.ufs.create(self.path(key), attributes, sum(map(len, pieces)))
        try:
            for piece in pieces:
                if piece:
                    await writer.write(piece)
            return await writer.commit(attributes, condition)
        finally:
            await writer.abort()

    async def get(self, key: str) -> bytes:
        """All the bytes of an object."""
        reader = await self.ufs.open(self.path(key))
        try:
            return await read(reader, 0, reader.status.size)
        finally:
            await reader.close()

    async def status(self, key: str) -> Status:
        """The Status of ``key``."""
        return await self.ufs.status(self.path(key))

    async def exists(self, key: str) -> bool:
        """Whether there is something at ``key``."""
        try:
            await self.status(key)
        except NoSuchPath:
            return False
        return True

    async def delete(self, key: str, condition: WriteCondition = ALWAYS) -> None:
        """Remove ``key``."""
        await self.ufs.delete(self.path(key), condition)

    async def page(self, prefix: str = "", start: str = "", limit: int = 1000, delimiter: str = "") -> Listing:
        """One listing, of keys."""
        return await self.ufs.list(self.path(prefix), self.path(start), limit, delimiter)

    async def walk(self, prefix: str = "", start: str = "", limit: int = 1000, delimiter: str = "") -> list[Status | str]:
        """Every entry of a listing, page by page, checked for what must hold of any page."""
        entries: list[Status | str] = []
        position = self.path(start)
        while True:
            page = await self.ufs.list(self.path(prefix), position, limit, delimiter)
            assert len(page.entries) <= limit, "more entries than asked for"
            names = [name_of(entry) for entry in (*entries, *page.entries)]
            assert names == sorted(set(names), key=str.encode), "not in the order of bytes, or an entry twice"
            entries += page.entries
            if page.complete:
                return entries
            assert page.entries, "an empty page that is not the last would never end"
            last = page.entries[-1]
            position = after_prefix(last) if isinstance(last, str) else last.path + "\0"

    async def keys(
        self, made: Iterable[str], prefix: str = "", start: str = "", limit: int = 1000, delimiter: str = ""
    ) -> list[tuple[str, bool]]:
        """What a walk found, as (key or common prefix, is it a prefix).

        ``made`` are the keys that were put: a store of directories may show the folders above them too, which
        nobody made, and these are left out here.
        """
        made = set(made)
        implied = {key[: place + 1] for key in made for place in range(len(key)) if key[place] == "/"} - made
        found = []
        for entry in await self.walk(prefix, start, limit, delimiter):
            name = name_of(entry)[len(self.prefix) :]
            if isinstance(entry, str) or (name and name not in implied):
                found.append((name, isinstance(entry, str)))
        return found


def name_of(entry: Status | str) -> str:
    """The path of an entry of a listing."""
    return entry if isinstance(entry, str) else entry.path


def after_prefix(prefix: str) -> str:
    """The least string after all that begin with ``prefix``, which ends with ``/``."""
    return prefix[:-1] + "0"


def expected_entries(made: Iterable[str], prefix: str, start: str, delimiter: str) -> list[tuple[str, bool]]:
    """What ``Workbench.keys`` must find among ``made``."""
    found = set()
    for key in made:
        if key.startswith(prefix) and key.encode() >= start.encode():
            slash = key.find(delimiter, len(prefix)) if delimiter else -1
            found.add((key, False) if slash < 0 else (key[: slash + 1], True))
    return sorted(found, key=lambda one: one[0].encode())


async def read(reader: IObjectReader, offset: int, count: int) -> bytes:
    """``count`` bytes of ``reader``."""
    return b"".join([piece async for piece in reader.read(offset, count)])


async def outcome_of(work: Coroutine[Any, Any, T]) -> T | StorageError | S3Error:
    """The result of ``work``, or the error of ours that it raised."""
    try:
        return await work
    except (StorageError, S3Error) as error:
        return error


async def together(*work: Coroutine[Any, Any, T]) -> list[T]:
    """The results of things done at the same time."""
    deferreds: list[Deferred[T]] = [ensureDeferred(one) for one in work]
    return list(await gatherResults(deferreds, consumeErrors=True))
