"""Files of a local directory that nobody reads any more are closed, whatever becomes of the threads that do it."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest
from twisted.internet import reactor

from alluxio_s3.s3.conditions import ALWAYS
from alluxio_s3.storage import Attributes
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.local import kernel, publish
from alluxio_s3.ufs.local.closing import Closer
from alluxio_s3.ufs.local.descriptor import Descriptor
from alluxio_s3.ufs.local.filesystem import LocalUnderFileSystem
from alluxio_s3.ufs.local.tree import Tree


def test_files_are_closed_where_there_is_no_thread_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a thread to be had each file is closed at once; when there are threads again, later ones are closed too."""

    def refuse(_: object) -> None:
        raise RuntimeError("can't start new thread")

    threads = Threads(reactor, 1, "test")  # type: ignore[arg-type]
    threads.start()
    store = LocalUnderFileSystem(str(tmp_path), threads, buckets=False)
    close = store._files._close
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        for _ in range(2):
            close(opened := Descriptor(os.open(tmp_path, os.O_RDONLY)))
            with pytest.raises(OSError, match="descriptor"):
                os.fstat(opened.number)
    close(opened := Descriptor(os.open(tmp_path, os.O_RDONLY)))
    threads.stop()
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(opened.number)
    store.tree.close()


def test_all_are_closed_whoever_brings_them(tmp_path: Path) -> None:
    """Files that several threads let go of at the same time are all closed."""
    threads = Threads(reactor, 2, "test")  # type: ignore[arg-type]
    threads.start()
    closer = Closer(threads)
    opened = [Descriptor(os.open(tmp_path, os.O_RDONLY)) for _ in range(200)]
    bringing = [threading.Thread(target=lambda part=opened[at::4]: [closer.close(one) for one in part]) for at in range(4)]
    for one in bringing:
        one.start()
    for one in bringing:
        one.join()
    threads.stop()
    assert not any(one.is_open for one in opened)


@pytest.mark.parametrize(("local", "room"), [(True, 20 << 20), (True, (20 << 20) - 1), (False, 1 << 40)])
def test_who_replaces_a_large_object_does_not_free_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local: bool, room: int) -> None:
    """A large file that is replaced has no name any more, and is still there, when it is handed on to be closed; a small one is not.

    None is kept open on a network file system: the rename would be two, with nothing there between them; nor where there is not room for
    four more of its size.
    """

    def check_room(_: int, length: int) -> None:
        if length > room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(kernel, "is_local", lambda _: local)
    monkeypatch.setattr(kernel, "check_room", check_room)
    found: list[tuple[int, int]] = []

    def look(descriptor: Descriptor) -> None:
        told = os.fstat(descriptor.number)
        found.append((told.st_nlink, told.st_size))
        descriptor.close()

    tree = Tree.at(str(tmp_path), buckets=False, let_go=look)
    for size in (5 << 20, 4 << 20, 1 << 20, 0):
        temporary = tree.staging.temporary()
        temporary.write(bytes(size))
        publish.publish(tree, temporary, "key", Attributes(etag="etag"), ALWAYS)
        temporary.discard()
    assert found == [(0, size) for size in (5 << 20, 4 << 20) if local and size * 4 <= room]
    tree.close()
