"""A process's part in an index that several processes share: who takes part, who prepares it, and whether it may be trusted.

A process that takes part holds a lock on a file of its own, so that its death is known to the others at once, whatever
becomes of its number.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import lmdb
from attrs import asdict, evolve, frozen

from alluxio_s3.cache.index import Index

FORMAT = 1
# After so many starts of which none lasted, the index itself is held to be what ends the process: a damaged one can do that.
MOST_STARTS = 30
TOKEN_BYTES = 8
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_ANY_BOOT = "any"


@frozen
class Origin:
    """What a file in the index' directory says of it.

    ``boot`` is that of the kernel in which it is good, ``places`` are the directories by number, ``starts`` counts those of lone
    processes since one has lasted.
    """

    identity: str
    boot: str
    page_bytes: int
    places: tuple[str, ...]
    format: int = FORMAT
    starts: int = 0


class Session:
    """The part that this process takes in the index in the directory ``root``, for the directories ``places``.

    Raises OSError and ``lmdb.Error`` when there can be no index, ValueError when other processes use it with pages of another size.
    ``clean``: the last process that left it has left nothing undone. ``renewed``: there is nothing in it yet.
    """

    def __init__(self, root: Path, places: list[str], page_bytes: int, room: int) -> None:
        self._root = root
        self._processes = root / "processes"
        self._processes.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.token = secrets.token_bytes(TOKEN_BYTES)
        with self._alone():
            origin = self._read()
            busy = any(self.is_live(bytes.fromhex(one.name)) for one in list(self._processes.iterdir()))
            if origin is not None and busy and origin.page_bytes != page_bytes:
                raise ValueError(f"{root}: other processes use this cache with pages of {origin.page_bytes} bytes")
            self.clean = origin is not None and origin.boot == _ANY_BOOT
            usable = origin is not None and origin.boot in (_ANY_BOOT, _boot()) and origin.starts < MOST_STARTS
            usable = usable and origin is not None and (origin.format, origin.page_bytes) == (FORMAT, page_bytes)
            self.renewed = origin is None or not (usable or busy)
            if origin is None or self.renewed:
                origin = self._renewed(page_bytes)
            known = (*origin.places, *(one for one in places if one not in origin.places))
            self.origin = Origin(origin.identity, _boot(), page_bytes, known, starts=origin.starts + (not busy))
            self._write(self.origin)
            try:
                self.index = Index(str(root), room, whole=not busy)
            except lmdb.Error:
                if busy:
                    raise
                self.origin = Origin(self._renewed(page_bytes).identity, _boot(), page_bytes, tuple(places))
                self._write(self.origin)
                self.renewed = True
                self.index = Index(str(root), room)
            self._begin()
            self._lock = self._locked(self._processes / self.token.hex())
        found = (root / "data.mdb").stat()
        self._file = (found.st_dev, found.st_ino)

    def _begin(self) -> None:
        with self.index.writing() as writing:
            if not writing.tally.sequence:
                # Greater than in every index that was here before: what was asked then can't be taken for an answer to what is asked now.
                writing.tally.sequence = writing.tally.floor = time.time_ns()

    def number(self, place: str) -> int:
        """The number of a directory in the index."""
        return self.origin.places.index(place)

    def is_live(self, token: bytes) -> bool:
        """Whether the process of that token still takes part."""
        path = self._processes / token.hex()
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            path.unlink(missing_ok=True)
            return False
        finally:
            os.close(descriptor)

    def is_in_place(self) -> bool:
        """Whether the index is still the file of its name. It is not after somebody has removed or replaced the directory."""
        try:
            found = (self._root / "data.mdb").stat()
        except OSError:
            return False
        return self._file == (found.st_dev, found.st_ino)

    def trust(self) -> None:
        """Say that this process has lasted: the index is not what ends processes. Raises OSError. Blocking."""
        if self.origin.starts:
            with self._alone():
                self.origin = evolve(self._read() or self.origin, starts=0)
                self._write(self.origin)

    @contextmanager
    def repairing(self) -> Iterator[bool]:
        """Whether this process is the one that repairs, while it does."""
        descriptor = os.open(self._root / "repair", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield True
                return
            yield False
        finally:
            os.close(descriptor)

    def distrust(self) -> None:
        """Have the index made anew when the next process starts that is alone."""
        with suppress(OSError):
            self._write(Origin(self.origin.identity, "none", self.origin.page_bytes, self.origin.places))

    def close(self, *, clean: bool, last: Callable[[], None] = lambda: None) -> None:
        """Take part no more. The last one to leave, if it leaves nothing undone (``clean``), makes the index good for any boot.

        ``last`` is called before that, while nobody else can take part.
        """
        with suppress(OSError, lmdb.Error), self._alone():
            os.close(self._lock)
            others = any(self.is_live(bytes.fromhex(one.name)) for one in list(self._processes.iterdir()))
            if clean and not others and self.is_in_place():
                last()
                self.index.sync()
                self._write(Origin(self.origin.identity, _ANY_BOOT, self.origin.page_bytes, self.origin.places))
        self.index.close()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        descriptor = self._locked(self._root / "setup")
        try:
            yield
        finally:
            os.close(descriptor)

    def _locked(self, path: Path) -> int:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return descriptor

    def _read(self) -> Origin | None:
        try:
            read = json.loads((self._root / "origin").read_bytes())
            return Origin(**{**read, "places": tuple(read["places"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def _write(self, origin: Origin) -> None:
        # Durable, and before the index changes: an older one that came back after a power cut would vouch for what it has not seen.
        temporary = self._root / "origin.new"
        temporary.write_text(json.dumps(asdict(origin)))
        _sync(temporary)
        temporary.replace(self._root / "origin")
        _sync(self._root)

    def _renewed(self, page_bytes: int) -> Origin:
        """Remove what there is of an index."""
        for name in ("origin", "data.mdb", "lock.mdb"):
            (self._root / name).unlink(missing_ok=True)
        return Origin(secrets.token_hex(8), _boot(), page_bytes, ())


def _boot() -> str:
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return "unknown"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
