"""The directories of multipart uploads in progress, ``.alluxio-s3/uploads/<upload id>``.

Whoever changes what is in one holds its lock, ``held``: a lock of the kernel on the file ``lock`` in it, which goes with the process
that holds it. An upload ends, once, by the renaming of its directory to ``.alluxio-s3/ended``, where it is emptied. Everything here
blocks; raises ``OSError`` and NoSuchUpload.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from threading import Lock
from weakref import WeakValueDictionary

from attrs import evolve

from alluxio_s3.storage import NoSuchUpload, Upload
from alluxio_s3.ufs.local import record
from alluxio_s3.ufs.local.containment import RESERVED
from alluxio_s3.ufs.local.locks import byte_lock, suppress_unlockable
from alluxio_s3.ufs.local.record import Record
from alluxio_s3.ufs.local.staging import Staging

UPLOADS = "uploads"
_ENDED = "ended"
_LOCK = "lock"
_UPLOAD = "upload.json"
_ID_BYTES = 24
_ID = re.compile(r"[A-Za-z0-9_-]{32}")
_READ_ONLY = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class UploadDirectories:
    """All of them, below the reserved directory of ``staging``."""

    def __init__(self, staging: Staging) -> None:
        self._staging = staging
        # For file systems without locks: there at least the threads of this process are kept apart.
        self._threads: WeakValueDictionary[str, Lock] = WeakValueDictionary()
        self._choosing = Lock()

    def begin(self, upload: Upload) -> Upload:
        """Make the directory of a new upload; the upload with its id."""
        begun = evolve(upload, upload_id=secrets.token_urlsafe(_ID_BYTES))
        name = location(begun.upload_id)
        self._staging.make_directory(name)
        with self._staging.directory(name) as directory:
            os.close(os.open(_LOCK, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=directory))
        self._staging.write_small(name, _UPLOAD, _encode(begun))
        return begun

    def find(self, upload_id: str) -> Upload | None:
        """What is known of an upload in progress; None if there is none of that id."""
        if not is_upload_id(upload_id):
            return None
        raw = self._staging.read_small(location(upload_id), _UPLOAD)
        return None if raw is None else _decode(upload_id, raw)

    def has(self, upload_id: str, name: str) -> bool:
        """Whether the file ``name`` is in the directory of an upload."""
        try:
            with self._staging.directory(location(upload_id)) as directory:
                os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def ids(self) -> list[str]:
        """The ids of all."""
        try:
            with self._staging.directory(UPLOADS) as uploads:
                return [name for name in names_in(uploads) if is_upload_id(name)]
        except FileNotFoundError:
            return []

    @contextmanager
    def held(self, upload_id: str) -> Iterator[int]:
        """The open directory of an upload that nobody else, in any process, changes or ends meanwhile. Raises NoSuchUpload."""
        if not is_upload_id(upload_id):
            raise NoSuchUpload
        with self._choosing:
            threads = self._threads.setdefault(upload_id, Lock())
        with threads, ExitStack() as stack:
            try:
                directory = stack.enter_context(self._staging.directory(location(upload_id)))
                lock = os.open(_LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
            except FileNotFoundError:
                raise NoSuchUpload from None
            stack.callback(os.close, lock)
            with suppress_unlockable():
                fcntl.fcntl(lock, fcntl.F_OFD_SETLKW, byte_lock(fcntl.F_WRLCK, 0))
            if not self.is_in_place(upload_id, directory):
                raise NoSuchUpload
            yield directory

    def end(self, upload_id: str) -> None:
        """Take the directory away from its place: the upload is over. The caller holds it."""
        self._staging.make_directory(_ENDED)
        with self._staging.directory(UPLOADS) as uploads, self._staging.directory(_ENDED) as ended:
            os.rename(upload_id, f"{upload_id}.{secrets.token_hex(4)}", src_dir_fd=uploads, dst_dir_fd=ended)
            self._staging.durability.directory(uploads)

    def sweep(self) -> None:
        """Remove what has ended. What cannot be removed waits for the next time."""
        with suppress(OSError), self._staging.directory(_ENDED) as ended:
            for name in names_in(ended):
                shutil.rmtree(name, ignore_errors=True, dir_fd=ended)

    def end_unbegun(self, upload_id: str, before_ns: int) -> None:
        """End a directory that a crash left before it was an upload, if nothing happened in it since ``before_ns``."""
        with suppress(FileNotFoundError), self._staging.directory(location(upload_id)) as directory:
            if read(directory, _UPLOAD) is None and os.fstat(directory).st_mtime_ns < before_ns:
                self.end(upload_id)

    def active_ns(self, upload_id: str) -> int:
        """When something last happened in an upload, in nanoseconds since the epoch; 0 when it is over."""
        try:
            with self._staging.directory(location(upload_id)) as directory:
                times = [os.fstat(directory).st_mtime_ns]
                for name in names_in(directory):
                    with suppress(FileNotFoundError):
                        times.append(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mtime_ns)
                return max(times)
        except FileNotFoundError:
            return 0

    def is_in_place(self, upload_id: str, directory: int) -> bool:
        """Whether that open directory still is the upload's."""
        try:
            with self._staging.root.opened(f"{RESERVED}/{location(upload_id)}") as there:
                return os.path.samestat(os.fstat(there), os.fstat(directory))
        except FileNotFoundError:
            return False


def is_upload_id(name: str) -> bool:
    """Whether ``name`` can be the id of an upload; what cannot is never used as a file's name."""
    return _ID.fullmatch(name) is not None


def location(upload_id: str) -> str:
    """Where in the reserved directory an upload is."""
    return f"{UPLOADS}/{upload_id}"


def names_in(directory: int) -> list[str]:
    """The names of what is in an open directory."""
    with os.scandir(directory) as entries:
        return [entry.name for entry in entries]


def read(directory: int, name: str) -> bytes | None:
    """The bytes of the file ``name``; None if it is not there."""
    try:
        file = os.open(name, _READ_ONLY, dir_fd=directory)
    except FileNotFoundError:
        return None
    with os.fdopen(file, "rb", buffering=0) as opened:
        return opened.read()


def _encode(upload: Upload) -> bytes:
    fields = {
        "path": upload.path,
        "initiated": upload.initiated_ns,
        "owner": upload.owner,
        "algorithm": upload.checksum_algorithm,
        "type": upload.checksum_type,
        "record": record.encode(Record(upload.attributes)).decode(),
    }
    return json.dumps(fields, ensure_ascii=False).encode()


def _decode(upload_id: str, raw: bytes) -> Upload | None:
    try:
        fields = json.loads(raw)
        kept = record.decode(fields["record"].encode())
        return (
            None
            if kept is None
            else Upload(
                upload_id=upload_id,
                path=fields["path"],
                initiated_ns=fields["initiated"],
                attributes=kept.attributes,
                owner=fields["owner"],
                checksum_algorithm=fields["algorithm"],
                checksum_type=fields["type"],
            )
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
