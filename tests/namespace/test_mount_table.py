"""The mount table in a file."""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress

import pytest
import pytest_twisted
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.task import Clock, deferLater
from zope.interface.verify import verifyObject

from alluxio_s3.interfaces import IMountTable
from alluxio_s3.namespace.mount_table import LOOK_SECONDS, FileMountTable, MountFile, check_path
from alluxio_s3.storage import AlreadyExists, Mount, NoSuchPath, StorageError, Unavailable
from alluxio_s3.testing.workbench import outcome_of
from alluxio_s3.threads import Threads

ONE = Mount("/one", "s3://bucket/prefix", {"s3a.secretKey": "hidden", "readonly": "true"})
TWO = Mount("/two", "/srv/data")

NAMES = st.sampled_from(["version", "mounts", "path", "uri", "options", "since"])
TABLES = st.recursive(st.none() | st.integers(0, 2) | st.text(), lambda one: st.lists(one) | st.dictionaries(NAMES, one))


@pytest.fixture
def threads():
    made = Threads(reactor, 4, "mount-table")
    made.start()
    yield made
    made.stop()


@pytest.fixture
def file(tmp_path):
    return MountFile(tmp_path / "state" / "mounts.json")


def plain(mounts):
    return [(one.path, one.uri, dict(one.options)) for one in mounts]


@pytest_twisted.ensureDeferred
async def test_adding_and_removing(file, threads):
    """What was added is there, by path, with its options and the time, until it is removed; a path is taken once."""
    table = FileMountTable(file, threads, Clock())
    verifyObject(IMountTable, table)
    assert list(await table.mounts()) == []
    await table.add(TWO)
    await table.add(ONE)
    found = await table.mounts()
    assert plain(found) == plain([ONE, TWO])
    assert all(one.since_ns > 1_600_000_000 * 10**9 for one in found)
    assert isinstance(await outcome_of(table.add(Mount("/one", "/other"))), AlreadyExists)
    assert (await table.remove("/one")).uri == ONE.uri
    assert isinstance(await outcome_of(table.remove("/one")), NoSuchPath)
    assert plain(await table.mounts()) == plain([TWO])


def test_the_file_is_its_owners(file):
    """Nobody else may read the table, whatever the umask and whatever it was before; no half of it is ever there."""
    before = os.umask(0)
    try:
        file.add(ONE)
        file.path.chmod(0o644)
        file.add(TWO)
    finally:
        os.umask(before)
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert sorted(one.name for one in file.path.parent.iterdir()) == ["mounts.json", "mounts.json.lock"]


def test_what_a_crash_left_is_no_hindrance(file):
    """A new table that a killed process left half-written counts for nothing."""
    file.add(ONE)
    (file.path.parent / "mounts.json.new").write_text('{"version"')
    file.add(TWO)
    assert plain(file.read()) == plain([ONE, TWO])


def test_changes_at_once(file):
    """Of changes in many threads none is lost."""
    names = [f"/m{number:02}" for number in range(24)]
    workers = [threading.Thread(target=MountFile(file.path).add, args=(Mount(name, "/"),)) for name in names]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    assert [one.path for one in file.read()] == names


def test_through_a_link(file, tmp_path):
    """A table that is reached by a symbolic link stays where it is."""
    file.add(ONE)
    link = tmp_path / "link.json"
    link.symlink_to(file.path)
    MountFile(link).add(TWO)
    assert link.is_symlink()
    assert len(file.read()) == 2


def document(**changes):
    return {"version": 1, "mounts": [{"path": "/m", "uri": "/srv", "options": {"password": "hidden"}} | changes]}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"version": 2, "mounts": []}', '{"version": 1}', '{"version": 1, "mounts": {}}', "[" * 100_000, "\xff\xfe",
     '{"version": 1, "mounts": ["x"]}', json.dumps(document(path="m")), json.dumps(document(path="/a/b")), json.dumps(document(uri="")),
     json.dumps(document(options=["hidden"])), json.dumps(document(options={"a": 1})), json.dumps(document(since="yesterday")),
     json.dumps(document(since=7)), json.dumps({"version": 1, "mounts": document()["mounts"] * 2})],
)  # fmt: skip
def test_what_is_no_table(file, text):
    """A damaged table is an error that names the file and shows no option, and a change refuses to replace it."""
    file.path.parent.mkdir()
    file.path.write_bytes(text.encode("latin-1"))
    for act in (file.read, lambda: file.add(ONE), lambda: file.remove("/m")):
        with pytest.raises(Unavailable, match="is no mount table") as refused:
            act()
        assert str(file.path) in str(refused.value)
        assert "hidden" not in str(refused.value)
    assert file.path.read_bytes() == text.encode("latin-1")


@given(st.binary(max_size=200) | TABLES.map(lambda value: json.dumps(value).encode()))
def test_reading_is_total(tmp_path_factory, raw):
    """Whatever is in the file, reading gives mounts or a StorageError."""
    path = tmp_path_factory.mktemp("table") / "mounts.json"
    path.write_bytes(raw)
    with suppress(StorageError):
        assert all(isinstance(one, Mount) for one in MountFile(path).read())


def test_where_it_cannot_be(tmp_path):
    """A place that cannot be read or written is an error that says so."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "mounts.json", tmp_path):
        with pytest.raises(StorageError, match="cannot be"):
            MountFile(path).add(ONE)


@pytest_twisted.ensureDeferred
async def test_watching(file, threads):
    """Whoever watches is told of every change within a look, of its removal too, and of nothing once the watch has ended."""
    clock, told = Clock(), []
    table = FileMountTable(file, threads, clock)
    unwatch = table.watch(lambda: told.append(1))

    async def look():
        told.clear()
        clock.advance(LOOK_SECONDS)
        await threads.run(file.mark)
        for _ in range(20):
            await deferLater(reactor, 0.005)
        return bool(told)

    assert not await look()
    file.add(ONE)
    assert await look()
    assert not await look()
    file.path.write_text(file.path.read_text().replace("/one", "/uno"))
    assert await look()
    file.path.unlink()
    assert await look()
    unwatch()
    unwatch()
    file.add(TWO)
    assert not await look()


@pytest.mark.parametrize("path", ["", "/", "m", "/m/", "/a/b", "//m", "/.m", "/m\n", "/..", "/m?"])
def test_a_mount_is_a_bucket(path):
    """Only ``/`` and a name that a bucket can have is a place for a mount."""
    with pytest.raises(ValueError, match="path"):
        check_path(path)
    assert check_path("/s3-mount") == "s3-mount"


@pytest_twisted.ensureDeferred
async def test_a_table_that_is_gone(file, threads):
    """A file that held mounts and is gone, with its disk perhaps, says nothing of them; an empty table says that there are none."""
    table = FileMountTable(file, threads, Clock())
    await table.add(ONE)
    assert plain(await table.mounts()) == plain([ONE])
    directory = file.path.parent.rename(file.path.parent.with_name("elsewhere"))
    for _ in range(2):
        assert isinstance(await outcome_of(table.mounts()), Unavailable)
    directory.rename(file.path.parent)
    assert plain(await table.mounts()) == plain([ONE])
    await table.remove("/one")
    assert list(await table.mounts()) == []
