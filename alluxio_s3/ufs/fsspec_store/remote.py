"""The filesystem of the library, in the few words that the under-store needs. Everything here blocks.

Paths are those of the under-store; the root and what the library makes of a path are known here only. What may be done twice is done again
after a failure of the network, with pauses that grow and vary.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any, ParamSpec, TypeVar

from attrs import define, field

from alluxio_s3.storage import NoSuchPath, PathConflict, PathNotAllowed, StorageError, Unavailable
from alluxio_s3.ufs.fsspec_store.connections import Connections
from alluxio_s3.ufs.fsspec_store.errands import began
from alluxio_s3.ufs.fsspec_store.facts import Facts, parse_facts
from alluxio_s3.ufs.fsspec_store.failures import is_lost, storage_errors
from alluxio_s3.ufs.fsspec_store.options import Options

P = ParamSpec("P")
T = TypeVar("T")

# Up to this, bytes are put from memory; more from the temporary file they are in.
SMALL = 1 << 20
# The slowest upload that is not taken for one that hangs, in bytes a second.
_SLOWEST = 100_000
_FIRST_PAUSE = 0.1


@define(eq=False)
class Remote:
    """The filesystem that ``options`` name."""

    options: Options
    _connections: Connections = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._connections = Connections(self._made, self.options.connections, self.options.timeout)

    def native(self, path: str) -> str:
        """What the library calls ``path``. Raises PathNotAllowed for one that it would take for another."""
        wanted = f"{self.options.root}/{path}".rstrip("/") if path else self.options.root
        if path and self.options.filesystem._strip_protocol(wanted) != wanted:  # noqa: SLF001
            raise PathNotAllowed(path, f"PathNotAllowed: {path}: a store of {self.options.protocol}:// cannot hold this name")
        return wanted or "/"

    def holds(self, path: str) -> bool:
        """Whether the library can call it by its name."""
        try:
            self.native(path)
        except PathNotAllowed:
            return False
        return True

    def facts(self, path: str) -> Facts:
        """What is at ``path``. Raises NoSuchPath."""

        def look(filesystem: Any) -> Facts:
            filesystem.invalidate_cache()
            return parse_facts(filesystem.info(self.native(path)))

        return self._again(path, look)

    def found(self, path: str) -> Facts | None:
        """What is at ``path``, or None."""
        try:
            return self.facts(path)
        except NoSuchPath:
            return None

    def children(self, path: str) -> list[tuple[str, Facts]]:
        """What is in the directory ``path`` (``""`` or with a slash at the end), by name. Raises NoSuchPath, mostly, if it is not there."""
        native = self.native(path)
        start = f"{native.rstrip('/')}/"

        def look(filesystem: Any) -> list[tuple[str, Facts]]:
            filesystem.invalidate_cache()
            listed = []
            for one in filesystem.ls(native, detail=True):
                name = str(one["name"]).rstrip("/")
                if not name.startswith(start) and f"/{name}".startswith(start):
                    name = f"/{name}"
                name = name[len(start) :] if name.startswith(start) else ""
                if name and "/" not in name:
                    listed.append((name, parse_facts(filesystem.info(one["name"]) if one.get("type") == "link" else one)))
            return listed

        return self._again(path, look)

    def read(self, path: str, start: int, end: int) -> bytes:
        """The bytes from ``start`` to ``end``, fewer where there are no more. Raises NoSuchPath."""

        def look(filesystem: Any) -> bytes:
            kwargs = {} if "cat_file" in _overridden(filesystem) else {"cache_type": "none"}
            return bytes(filesystem.cat_file(self.native(path), start=start, end=end, **kwargs))

        return self._again(path, look)

    def read_all(self, path: str, most: int) -> bytes:
        """All of a small file, ``most`` bytes of it at most. Raises NoSuchPath."""
        return self._again(path, lambda filesystem: bytes(filesystem.cat_file(self.native(path))))[:most]

    def upload(self, path: str, spool: IO[bytes], size: int) -> None:
        """Put the ``size`` bytes of ``spool`` at ``path``. Only in an object store this is one step."""
        if size <= SMALL:
            spool.seek(0)
            self.put(path, spool.read())
            return
        # A name that lasts while the file is open, also for one that has no other.
        source = f"/proc/self/fd/{spool.fileno()}"
        self._again(path, lambda filesystem: filesystem.put_file(source, self.native(path)), size / _SLOWEST)

    def put(self, path: str, data: bytes) -> None:
        """Put a few bytes at ``path``. Only in an object store this is one step."""
        self._again(path, lambda filesystem: filesystem.pipe_file(self.native(path), data))

    def rename(self, old: str, new: str) -> None:
        """Give the file at ``old`` the name ``new``, in place of one that has it. Raises NoSuchPath, PathConflict."""
        before, after = self.native(old), self.native(new)

        def move(filesystem: Any) -> None:
            # shutil.move, which the library takes, would move it into a directory of that name.
            if getattr(filesystem, "local_file", False):
                os.replace(before, after)  # noqa: PTH105
            else:
                filesystem.mv(before, after)

        self._once(new, move)

    def remove(self, path: str) -> None:
        """Remove the file at ``path``. Raises NoSuchPath."""
        self._once(path, lambda filesystem: filesystem.rm_file(self.native(path)))

    def make_directories(self, path: str) -> None:
        """Make the directory ``path`` and those above it, as far as they are missing. Raises PathConflict for a file in the way."""
        try:
            self._again(path, lambda filesystem: filesystem.makedirs(self.native(path), exist_ok=True))
        except NoSuchPath:  # its parent is a file
            raise PathConflict(path, f"PathConflict: {path}: there is an object above it") from None

    def make_directory(self, path: str) -> None:
        """Make that directory. Raises PathConflict if it is there."""
        self._once(path, lambda filesystem: filesystem.mkdir(self.native(path), create_parents=False))

    def remove_directory(self, path: str) -> bool:
        """Remove the directory ``path`` if it is empty; whether it is gone."""
        try:
            self._once(path, lambda filesystem: filesystem.rmdir(self.native(path)))
        except NoSuchPath:
            return True
        except StorageError:
            return False
        return True

    def close(self) -> None:
        """Let go of the connection, as far as the library can."""
        self._connections.close()

    def _made(self) -> Any:
        # Others would pass it on to what they are made with; what they remember is forgotten before each look.
        cached = {"use_listings_cache": False} if self.options.filesystem.async_impl else {}
        made = self.options.filesystem(skip_instance_cache=True, **cached, **self.options.given)
        if self.options.connections:
            with suppress(Exception):  # paramiko's; others have their own ways
                made.ftp.get_channel().settimeout(self.options.timeout)
        return made

    def _once(self, path: str, call: Callable[[Any], T], allowance: float = 0) -> T:
        began(self.options.timeout + allowance)
        with storage_errors(path), self._connections.one() as filesystem:
            began(self.options.timeout + allowance)
            try:
                return call(filesystem)
            except Exception as problem:
                if is_lost(problem) and not getattr(filesystem, "async_impl", False):
                    self._connections.lose(filesystem)
                raise

    def _again(self, path: str, call: Callable[[Any], T], allowance: float = 0) -> T:
        pause = _FIRST_PAUSE
        for _ in range(self.options.retries):
            try:
                return self._once(path, call, allowance)
            except Unavailable:
                time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - no secret
                pause = min(2 * pause, 5)
        return self._once(path, call, allowance)


def _overridden(filesystem: Any) -> set[str]:
    """What the class of ``filesystem`` has of its own, other than fsspec's abstract one."""
    return {name for one in type(filesystem).__mro__ if one.__name__ != "AbstractFileSystem" for name in vars(one)}
