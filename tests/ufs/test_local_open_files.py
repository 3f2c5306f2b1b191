"""Files that are kept open give the object as it stands now, or nothing; and each is closed once, after its last reader."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from alluxio_s3.ufs.local.descriptor import Descriptor
from alluxio_s3.ufs.local.identity import SETTLED_NS, SETTLED_ON_WHOLE_SECONDS_NS
from alluxio_s3.ufs.local.kernel import is_local
from alluxio_s3.ufs.local.open_files import BUSY_SECONDS, IDLE_SECONDS, NEWCOMERS, OpenFile, OpenFiles
from alluxio_s3.ufs.local.reader import open_at_once, open_object
from alluxio_s3.ufs.local.tags import set_tags
from alluxio_s3.ufs.local.tree import Tree

CAPACITY = 2
KEYS = st.sampled_from(["a", "b", "d/a", "d/b"])


class Kept:
    """A directory, its files kept open, and which descriptors have been closed."""

    def __init__(self, directory: Path, capacity: int = CAPACITY) -> None:
        self.directory = directory
        self.tree = Tree.at(str(directory), buckets=False, durability="rename")
        self.closed: list[Descriptor] = []
        self.files = OpenFiles(self.tree.root.fd, self._close, capacity)

    def _close(self, descriptor: Descriptor) -> None:
        self.closed.append(descriptor)
        descriptor.close()

    def open(self, key: str, now: float = 0.0, *, after_change_ns: int = SETTLED_ON_WHOLE_SECONDS_NS + 1) -> OpenFile:
        """Open ``key`` for one reader as if it was looked at so long after its last change, and offer it to be kept."""
        file = open_object(self.tree, key)
        file.looked_ns = file.found.st_ctime_ns + after_change_ns
        file.shows_changes = True  # the disk under the tests may have no extended attributes
        file.readers += 1
        self.files.keep(file, now)
        return file

    def lend(self, key: str, now: float) -> OpenFile:
        """Open ``key`` for one reader, long after its last change, and offer it to be lent."""
        file = open_object(self.tree, key)
        file.looked_ns = file.found.st_ctime_ns + SETTLED_ON_WHOLE_SECONDS_NS + 1
        file.shows_changes = True  # as above
        assert self.files.lend(file, now)
        return file

    def find(self, key: str, now: float = 0.0) -> OpenFile | None:
        """The file at ``key`` if it is open and still the object; nobody more reads it."""
        file = self.files.find(key, now)
        if file is None:
            return None
        current = file.is_current()
        file.release()
        return file if current else None

    def close(self) -> None:
        self.files.clear()
        self.tree.close()


def bytes_of(file: OpenFile) -> bytes:
    return os.pread(file.descriptor.number, 1 << 20, 0)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    """An empty directory."""
    made = Kept(tmp_path)
    yield made
    made.close()


class ReadersAndWriters(RuleBasedStateMachine):
    """Readers come and go while others write, in every way that a file system has; each version has a length of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="open-files-"))
        self.lengths = count(1)
        self.now = 0.0
        self.readers: list[OpenFile] = []
        self.opened: list[OpenFile] = []
        self.kept = Kept(self.directory)

    def at(self, key: str) -> Path:
        return self.directory / key

    def body(self) -> bytes:
        return os.urandom(1) * next(self.lengths)

    @rule(key=KEYS)
    def replace(self, key: str) -> None:
        """As a PUT does: another file gets the name."""
        self.at(key).parent.mkdir(exist_ok=True)
        new = self.directory / "new"
        new.write_bytes(self.body())
        new.rename(self.at(key))

    @rule(key=KEYS)
    def rewrite(self, key: str) -> None:
        """As a shell does: truncated, and written in place."""
        if self.at(key).exists():
            self.at(key).write_bytes(self.body())

    @rule(key=KEYS)
    def restore_time(self, key: str) -> None:
        """As an archiver does: the modification time is set back."""
        if self.at(key).exists():
            self.at(key).write_bytes(self.body())
            os.utime(self.at(key), ns=(10**18, 10**18))

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        """The name goes."""
        self.at(key).unlink(missing_ok=True)

    @rule()
    def swap_parent(self) -> None:
        """The directory above is another one now."""
        if self.at("d").exists():
            self.at("d").rename(self.directory / f"old-{next(self.lengths)}")
        self.at("d").mkdir()
        self.at("d/a").write_bytes(self.body())

    @rule(key=KEYS, later=st.integers(0, 20))
    def read(self, key: str, later: int) -> None:
        """What is found is the object; what is not found is opened."""
        self.now += later
        found = self.kept.find(key, self.now)
        if found is not None:
            assert bytes_of(found) == self.at(key).read_bytes()
            found.readers += 1
            self.readers.append(found)
        elif self.at(key).exists():
            file = self.kept.open(key, self.now)
            self.opened.append(file)
            self.readers.append(file)
            assert self.kept.find(key, self.now) is file

    @precondition(lambda self: self.readers)
    @rule(which=st.integers(0, 100))
    def release(self, which: int) -> None:
        """A reader has what it wanted."""
        self.readers.pop(which % len(self.readers)).release()

    @rule(later=st.integers(0, 40))
    def tidy(self, later: int) -> None:
        """Nothing stays that was not read for a while."""
        self.now += later
        self.kept.files.drop_idle(self.now)
        assert all(file.used_at > self.now - IDLE_SECONDS for file in self.kept.files._files.values())

    @invariant()
    def bounds_hold(self) -> None:
        """No more than the capacity is kept, nobody reads a closed file, and none is closed twice."""
        assert len(self.kept.files) <= CAPACITY
        assert len(self.kept.closed) == len({id(one) for one in self.kept.closed})
        for file in self.readers:
            assert os.fstat(file.descriptor.number).st_ino == file.found.st_ino
        dropped = [file for file in self.opened if file.dropped and not file.readers]
        assert {id(file.descriptor) for file in dropped} == {id(one) for one in self.kept.closed}

    def teardown(self) -> None:
        for file in self.readers:
            file.release()
        self.kept.close()
        assert all(file.readers == 0 for file in self.opened)
        assert len(self.kept.closed) == len(self.opened)
        shutil.rmtree(self.directory)


ReadersAndWriters.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestReadersAndWriters = ReadersAndWriters.TestCase


def test_what_changed_just_before_the_look_is_not_kept(kept: Kept) -> None:
    """A change in the same tick of a coarse clock would not show: the file is read, and closed after its reader."""
    kept.directory.joinpath("a").write_bytes(b"1")
    file = kept.open("a", after_change_ns=SETTLED_NS)
    assert kept.find("a", 0) is None
    assert not kept.closed
    file.release()
    assert kept.closed == [file.descriptor]


def changed_at(file: OpenFile, changed_ns: int) -> OpenFile:
    """``file`` as it would be if it had been changed then."""
    times = {"st_mtime_ns": file.found.st_mtime_ns, "st_ctime_ns": changed_ns, "st_dev": file.found.st_dev}
    file.found = os.stat_result(tuple(file.found)[:10], times)
    file.shows_changes = True
    return file


@pytest.mark.parametrize(
    ("changed_ns", "looked_ns", "is_kept"),
    [
        (10**15 + 1, 10**15 + 1 + 10**6, False),  # however late it is offered
        (10**15 + 1, 10**15 + 1 + SETTLED_NS, False),
        (10**15 + 1, 10**15 + 2 + SETTLED_NS, True),
        (10**15, 10**15 + 10**9, False),  # a disk that counts in seconds
        (10**15, 10**15 + SETTLED_ON_WHOLE_SECONDS_NS + 1, True),
        (10**15 + 10**12, 10**15, False),  # a disk whose clock is ahead
    ],
)
def test_the_look_counts_and_not_the_keeping(kept: Kept, changed_ns: int, looked_ns: int, is_kept: bool) -> None:
    """A file that may have been changed after the look in the tick of the change before it is not kept."""
    kept.directory.joinpath("a").write_bytes(b"1")
    file = changed_at(open_object(kept.tree, "a"), changed_ns)
    file.looked_ns = looked_ns
    file.readers += 1
    kept.files.keep(file, 0)
    assert len(kept.files) == is_kept
    file.release()


def test_what_does_not_show_its_changes_is_not_kept(kept: Kept) -> None:
    """A file whose attributes are in a sidecar is opened each time."""
    kept.directory.joinpath("a").write_bytes(b"1")
    file = open_object(kept.tree, "a")
    file.shows_changes = False
    file.looked_ns = file.found.st_ctime_ns + SETTLED_NS + 1
    file.readers += 1
    kept.files.keep(file, 0)
    assert len(kept.files) == 0
    file.release()
    assert kept.closed == [file.descriptor]


def test_nothing_is_kept_without_capacity(tmp_path: Path) -> None:
    """A capacity of 0 keeps nothing."""
    (tmp_path / "a").write_bytes(b"1")
    kept = Kept(tmp_path, capacity=0)
    file = kept.open("a")
    assert len(kept.files) == 0
    file.release()
    assert kept.closed == [file.descriptor]
    kept.close()


def test_the_one_read_longest_ago_goes(kept: Kept) -> None:
    """The capacity is kept by letting go of what was read longest ago, not of what was opened first."""
    for key in ("a", "b", "c"):
        kept.directory.joinpath(key).write_bytes(key.encode())
    first, second = kept.open("a", 1), kept.open("b", 2)
    assert kept.find("a", 3) is first
    second.release()
    third = kept.open("c", 4)
    assert kept.closed == [second.descriptor]
    assert kept.find("a", 5) is first
    for file in (first, third):
        file.release()


def test_what_is_in_use_is_not_closed_for_another(kept: Kept) -> None:
    """Where all that is open is in use, another file is lent to its reader and closed after it; one of several is kept all the same."""
    for key in ("a", "b", "c"):
        kept.directory.joinpath(key).write_bytes(key.encode())
    for key in ("a", "b"):
        kept.open(key, 1).release()
    lent = [kept.lend("c", 1 + BUSY_SECONDS / 2) for _ in range(NEWCOMERS)]
    assert [file.dropped for file in lent] == [True] * (NEWCOMERS - 1) + [False]
    assert all(file.is_current() for file in lent)
    assert kept.find("b", 2) is not None
    assert kept.find("a", 2) is None
    for file in lent:
        file.release()
    assert not any(file.descriptor._open for file in lent[:-1])
    assert kept.lend("a", 3 + 2 * BUSY_SECONDS).dropped is False


def test_what_is_known_of_a_closed_file_holds_of_the_same_file_only(kept: Kept) -> None:
    """A file that was closed for another is opened again as it was known; one whose bytes or record were touched since is not."""
    path = kept.directory / "a"
    for change in (None, lambda: path.write_bytes(b"2"), lambda: os.utime(path), lambda: set_tags(kept.tree, "a", {"k": "v"}), "replace"):
        path.write_bytes(b"1")
        for key in ("b", "c"):
            (kept.directory / key).write_bytes(b"x")
            kept.open(key, 1).release()
        first = kept.lend("a", 1)
        first.rendered["x"] = "y"
        first.release()
        known = kept.files.known("a")
        assert known is first
        assert kept.files.known("a") is None
        while change is not None and path.stat().st_ctime_ns == first.found.st_ctime_ns:  # the next tick of the disk's clock
            change() if callable(change) else (kept.directory / "new").write_bytes(b"1")
            if change == "replace":
                (kept.directory / "new").rename(path)
        number = os.open(path, os.O_RDONLY)
        again = known.opened_again(Descriptor(number), os.fstat(number))
        if change is None:
            assert again is not None
            assert (again.status, again.rendered, again.readers, bytes_of(again)) == (first.status, {"x": "y"}, 0, b"1")
        else:
            assert again is None


def test_what_was_dropped_is_not_known(kept: Kept) -> None:
    """After a write of ours, after a look that failed, and when nobody has asked for long, nothing is known of a closed file."""
    for forget in (
        lambda _: kept.files.drop("a"),
        kept.files.forget,
        lambda _: kept.files.drop_idle(IDLE_SECONDS + 2),
        lambda _: kept.files.clear(),
    ):
        for key in ("a", "b", "c"):
            (kept.directory / key).write_bytes(b"x")
            if key != "a":
                kept.open(key, 1).release()
        lent = kept.lend("a", 1)
        lent.release()
        forget(lent)
        assert kept.files.known("a") is None


def test_another_file_behind_a_link_is_seen(kept: Kept) -> None:
    """Names are looked up as they are now: a directory that has become a link elsewhere gives another object."""
    for name in ("one", "two"):
        (kept.directory / name).mkdir()
        (kept.directory / name / "a").write_bytes(name.encode())
    (kept.directory / "d").symlink_to("one")
    file = kept.open("d/a")
    assert kept.find("d/a", 0) is file
    (kept.directory / "d").unlink()
    (kept.directory / "d").symlink_to("two")
    assert kept.find("d/a", 0) is None
    file.release()


def test_tags_that_go_to_a_sidecar_are_seen(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that has had no attributes, and gets such as do not fit into its inode, is not served as it was."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no room in the inode")

    path = kept.directory / "a"
    path.write_bytes(b"1")
    os.utime(path, ns=(1, 1))
    file = open_object(kept.tree, "a")
    if not file.shows_changes:
        pytest.skip("this disk has no extended attributes")
    changed_ns = file.found.st_ctime_ns
    ticking = kept.directory / "ticking"
    while not ticking.exists() or ticking.stat().st_ctime_ns <= changed_ns:  # the next tick of the disk's clock
        ticking.touch()
    file.looked_ns = changed_ns + SETTLED_ON_WHOLE_SECONDS_NS + 1
    file.readers += 1
    kept.files.keep(file, 0)
    assert kept.find("a", 0) is file
    monkeypatch.setattr(os, "setxattr", refuse)
    set_tags(kept.tree, "a", {"k": "v"})
    monkeypatch.undo()
    assert kept.find("a", 0) is None
    assert open_object(kept.tree, "a").status.attributes.tags == {"k": "v"}
    file.release()


def test_what_is_in_memory_is_opened_at_once_as_the_same_object(kept: Kept) -> None:
    """What opens without waiting is what opening shows, and what does not is left to opening."""
    (kept.directory / "d").mkdir()
    for key in ("a", "d/b"):
        (kept.directory / key).write_bytes(key.encode())
        set_tags(kept.tree, key, {"k": "v"})
        opened = open_object(kept.tree, key)
        if not opened.shows_changes or not is_local(kept.tree.root.fd):
            pytest.skip("this disk has no extended attributes, or is not known to be local")
        at_once = open_at_once(kept.tree, key)
        assert at_once is not None
        assert (at_once.status, at_once.found, bytes_of(at_once)) == (opened.status, opened.found, key.encode())
        assert at_once.shows_changes
        for file in (at_once, opened):
            file.descriptor.close()


def test_only_objects_are_opened_at_once(kept: Kept) -> None:
    """What is not there, folders, pipes, reserved names, files from elsewhere and links that leave are not; nor is any descriptor lost."""
    for name in ("d", "d/made", ".alluxio-s3"):
        (kept.directory / name).mkdir(exist_ok=True)
    (kept.directory / "foreign").write_bytes(b"no record")
    (kept.directory / ".alluxio-s3" / "x").write_bytes(b"reserved")
    (kept.directory / "out").symlink_to("/etc/hostname")
    os.mkfifo(kept.directory / "pipe")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for key in ("missing", "d", "d/", "d/made", "foreign", ".alluxio-s3/x", "out", "pipe", "foreign/below", "n" * 300, "nul\0", ""):
        assert open_at_once(kept.tree, key) is None, key
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_nothing_is_opened_at_once_where_that_may_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that may ask a network is never opened at once, nor one of a kernel that cannot tell what is in memory."""
    (tmp_path / "a").write_bytes(b"a")
    for patched in ("is_local", None):
        if patched:
            monkeypatch.setattr("alluxio_s3.ufs.local.containment.is_local", lambda _: False)
        tree = Tree.at(str(tmp_path), buckets=False, openat2=patched is not None)
        assert tree.root.open_at_once("a", os.O_RDONLY) is None
        tree.close()
