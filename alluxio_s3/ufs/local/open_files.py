"""Files kept open between reads: what is read again and again needs no look-up, only the proof that it is still the object.

The proof is one stat(2) of its name: the same inode, size, modification and change time as when it was opened. It is
asked for on the reactor's own thread, because the name of an open file is in the kernel's memory.
"""

from __future__ import annotations

import errno
import os
from collections import OrderedDict
from collections.abc import Callable

from attrs import define, field
from zope.interface import implementer

from alluxio_s3.interfaces import IHotObject
from alluxio_s3.storage import ObjectChanged, Status
from alluxio_s3.ufs.local.attributes import XATTR
from alluxio_s3.ufs.local.descriptor import Descriptor
from alluxio_s3.ufs.local.identity import has_settled, same_file, untouched
from alluxio_s3.ufs.local.record import Record

CAPACITY = 16384
# A file that somebody deleted keeps its blocks while it is open here; so nothing stays for long that nobody reads.
IDLE_SECONDS = 30.0
# A file that was read within so long is not closed for another; only for one of several, so that what is asked for more gets in.
BUSY_SECONDS = 5.0
NEWCOMERS = 16
# One that small is closed without a thread, even if its name went meanwhile: there is little to free.
AT_ONCE_BYTES = 1 << 20
# How exactly it is remembered which was read last: what is read again within so long keeps its place.
ORDER_SECONDS = 1.0


@implementer(IHotObject)
@define(eq=False)
class OpenFile:
    """A file that is open for whoever reads it. What is kept of them, with its ``keeper``, is an ``IHotObject``.

    ``rendered`` is the readers' own, to keep with it what they made of its Status. ``shows_changes`` is whether any change of
    what it is to S3 shows in its inode; otherwise it can be read, but not kept. ``looked_ns`` is wall time before it was looked at.
    """

    status: Status
    found: os.stat_result
    descriptor: Descriptor
    path: str
    shows_changes: bool
    looked_ns: int
    rendered: dict[object, object] = field(factory=dict)
    used_at: float = 0.0
    readers: int = 0
    dropped: bool = False
    lent: bool = False
    keeper: OpenFiles | None = None

    def fileno(self) -> int:
        """See IFileBacked."""
        return self.descriptor.number

    def check_unchanged(self) -> None:
        """See IFileBacked. An open reader keeps its file open."""
        if not same_file(self.found, os.fstat(self.descriptor.number)):
            raise ObjectChanged(self.status.path)

    def is_current(self) -> bool:
        """See IHotObject."""
        keeper = self.keeper
        if keeper is None:
            return False
        found = self.found
        try:
            now = os.stat(self.path, dir_fd=keeper.root)
        except OSError:
            now = None
        if now is not None and untouched(found, now):
            return True
        keeper.forget(self)
        return False

    def opened_again(self, descriptor: Descriptor, found: os.stat_result) -> OpenFile | None:
        """The same file under ``descriptor``, if ``found`` says that it is: what is known of it holds of it still. Else None."""
        if not (self.shows_changes and untouched(self.found, found)):
            return None
        return OpenFile(self.status, self.found, descriptor, self.path, True, self.looked_ns, self.rendered)

    def release(self) -> None:
        """See IHotReader."""
        self.readers -= 1
        if self.dropped and self.keeper is not None:
            self.keeper.settle(self)


def shows_changes(descriptor: int, record: Record | None) -> bool:
    """Whether every change of an open file's record changes its inode: an extended attribute does, a sidecar does not."""
    try:
        os.getxattr(f"/proc/self/fd/{descriptor}", XATTR)
    except OSError as problem:
        return problem.errno == errno.ENODATA and record is None
    return True


class OpenFiles:
    """The ``capacity`` files that were read last, by path. Not for threads: it belongs to the reactor's.

    ``close`` closes a descriptor; it may do so later, in a thread. Of as many files more as would fit in CAPACITY it is known what they
    were when they were closed for others.
    """

    def __init__(self, root: int, close: Callable[[Descriptor], None], capacity: int = CAPACITY) -> None:
        self.root = root
        self._close = close
        self._capacity = capacity
        self._files: OrderedDict[str, OpenFile] = OrderedDict()
        self._known: OrderedDict[str, OpenFile] = OrderedDict()
        self._newcomers = 0

    def __len__(self) -> int:
        return len(self._files)

    def find(self, path: str, now: float) -> OpenFile | None:
        """The file at ``path`` if it is open, one reader more; ``now`` is a monotonic time in seconds."""
        file = self._files.get(path)
        if file is not None:
            file.readers += 1
            if now - file.used_at >= ORDER_SECONDS:
                file.used_at = now
                self._files.move_to_end(path)
        return file

    def known(self, path: str) -> OpenFile | None:
        """What the file at ``path`` was when it was closed for another. It is forgotten here: whoever opens the file again may lend it."""
        return self._known.pop(path, None)

    def lend(self, file: OpenFile, now: float) -> bool:
        """Have ``file`` for one reader, who has it open already; whether a look can prove it to be the object.

        It is kept if there is room. If all that is open is in use, it is closed after its reader.
        """
        file.readers += 1
        file.used_at = now
        if len(self._files) >= self._capacity > 0 and next(iter(self._files.values())).used_at > now - BUSY_SECONDS:
            self._newcomers += 1
            if self._newcomers % NEWCOMERS:
                file.keeper, file.lent, file.dropped = self, file.found.st_size <= AT_ONCE_BYTES, True
                return has_settled(file.found, file.looked_ns)
        self.keep(file, now)
        return not file.dropped

    def keep(self, file: OpenFile, now: float) -> None:
        """Keep ``file`` in place of an older one of its path and of the one read longest ago; or drop it at once if it cannot be kept."""
        file.keeper = self
        if not (file.shows_changes and has_settled(file.found, file.looked_ns) and self._capacity):
            file.dropped = True
            return
        self.drop(file.path)
        file.used_at = now
        self._files[file.path] = file
        if len(self._files) > self._capacity:
            path, oldest = next(iter(self._files.items()))
            self.drop(path)
            self._remember(oldest)

    def drop(self, path: str) -> None:
        """Let go of the file at ``path``; it is closed when its last reader has closed it."""
        self._known.pop(path, None)
        file = self._files.pop(path, None)
        if file is not None:
            file.dropped = True
            self.settle(file)

    def forget(self, file: OpenFile) -> None:
        """``drop`` this very file, if it is kept; nothing is known of it any more."""
        file.lent = False
        self._known.pop(file.path, None)
        if self._files.get(file.path) is file:
            self.drop(file.path)

    def drop_idle(self, now: float) -> None:
        """Let go of what nobody has read for a while."""
        while self._known and next(iter(self._known.values())).used_at <= now - IDLE_SECONDS:
            self._known.popitem(last=False)
        while self._files:
            path, file = next(iter(self._files.items()))
            if file.used_at > now - IDLE_SECONDS:
                return
            self.drop(path)

    def settle(self, file: OpenFile) -> None:
        """Close ``file`` if nobody needs it any more."""
        if file.dropped and not file.readers:
            if file.lent:
                file.descriptor.close()
                self._remember(file)
            else:
                self._close(file.descriptor)

    def clear(self) -> None:
        """Let go of all."""
        for path in list(self._files):
            self.drop(path)
        self._known.clear()

    def _remember(self, file: OpenFile) -> None:
        """What is known of ``file``, which is closed. Each look at the file proves it anew."""
        if file.path not in self._files:
            self._known[file.path] = file
            if len(self._known) + len(self._files) > CAPACITY:
                self._known.popitem(last=False)
