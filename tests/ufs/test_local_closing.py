"""Files of a local directory that nobody reads any more are closed, whatever becomes of the threads that do it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from twisted.internet import reactor

from alluxio_s3.threads import Threads
from alluxio_s3.ufs.local.descriptor import Descriptor
from alluxio_s3.ufs.local.filesystem import LocalUnderFileSystem


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
