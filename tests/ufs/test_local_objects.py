"""Objects in a local directory: what other programs may do to the files, and what ends up on the disk."""

from __future__ import annotations

import os
import re
import socket
import stat

import pytest
from attrs import evolve

from alluxio_s3.s3.conditions import ALWAYS, WriteCondition
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.storage import Attributes, NoSuchPath, PathConflict, PathNotAllowed, PathTooLong, Unavailable
from alluxio_s3.ufs.local import publish
from alluxio_s3.ufs.local.tags import set_tags

FULL = Attributes(
    content_type="text/plain",
    headers={"cache-control": "no-cache"},
    user_metadata={"colour": "blue"},
    tags={"a": "b"},
    etag="9e107d9d372bb6826bd81d3542a419d6-3",
    checksums={"CRC32": "AAAAAA=="},
    checksum_type="FULL_OBJECT",
    part_sizes=(2, 2, 1),
    owner="alice",
)
OWN_WORDS = evolve(FULL, etag=None, checksums={}, checksum_type=None, part_sizes=())
WAYS = [{"xattrs": True}, {"xattrs": False}, {"xattrs": True, "in_memory": True}, {"xattrs": False, "in_memory": True}]


@pytest.fixture(params=WAYS, ids=str)
def store(request, directory):
    return directory(**request.param)


def test_a_foreign_file_has_a_strong_etag_of_its_own(store):
    """A file of another program's is an object: its ETag stays, is no MD5, and changes when the file does."""
    store.foreign("dir/a", b"12345")
    first = store.status("dir/a")
    assert re.fullmatch("[0-9a-f]{32}-0", first.etag)
    assert store.status("dir/a") == first
    assert store.get("dir/a") == b"12345"
    os.utime(store.at("dir/a"), ns=(1, 1))
    second = store.status("dir/a")
    assert second.etag != first.etag
    assert second.validator != first.validator


def test_a_modification_time_that_was_set_back_is_noticed(store):
    """Bytes of a foreign file that were changed in place, size and time kept, have another validator."""
    store.foreign("a", b"12345")
    os.utime(store.at("a"), ns=(10**18, 10**18))
    first = store.status("a")
    store.foreign("a", b"54321")
    os.utime(store.at("a"), ns=(10**18, 10**18))
    assert store.status("a").validator != first.validator


@pytest.mark.parametrize("way", WAYS[::2], ids=str)
def test_an_object_changed_in_place(directory, way):
    """When another program changes an object, what was computed from its bytes goes, and what its user said of it stays."""
    store = directory(**way)
    first = store.put("a", b"12345", FULL)
    with store.at("a").open("r+b") as file:
        file.write(b"x")
    status = store.status("a")
    assert status.attributes == OWN_WORDS
    assert re.fullmatch("[0-9a-f]{32}-0", status.etag)
    assert status.validator != first.validator
    assert store.get("a") == b"x2345"


def test_sidecars_describe_the_file_that_was_written(directory):
    """Attributes in a sidecar are not those of a file that was changed or put in its place."""
    store = directory(xattrs=False)
    store.put("a", b"12345", FULL)
    store.foreign("a", b"54321")
    assert store.status("a").attributes == Attributes()
    store.put("b", b"12345", FULL)
    store.at("b").unlink()
    store.foreign("b", b"12345")
    assert store.status("b").attributes == Attributes()


def test_attributes_go_with_a_renamed_file(store):
    """Who renames the file renames the object, attributes and all."""
    store.put("a", b"12345", FULL)
    store.at("a").rename(store.at("b"))
    assert store.status("b").attributes == FULL


@pytest.mark.parametrize("in_memory", [False, True])
def test_attributes_too_large_for_the_inode(directory, in_memory):
    """Attributes that an extended attribute cannot hold are kept as well as others, and go when the object goes."""
    store = directory(in_memory=in_memory)
    large = evolve(FULL, user_metadata={"x": "y" * 60_000}, part_sizes=tuple(range(10_000)))
    status = store.put("a", b"12345", large)
    assert store.status("a") == status
    assert status.attributes == large
    set_tags(store.tree, "a", {"tag": "z" * 5000})
    assert store.status("a").attributes == evolve(large, tags={"tag": "z" * 5000})
    assert store.reserved("attributes")
    store.put("a", b"1", FULL)
    assert store.status("a").attributes == FULL
    store.put("b", b"12345", large)
    store.delete("b")
    assert store.reserved("attributes") == []


def test_tags_move_between_attribute_and_sidecar(directory):
    """Tags that grow too large for the extended attribute, and shrink again, leave nothing behind and lose nothing."""
    store = directory()
    before = store.put("a", b"12345", FULL)
    for size in (10_000, 1, 10_000, 1):
        set_tags(store.tree, "a", {"tag": "z" * size})
        status = store.status("a")
        assert status.attributes == evolve(FULL, tags={"tag": "z" * size})
        assert (status.etag, status.validator, status.modified_ns) == (before.etag, before.validator, before.modified_ns)
        assert len(store.reserved("attributes")) == (size > 4000)


def test_equal_parts_take_no_room(directory):
    """10,000 parts of one size fit into an extended attribute."""
    store = directory()
    store.put("a", b"1", evolve(FULL, part_sizes=(8 << 20,) * 9_999 + (1,)))
    assert store.reserved("attributes") == []
    assert store.status("a").attributes.part_sizes == (8 << 20,) * 9_999 + (1,)


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\xff\xfe", b"{", b"[]", b"3", b'"v"', b'{"v":2}', b'{"v":1,"ct":3}', b'{"v":1,"ct":"a\\r\\nSet-Cookie: x"}', b"[" * 30_000,
        b'{"v":1,"h":{"a":1}}', b'{"v":1,"u":{"a":"\\ud800"}}', b'{"v":1,"p":[[1,99999999]]}', b'{"v":1,"p":[[-1,1]]}',
        b'{"v":1,"s":1e999}',
    ],
)  # fmt: skip
def test_foreign_attributes_are_ignored(directory, garbage):
    """Whatever somebody wrote into our extended attribute, the file is an object without attributes of ours."""
    store = directory(in_memory=True)
    store.foreign("a", b"12345")
    os.setxattr(store.at("a"), "user.alluxio.s3", garbage)
    assert store.status("a").attributes == Attributes()
    assert store.listed() == ["a"]


def test_special_files_are_no_objects(store):
    """Pipes, sockets and devices are neither listed nor opened nor deleted, and opening one waits for nothing."""
    os.mkfifo(store.at("pipe"))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(store.at("socket")))
    names = ["pipe", "socket"]
    try:
        os.mknod(store.at("device"), stat.S_IFCHR | 0o600, os.makedev(1, 3))
        names.append("device")
    except PermissionError:
        pass
    for name in names:
        for work in (store.get, store.status, store.delete):
            with pytest.raises(NoSuchPath):
                work(name)
        assert os.path.lexists(store.at(name))
    assert store.listed() == []


@pytest.mark.parametrize(
    "key", [".alluxio-s3", ".alluxio-s3/tmp/a", ".alluxio-s3/", "dir/.alluxio-s3/a", "../a", "a/../../b", "a//b", "a\\b"]
)
def test_reserved_and_unsupported_names(store, key):
    """The daemon's own directory, and paths that no key parser lets through, are refused for every verb."""
    for work in (store.status, store.get, store.put, store.delete):
        with pytest.raises(PathNotAllowed):
            work(key)


def test_hidden_names_are_not_listed(store):
    """What no request could name is in no listing: the daemon's directory, names that are not UTF-8, with '?' or '\\'."""
    store.put("a", b"1")
    for name in (b"\xff", b"what?", b"back\\slash"):
        store.at(os.fsdecode(name)).touch()
        store.at("d" + os.fsdecode(name)).mkdir()
    store.foreign("nested/.alluxio-s3/tmp/x", b"1")
    assert store.listed() == ["a", "nested/"]


def test_modes(store):
    """Objects have the mode that the daemon's umask gives to files, as those of other programs; what is not published is nobody's."""
    umask = os.umask(0)
    os.umask(umask)
    store.put("a", b"1")
    assert stat.S_IMODE(store.at("a").stat().st_mode) == 0o666 & ~umask
    temporary = store.tree.staging.temporary()
    assert stat.S_IMODE(os.fstat(temporary.descriptor.number).st_mode) == 0o600
    assert stat.S_IMODE(store.at(".alluxio-s3").stat().st_mode) == 0o700
    temporary.discard()


def test_nothing_is_left_of_what_failed(store):
    """A write whose condition fails leaves no file, no sidecar, no directory."""
    with pytest.raises(S3Error):
        store.put("x/y/z", b"1", FULL, WriteCondition(if_match=("etag",)))
    assert store.reserved("tmp") == store.reserved("attributes") == []
    assert [one.name for one in store.path.iterdir()] == [".alluxio-s3"]


def test_a_missing_bucket_is_never_made(directory):
    """Where top-level directories are buckets, a write makes none, and what is not in one is no object."""
    store = directory(buckets=True)
    for key in ("b/a", "b/c/d", "b/dir/"):
        with pytest.raises(NoSuchPath):
            store.put(key)
    for key in ("a", "a/"):
        with pytest.raises(PathNotAllowed):
            store.put(key)
    store.foreign("file", b"1")
    with pytest.raises(NoSuchPath):
        store.status("file")
    with pytest.raises(NoSuchPath):
        store.put("file/a")
    assert store.listed() == []


def test_conflicts(store):
    """A key below an object, or of a directory, is PathConflict, before any byte was sent; the first is untouched."""
    store.put("a", b"first", FULL)
    store.put("d/x", b"first", FULL)
    for key in ("a/b", "a/b/c", "a/", "a/b/", "d"):
        with pytest.raises(PathConflict):
            store.put(key)
        with pytest.raises(PathConflict):
            publish.check_place(store.tree, key) if not key.endswith("/") else store.put(key)
    assert store.status("a").attributes == store.status("d/x").attributes == FULL


def test_a_directory_that_a_crash_left_is_in_nobodys_way(store):
    """An empty directory that was made for an object gives way to an object of its name."""
    store.put("a/b", b"1")
    store.at("a/b").unlink()
    store.put("a", b"2")
    assert store.get("a") == b"2"


def test_too_long_names(store):
    """A name that the disk cannot hold is PathTooLong to a writer, wherever in the key, and not there to a reader."""
    for key in ("x" * 256, "missing/" + "x" * 256 + "/a", "é" * 128 + "/"):
        with pytest.raises(PathTooLong):
            store.put(key)
        if not key.endswith("/"):
            with pytest.raises(NoSuchPath):
                store.get(key)


def test_an_object_that_lost_bytes(directory):
    """An object shorter than it was written, which nobody changed, is never served short; it can be replaced and deleted."""
    store = directory(durability="rename")
    for key in ("a", "b"):
        store.put(key, b"12345", FULL)
        before = store.at(key).stat()
        os.truncate(store.at(key), 0)
        os.utime(store.at(key), ns=(before.st_atime_ns, before.st_mtime_ns))
        for work in (store.status, store.get):
            with pytest.raises(Unavailable):
                work(key)
    store.put("a", b"54321", FULL)
    assert store.get("a") == b"54321"
    store.delete("b", ALWAYS)
    assert store.listed() == ["a"]
