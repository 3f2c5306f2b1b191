"""The CORS rules of buckets, in a file for each: its name is the bucket's, its text the document that S3 has for them.

The file is read whenever the rules are asked for, so what one process has changed the others, and other workers that share the
directory, go by at once. What is read is parsed only when it is other than before.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import mkstemp
from types import MappingProxyType

from twisted.logger import Logger
from zope.interface import implementer

from alluxio_s3.interfaces import ICorsStore
from alluxio_s3.s3.cors import MAX_DOCUMENT_BYTES, CorsRule, cors_document, parse_cors
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.storage import NoSpace, PermissionRefused, ReadOnly, StorageError, Unavailable
from alluxio_s3.threads import Threads

_REMEMBERED = 1024
# Documents as they are written are longer than those that were sent.
_MAX_FILE_BYTES = 4 * MAX_DOCUMENT_BYTES
_ERRORS: Mapping[int, type[StorageError]] = MappingProxyType(
    {
        errno.ENOSPC: NoSpace,
        errno.EDQUOT: NoSpace,
        errno.EROFS: ReadOnly,
        errno.EACCES: PermissionRefused,
        errno.EPERM: PermissionRefused,
    }
)


@implementer(ICorsStore)
class CorsFiles:
    """Rules in ``directory``, which is made when there are some."""

    _log = Logger()

    def __init__(self, directory: Path, threads: Threads) -> None:
        self._directory = directory
        self._threads = threads
        self._known: dict[str, tuple[bytes, Sequence[CorsRule]]] = {}

    async def rules(self, bucket: str) -> Sequence[CorsRule]:
        """See ``ICorsStore``. A file that makes no sense is told of, and allows nothing."""
        text = await self._threads.run(self._read, bucket)
        known = self._known.get(bucket)
        if known is not None and known[0] == text:
            return known[1]
        found: Sequence[CorsRule] = ()
        if text:
            try:
                found = parse_cors(text)
            except S3Error as problem:
                self._log.error("{path} is not a CORS configuration: {problem}", path=self._directory / bucket, problem=problem)
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[bucket] = (text, found)
        return found

    async def keep(self, bucket: str, rules: Sequence[CorsRule]) -> None:
        """See ``ICorsStore``. When it returns, the disk has it."""
        await self._threads.run(self._write, bucket, cors_document(rules) if rules else b"")

    def _read(self, bucket: str) -> bytes:
        try:
            with (self._directory / bucket).open("rb") as file:
                return file.read(_MAX_FILE_BYTES)
        except OSError as problem:
            if problem.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
                return b""
            raise _error(bucket, problem) from problem

    def _write(self, bucket: str, text: bytes) -> None:
        path = self._directory / bucket
        try:
            if not text:
                with suppress(FileNotFoundError, NotADirectoryError):
                    path.unlink()
                    _sync(self._directory)
                return
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o755)
            # No bucket's name begins with a dot.
            descriptor, beside = mkstemp(prefix=".", dir=self._directory)
            try:
                with open(descriptor, "wb") as file:  # noqa: PTH123  # a descriptor
                    file.write(text)
                    file.flush()
                    os.fchmod(descriptor, 0o644)
                    os.fsync(descriptor)
                Path(beside).replace(path)
            except BaseException:
                Path(beside).unlink(missing_ok=True)
                raise
            _sync(self._directory)
        except OSError as problem:
            raise _error(bucket, problem) from problem


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _error(bucket: str, problem: OSError) -> StorageError:
    kind = _ERRORS.get(problem.errno or 0, Unavailable)
    return kind(bucket, f"The CORS rules of {bucket}: {problem.strerror}")
