"""Tags kept in a file of the daemon's own, for under-stores that cannot keep them.

The file is an SQLite database that several processes of one machine may share; it must not be on a network
file system. A row belongs to one version of one object, by its validator, so that the tags of an object that was overwritten never
show on the next, whoever overwrote it. Folders and buckets have no versions: their rows go by the path alone.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Lock
from time import monotonic, sleep
from types import MappingProxyType
from typing import ClassVar

from zope.interface import implementer

from alluxio_s3.interfaces import IIdentified, IPluginFactory, ITagStore, IUnderFileSystem
from alluxio_s3.storage import NoSpace, NoSuchPath, ReadOnly, Status, StorageError, Unavailable, Unsupported
from alluxio_s3.threads import Threads

_BUSY_SECONDS = 30.0
_RETRY_SECONDS = 0.01
_SCHEMA = """
CREATE TABLE IF NOT EXISTS tags (
    store TEXT NOT NULL,
    path TEXT NOT NULL,
    validator TEXT NOT NULL,
    tags TEXT NOT NULL,
    PRIMARY KEY (store, path, validator)
) WITHOUT ROWID
"""
_ERRORS: Mapping[int, type[StorageError]] = MappingProxyType({sqlite3.SQLITE_FULL: NoSpace, sqlite3.SQLITE_READONLY: ReadOnly})


class TagFile:
    """The database. Its methods block; threads take turns, processes wait for each other, ``pause`` between tries."""

    def __init__(self, path: str, pause: Callable[[float], None] = sleep) -> None:
        self._path = path
        self._pause = pause
        self._lock = Lock()
        self._connection: sqlite3.Connection | None = None

    def find(self, store: str, path: str, validator: str) -> Mapping[str, str]:
        """The tags of a version; empty if there are none."""
        with self._opened(path) as database:
            row = database.execute(
                "SELECT tags FROM tags WHERE store = ? AND path = ? AND validator = ?", (store, path, validator)
            ).fetchone()
        tags: dict[str, str] = json.loads(row[0]) if row else {}
        return tags

    def versions(self, store: str, path: str) -> Sequence[str]:
        """The validators of the versions of ``path`` that have tags."""
        with self._opened(path) as database:
            return [row[0] for row in database.execute("SELECT validator FROM tags WHERE store = ? AND path = ?", (store, path))]

    def keep(self, store: str, path: str, validator: str, tags: Mapping[str, str]) -> None:
        """Give a version its tags, in place of those it has."""
        text = json.dumps(dict(tags), ensure_ascii=False, separators=(",", ":"))
        with self._opened(path) as database, database:
            database.execute("INSERT OR REPLACE INTO tags VALUES (?, ?, ?, ?)", (store, path, validator, text))

    def remove(self, store: str, path: str, validators: Sequence[str]) -> None:
        """Forget the tags of some versions of ``path``."""
        if validators:
            with self._opened(path) as database, database:
                database.executemany(
                    "DELETE FROM tags WHERE store = ? AND path = ? AND validator = ?",
                    [(store, path, validator) for validator in validators],
                )

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    @contextmanager
    def _opened(self, path: str) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._open()
                yield self._connection
            except sqlite3.Error as error:
                # The low byte is the error's kind (sqlite.org/rescode.html).
                kind = _ERRORS.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, Unavailable)
                raise kind(path, f"The tag store {self._path} failed: {error}") from error

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, check_same_thread=False)
        try:
            self._begin_logging(connection)
            connection.execute("PRAGMA synchronous = FULL")  # what was answered is on the disk
            with connection:
                connection.execute(_SCHEMA)
        except BaseException:
            connection.close()
            raise
        return connection

    def _begin_logging(self, connection: sqlite3.Connection) -> None:
        # SQLite does not wait for a process that does the same to a new file: each could be waiting for the other.
        until = monotonic() + _BUSY_SECONDS
        while True:
            try:
                with closing(connection.execute("PRAGMA journal_mode = WAL")) as answer:
                    answer.fetchall()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or monotonic() >= until:
                    raise
                self._pause(_RETRY_SECONDS)
            else:
                return


@implementer(ITagStore)
class EmbeddedTagStore:
    """Tags of any under-store that says which one it is (``IIdentified``), in a ``TagFile``."""

    travels: ClassVar[bool] = False

    def __init__(self, path: str, threads: Threads) -> None:
        self._file = TagFile(path)
        self._threads = threads

    async def get(self, ufs: IUnderFileSystem, status: Status) -> Mapping[str, str]:
        """The tags of the version that ``status`` describes. Raises Unsupported, Unavailable."""
        return await self._threads.run(self._file.find, _identity(ufs, status), status.path, _version(status))

    async def put(self, ufs: IUnderFileSystem, status: Status, tags: Mapping[str, str]) -> None:
        """Replace the tags of that version; forget those of versions that are no more.

        Raises NoSuchPath (never when ``tags`` is empty), Unsupported, Unavailable.
        """
        store, path, version = _identity(ufs, status), status.path, _version(status)
        if tags:
            await self._threads.run(self._file.keep, store, path, version, tags)
        kept = await self._threads.run(self._file.versions, store, path)
        if not kept:
            return
        # Rows are made after their version, and no version comes back. So of the rows that were there before
        # this look at the object, those that are not of the version found are of versions that are no more.
        try:
            found = await ufs.status(path)
        except NoSuchPath:
            await self._threads.run(self._file.remove, store, path, kept)
            if tags:
                raise
            return
        current = _version(found)
        await self._threads.run(self._file.remove, store, path, [one for one in kept if one != current or (one == version and not tags)])

    async def close(self) -> None:
        """Let go of the file."""
        await self._threads.run(self._file.close)


@implementer(IPluginFactory)
class EmbeddedFactory:
    """Builds an ``EmbeddedTagStore``. Option ``path``: its file, in a directory that is there, on a local disk."""

    def build(self, options: Mapping[str, str], reactor: object, threads: Threads) -> EmbeddedTagStore:  # noqa: ARG002 threads will do
        """A new store. Raises ValueError when there is no place for the file."""
        path = options.get("path")
        if not path:
            raise ValueError("the tag store needs a file: set alluxio.worker.s3.tag.store.path")
        if not Path(path).parent.is_dir():
            raise ValueError(f"{path} cannot be made: {Path(path).parent} is not a directory")
        return EmbeddedTagStore(path, threads)


def _identity(ufs: IUnderFileSystem, status: Status) -> str:
    identified = IIdentified(ufs, None)
    if identified is None:
        raise Unsupported(status.path, "The under-store of this bucket does not say which one it is, so its tags cannot be kept for it.")
    return identified.identity


def _version(status: Status) -> str:
    return "" if status.is_folder else status.validator
