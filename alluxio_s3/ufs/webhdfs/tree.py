"""The directory of an HDFS as objects: how one looks at it, and the steps that change it.

Where a step rests on a look before it, the look and the step are one turn of this process; that another process does not come between is
ensured where HDFS can (a rename that must not replace; a delete of that very file), and else not.
"""

from __future__ import annotations

import itertools
import secrets
from contextlib import suppress

from attrs import define, field
from twisted.logger import Logger

from alluxio_s3.clocks import wall_clock
from alluxio_s3.s3.conditions import ALWAYS, WriteCondition
from alluxio_s3.s3.target import key_problem
from alluxio_s3.storage import (
    Attributes,
    NoSuchPath,
    NotEmpty,
    PathConflict,
    PathNotAllowed,
    PermissionRefused,
    Status,
    StorageError,
    Unavailable,
)
from alluxio_s3.ufs.local.containment import RESERVED, split
from alluxio_s3.ufs.local.record import Record
from alluxio_s3.ufs.turns import Turns
from alluxio_s3.ufs.webhdfs.inode import Inode, folder_status, object_status, parse_inode
from alluxio_s3.ufs.webhdfs.namenode import NameNodes, inode_path
from alluxio_s3.ufs.webhdfs.records import Records

TEMPORARY = f"{RESERVED}/writing"
# A file on its way in has the time at which it was begun.
_ABANDONED_MS = 3 * 86_400_000
_TRIES = 50
# So often a file that may still be made is looked for before it is left to the sweep: for some seconds.
_LOOKS = 8
_SHAPE = "/"
_log = Logger()


@define
class Tree:
    """The directory below which everything is. With ``buckets`` its own directories are buckets, else it is one bucket.

    ``folders`` says whether every directory is a folder object, or only those that somebody made.
    """

    nodes: NameNodes
    buckets: bool
    folders: bool = True
    records: Records = field(init=False)
    turns: Turns = field(factory=Turns, init=False)
    _run: str = field(factory=lambda: secrets.token_hex(8), init=False)
    _serial: itertools.count[int] = field(factory=itertools.count, init=False)
    _prepared: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.records = Records(self.nodes)

    def check(self, path: str) -> None:
        """Raise PathNotAllowed if no object can ever be at ``path``."""
        if (RESERVED in path and RESERVED in path.split("/")) or key_problem(path):
            raise PathNotAllowed(path, f"PathNotAllowed: {path}: this name is reserved or not supported")

    def is_top(self, path: str) -> bool:
        """Whether ``path`` is that of the one bucket, or of one of the buckets."""
        return not path.rstrip("/").count("/") if self.buckets else not path

    def is_folder_object(self, path: str, record: Record | None) -> bool:
        """Whether the directory at ``path``, which has that record, is an object, or the bucket itself."""
        return self.folders or self.is_top(path) or (record is not None and not record.implicit)

    async def inode(self, path: str) -> Inode:
        """What is at ``path``, be it a file or a directory. Raises NoSuchPath."""
        try:
            found = await self.nodes.ask(b"GET", path, "GETFILESTATUS")
        except PathConflict:  # below a file, newer NameNodes say so
            raise NoSuchPath(path) from None
        except PermissionRefused:  # older ones say that nobody may pass through a file
            if await self._is_below_a_file(path):
                raise NoSuchPath(path) from None
            raise
        return parse_inode(found["FileStatus"])

    async def _is_below_a_file(self, path: str) -> bool:
        while path.rstrip("/"):
            path = split(path)[0]
            with suppress(PermissionRefused, NoSuchPath):
                return not parse_inode((await self.nodes.ask(b"GET", path, "GETFILESTATUS"))["FileStatus"]).is_directory
        return False

    async def status(self, path: str) -> Status:
        """The Status of the object or folder at ``path``. Raises NoSuchPath."""
        return (await self.look(path))[1]

    async def look(self, path: str) -> tuple[Inode, Status]:
        """What is at ``path``, and its Status, which belong together. Raises NoSuchPath if that is no object of that path."""
        self.check(path)
        for _ in range(_TRIES):
            inode = await self.inode(path)
            folder = path.endswith("/") or not path
            if not (inode.is_directory if folder else inode.is_file) or (self.buckets and not folder and "/" not in path):
                raise NoSuchPath(path)
            try:
                record = await self.records.read(inode)
            except NoSuchPath:  # replaced meanwhile
                continue
            if folder and not self.is_folder_object(path, record):
                raise NoSuchPath(path)
            return inode, (folder_status if folder else object_status)(path, inode, record)
        raise Unavailable(path, f"Unavailable: {path}: it is replaced faster than it can be looked at")

    async def check_place(self, path: str) -> None:
        """Raise what ``publish`` would for ``path`` as things stand: PathConflict, NoSuchPath for a bucket, PathNotAllowed."""
        self.check(path)
        if not path or self.is_top(path):
            raise PathNotAllowed(path, f"PathNotAllowed: {path}: objects live in buckets")
        try:
            inode = await self.inode(path)
        except NoSuchPath:
            if self.buckets and not (await self.inode(path.partition("/")[0])).is_directory:
                raise
            return
        if inode.is_directory != path.endswith("/") and not await self._clear(path, inode):
            raise PathConflict(path)

    async def new_temporary(self) -> str:
        """The path of a file that is not there yet, in a directory that is. Raises NoSuchPath if the place itself is not there."""
        if not self._prepared:
            await self.inode("")
            await self.nodes.ask(b"PUT", TEMPORARY, "MKDIRS", permission="700")
            self._prepared = True
            with suppress(StorageError):
                await self._sweep()
        return f"{TEMPORARY}/{self._run}.{next(self._serial)}"

    async def discard(self, temporary: str, *, coming: bool = False) -> None:
        """Remove a temporary file, if it is still there. Raises nothing; what can't be removed is swept away some day.

        ``coming``: a DataNode has been asked to make it and has not answered, so it may be made only after the first look for it.
        """
        try:
            for number in range(_LOOKS if coming else 1):
                if number:
                    await self.nodes.pause(number)
                answer = await self.nodes.ask(b"DELETE", temporary, "DELETE", recursive="false")
                if not answer or answer.get("boolean", True):
                    break
        except StorageError as problem:
            _log.warn("A temporary file in HDFS could not be removed: {problem}", problem=problem)

    async def publish(self, temporary: str, size: int, path: str, attributes: Attributes, condition: WriteCondition) -> Status:
        """Make the file at ``temporary``, to which ``size`` bytes were written, the object at ``path`` if ``condition`` holds.

        On an error it is removed. HDFS's rename replaces a file in one step (``renameoptions=OVERWRITE``, as its own clients ask for it).
        """
        try:
            inode = await self.inode(temporary)
            _check_whole(path, inode, size)
            record = await self.records.seal(inode, attributes)
            async with self.turns.of(path):
                await self._place(temporary, inode, path, condition)
        except BaseException as problem:
            await self.discard(temporary)
            if not isinstance(problem, Unavailable):
                await self.prune(split(path)[0])
            raise
        return object_status(path, inode, record)

    async def delete(self, path: str, condition: WriteCondition) -> None:
        """Remove the object at ``path``, and the directories that were there only for it."""
        async with self.turns.of(path):
            inode, current = await self.look(path)
            condition.check(current.etag, current.size, current.modified_ns)
            await self.remove(inode)
        await self.prune(split(path)[0])

    async def remove(self, inode: Inode) -> None:
        """Remove that file, or that directory if it is empty (else NotEmpty), wherever it is now."""
        with suppress(NoSuchPath):
            await self.nodes.ask(b"DELETE", inode_path(inode.number), "DELETE", recursive="false")

    async def make_parents(self, path: str) -> None:
        """Make the directories above ``path`` that are missing. Raises NoSuchPath for a missing bucket, PathConflict for a file."""
        async with self.turns.of(_SHAPE):
            await self._make_parents(path)

    async def make_directory(self, path: str, record: Record) -> tuple[Inode, Record | None]:
        """Make the directory at ``path``, or find it there, and keep ``record`` with it. Raises as ``make_parents``."""
        async with self.turns.of(_SHAPE):
            await self._make_parents(path)
            await self.nodes.ask(b"PUT", path, "MKDIRS", permission="755")
            inode = await self.inode(path)
            return inode, await self.records.write(inode, record, fresh=False)

    async def _make_parents(self, path: str) -> None:
        missing = []
        place = split(path)[0]
        while True:
            try:
                inode = await self.inode(place)
            except NoSuchPath:
                if self.is_top(place):
                    raise
                missing.append(place)
                place = split(place)[0]
                continue
            if not inode.is_directory:
                raise PathConflict(path, f"PathConflict: {path}: there is an object above it")
            break
        for one in reversed(missing):
            await self.nodes.ask(b"PUT", one, "MKDIRS", permission="755")
            await self.records.write(await self.inode(one), Record(implicit=True))

    async def prune(self, path: str) -> None:
        """Remove the directory at ``path`` if it is implicit and empty, and so on upwards; never a bucket.

        Called after something went. What can't be removed stays, without an error.
        """
        with suppress(StorageError):
            while not self.is_top(path):
                async with self.turns.of(_SHAPE):
                    with suppress(NoSuchPath):
                        if not await self._prune_one(await self.inode(path)):
                            return
                path = split(path)[0]

    async def _prune_one(self, inode: Inode) -> bool:
        if inode.children or not inode.is_directory:
            return False
        record = await self.records.read(inode)
        if record is None or not record.implicit:
            return False
        try:
            await self.remove(inode)
        except NotEmpty:
            return False
        return True

    async def _clear(self, path: str, inode: Inode) -> bool:
        """Whether what is in the way of ``path`` was only an empty directory that nobody made, and is gone."""
        async with self.turns.of(_SHAPE):
            return not path.endswith("/") and await self._prune_one(inode)

    async def _place(self, temporary: str, inode: Inode, path: str, condition: WriteCondition) -> None:
        option = "NONE" if condition.if_none_match == ("*",) else "OVERWRITE"
        for _ in range(_TRIES):
            if condition != ALWAYS:
                await self.check_condition(path, condition)
            try:
                await self.rename(temporary, inode, path, option)
            except NoSuchPath:
                await self.make_parents(path)
            except PermissionRefused:
                await self.make_parents(path)  # which says whether a file is above it
                raise
            except PathConflict:
                with suppress(NoSuchPath):
                    there = await self.inode(path)
                    if there.is_directory and not await self._clear(path, there):
                        raise PathConflict(path, f"PathConflict: {path}: there is a folder of that name") from None
                await self.make_parents(path)
            else:
                return
        raise Unavailable(path, f"Unavailable: {path}: its directory changes faster than it can be written to")

    async def rename(self, temporary: str, inode: Inode, path: str, option: str) -> None:
        """Raises NoSuchPath when the parent is missing, PathConflict for what is in the way. An answer that is lost is found out."""
        for number in range(_TRIES):
            try:
                await self.nodes.ask(
                    b"PUT", temporary, "RENAME", once=True, destination=self.nodes.place.absolute(path), renameoptions=option
                )
            except (Unavailable, NoSuchPath, PathConflict) as problem:
                if await self._is_at(path, inode):
                    return
                if not isinstance(problem, PathConflict) and not await self._is_at(temporary, inode):
                    raise Unavailable(path, f"Unavailable: {path}: the temporary file has vanished") from problem
                if not isinstance(problem, Unavailable) or number == self.nodes.place.retries:
                    raise
                await self.nodes.pause(number)
            else:
                return

    async def _is_at(self, path: str, inode: Inode) -> bool:
        try:
            return (await self.inode(path)).number == inode.number
        except (NoSuchPath, PermissionRefused):
            return False

    async def check_condition(self, path: str, condition: WriteCondition) -> None:
        """Raise S3Error if ``condition`` does not hold of what is at ``path`` now."""
        try:
            current = await self.status(path)
        except NoSuchPath:
            condition.check(None)
        else:
            condition.check(current.etag, current.size, current.modified_ns)

    async def _sweep(self) -> None:
        found = (await self.nodes.ask(b"GET", TEMPORARY, "LISTSTATUS"))["FileStatuses"]["FileStatus"]
        oldest = int(wall_clock(self.nodes.clock).seconds() * 1000) - _ABANDONED_MS
        for one in found:
            if one["modificationTime"] < oldest:
                await self.discard(f"{TEMPORARY}/{one['pathSuffix']}")


def _check_whole(path: str, inode: Inode, size: int) -> None:
    """Raise Unavailable if bytes are missing: a DataNode of Hadoop 2.7 answers 201 even where a quota kept it from closing the file."""
    if inode.size != size:
        raise Unavailable(path, f"Unavailable: {path}: HDFS kept {inode.size} of {size} bytes; is a quota used up?")
