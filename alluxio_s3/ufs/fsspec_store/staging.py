"""What is on its way in, and small files of the daemon's own, which are there whole or not at all."""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from attrs import define, field

from alluxio_s3.storage import NoSuchPath, PathConflict, StorageError, Unavailable
from alluxio_s3.ufs.fsspec_store.facts import Facts
from alluxio_s3.ufs.fsspec_store.options import FILES
from alluxio_s3.ufs.fsspec_store.remote import Remote
from alluxio_s3.ufs.local.containment import RESERVED, split

TEMPORARY = f"{RESERVED}/writing"
# A file on its way in has the time at which it was last written to.
_ABANDONED_NS = 3 * 86_400 * 10**9
_TRIES = 20


@define(eq=False)
class Staging:
    """Gives files their names. ``shape`` is held by who makes or removes directories, so that one does not undo the other's."""

    remote: Remote
    _shape: threading.Lock = field(factory=threading.Lock, init=False)
    _run: str = field(factory=lambda: secrets.token_hex(8), init=False)
    _serial: itertools.count[int] = field(factory=itertools.count, init=False)
    _prepared: bool = field(default=False, init=False)

    @property
    def has_directories(self) -> bool:
        """Whether directories have to be made before there can be files in them."""
        return self.remote.options.layout == FILES

    @contextmanager
    def shaping(self) -> Iterator[None]:
        """Alone of this process to change which directories there are. Raises Unavailable when another hangs in it."""
        if not self._shape.acquire(timeout=self.remote.options.timeout):
            raise Unavailable(message="Unavailable: a call to the store hangs")
        try:
            yield
        finally:
            self._shape.release()

    def temporary(self) -> str:
        """The path of a file that is not there yet, in a directory that is."""
        if not self._prepared:
            if self.remote.found("") is None:
                raise NoSuchPath("", "NoSuchPath: the directory that is mounted is not there")
            self.remote.make_directories(TEMPORARY)
            self._prepared = True
            with suppress(StorageError):
                self._sweep()
        return f"{TEMPORARY}/{self._run}.{next(self._serial)}"

    def discard(self, temporary: str) -> None:
        """Remove a temporary file, if it is still there. What can't be removed is swept away some day."""
        with suppress(StorageError):
            self.remote.remove(temporary)

    def replace(self, path: str, data: bytes) -> None:
        """Have ``data`` at ``path``, in one step."""
        if not self.has_directories:
            self.remote.put(path, data)
            return
        temporary = self.temporary()
        try:
            self.remote.put(temporary, data)
            self.place(temporary, self.remote.facts(temporary), path)
        except StorageError:
            self.discard(temporary)
            raise

    def place(self, temporary: str, facts: Facts, path: str, bucket: str = "") -> None:
        """Give the file at ``temporary``, of which ``facts`` are known, the name ``path``. Makes directories below ``bucket``.

        Raises PathConflict, NoSuchPath when the bucket is gone.
        """
        for number in range(_TRIES):
            try:
                self.remote.rename(temporary, path)
            except NoSuchPath:
                self._make_parent(path, bucket)
            except StorageError as problem:
                there = self.remote.found(path)
                if there is not None and there.kind == "directory":
                    with self.shaping():
                        if not self.remote.remove_directory(path):
                            raise PathConflict(path, f"PathConflict: {path}: there is a folder of that name") from None
                elif there is not None and there.validator == facts.validator and self.remote.found(temporary) is None:
                    return  # the answer was lost
                elif not isinstance(problem, Unavailable) or number == self.remote.options.retries:
                    raise
            else:
                return
        raise Unavailable(path, f"Unavailable: {path}: its directory changes faster than it can be written to")

    def prune(self, path: str, top: int) -> None:
        """Remove the directory ``path`` if it is empty, and so on upwards; not the first ``top`` of them."""
        while self.has_directories and path and path.count("/") >= top:
            with self.shaping():
                if not self.remote.remove_directory(path):
                    return
            path = split(path)[0]

    def _make_parent(self, path: str, bucket: str) -> None:
        parent = split(path)[0]
        with self.shaping():
            if bucket and self.remote.found(bucket) is None:
                raise NoSuchPath(f"{bucket}/")
            self.remote.make_directories(parent)
            if self.remote.facts(parent).kind != "directory":
                raise PathConflict(path, f"PathConflict: {path}: there is an object above it")

    def _sweep(self) -> None:
        for name, facts in self.remote.children(f"{TEMPORARY}/"):
            if facts.modified_ns < time.time_ns() - _ABANDONED_NS:
                self.discard(f"{TEMPORARY}/{name}")
