"""Multipart uploads of the local directory when the process is killed, at every step it takes, and when several share it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from alluxio_s3.s3.conditions import ALWAYS
from alluxio_s3.storage import Attributes, NoSuchUpload, Part, Upload
from alluxio_s3.ufs.local.filesystem import LocalUnderFileSystem
from alluxio_s3.ufs.local.tree import Tree
from alluxio_s3.ufs.local.uploads import LocalUploads

OLD, NEW = b"the old object", b"1" * 1000 + b"again" * 200 + b"3" * 10
# What the interpreter announces before it does it. Renames that must not replace go past it, so these are not all steps.
STEPS = {"open", "os.rename", "os.remove", "os.truncate", "os.mkdir", "os.rmdir", "os.setxattr", "os.chmod", "os.scandir", "fcntl.fcntl"}


class AtOnce:
    """Runs what is for a thread at once."""

    async def run(self, function, *arguments):
        return function(*arguments)


class Worker:
    """A daemon's view of a directory."""

    def __init__(self, root):
        self.root = Path(root)
        self.tree = Tree.at(str(root), buckets=False, durability="rename")
        self.uploads = LocalUploads(self.tree, AtOnce())

    def __getattr__(self, verb):
        method = getattr(self.uploads, "uploads" if verb == "all_uploads" else verb)
        return lambda *arguments: run(method(*arguments))

    def part(self, upload, number, data, etag):
        writer = self.create_part(upload, number, len(data))
        run(writer.write(data))
        run(writer.commit(Attributes(etag=etag), ALWAYS))
        return Part(number, len(data), 0, etag)


def run(work):
    """The result of a coroutine that does not wait for anything."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value


def child(work):
    """Do ``work`` in a process of its own; how that ended: its exit code, or minus the signal."""
    process = os.fork()
    if not process:
        try:
            os._exit(work() or 0)
        except BaseException as error:  # noqa: BLE001 - a child must not go on as its parent
            sys.stderr.write(f"in the child: {error!r}\n")
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def kill_before(step):
    """Have this process killed (as by kill -9) before the ``step``-th thing that it does from now on."""

    def hook(event, _):
        nonlocal step
        if event in STEPS:
            step -= 1
            if step < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def prepared(root):
    """A directory with an object, and an upload to it: a part in its place, one sent again, a short last one."""
    worker = Worker(root)
    (root / "object").write_bytes(OLD)
    upload = worker.create_upload(Upload("", "object", 0))
    parts = [worker.part(upload, number, data, f"{number}") for number, data in ((1, b"1" * 1000), (2, b"2" * 1000), (3, b"3" * 10))]
    parts[1] = worker.part(upload, 2, b"again" * 200, "2 again")
    return worker, upload, parts


def test_what_ended_before_a_crash_is_gone_after_it(tmp_path):
    """The parts of an upload that had ended, and were not all removed when the power was cut, are removed when the daemon starts."""
    worker, upload, _ = prepared(tmp_path)
    with worker.uploads._held(upload):
        worker.uploads._directories.end(upload.upload_id)
    worker.tree.close()
    ended = tmp_path / ".alluxio-s3" / "ended"
    assert len(list(ended.iterdir())) == 1
    store = LocalUnderFileSystem(str(tmp_path), AtOnce(), buckets=False)
    store.prepare()
    assert list(ended.iterdir()) == []
    store.tree.close()


def every_step(tmp_path, act, check):
    """Kill ``act(worker, upload, parts)`` at each of its steps, each time in a fresh directory, then ``check`` what is there."""
    for step in range(1000):
        root = tmp_path / str(step)
        root.mkdir()
        worker, upload, parts = prepared(root)
        worker.tree.close()

        def work(step=step, root=root, upload=upload, parts=parts):
            kill_before(step)
            act(Worker(root), upload, parts)

        ended = child(work)
        assert ended in (0, -signal.SIGKILL)
        survivor = Worker(root)
        survivor.tree.staging.prepare()
        check(survivor, upload, parts)
        survivor.expire(0)
        survivor.tree.close()
        reserved = root / ".alluxio-s3"
        assert [path.name for path in (reserved / "tmp").glob("*")] == []
        assert not list((reserved / "ended").glob("*"))
        shutil.rmtree(root)
        if ended == 0:
            assert step > 10, "it was to be killed, but had nothing to do"
            return
    raise AssertionError("it does not end")


@pytest.mark.parametrize("chosen", [slice(0, 3), slice(0, 2), slice(1, 3)], ids=["lined up", "some", "others"])
def test_killed_while_completing(tmp_path, chosen):
    """The object is the old or the new one; the upload can still be completed, with every part that it had, or is known to be complete."""

    def act(worker, upload, parts):
        worker.complete(upload, parts[chosen], Attributes(etag="new"), ALWAYS)

    def check(worker, upload, parts):
        new = {0: NEW[:2000] if chosen.stop == 2 else NEW, 1: NEW[1000:]}[chosen.start]
        data = (worker.root / "object").read_bytes()
        try:
            found = worker.upload("object", upload.upload_id)
        except NoSuchUpload:
            assert data == new
            assert worker.completed("object", upload.upload_id).etag == "new"
            assert worker.tree.status("object").etag == "new"
            assert worker.all_uploads("") == []
        else:
            assert data == OLD
            assert [(part.number, part.etag) for part in worker.parts(found)] == [(part.number, part.etag) for part in parts]
            assert worker.completed("object", upload.upload_id) is None
            worker.complete(found, parts, Attributes(etag="newer"), ALWAYS)
            assert (worker.root / "object").read_bytes() == NEW

    every_step(tmp_path, act, check)


def test_killed_while_a_part_is_sent(tmp_path):
    """A part is there as it was, or as it is sent; the others are as they were, and the upload goes on."""

    def act(worker, upload, _):
        worker.part(upload, 2, b"x" * 1000, "third time")
        worker.part(upload, 4, b"4" * 10, "4")
        worker.part(upload, 3, b"33" * 500, "3 again")

    def check(worker, upload, parts):
        found = {part.number: part.etag for part in worker.parts(upload)}
        assert (found[1], found[2] in ("2 again", "third time"), found[3] in ("3", "3 again"), found.get(4, "4")) == ("1", True, True, "4")
        worker.complete(upload, [Part(number, 0, 0, etag) for number, etag in found.items()], Attributes(etag="new"), ALWAYS)
        second = b"again" * 200 if found[2] == "2 again" else b"x" * 1000
        third = b"3" * 10 if found[3] == "3" else b"33" * 500
        assert (worker.root / "object").read_bytes() == b"1" * 1000 + second + third + (b"4" * 10 if 4 in found else b"")

    every_step(tmp_path, act, check)


def test_killed_while_aborting(tmp_path):
    """The upload is there, with all of its parts, or gone; the object is as it was."""

    def act(worker, upload, _):
        worker.abort(upload)

    def check(worker, upload, parts):
        assert (worker.root / "object").read_bytes() == OLD
        if worker.all_uploads(""):
            worker.complete(upload, parts, Attributes(etag="new"), ALWAYS)
            assert (worker.root / "object").read_bytes() == NEW
        else:
            with pytest.raises(NoSuchUpload):
                worker.parts(upload)

    every_step(tmp_path, act, check)


def test_killed_while_beginning(tmp_path):
    """An upload is there, or nothing of it but what ``expire`` removes."""

    def act(worker, _, __):
        worker.create_upload(Upload("", "dir/other", 0))

    def check(worker, _, __):
        for upload in worker.all_uploads("dir/"):
            part = worker.part(upload, 1, b"1", "1")
            worker.complete(upload, [part], Attributes(etag="new"), ALWAYS)
            assert (worker.root / "dir" / "other").read_bytes() == b"1"
        worker.expire(1 << 62)
        assert not list((worker.root / ".alluxio-s3" / "uploads").glob("*"))

    every_step(tmp_path, act, check)


def test_a_dead_writer_holds_nothing(tmp_path):
    """Who was killed in the middle of a part, or with the upload in hand, is in nobody's way: not even its slot is lost."""
    worker, upload, parts = prepared(tmp_path)

    def die():
        dying = Worker(tmp_path)
        writer = dying.create_part(upload, 4, 500)
        run(writer.write(b"x" * 400))
        with dying.uploads._directories.held(upload.upload_id):
            os.kill(os.getpid(), signal.SIGKILL)

    assert child(die) == -signal.SIGKILL
    parts = [parts[0], parts[1], worker.part(upload, 3, b"3" * 1000, "3"), worker.part(upload, 4, b"4" * 500, "4")]
    assembly = tmp_path / ".alluxio-s3" / "uploads" / upload.upload_id / "assembly"
    inode = assembly.stat().st_ino
    worker.complete(upload, parts, Attributes(etag="new"), ALWAYS)
    assert (tmp_path / "object").stat().st_ino == inode
    assert (tmp_path / "object").read_bytes() == NEW[:2000] + b"3" * 1000 + b"4" * 500
    worker.tree.close()


def test_processes_that_end_an_upload_at_once(tmp_path):
    """Of several processes that complete or abort an upload at once one does, and the others find none."""
    for round_ in range(8):
        root = tmp_path / str(round_)
        root.mkdir()
        worker, upload, parts = prepared(root)
        worker.tree.close()
        waiting, go = os.pipe()

        def end(number, root=root, upload=upload, parts=parts, waiting=waiting):
            other = Worker(root)
            os.read(waiting, 1)
            try:
                if number % 2:
                    other.abort(upload)
                    return 2
                other.complete(upload, parts, Attributes(etag="new"), ALWAYS)
            except NoSuchUpload:
                return 3
            return 1

        processes = []
        for number in range(4):
            process = os.fork()
            if not process:
                os._exit(end(number))
            processes.append(process)
        os.write(go, b"gogo")
        codes = sorted(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes)
        os.close(waiting)
        os.close(go)
        assert codes in ([1, 3, 3, 3], [2, 3, 3, 3])
        assert (root / "object").read_bytes() == (NEW if codes[0] == 1 else OLD)


def test_processes_that_send_parts_at_once(tmp_path):
    """Parts that several processes send become the object, in its file, with nothing copied."""
    worker = Worker(tmp_path)
    upload = worker.create_upload(Upload("", "object", 0))
    worker.part(upload, 1, b"\1" * 5000, "1")

    def send(numbers):
        other = Worker(tmp_path)
        for number in numbers:
            other.part(upload, number, bytes([number]) * 5000, str(number))

    processes = []
    for first in (2, 3, 4):
        process = os.fork()
        if not process:
            send(range(first, 60, 3))
            os._exit(0)
        processes.append(process)
    assert [os.waitpid(process, 0)[1] for process in processes] == [0, 0, 0]
    inode = (tmp_path / ".alluxio-s3" / "uploads" / upload.upload_id / "assembly").stat().st_ino
    parts = worker.parts(upload)
    assert [part.number for part in parts] == list(range(1, 60))
    worker.complete(upload, parts, Attributes(etag="new"), ALWAYS)
    assert (tmp_path / "object").stat().st_ino == inode
    assert (tmp_path / "object").read_bytes() == b"".join(bytes([number]) * 5000 for number in range(1, 60))
    worker.tree.close()
