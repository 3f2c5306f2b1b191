"""What is remembered of small directories is never told when it is so no more, and is told without a thread when it is."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from alluxio_s3.s3.conditions import ALWAYS
from alluxio_s3.storage import Attributes, NoSuchPath, StorageError
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.local import buckets, folders, polled, publish
from alluxio_s3.ufs.local.filesystem import LocalUnderFileSystem
from alluxio_s3.ufs.local.polled import IDLE_SECONDS, MOST_ENTRIES, Polled
from alluxio_s3.ufs.local.tags import set_tags
from alluxio_s3.ufs.local.tree import Tree
from alluxio_s3.ufs.local.walk import list_keys
from alluxio_s3.ufs.local.windows import Windows

LATER_NS = 10**10


class Asked:
    """A store whose files have all been left alone for a while, as far as it can tell, and how often it had to look."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.threads = Threads(reactor, 2, "polled-test")  # type: ignore[arg-type]
        self.threads.start()
        self.now = 0.0
        self.later_ns = LATER_NS
        self.looks = 0
        self.opened: list[LocalUnderFileSystem] = []

    def store(self, *, buckets: bool = True, folders: bool = True, xattrs: bool = True) -> LocalUnderFileSystem:
        made = LocalUnderFileSystem(str(self.directory), self.threads, buckets=buckets, folders=folders, xattrs=xattrs, durability="rename")
        self.opened.append(made)
        made._polled = Polled(
            made.tree, self.threads, keeps=xattrs, seconds=lambda: self.now, now_ns=lambda: time.time_ns() + self.later_ns
        )
        run = self.threads.run

        async def counted(*given: Any) -> Any:
            self.looks += 1
            return await run(*given)

        made._polled._threads = type("Counted", (), {"run": staticmethod(counted)})()
        if xattrs and not made.tree.root.is_at_once:
            pytest.skip("looking may wait on this file system")
        return made

    def tick(self) -> None:
        """Wait for the disk's clock to go on, so that the next change has another time than the one before."""
        ticking = self.directory / ".alluxio-s3" / "ticking"
        ticking.parent.mkdir(exist_ok=True)
        ticking.touch()
        first = ticking.stat().st_ctime_ns
        while ticking.stat().st_ctime_ns <= first:
            ticking.touch()

    def close(self) -> None:
        for one in self.opened:
            pytest_twisted.blockon(Deferred.fromCoroutine(one.close()))
        self.threads.stop()


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Asked]:
    """A bucket ``b`` with a directory of two files."""
    (tmp_path / "b" / "d").mkdir(parents=True)
    for name in ("one", "two"):
        (tmp_path / "b" / "d" / name).write_bytes(name.encode())
    made = Asked(tmp_path)
    made.tick()
    yield made
    made.close()


def put(tree: Tree, path: str, attributes: Attributes) -> None:
    temporary = tree.staging.temporary(4)
    try:
        temporary.write(os.urandom(4))
        publish.publish(tree, temporary, path, attributes, ALWAYS)
    finally:
        temporary.discard()


FILE = st.sampled_from(["b/d/one", "b/d/two", "b/d/new", "b/d/s/deep", "b/top"])
CHANGES = st.one_of(
    st.tuples(st.sampled_from(["put", "put etag", "rename", "rewrite", "restore", "delete", "tag", "link", "touch"]), FILE),
    st.tuples(st.sampled_from(["mkdir", "rmdir", "folder", "swap", "tag folder", "detour"]), st.sampled_from(["b/d", "b/d/s", "b/e"])),
    st.tuples(st.just("nothing"), st.just("")),
)
QUESTIONS = [(prefix, delimiter) for prefix in ("b/", "b/d", "b/d/", "b/d/o", "b/d/s/", "b/x") for delimiter in ("", "/")]


def change(tree: Tree, directory: Path, kind: str, path: str) -> None:  # noqa: C901  # a table in the form of branches
    """What S3 or another program does to ``path``, if it can."""
    there = directory / path
    aside = directory / ".alluxio-s3" / "aside"
    if kind.startswith("put"):
        put(tree, path, Attributes(etag=os.urandom(4).hex() if "etag" in kind else None))
    elif kind == "rename":
        aside.write_bytes(os.urandom(3))
        aside.rename(there)
    elif kind == "rewrite":
        there.write_bytes(os.urandom(3))
    elif kind == "restore":
        before = there.stat()
        there.write_bytes(os.urandom(before.st_size))
        os.utime(there, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif kind == "delete":
        publish.delete(tree, path, ALWAYS)
    elif kind == "tag":
        set_tags(tree, path, {"k": os.urandom(4).hex()})
    elif kind == "tag folder":
        set_tags(tree, f"{path}/", {"k": os.urandom(4).hex()})
    elif kind == "link":
        there.symlink_to("two")
    elif kind == "touch":
        there.touch()
    elif kind == "mkdir":
        there.mkdir()
    elif kind == "rmdir":
        there.rmdir()
    elif kind == "folder":
        folders.make(tree, f"{path}/", Attributes(content_type=os.urandom(4).hex()), ALWAYS)
    elif kind == "swap":
        there.rename(directory / ".alluxio-s3" / os.urandom(8).hex())
        there.mkdir()
        (there / "one").write_bytes(b"another")
    elif kind == "detour":
        there.rename(directory / "b" / "away")
        there.symlink_to("away")


@settings(max_examples=60, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(
    steps=st.lists(st.tuples(CHANGES, st.lists(st.sampled_from(QUESTIONS), max_size=4)), max_size=12),
    every=st.booleans(),
)
@pytest_twisted.ensureDeferred
async def test_a_listing_is_always_what_a_walk_finds(tmp_path_factory: pytest.TempPathFactory, steps: list[Any], every: bool) -> None:
    """Whatever is changed in whatever way, each listing, asked for again and again, is that of a store that remembers nothing."""
    directory = tmp_path_factory.mktemp("polled")
    (directory / "b" / "d").mkdir(parents=True)
    (directory / "b" / "d" / "one").write_bytes(b"1")
    (directory / "b" / "d" / "two").write_bytes(b"2")
    asked = Asked(directory)
    try:
        store = asked.store(folders=every)
        for (kind, path), questions in steps:
            asked.tick()
            with suppress(OSError, StorageError):  # what cannot be done just now
                change(store.tree, directory, kind, path)
            asked.tick()
            for prefix, delimiter in questions * 3:
                fresh = list_keys(store.tree, Windows(), prefix, prefix, 1000, delimiter)
                assert await store.list(prefix, "", 1000, delimiter) == fresh
                assert await store.bucket("b") == buckets.bucket(store.tree, "b")
        await store.close()
    finally:
        asked.threads.stop()


@pytest.mark.parametrize("delimiter", ["", "/"])
@pytest_twisted.ensureDeferred
async def test_who_asks_again_needs_no_thread(asked: Asked, delimiter: str) -> None:
    """The second answer is kept, as long as nothing changes and somebody asks; so is what is said of a bucket."""
    store = asked.store()
    first = await store.list("b/d/", "", 1000, delimiter)
    for _ in range(5):
        asked.now += IDLE_SECONDS - 1
        assert await store.list("b/d/", "b/d/", 1000, delimiter) == first
    assert asked.looks == 2
    asked.now += IDLE_SECONDS
    assert await store.list("b/d/", "", 1000, delimiter) == first
    assert asked.looks == 3
    asked.looks = 0
    for _ in range(5):
        assert await store.bucket("b") == buckets.bucket(store.tree, "b")
    assert asked.looks == 2


@pytest_twisted.ensureDeferred
async def test_other_pages_are_other_questions(asked: Asked) -> None:
    """A page that is not the whole, or begins later, is never answered by another."""
    store = asked.store()
    for _ in range(3):
        assert len((await store.list("b/d/", "", 2, "")).entries) == 2
        assert len((await store.list("b/d/", "", 1000, "")).entries) == 3
        assert [one.path for one in (await store.list("b/d/", "b/d/p", 1000, "")).entries] == ["b/d/two"]  # type: ignore[union-attr]


@pytest_twisted.ensureDeferred
async def test_what_has_just_changed_is_not_kept(asked: Asked) -> None:
    """While the disk's clock may not have gone on since the last change, of the directory or of a file, every question is looked into."""
    store = asked.store()
    asked.later_ns = 0
    for name in ("new", "one"):
        asked.looks = 0
        for _ in range(3):
            (asked.directory / "b" / "d" / name).write_bytes(b"x")
            await store.list("b/d/", "", 1000, "")
        assert asked.looks == 3


@pytest_twisted.ensureDeferred
async def test_large_directories_are_not_kept(asked: Asked) -> None:
    """There is a limit to the entries of an answer that is kept, and one to how many are kept."""
    store = asked.store()
    for number in range(MOST_ENTRIES):
        (asked.directory / "b" / "d" / f"{number}").touch()
    asked.tick()
    for _ in range(3):
        await store.list("b/d/", "", 1000, "")
    assert asked.looks == 3


@pytest_twisted.ensureDeferred
async def test_memory_is_bounded(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked for longest ago goes, both of answers with many looks and of many questions."""
    store = asked.store()
    monkeypatch.setattr(polled, "MOST_LOOKS", 5)
    monkeypatch.setattr(polled, "MOST_QUESTIONS", 3)
    for prefix in ("b/d/", "b/d/o", "b/d/t", "b/d/"):
        for _ in range(3):
            await store.list(prefix, "", 1000, "")
            assert store._polled._looks == sum(len(one.looks) for one in store._polled._kept.values()) <= 5
            assert len(store._polled._kept) <= 3
    for number in range(5):
        with pytest.raises(NoSuchPath):
            await store.bucket(f"none{number}")
        assert len(store._polled._kept) <= 3


@pytest_twisted.ensureDeferred
async def test_attributes_that_go_to_a_sidecar_are_seen(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that gets attributes that do not fit into its inode is listed with them; then it is not kept, since they can change unseen."""
    store = asked.store()
    for _ in range(3):
        await store.list("b/d/", "", 1000, "")
    if asked.looks != 2:
        pytest.skip("this disk has no extended attributes")

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no room in the inode")

    monkeypatch.setattr(os, "setxattr", refuse)
    for value in ("1", "2"):
        asked.looks = 0
        set_tags(store.tree, "b/d/one", {"k": value})
        asked.tick()
        for _ in range(3):
            found = (await store.list("b/d/", "", 1000, "")).entries
            assert [one.attributes.tags for one in found if one.path == "b/d/one"] == [{"k": value}]  # type: ignore[union-attr]
        assert asked.looks == 3


@pytest_twisted.ensureDeferred
async def test_nothing_is_kept_without_attributes(asked: Asked) -> None:
    """Where what is known of files is beside them, nothing in them shows when it changes."""
    store = asked.store(xattrs=False)
    for _ in range(3):
        await store.list("b/d/", "", 1000, "")
    assert asked.looks == 3


@pytest_twisted.ensureDeferred
async def test_errors_are_not_kept(asked: Asked) -> None:
    """A bucket that was not there is there as soon as somebody makes it, and gone as soon as somebody removes it."""
    store = asked.store()
    for _ in range(2):
        for _ in range(3):
            with pytest.raises(NoSuchPath):
                await store.bucket("later")
        await store.create_bucket("later", Attributes(owner="o"))
        asked.tick()
        for _ in range(3):
            assert (await store.bucket("later")).attributes.owner == "o"
        await store.delete_bucket("later")
