"""Nothing leaves the directory: not by '..', not by a link, not in a race (promise C3)."""

from __future__ import annotations

import ctypes
import errno
import os
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

import pytest

from alluxio_s3.storage import NoSuchPath, PathConflict, PathNotAllowed, StorageError
from alluxio_s3.ufs.local.containment import Root

SECRET = b"not yours"


@pytest.fixture
def outside(tmp_path):
    """A directory beside the under-store, with a file in it, that must stay as it is."""
    place = tmp_path / "outside"
    place.mkdir()
    (place / "secret").write_bytes(SECRET)
    yield place
    assert [(one.name, one.read_bytes()) for one in place.iterdir()] == [("secret", SECRET)]


@pytest.fixture(params=[True, False], ids=["openat2", "by-component"])
def way(request):
    """Whether the kernel's own containment is used."""
    return request.param


@pytest.fixture
def store(tmp_path, directory, way):
    (tmp_path / "root").mkdir()
    return directory(tmp_path / "root", openat2=way)


@pytest.mark.parametrize("path", ["..", "../outside", "../outside/secret", "a/../../outside", "/etc"])
def test_paths_never_leave(store, outside, path):
    """The root opens nothing above itself, whatever path it is given."""
    store.foreign("a/b")
    with pytest.raises(OSError, match=r".") as refused:
        os.close(store.tree.root.open(path, os.O_PATH))
    assert refused.value.errno in (errno.EXDEV, errno.ENOENT, errno.ENOTDIR)


def test_a_nul_ends_no_path(store):
    """A NUL in a path does not make it a shorter one."""
    store.foreign("a")
    with pytest.raises((OSError, ValueError)):
        store.tree.root.open("a\0b", os.O_PATH)


def test_links_that_leave(store, outside):
    """Through a link that leaves nothing is read, listed, written, made or deleted; it may be replaced and stays apart from that."""
    store.at("dir").symlink_to(outside)
    store.at("file").symlink_to(outside / "secret")
    store.at("relative").symlink_to("../outside/secret")
    store.at("nowhere").symlink_to("../missing")
    for path in ("dir/secret", "dir/", "file", "relative", "nowhere", "nowhere/a"):
        for work in (store.status, store.get, store.delete):
            with pytest.raises(NoSuchPath):
                work(path)
    for path in ("dir/secret", "dir/made", "dir/sub/made", "dir/sub/", "dir/", "nowhere/a", "nowhere/a/b", "nowhere/"):
        with pytest.raises((PathNotAllowed, PathConflict)):
            store.put(path, b"changed")
    assert store.listed() == store.listed("dir/") == []
    for path in ("file", "relative"):
        store.put(path, b"mine")
        assert store.get(path) == b"mine"
        assert not store.at(path).is_symlink()


def test_links_that_stay(store, outside, way):
    """A link that stays beneath is followed where the kernel can tell; a write replaces the link, not what it leads to."""
    store.put("blobs/1", b"12345")
    store.foreign("snapshot/x")
    store.at("snapshot/model").symlink_to("../blobs/1")
    store.at("snapshot/dir").symlink_to("../blobs")
    if not way:
        with pytest.raises(NoSuchPath):
            store.get("snapshot/model")
        assert "snapshot/model" not in store.listed()
        return
    assert store.get("snapshot/model") == store.get("snapshot/dir/1") == b"12345"
    store.put("snapshot/dir/2", b"2")
    assert store.get("blobs/2") == b"2"
    with pytest.raises(PathConflict):
        store.put("snapshot/dir", b"hides a directory")
    store.put("snapshot/model", b"new")
    assert store.get("blobs/1") == b"12345"
    store.at("snapshot/other").symlink_to("../blobs/1")
    store.delete("snapshot/other")
    assert store.get("blobs/1") == b"12345"
    assert not os.path.lexists(store.at("snapshot/other"))


def test_deleting_a_linked_folder(store, way):
    """Deleting a folder that is a link removes the link if what it leads to is empty, and never what it leads to."""
    if not way:
        pytest.skip("links are not followed")
    store.foreign("real/")
    store.at("link").symlink_to("real")
    store.delete("link/")
    assert store.listed() == ["real/"]


def exchange(one, other):
    """What was at each of the paths is at the other, in one step."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(-100, os.fsencode(one), -100, os.fsencode(other), 2) != 0:
        raise OSError(ctypes.get_errno(), "renameat2")


def test_a_directory_swapped_for_a_link(store, outside):
    """While a directory is exchanged for a link that leaves, again and again, nothing outside is read, listed or written."""
    store.foreign("a/secret", b"mine")
    store.at("evil").symlink_to(outside)
    done = Event()

    def swap():
        while not done.is_set():
            exchange(store.at("a"), store.at("evil"))

    swapping = Thread(target=swap)
    swapping.start()
    try:
        for number in range(300):
            with suppress(StorageError):
                assert store.get("a/secret") == b"mine"
            with suppress(StorageError):
                store.put(f"a/{number}", b"x")
                store.delete(f"a/{number}")
            store.listed()
    finally:
        done.set()
        swapping.join()


def test_the_root_itself(tmp_path, way):
    """The empty path is the directory itself, which must be there and be a directory."""
    (tmp_path / "file").touch()
    for wrong in ("file", "missing"):
        with pytest.raises(OSError, match=wrong):
            Root(str(tmp_path / wrong), openat2=way)
    root = Root(str(tmp_path), openat2=way)
    with root.directory("") as descriptor:
        assert os.path.samestat(os.fstat(descriptor), Path(tmp_path).stat())
    root.close()


def test_no_descriptor_is_lost(store):
    """What goes wrong leaves no descriptor open."""
    store.put("a/b", b"1")
    store.at("a/loop").symlink_to("loop")
    store.at("a/out").symlink_to("/etc")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path in ("a/loop", "a/out/passwd", "a/b/c", "missing/a", "a", "a/b/"):
        for work in (store.status, store.get, store.delete, store.put, store.listed):
            with suppress(StorageError):
                work(path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
