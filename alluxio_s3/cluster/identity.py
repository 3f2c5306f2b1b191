"""Which worker this is: an id that stays over restarts, so that what it holds on its disks is still its own."""

from __future__ import annotations

import os
import re
import uuid
from contextlib import suppress
from pathlib import Path

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", re.ASCII)


def check_identity(text: str) -> str:
    """``text`` if a worker can be called so. Raises ValueError."""
    if not _ID.fullmatch(text):
        raise ValueError("the id of a worker is up to 128 letters, digits, '.', '_', ':' or '-', and begins with a letter or digit")
    return text


def identity_in(path: Path) -> str:
    """The id in the file at ``path``, which is made with a new one if it is not there. It blocks. Raises ValueError.

    Of several processes that make it at once, each has the id of the one that was first.
    """
    try:
        found = _read(path)
        return _make(path) if found is None else found
    except OSError as problem:
        raise ValueError(f"{path}: {problem.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: it is no id of a worker") from None


def new_boot() -> str:
    """Which start of a worker this is."""
    return uuid.uuid4().hex


def _make(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}.{uuid.uuid4().hex}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{uuid.uuid4()}\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(fresh, path)
    finally:
        fresh.unlink()
    found = _read(path)
    if found is None:
        raise ValueError(f"{path}: it went as soon as it was there")
    return found


def _read(path: Path) -> str | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None
    try:
        return check_identity(text)
    except ValueError as problem:
        raise ValueError(f"{path}: {problem}") from None
