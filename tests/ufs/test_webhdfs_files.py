"""HDFS under the daemon, and used by others at the same time; an HDFS that keeps no extended attributes."""

from __future__ import annotations

import itertools

import pytest
import pytest_twisted
from twisted.internet import reactor

from alluxio_s3.storage import Attributes, NoSuchPath, ObjectChanged, PathConflict, PathNotAllowed, Unsupported
from alluxio_s3.testing.in_reactor import wait_for
from alluxio_s3.testing.object_contract import FULL
from alluxio_s3.testing.workbench import Workbench, outcome_of, read
from alluxio_s3.ufs.webhdfs.filesystem import WebHdfsFactory
from tests.ufs.servers.hdfs import Hdfs, is_installed

pytestmark = pytest.mark.servers
_serial = itertools.count()


def build(server, root, **options):
    uri = f"webhdfs://127.0.0.1:{server.port}{root}"
    return WebHdfsFactory().build({"uri": uri, "user": "hdfs", **options}, reactor, None)


@pytest.fixture
def root(hdfs):
    """A fresh directory."""
    path = f"/files/{next(_serial)}"
    hdfs.ask("PUT", path, "MKDIRS")
    return path


@pytest.fixture
def store(hdfs, root):
    """A store in it."""
    ufs = build(hdfs, root)
    yield Workbench(ufs, "")
    wait_for(ufs.close())


@pytest.fixture(scope="module")
def plain_hdfs(tmp_path_factory):
    """An HDFS with extended attributes turned off."""
    if not is_installed():
        pytest.skip("HDFS is not installed: make test-ufs")
    server = Hdfs(tmp_path_factory.mktemp("plain-hdfs"), "dfs.namenode.xattrs.enabled=false")
    yield server
    server.stop()


def found(server, path):
    return server.ask("GET", path, "GETFILESTATUS")["FileStatus"]


@pytest_twisted.ensureDeferred
async def test_objects_are_files(hdfs, root, store):
    """An object is a file at its key's path, for every other program; a file of another program's is an object."""
    await store.put("a/b c+d%é", b"12345", FULL)
    assert found(hdfs, f"{root}/a/b c+d%é")["length"] == 5
    hdfs.write(f"{root}/a/foreign", b"12")
    status = await store.status("a/foreign")
    assert (status.size, status.modified_ns) == (2, found(hdfs, f"{root}/a/foreign")["modificationTime"] * 10**6)
    assert status.etag.endswith("-0")
    assert await store.get("a/foreign") == b"12"
    assert {path for path, _ in await store.keys({"a/foreign", "a/b c+d%é"})} == {"a/foreign", "a/b c+d%é"}


@pytest_twisted.ensureDeferred
async def test_changed_behind_our_back(hdfs, root, store):
    """A file that somebody appends to keeps what a user said of it, not what was computed; an open reader fails."""
    old = await store.put("a", b"12345", FULL)
    reader = await store.ufs.open("a")
    hdfs.write(f"{root}/a", b"6", "APPEND")
    assert isinstance(await outcome_of(read(reader, 0, 5)), ObjectChanged)
    new = await store.status("a")
    assert new.validator != old.validator
    assert new.etag.endswith("-0")
    assert dict(new.attributes.user_metadata) == dict(FULL.user_metadata)
    assert not new.attributes.checksums
    [entry] = (await store.page()).entries
    assert entry.etag == new.etag
    assert await store.get("a") == b"123456"


@pytest_twisted.ensureDeferred
async def test_moved_while_it_is_read(hdfs, root, store):
    """A reader goes on with its file when that is moved away and another takes its path."""
    await store.put("a", b"old" * 1000)
    reader = await store.ufs.open("a")
    hdfs.ask("PUT", f"{root}/a", "RENAME", destination=f"{root}/b")
    await store.put("a", b"new" * 1000)
    assert await read(reader, 0, 3000) == b"old" * 1000


@pytest_twisted.ensureDeferred
async def test_replaced_while_it_is_open(store):
    """What was open when it was replaced or deleted is read to its end, unless it is large; a reader that is not read holds nothing."""
    await store.put("a", b"old" * 100_000)
    readers = [await store.ufs.open("a") for _ in range(3)]
    await store.put("a", b"new")
    assert await read(readers[0], 0, 300_000) == b"old" * 100_000
    await store.delete("a")
    assert await read(readers[1], 0, 6) == b"oldold"
    for reader in readers:
        await reader.close()


@pytest_twisted.ensureDeferred
async def test_directories_that_nobody_made_go(hdfs, root, store):
    """Directories that were there only for an object go with it; those of others, and those that a user made, stay."""
    hdfs.ask("PUT", f"{root}/theirs", "MKDIRS")
    await store.put("ours/")
    for key in ("x/y/z", "theirs/x/y", "ours/x/y"):
        await store.put(key, b"1")
        await store.delete(key)
    names = {one["pathSuffix"] for one in hdfs.ask("GET", root, "LISTSTATUS")["FileStatuses"]["FileStatus"]}
    assert names == {".alluxio-s3", "theirs", "ours"}
    for name in ("theirs", "ours"):
        assert found(hdfs, f"{root}/{name}")["childrenNum"] == 0


@pytest_twisted.ensureDeferred
async def test_names_that_hdfs_cannot_hold(store):
    """A key with a colon is refused, and so is what is reserved: nothing is stored under another name."""
    for key in ("a:b", "dir:/a", ".alluxio-s3/a", ".alluxio-s3/writing/x", "a/.snapshot/b"):
        assert isinstance(await outcome_of(store.put(key, b"1")), PathNotAllowed), key
    assert isinstance(await outcome_of(store.status(".alluxio-s3/writing/x")), PathNotAllowed)
    assert await store.keys(()) == []


@pytest_twisted.ensureDeferred
async def test_what_was_abandoned_is_swept(hdfs, root, store):
    """What a daemon that died left of its writes is removed by another days later, and not before."""
    writing = f"{root}/.alluxio-s3/writing"
    for name in ("old", "young"):
        hdfs.write(f"{writing}/{name}", b"1")
    hdfs.ask("PUT", f"{writing}/old", "SETTIMES", modificationtime="1000000000000")
    await store.put("a", b"1")
    assert [one["pathSuffix"] for one in hdfs.ask("GET", writing, "LISTSTATUS")["FileStatuses"]["FileStatus"]] == ["young"]


@pytest_twisted.ensureDeferred
async def test_the_directory_is_missing(hdfs):
    """A mount whose directory is not there has nothing, and does not make it."""
    ufs = build(hdfs, "/files/nowhere")
    store = Workbench(ufs, "")
    assert isinstance(await outcome_of(store.put("a", b"1")), NoSuchPath)
    assert (await store.page()).entries == ()
    assert isinstance(await outcome_of(ufs.status("")), NoSuchPath)
    await ufs.close()


@pytest_twisted.ensureDeferred
async def test_metadata_of_many_parts(store):
    """What is more than one extended attribute holds, such as ten thousand sizes of parts, is kept whole."""
    sizes = tuple(5_000_000 + number * 7919 % 100_003 for number in range(10_000))
    attributes = Attributes(etag="x-10000", part_sizes=sizes)
    await store.put("a", b"1", attributes)
    assert (await store.status("a")).attributes.part_sizes == sizes


@pytest_twisted.ensureDeferred
async def test_without_extended_attributes(plain_hdfs):
    """Where HDFS keeps no attributes, ETags are those of the file in PUT, HEAD and listings alike, and metadata is refused, not lost."""
    plain_hdfs.ask("PUT", "/mount", "MKDIRS")
    ufs = build(plain_hdfs, "/mount")
    store = Workbench(ufs, "")
    made = await store.put("dir/a", b"12345", Attributes(etag="827ccb0eea8a706c4c34a16891f84e7b", content_type="text/plain"))
    [listed] = (await store.page("dir/a")).entries
    assert made.etag == (await store.status("dir/a")).etag == listed.etag
    assert made.etag.endswith("-0")
    assert await store.get("dir/a") == b"12345"
    for attributes in (Attributes(user_metadata={"a": "b"}), Attributes(tags={"a": "b"})):
        refused = await outcome_of(store.put("dir/a", b"other", attributes))
        assert isinstance(refused, Unsupported)
        assert "dfs.namenode.xattrs.enabled" in str(refused)
    assert isinstance(await outcome_of(ufs.set_tags("dir/a", {"a": "b"})), Unsupported)
    assert await store.get("dir/a") == b"12345"
    assert isinstance(await outcome_of(store.put("dir", b"1")), PathConflict)
    await store.delete("dir/a")
    assert not await store.exists("dir/a")
    await ufs.close()
