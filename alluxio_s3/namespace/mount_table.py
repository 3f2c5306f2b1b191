"""The mount table in a file, for one machine: JSON that the daemon's processes follow and the command line changes.

A change is made under a lock on a file beside it and published by a rename, so that of two changes at once neither is lost, and nobody
reads half a table. The file may hold secrets: only its owner may read it.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import define, evolve, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from alluxio_s3.interfaces import IMountTable
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.target import parse_bucket
from alluxio_s3.storage import AlreadyExists, Mount, NoSpace, NoSuchPath, PermissionRefused, StorageError, Unavailable
from alluxio_s3.threads import Threads

VERSION = 1
LOOK_SECONDS = 1.0
MAX_FILE_BYTES = 16 << 20

_log = Logger()


def check_path(path: str) -> str:
    """The name of the bucket that a mount at ``path`` is. Raises ValueError unless that is ``/`` and a bucket's name."""
    name = path.removeprefix("/")
    try:
        if not path.startswith("/"):
            raise ValueError(f"a mount's path begins with '/', as in /{path}")
        parse_bucket(name)
    except S3Error:
        raise ValueError(f"a mount is a bucket, so its path is '/' and the name of a bucket, not {path[:100]!r}") from None
    return name


def _real(path: str | Path) -> Path:
    return Path(os.path.realpath(path))


@define
class MountFile:
    """The file. Its methods block."""

    path: Path = field(converter=_real)

    def read(self) -> list[Mount]:
        """All mounts, by path; none if there is no file. Raises Unavailable for what is no mount table, PermissionRefused."""
        try:
            with self.path.open("rb") as file:
                raw = file.read(MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            return []
        except OSError as problem:
            raise self._failure(problem, "read") from None
        return self.parse(raw)

    def add(self, mount: Mount) -> None:
        """See ``IMountTable.add``."""
        with self._locked():
            mounts = self.read()
            if any(one.path == mount.path for one in mounts):
                raise AlreadyExists(mount.path, f"something is mounted at {mount.path} already")
            self._write([*mounts, evolve(mount, since_ns=time.time_ns())])

    def remove(self, path: str) -> Mount:
        """See ``IMountTable.remove``."""
        with self._locked():
            mounts = self.read()
            found = next((one for one in mounts if one.path == path), None)
            if found is None:
                raise NoSuchPath(path, f"nothing is mounted at {path}")
            self._write([one for one in mounts if one is not found])
            return found

    def mark(self) -> tuple[int, ...] | None:
        """What changes whenever the file does; None while there is none."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

    def parse(self, raw: bytes) -> list[Mount]:
        """What the file would say if it held ``raw``. Raises Unavailable."""
        try:
            mounts = sorted(_decode(raw), key=lambda one: one.path)
        except (ValueError, RecursionError) as problem:
            # Its text is not shown: there may be secrets in it. What json says of a place in it holds none.
            raise Unavailable(message=f"{self.path} is no mount table: {problem}") from None
        return mounts

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Be the only one who changes the file. The lock's own file stays: to remove it would let two have it."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as problem:
            raise self._failure(problem, "changed") from None
        try:
            _give(descriptor, self.path)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _write(self, mounts: Sequence[Mount]) -> None:
        text = json.dumps({"version": VERSION, "mounts": [_encode(one) for one in mounts]}, indent=2, ensure_ascii=False)
        fresh = Path(f"{self.path}.new")  # the lock makes it ours
        try:
            fresh.unlink(missing_ok=True)
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                _give(file.fileno(), self.path)
                file.write(text + "\n")
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.path)
            _sync_directory(self.path.parent)
        except OSError as problem:
            raise self._failure(problem, "written") from None

    def _failure(self, problem: OSError, done: str) -> StorageError:
        kinds: Mapping[type[OSError], type[StorageError]] = {PermissionError: PermissionRefused}
        kind = NoSpace if problem.errno in _FULL else kinds.get(type(problem), Unavailable)
        return kind(message=f"the mount table {self.path} cannot be {done}: {problem.strerror}")


_FULL = (28, 122)  # ENOSPC, EDQUOT


@implementer(IMountTable)
@define(eq=False)
class FileMountTable:
    """The mount table in ``file``. Whoever watches it is told within a second of a change."""

    file: MountFile
    threads: Threads
    clock: IReactorTime
    _had_some: bool = field(default=False, init=False)

    async def mounts(self) -> Sequence[Mount]:
        """See IMountTable. Raises Unavailable when the file is no mount table, or held mounts before and is gone.

        A file goes when its disk does, or for a moment under an editor; who wants no mounts leaves an empty table.
        """
        found = await self.threads.run(self._read)
        self._had_some = bool(found)
        return found

    async def add(self, mount: Mount) -> None:
        """See IMountTable."""
        await self.threads.run(self.file.add, mount)

    async def remove(self, path: str) -> Mount:
        """See IMountTable."""
        return await self.threads.run(self.file.remove, path)

    def _read(self) -> list[Mount]:
        found = self.file.read()
        if self._had_some and not found and self.file.mark() is None:
            raise Unavailable(message=f"the mount table {self.file.path} is gone")
        return found

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """See IMountTable. The file is looked at each second: that works on every file system, and costs nothing."""
        seen: list[tuple[int, ...] | None] = [self.file.mark()]

        async def look() -> None:
            mark = await self.threads.run(self.file.mark)
            if mark != seen[0]:
                seen[0] = mark
                changed()

        looking = LoopingCall(lambda: Deferred.fromCoroutine(look()))
        looking.clock = self.clock
        _ = looking.start(LOOK_SECONDS, now=False).addErrback(lambda reason: _log.failure("The mount table is watched no more", reason))
        return lambda: looking.stop() if looking.running else None


def _encode(mount: Mount) -> dict[str, Any]:
    since = datetime.fromtimestamp(mount.since_ns // 10**9, UTC).isoformat()
    return {"path": mount.path, "uri": mount.uri, "options": dict(mount.options), "since": since}


def _decode(raw: bytes) -> Iterator[Mount]:
    """The mounts of a table. Raises ValueError that says what is wrong, and shows no value."""
    if len(raw) > MAX_FILE_BYTES:
        raise ValueError(f"it is larger than {MAX_FILE_BYTES} bytes")
    document = json.loads(raw)
    if not isinstance(document, dict) or document.get("version") != VERSION or not isinstance(document.get("mounts"), list):
        raise ValueError(f'it is not {{"version": {VERSION}, "mounts": [...]}}')
    seen: set[str] = set()
    for number, entry in enumerate(document["mounts"], 1):
        if not isinstance(entry, dict) or not all(isinstance(entry.get(name), str) and entry[name] for name in ("path", "uri")):
            raise ValueError(f"mount {number} has no path and uri")
        path, options = entry["path"], entry.get("options", {})
        check_path(path)
        if path in seen:
            raise ValueError(f"{path} is there twice")
        seen.add(path)
        if not isinstance(options, dict) or not all(isinstance(value, str) for value in options.values()):
            raise ValueError(f"the options of {path} are not all text")
        yield Mount(path, entry["uri"], options, _time(entry.get("since"), path))


def _time(text: Any, path: str) -> int:
    if text is None:
        return 0
    try:
        return int(datetime.fromisoformat(text).timestamp()) * 10**9
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"since when {path} is mounted is no time") from None


def _give(descriptor: int, path: Path) -> None:
    """Let what an administrator makes as root belong to whom the table, or else its directory, belongs: the daemon's user."""
    if os.geteuid() == 0:
        owner = (path if path.exists() else path.parent).stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
