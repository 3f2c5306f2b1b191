"""A4, A5: killed before any system call of a PUT, a completion, a tagging, a delete or a fill of the cache.

`strace` kills. First it counts the calls of each job, so that each kind of call that a job makes has its turn in it: at its first, its
second, to its last.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Collection, Container, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from attrs import evolve, frozen

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

# What changes nothing that anybody else could see, so that a kill there is one at the call after it.
HARMLESS = (
    {"brk", "mmap", "munmap", "mprotect", "madvise", "mremap", "futex", "getpid", "gettid", "getrandom", "clock_gettime", "getcwd"}
    | {"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sched_yield", "sched_getaffinity", "prlimit64", "getrusage", "uname"}
    | {"set_robust_list", "rseq", "getuid", "geteuid", "getgid", "getegid", "exit", "exit_group"}
)
SHORT = ("renameat",)
# Of each kind of call of a job: all, if there are no more than so many; else that many, the first and the last ones among them.
OF_EACH = 12
LENGTHS = [0, 4096, 70_000, 1_200_000] if LONG else [70_000]
TRACERS = 3 if LONG else 1
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
        return self._traced(jobs, ["-o", "/dev/null", "-e", f"trace={kind}", "-e", f"inject={kind}:signal=KILL:when={number}"])

    def _traced(self, jobs: Sequence[Job], how: Sequence[str]) -> list[int]:
        command = ["strace", "-q", "-f", *how, "-p", str(self._process.pid)]
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

    def count(self, jobs: Sequence[Job], log: Path) -> list[Counter[str]]:
        """How often each job makes each kind of call."""
        counts = []
        for job in jobs:
            assert self._traced([job], ["-o", str(log)]) == [0]
            made = re.findall(r"^(\d+) +(\w+)\(", log.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
            # Not the process that bears them: who would say how they ended?
            others = {name for pid, name in made if int(pid) == self._process.pid}
            counts.append(Counter(name for _, name in made if name not in HARMLESS | others))
        return counts

    def close(self) -> None:
        self._line.close()
        self._process.wait(10)


@pytest.fixture
def tracers() -> Iterator[list[Tracer]]:
    reason = lack("strace")
    if reason is not None:
        pytest.skip(reason)
    made = [Tracer() for _ in range(TRACERS)]
    yield made
    for one in made:
        one.close()


def prepared(scratch: Path, chosen: Container[int] = range(1000)) -> list[Job]:
    """All jobs, or those whose numbers are *chosen*, each in a fresh directory with what has to be there before."""
    jobs = []
    for length in LENGTHS:
        for old in (False, True):
            jobs += [Job("put", "", length, xattrs=xattrs, old=old) for xattrs in (True, False)]
            jobs += [Job("complete", "", length, old=old)] if length > 1 else []
    jobs += [Job(act, "", xattrs=xattrs) for act in ("tags", "delete") for xattrs in (True, False)]
    jobs += [Job("fill", "")]
    return [_placed(job, scratch / str(number)) for number, job in enumerate(jobs) if number in chosen]


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


def turns(count: int) -> set[int]:
    """At which of *count* calls to kill."""
    if count <= OF_EACH:
        return set(range(1, count + 1))
    third = OF_EACH // 3
    between = {third + (count - 2 * third) * step // third for step in range(1, third)}
    return {*range(1, third + 1), *between, *range(count - third + 1, count + 1)}


@frozen
class Round:
    """A kill of some jobs, by their numbers, each before its *number*-th call of a *kind*."""

    kind: str
    number: int
    jobs: Collection[int]


def rounds(counts: Sequence[Counter[str]]) -> list[Round]:
    """All that there is to do."""
    found: dict[tuple[str, int], set[int]] = defaultdict(set)
    for job, count in enumerate(counts):
        for kind in count if LONG else SHORT:
            for number in turns(count[kind]):
                found[kind, number].add(job)
    return [Round(kind, number, jobs) for (kind, number), jobs in sorted(found.items())]


def killed_in(given: Round, tracer: Tracer, scratch: Path) -> tuple[list[str], list[str]]:
    """In what those were that were killed, and what was wrong then."""
    jobs = prepared(scratch, given.jobs)
    ended = tracer.end(jobs, given.kind, given.number)
    assert set(ended) <= {0, -signal.SIGKILL}, ended
    wrong = []
    for job, status in zip(jobs, ended, strict=True):
        problem = examined(job, done=status == 0)
        if problem is not None:
            wrong.append(f"{job.act} of {job.length}, old {job.old}, xattrs {job.xattrs}, {given.kind} {given.number}: {problem}")
    shutil.rmtree(scratch)
    return [job.act for job, status in zip(jobs, ended, strict=True) if status], wrong


def test_killed_at_every_call(tmp_path: Path, tracers: list[Tracer]) -> None:
    """The old or the new object, whole, all attributes too, listed once; nothing is left over; an upload can be completed, or is."""
    counts = tracers[0].count(prepared(tmp_path / "count"), tmp_path / "trace")
    todo = rounds(counts)
    killed: Counter[str] = Counter()
    acts: Counter[str] = Counter()
    wrong: list[str] = []

    def work(tracer: Tracer) -> None:
        while todo:
            given = todo.pop()
            ended, found = killed_in(given, tracer, tmp_path / f"{given.kind}-{given.number}")
            killed[given.kind] += len(ended)
            acts.update(ended)
            wrong.extend(found)

    with ThreadPoolExecutor(len(tracers)) as threads:
        for one in [threads.submit(work, tracer) for tracer in tracers]:
            one.result()
    assert wrong == [], "\n".join(wrong)
    assert killed["renameat"] > 10
    calls = sum(sum(count.values()) for count in counts)
    told = f"{sum(killed.values())} kills of {len(counts)} jobs that make {calls} calls, in {dict(acts)}, at {dict(sorted(killed.items()))}"
    report("A4, A5", f"{told}: 0 lost, 0 torn, 0 temporary files, 0 stuck uploads; harmless leftovers: {dict(LEFT)}")
