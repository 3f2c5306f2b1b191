"""Whose temporary files are: a *run* is one life of one process.

A run keeps a lock on its file ``<run>.run`` as long as it lives; its temporary files are ``<run>.<n>`` beside it, and
``<run>.<n>.making`` tells of directories that it makes. What belongs to a run whose lock is free is nobody's.
So processes need to know nothing of each other, not even whether they are on one machine.
Everything here blocks, raises ``OSError``, and is called while no other process does the same.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from contextlib import suppress

from alluxio_s3.ufs.local.locks import byte_lock, suppress_unlockable

SUFFIX = ".run"
MAKING = ".making"
_DAY = 86_400


def begin(tmp: int) -> tuple[str, int]:
    """A new run in the open directory ``tmp``: its name, and its file, which is locked until it is closed."""
    run = secrets.token_hex(8)
    file = os.open(run + SUFFIX, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=tmp)
    with suppress_unlockable():
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, byte_lock(fcntl.F_WRLCK, 0))
    return run, file


def sweep(tmp: int) -> list[str]:
    """Remove the files of the runs that have ended; where the file system has no locks, those that are a day old.

    What those said that told of directories.
    """
    told: list[str] = []
    with os.scandir(tmp) as entries:
        names = [entry.name for entry in entries]
    alive = {name.removesuffix(SUFFIX): _is_locked(tmp, name) for name in names if name.endswith(SUFFIX)}
    for name in names:
        locked = alive.get(name.partition(".")[0], False)
        with suppress(FileNotFoundError, IsADirectoryError):
            if locked is None:
                locked = os.stat(name, dir_fd=tmp, follow_symlinks=False).st_mtime > time.time() - _DAY
            if not locked:
                if name.endswith(MAKING):
                    told.append(_text(tmp, name))
                os.unlink(name, dir_fd=tmp)
    return told


def _text(directory: int, name: str) -> str:
    with os.fdopen(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory), "rb") as file:
        return file.read().decode(errors="replace")


def _is_locked(directory: int, name: str) -> bool | None:
    """None where there is no telling."""
    descriptor = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, byte_lock(fcntl.F_WRLCK, 0))
    except (BlockingIOError, PermissionError):
        return True
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return False
