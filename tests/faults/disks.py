"""Disks of fault tests: loop-mounted images whose power can be cut, and small memory disks. All need root.

The power is cut by one ioctl: the file system is shut down at once, nothing of its log being flushed; what is not on the
image by then is gone when the image is mounted again, and its journal replayed.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import shutil
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from attrs import define, field

# EXT4_IOC_SHUTDOWN, XFS_IOC_GOINGDOWN; and: without flushing the log.
_SHUTDOWN, _NO_LOG_FLUSH = 0x8004587D, 2
_CLONE_NEWNS = 0x00020000
_MEBIBYTES = {"ext4": 256, "xfs": 320}
KINDS = tuple(_MEBIBYTES)


def lack(*programs: str) -> str | None:
    """Why a test can't be done here, which needs root and *programs*; None if it can."""
    if os.geteuid() != 0:
        return "only root can mount"
    missing = [one for one in programs if shutil.which(one) is None]
    return f"{', '.join(missing)} is not installed" if missing else None


@contextlib.contextmanager
def private_mounts() -> Iterator[None]:
    """What is mounted meanwhile, by this thread and the processes that it starts, is seen by nobody else.

    Others would take copies of the mounts with them into namespaces of their own, and so keep a disk that was unmounted here.
    """
    mine = f"/proc/self/task/{threading.get_native_id()}/ns/mnt"
    before = os.open(mine, os.O_RDONLY)
    directory = Path.cwd()
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        if libc.unshare(_CLONE_NEWNS) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
            if " /dev/loop" in line:  # and we must not keep others' disks
                _run("umount", "--lazy", line.split()[4])
        try:
            yield
        finally:
            if libc.setns(before, _CLONE_NEWNS) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            os.chdir(directory)  # entering a namespace leads to its root
    finally:
        os.close(before)


def _run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(one) for one in command], check=False, capture_output=True, text=True)


@define
class Disk:
    """An image of a file system of a *kind* in *directory*, mounted at `place`. `make` it, `close` it at the end."""

    kind: str
    directory: Path
    image: Path = field(init=False)
    place: Path = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.image = self.directory / f"{self.kind}.img"
        self.place = self.directory / "mounted"

    def make(self) -> str | None:
        """Make the file system and mount it; why not, if this machine has none of the kind."""
        self.place.mkdir(parents=True)
        with self.image.open("wb") as image:
            image.truncate(_MEBIBYTES[self.kind] << 20)
        options = ["-q", "-F", "-E", "lazy_itable_init=0,nodiscard"] if self.kind == "ext4" else ["-q", "-K"]
        made = _run(f"mkfs.{self.kind}", *options, self.image)
        return made.stderr if made.returncode else self.mount()

    def mount(self) -> str | None:
        """Mount it, its journal being replayed; why not, if it can't be."""
        done = _run("mount", "-o", "loop", "-t", self.kind, self.image, self.place)
        return done.stderr or "cannot mount" if done.returncode else None

    def cut(self) -> None:
        """Cut the power: from now on nothing reaches the disk."""
        descriptor = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(descriptor)

    def turn_read_only(self) -> None:
        """Have it take no more writes, from files that are open either, as ext4 does when its disk fails; what is there can be read."""
        done = _run("mount", "-o", "remount,abort", self.place)
        assert done.returncode == 0, done.stderr

    def unmount(self) -> None:
        """Unmount it, once nobody has a file open there."""
        done = _run("umount", self.place)
        assert done.returncode == 0, done.stderr

    def close(self) -> None:
        """Unmount it if it is mounted, and remove the image."""
        _run("umount", "--lazy", self.place)
        with contextlib.suppress(FileNotFoundError):
            self.image.unlink()


@define
class MemoryDisk:
    """A disk of *size* (as mount has it: `16m`) in memory, mounted at *place*."""

    place: Path
    size: str

    def mount(self) -> str | None:
        """Mount it; why not, if it can't be."""
        self.place.mkdir(parents=True, exist_ok=True)
        done = _run("mount", "-t", "tmpfs", "-o", f"size={self.size}", "tmpfs", self.place)
        return done.stderr or "cannot mount" if done.returncode else None

    def close(self) -> None:
        """Unmount it."""
        _run("umount", "--lazy", self.place)
