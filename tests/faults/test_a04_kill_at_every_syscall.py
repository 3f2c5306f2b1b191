"""A4, A5: killed before any system call of a PUT, a completion, a tagging, a delete or a fill of the cache.

`strace` kills. It counts each kind of call for itself, so each kind has its turn: at its first, its second, until nobody is killed
any more.
"""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from attrs import evolve

from alluxio_s3.storage import Attributes, PathConflict
from alluxio_s3.ufs.local import folders
from tests.cache.page_files import PAGE_BYTES, read, thing
from tests.cache.page_files import body as page_body
from tests.cache.page_files import put as put_page
from tests.faults.bodies import body
from tests.faults.daemons import LONG, report
from tests.faults.disks import lack
from tests.faults.leftovers import passing
from tests.faults.load import ROOT
from tests.faults.victims import KEY, Job, Shelf, attributes, encoded, pages_of, result_of

# Every call that changes a file or a directory, and what comes between two of these.
CALLS = (
    ["renameat"]
    if not LONG
    else [
        "renameat",
        "renameat2",
        "rename",
        "fsync",
        "fdatasync",
        "setxattr",
        "removexattr",
        "unlinkat",
        "unlink",
        "rmdir",
        "mkdirat",
        "mkdir",
        "openat",
        "openat2",
        "close",
        "write",
        "pwrite64",
        "pwritev",
        "fchmod",
        "chmod",
        "ftruncate",
        "fallocate",
        "copy_file_range",
        "fcntl",
        "newfstatat",
        "lseek",
    ]
)
LENGTHS = [0, 4096, 70_000, 1_200_000] if LONG else [70_000]
MOST = 400
# What stayed that should not, and does no harm.
LEFT: Counter[str] = Counter()


class Tracer:
    """Processes that are killed before their *number*-th call of a *kind*."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for one in (ours, theirs):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        command = [sys.executable, "-m", "tests.faults.victims", str(theirs.fileno())]
        self._line = ours
        self._process = subprocess.Popen(command, cwd=ROOT, pass_fds=[theirs.fileno()])
        theirs.close()
        assert ours.recv(100) == b"ready"

    def end(self, jobs: Sequence[Job], kind: str, number: int) -> list[int]:
        """How each job ended: 0, or minus SIGKILL."""
        inject = ["-e", f"trace={kind}", "-e", f"inject={kind}:signal=KILL:when={number}"]
        command = ["strace", "-q", "-f", "-o", "/dev/null", *inject, "-p", str(self._process.pid)]
        strace = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            while not re.search(rf"TracerPid:\s+{strace.pid}\n", Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8")):
                assert strace.poll() is None, "strace cannot trace here"
            self._line.send(encoded(list(jobs)))
            ended: list[int] = json.loads(self._line.recv(1 << 20))
            return ended
        finally:
            strace.send_signal(signal.SIGINT)
            strace.wait()

    def close(self) -> None:
        self._line.close()
        self._process.wait(10)


@pytest.fixture
def tracer() -> Iterator[Tracer]:
    reason = lack("strace")
    if reason is not None:
        pytest.skip(reason)
    made = Tracer()
    yield made
    made.close()


def prepared(scratch: Path) -> list[Job]:
    """All jobs, each in a fresh directory with what has to be there before."""
    jobs = []
    for length in LENGTHS:
        for old in (False, True):
            jobs += [Job("put", "", length, xattrs=xattrs, old=old) for xattrs in (True, False)]
            jobs += [Job("complete", "", length, old=old)] if length > 1 else []
    jobs += [Job(act, "", xattrs=xattrs) for act in ("tags", "delete") for xattrs in (True, False)]
    jobs += [Job("fill", "")]
    return [_placed(job, scratch / str(number)) for number, job in enumerate(jobs)]


def _placed(job: Job, place: Path) -> Job:
    place.mkdir(parents=True, mode=0o700)
    job = evolve(job, place=str(place))
    if job.act == "fill":
        store = pages_of(job)
        put_page(store, thing("older"), 0)
        store.close()
        return job
    shelf = Shelf(job)
    if job.old:
        shelf.put(KEY, "old", 5000)
    if job.act == "complete":
        job = shelf.begin_upload()
    shelf.tree.close()
    return job


def examined(job: Job, *, done: bool) -> str | None:
    """What is wrong after a job that was *done*, or was killed; None: nothing."""
    if job.act == "fill":
        return _examined_pages(job, done=done)
    shelf = Shelf(job)
    try:
        shelf.tree.staging.prepare()  # as a daemon does at its start
        folders.remove_unfinished(shelf.tree)
        result_of(shelf.uploads.expire(0))
        if job.act == "complete":
            return _examined_upload(shelf, done=done) or _examined_place(shelf)
        expected = {"put": _states(job)[1], "tags": (5000, "old", "new"), "delete": None}[job.act]
        state = _state(shelf)
        if isinstance(state, str):
            return state
        if state != expected and (done or state != _states(job)[0]):
            return f"found {state}, done {done}"
        return _examined_place(shelf)
    finally:
        shelf.tree.close()


State = tuple[int, str, str] | None


def _states(job: Job) -> tuple[State, State]:
    """Before and after: length, version, tag."""
    return (5000, "old", "old") if job.old else None, (job.length, "new", "new")


def _state(shelf: Shelf) -> State | str:
    found = shelf.found()
    if found is None:
        return None
    status, data = found
    version = status.attributes.user_metadata.get("v", "")
    whole = body(KEY, version, status.size)
    expected: Attributes = attributes(version, whole)
    if data != whole or status.etag != expected.etag or status.attributes.content_type != expected.content_type:
        return f"torn: {status}"
    if shelf.listed() != [KEY]:
        return f"listed: {shelf.listed()}"
    return status.size, version, status.attributes.tags.get("t", "")


def _examined_upload(shelf: Shelf, *, done: bool) -> str | None:
    before = _state(shelf)
    if before not in _states(shelf.job) or (done and before != _states(shelf.job)[1]):
        return f"found {before}, done {done}"
    etags = {shelf.complete(), shelf.complete()}
    if etags != {attributes("new", body(KEY, "new", shelf.job.length)).etag}:
        return f"completed as {etags}"
    after = _state(shelf)
    return None if after == _states(shelf.job)[1] else f"completed to {after}"


def _examined_place(shelf: Shelf) -> str | None:
    """Whether there is nothing left of what was not done, and the place can be used for anything.

    Small things may stay that nothing tells from what is wanted: the record of a file that has no extended attributes, and,
    where a delete was killed, the empty directory, which goes when it is in the way.
    """
    root = Path(shelf.job.place)
    left: list[object] = list(passing(root))
    if shelf.found() is None:
        stayed = [one for one in root.iterdir() if one.name != ".alluxio-s3"]
        if shelf.job.act == "delete":
            LEFT["empty directories"] += len(stayed)
        else:
            left += stayed
    try:
        shelf.put(KEY if shelf.found() else "a", "last", 10)  # no directory is in the way
    except PathConflict as problem:
        left.append(problem)
    sidecars = list((root / ".alluxio-s3" / "attributes").iterdir())
    files = [one for one in root.rglob("*") if ".alluxio-s3" not in one.parts]
    LEFT["records"] += max(0, len(sidecars) - len(files))
    if len(sidecars) > len(files) + 2:
        left.append(f"{len(sidecars)} records of {len(files)} files")
    return f"left over: {left}" if left else None


def _examined_pages(job: Job, *, done: bool) -> str | None:
    store = pages_of(job)
    try:
        if read(store, thing("older"), 0) != page_body(thing("older"), 0):
            return "a page that was kept is gone"
        for number in range(3):
            page = read(store, thing("object"), number)
            if page != page_body(thing("object"), number, PAGE_BYTES) and (done or page is not None):
                return f"page {number} is wrong"
            if not put_page(store, thing("object"), number):
                return f"page {number} cannot be kept"
        return None
    finally:
        store.close()


def test_killed_at_every_call(tmp_path: Path, tracer: Tracer) -> None:
    """The old or the new object, whole, all attributes too, listed once; nothing is left over; an upload can be completed, or is."""
    killed: Counter[str] = Counter()
    wrong = []
    for kind in CALLS:
        for number in range(1, MOST):
            jobs = prepared(tmp_path / f"{kind}-{number}")
            ended = tracer.end(jobs, kind, number)
            assert set(ended) <= {0, -signal.SIGKILL}, ended
            killed[kind] += sum(one != 0 for one in ended)
            for job, status in zip(jobs, ended, strict=True):
                problem = examined(job, done=status == 0)
                if problem is not None:
                    wrong.append(f"{job.act} of {job.length}, old {job.old}, xattrs {job.xattrs}, {kind} {number}: {problem}")
            subprocess.run(["rm", "-rf", str(tmp_path / f"{kind}-{number}")], check=True)
            if not any(ended):
                break
    assert wrong == [], "\n".join(wrong)
    assert killed["renameat"] > 10
    told = f"{sum(killed.values())} kills at {dict(killed)}: 0 lost, 0 torn, 0 temporary files, 0 stuck uploads"
    report("A4, A5", f"{told}; harmless leftovers: {dict(LEFT)}")
