"""A local directory that is full, read-only, unreadable, failing, or spread over two file systems."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from alluxio_s3.s3.conditions import ALWAYS
from alluxio_s3.storage import (
    Attributes,
    NoSpace,
    NoSuchPath,
    ReadOnly,
    StorageError,
    Unavailable,
    Unsupported,
)
from alluxio_s3.ufs.local import folders, publish
from alluxio_s3.ufs.local.durability import Durability
from alluxio_s3.ufs.local.failures import storage_errors
from alluxio_s3.ufs.local.tags import set_tags
from alluxio_s3.ufs.local.tree import Tree

NOBODY = 65534
ETAG = Attributes(etag="etag", user_metadata={"a": "b"})


@pytest.fixture
def mounted(tmp_path):
    """Mounts a tmpfs with the options given, and unmounts it."""
    places = []

    def mount(place: Path, options: str) -> Path:
        place.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=False, capture_output=True)
        if done.returncode:
            pytest.skip("this user cannot mount")
        places.append(place)
        return place

    yield mount
    for place in reversed(places):
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk(directory, mounted, tmp_path):
    """On a full disk a write is NoSpace, at once where its length is known; nothing changes, reads go on, and room helps."""
    store = directory(mounted(tmp_path / "small", "size=4m"))
    store.put("old", b"old", ETAG)
    with pytest.raises(NoSpace), storage_errors("new", writing=True):
        store.tree.staging.temporary(8 << 20)
    assert store.reserved("tmp") == []
    with pytest.raises(NoSpace), storage_errors("old", writing=True):
        temporary = store.tree.staging.temporary()
        try:
            while True:
                temporary.write(bytes(1 << 20))
        finally:
            temporary.discard()
    filler = store.tree.staging.temporary()
    with pytest.raises(OSError, match="space"):
        while True:
            filler.write(bytes(4096))
    assert store.get("old") == b"old"
    assert store.status("old").etag == "etag"
    assert store.listed() == ["old"]
    with pytest.raises(NoSpace):
        store.put("old", b"new" * 5000, ETAG)
    assert store.get("old") == b"old"
    filler.discard()
    store.put("old", b"new", ETAG)
    assert store.get("old") == b"new"
    assert store.reserved("tmp") == store.reserved("attributes") == []


def test_what_is_announced_is_not_set_apart(directory):
    """Room is reserved for an object as its bytes come, twice what is there: whoever announces much, and sends little, takes little."""
    store = directory()
    temporary = store.tree.staging.temporary(64 << 20)

    def taken():
        return os.fstat(temporary.descriptor.number).st_blocks * 512

    try:
        assert taken() < 1 << 20
        temporary.write(bytes(1000))
        assert taken() <= 2 << 20
        temporary.write(bytes(8 << 20))
        assert 8 << 20 <= taken() <= 40 << 20
        temporary.write(bytes(56 << 20))
        assert taken() >= 64 << 20
    finally:
        temporary.discard()


def test_a_read_only_file_system(directory, mounted, tmp_path):
    """A read-only file system is served for reading; every write is ReadOnly."""
    place = mounted(tmp_path / "sealed", "size=4m")
    writable = directory(place)
    writable.put("a/b", b"12345", ETAG)
    writable.close()
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    store = directory(place)
    assert store.get("a/b") == b"12345"
    assert store.listed() == ["a/", "a/b"]
    for work in (
        lambda: store.put("a/b", b"1"),
        lambda: store.put("c/d", b"1"),
        lambda: folders.make(store.tree, "x/", Attributes(), ALWAYS),
        lambda: store.delete("a/b"),
        lambda: set_tags(store.tree, "a/b", {}),
    ):
        with pytest.raises(ReadOnly), storage_errors("a/b", writing=True):
            work()


def test_another_file_system_below(directory, mounted, tmp_path):
    """What is mounted below is read and listed; a write into it says what to do instead, and leaves nothing."""
    (tmp_path / "root").mkdir()
    store = directory(tmp_path / "root")
    mounted(tmp_path / "root" / "below", "size=4m")
    store.foreign("below/a", b"1")
    assert store.get("below/a") == b"1"
    assert store.listed() == ["below/", "below/a"]
    with pytest.raises(Unsupported, match="mount it as an under-store by itself"):
        store.put("below/b", b"2")
    assert store.reserved("tmp") == []


def test_too_few_descriptors(directory):
    """Without descriptors to spare nothing is ever said to be missing; then everything works as before."""
    store = directory()
    store.put("a/b", b"1", ETAG)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        for work in (store.status, store.get, store.listed, store.put, store.delete):
            for path in ("a/b", "a/missing"):
                with pytest.raises(Unavailable), storage_errors(path):
                    work(path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert store.get("a/b") == b"1"
    assert store.listed() == ["a/", "a/b"]


def test_what_another_user_may_not(tmp_path, directory):
    """What the daemon's user may not read or write is PermissionRefused, also in a listing; reading needs no right to write."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    body = """
import os, sys
from alluxio_s3.storage import *
from alluxio_s3.s3.conditions import ALWAYS
from alluxio_s3.ufs.local import publish
from alluxio_s3.ufs.local.failures import storage_errors
from alluxio_s3.ufs.local.reader import open_object
from alluxio_s3.ufs.local.tree import Tree
from alluxio_s3.ufs.local.walk import list_keys
from alluxio_s3.ufs.local.windows import Windows
os.chdir(sys.argv[1])
os.setgid(65534); os.setuid(65534)
tree = Tree.at(".", buckets=False)

def told(work, *arguments):
    try:
        with storage_errors(""):
            return work(*arguments)
    except StorageError as error:
        return type(error).__name__

print(told(open_object, tree, "a").status.size)
print(told(open_object, tree, "secret"))
print(told(list_keys, tree, Windows(), "", "", 10, ""))
print(told(publish.delete, tree, "a", ALWAYS))
print(told(tree.staging.prepare))
"""
    root = tmp_path / "root"
    root.mkdir()
    store = directory(root)
    for key in ("a", "closed/b", "secret"):
        store.foreign(key, b"12345")
    (root / "secret").chmod(0o600)
    (root / "closed").chmod(0o700)
    code = subprocess.run([sys.executable, "-c", body, str(root)], check=True, capture_output=True, text=True)
    assert code.stdout.split() == ["5", *["PermissionRefused"] * 4]


@pytest.mark.parametrize("directory_fails", [False, True])
def test_a_failed_fsync(directory, directory_fails):
    """When the disk refuses to keep the bytes the write is Unavailable, is not tried again, and the old object stays.

    When it refuses the directory entry the new object may be seen, whole.
    """

    class Failing(Durability):
        calls = 0

        def file(self, descriptor):
            if not directory_fails:
                self.calls += 1
                raise OSError(5, "Input/output error")

        def directory(self, descriptor):
            if directory_fails:
                self.calls += 1
                raise OSError(5, "Input/output error")

    store = directory()
    store.put("a", b"old", ETAG)
    failing = Failing("full")
    tree = Tree.at(str(store.path), buckets=False)
    tree = Tree(tree.root, failing, tree.staging, tree.records, tree.locks, tree.buckets, tree.folders)
    temporary = tree.staging.temporary()
    temporary.write(b"new")
    with pytest.raises(Unavailable):
        publish.publish(tree, temporary, "a", Attributes(etag="new"), ALWAYS)
    temporary.discard()
    assert failing.calls == 1
    expected = (b"new", "new") if directory_fails else (b"old", "etag")
    assert (store.get("a"), store.status("a").etag) == expected
    assert store.reserved("tmp") == []
    tree.close()


def test_directories_are_flushed_later(directory, tmp_path):
    """With durability ``data`` a directory waits for the next flush, once however much happened in it, and never without bound."""
    durability = Durability("data")
    before = len(list(Path("/proc/self/fd").iterdir()))
    descriptors = [os.open(directory().path, os.O_RDONLY) for _ in range(3)]
    for _ in range(5):
        for descriptor in descriptors:
            durability.directory(descriptor)
    for descriptor in descriptors:
        os.close(descriptor)
    durability.flush()
    durability.flush()
    for number in range(200):
        place = tmp_path / str(number)
        place.mkdir()
        descriptor = os.open(place, os.O_RDONLY)
        durability.directory(descriptor)
        os.close(descriptor)
        assert len(list(Path("/proc/self/fd").iterdir())) < before + 100
    durability.flush()


def test_directories_that_cannot_be_flushed(tmp_path, monkeypatch):
    """With durability ``data`` a directory whose flush fails waits for the next one; when too many wait, writes fail."""
    durability = Durability("data")
    before = len(list(Path("/proc/self/fd").iterdir()))
    fsync, flushed, broken = os.fsync, [], True

    def fail(descriptor):
        if broken:
            raise OSError(5, "Input/output error")
        flushed.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    failed = 0
    for number in range(200):
        (tmp_path / str(number)).mkdir()
        descriptor = os.open(tmp_path / str(number), os.O_RDONLY)
        try:
            durability.directory(descriptor)
        except OSError:
            failed += 1
        finally:
            os.close(descriptor)
    assert failed > 100
    assert len(list(Path("/proc/self/fd").iterdir())) < before + 100
    with pytest.raises(OSError, match="Input/output"):
        durability.flush()
    broken = False
    durability.flush()
    assert flushed == [(tmp_path / str(number)).stat().st_ino for number in range(200 - failed)]
    durability.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_the_reserved_directory_is_taken_away(directory):
    """Who removes the daemon's directory under it loses what was on its way, and no more."""
    store = directory(xattrs=False)
    store.put("a", b"1", ETAG)
    temporary = store.tree.staging.temporary()
    temporary.write(b"2")
    for one in sorted(store.at(".alluxio-s3").rglob("*"), reverse=True):
        if one.is_dir():
            one.rmdir()
        else:
            one.unlink()
    store.at(".alluxio-s3").rmdir()
    with pytest.raises(StorageError):
        publish.publish(store.tree, temporary, "b", Attributes(), ALWAYS)
    temporary.discard()
    with pytest.raises(NoSuchPath):
        store.status("b")
    store.put("b", b"3", ETAG)
    assert store.get("b") == b"3"
    assert store.status("b").etag == "etag"
    assert store.listed() == ["a", "b"]
