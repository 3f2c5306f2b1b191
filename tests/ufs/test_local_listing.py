"""Listings of a local directory against a sorted model, and while it changes."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
from pathlib import Path
from threading import Event, Thread

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from alluxio_s3.s3.conditions import ALWAYS
from alluxio_s3.storage import Attributes, PathConflict, PermissionRefused, Status
from alluxio_s3.ufs.local import folders, publish
from alluxio_s3.ufs.local.tree import Tree
from alluxio_s3.ufs.local.walk import list_keys
from alluxio_s3.ufs.local.windows import Windows

# Around "/" in the order of bytes, with characters of one to four bytes.
NAMES = ("a", "a!", "a-b", "a.", "a0", "ab", "b", "é", "あ", "\uffee", "😀", "\x01", "~")
keys = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map("/".join)
paths = st.one_of(keys, keys.map(lambda key: f"{key}/"))
prefixes = st.one_of(
    st.just(""),
    st.builds(lambda key, cut: key[:cut], paths, st.integers(0, 12)),
    st.sampled_from(["//", "..", "../a", "/", "\0", "x" * 300, ".alluxio-s3/", "a\\"]),
)
starts = st.one_of(st.just(""), paths, st.builds(lambda key, end: key + end, paths, st.sampled_from(["\0", "!", "/", "0", "\U0010ffff"])))


def model_of(objects, made, foreign, *, folders):
    """Every key there must be."""
    found = {*objects, *made}
    if folders:
        for path in (*objects, *made, *foreign):
            found |= {path[: place + 1] for place, character in enumerate(path) if character == "/"}
    return found


def expected(found, prefix, start, delimiter):
    entries = set()
    for key in found:
        if key.startswith(prefix) and key >= start:
            slash = key.find(delimiter, len(prefix)) if delimiter else -1
            entries.add((key, False) if slash < 0 else (key[: slash + 1], True))
    return sorted(entries, key=lambda entry: entry[0].encode())


def put(tree, key):
    if key.endswith("/"):
        folders.make(tree, key, Attributes(), ALWAYS)
        return
    temporary = tree.staging.temporary(len(key))
    try:
        temporary.write(key.encode())
        publish.publish(tree, temporary, key, Attributes(), ALWAYS)
    finally:
        temporary.discard()


class Listings(RuleBasedStateMachine):
    """A tree of objects, folders that users made and directories of other programs; its listings are always the model's."""

    @initialize(folders=st.booleans(), window=st.integers(1, 4), in_memory=st.booleans())
    def begin(self, folders, window, in_memory):
        self.path = Path(tempfile.mkdtemp(dir="/dev/shm" if in_memory else None))
        self.tree = Tree.at(str(self.path), buckets=False, folders=folders, durability="rename")
        self.windows = Windows(window, 30 * window)
        self.objects, self.made, self.foreign = set(), set(), set()

    def teardown(self):
        if hasattr(self, "tree"):
            self.tree.close()
            shutil.rmtree(self.path)

    @rule(path=paths)
    def put(self, path):
        taken = {*self.objects, *self.made, *self.foreign}
        below_an_object = any(f"{path.rstrip('/')}/".startswith(f"{key}/") and key != path for key in self.objects)
        if below_an_object or (not path.endswith("/") and any(other.startswith(f"{path}/") for other in taken)):
            with pytest.raises(PathConflict):
                put(self.tree, path)
        else:
            put(self.tree, path)
            (self.made if path.endswith("/") else self.objects).add(path)

    @rule(path=paths, data=st.data())
    def delete(self, path, data):
        there = sorted({*self.objects, *self.made, *(self.foreign if self.tree.folders else ())})
        if there:
            path = data.draw(st.sampled_from(there))
            (folders if path.endswith("/") else publish).delete(self.tree, path, ALWAYS)
            for kind in (self.objects, self.made, self.foreign):
                kind.discard(path)

    @rule(key=keys)
    def another_program_makes_directories(self, key):
        at = ""
        for name in key.split("/"):
            at += f"{name}/"
            place = self.path / at
            if place.is_file():
                break
            if not place.is_dir():
                place.mkdir()
                self.foreign.add(at)

    @rule()
    def time_passes(self):
        """The directories become old enough for windows to be kept."""
        for at, _, _ in os.walk(self.path):
            os.utime(at, ns=(10**18, Path(at).stat().st_mtime_ns - 10**10))

    @rule(prefix=prefixes, start=starts, delimiter=st.sampled_from(["", "/"]), limit=st.sampled_from([1, 2, 3, 1000]))
    def look(self, prefix, start, delimiter, limit):
        found, position = [], start
        while True:
            page = list_keys(self.tree, self.windows, prefix, position, limit, delimiter)
            found += page.entries
            assert len(page.entries) <= limit
            if page.complete:
                break
            last = found[-1]
            position = last[:-1] + "0" if isinstance(last, str) else f"{last.path}\0"
        names = [(entry, True) if isinstance(entry, str) else (entry.path, False) for entry in found]
        model = model_of(self.objects, self.made, self.foreign, folders=self.tree.folders)
        assert names == expected(model, prefix, start, delimiter)
        for entry in found:
            assert isinstance(entry, str) or entry == self.tree.status(entry.path)

    @invariant()
    def everything(self):
        if hasattr(self, "tree"):
            self.look("", "", "", 1000)


TestListings = Listings.TestCase
TestListings.settings = settings(max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))


def test_pages_of_a_large_directory_cost_one_look(directory):
    """While a directory stays the same the pages that fall into a window are answered from it; another name is seen at once."""
    store = directory(window=500)
    for number in range(1000):
        store.foreign(f"{number:04}")
    os.utime(store.path, ns=(10**18, 10**18))
    scans = []
    windows = Windows(500, 5000, now_ns=lambda: scans.append(1) or 2 * 10**18)
    position, found = "", []
    for _ in range(20):
        page = list_keys(store.tree, windows, "", position, 50, "")
        found += [entry.path for entry in page.entries]
        position = found[-1] + "\0"
    assert page.complete
    assert found == [f"{number:04}" for number in range(1000)]
    assert len(scans) <= 4  # for each window one that breaks off and one to the end
    store.foreign("0000a")
    assert [entry.path for entry in list_keys(store.tree, windows, "", "0000", 2, "").entries] == ["0000", "0000a"]


def test_a_fresh_directory_is_never_trusted(directory):
    """A directory that changed within the last two seconds is looked at again: the same time may hide another change."""
    store = directory()
    store.foreign("a")
    modified = store.path.stat().st_mtime_ns
    windows = Windows(now_ns=lambda: modified + 10**9)
    assert [entry.path for entry in list_keys(store.tree, windows, "", "", 10, "").entries] == ["a"]
    store.foreign("b")
    os.utime(store.path, ns=(modified, modified))
    assert [entry.path for entry in list_keys(store.tree, windows, "", "", 10, "").entries] == ["a", "b"]


def test_directories_before_start_are_not_opened(directory):
    """A page opens only the directories in which its keys are."""
    store = directory()
    for name in "abc":
        store.foreign(f"{name}/dir/{name}")
    opened = []

    class Watched(Windows):
        def window(self, descriptor, bound, link_kind):
            opened.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()).removeprefix(str(store.path)))
            return super().window(descriptor, bound, link_kind)

    page = list_keys(store.tree, Watched(), "", "b/dir/b", 1, "")
    assert [entry.path for entry in page.entries] == ["b/dir/b"]
    assert opened == ["", "/b", "/b/dir", "/c"][: len(opened)]
    opened.clear()
    list_keys(store.tree, Watched(), "c/dir/", "", 10, "")
    assert opened == ["/c/dir"]


def test_links(directory):
    """Links that stay beneath are followed, to files and to directories; those that leave, lead nowhere or upwards are not there."""
    store = directory(folders=False)
    store.foreign("blobs/1", b"12345")
    store.foreign("snapshot/real", b"1")
    for link, target in (
        ("snapshot/model", "../blobs/1"), ("snapshot/all", "../blobs"), ("snapshot/up", ".."), ("snapshot/self", "."), ("loop", "loop"),
        ("snapshot/out", "/etc"), ("snapshot/passwd", "/etc/passwd"), ("snapshot/nowhere", "missing"), ("snapshot/far", "../../.."),
    ):  # fmt: skip
        store.at(link).symlink_to(target)
    listed = ["blobs/1", "snapshot/all/1", "snapshot/model", "snapshot/real"]
    assert store.listed() == listed
    assert store.listed("snapshot/") == listed[1:]
    assert store.listed("snapshot/up/") == []
    assert store.listed("snapshot/", delimiter="/") == ["snapshot/all/", "snapshot/model", "snapshot/real"]
    assert store.listed("snapshot/all/") == ["snapshot/all/1"]
    assert store.get("snapshot/model") == b"12345"
    [entry] = list_keys(store.tree, store.windows, "snapshot/model", "", 10, "").entries
    assert entry == store.status("snapshot/model")


@pytest.mark.parametrize("in_memory", [False, True])
def test_nothing_is_left_out_while_it_changes(directory, in_memory):
    """Keys that are there all the time, replaced or not, are in every walk, in order and once, whatever comes and goes beside them."""
    store = directory(in_memory=in_memory, durability="rename", window=7)
    lasting = [f"d{number % 3}/{number:03}" for number in range(60)]
    for key in lasting:
        store.put(key, b"1")
    done = Event()

    def churn(name):
        number = 0
        while not done.is_set():
            number += 1
            store.put(lasting[number % 60], b"2")
            store.put(f"d{number % 3}/{number % 60:03}-{name}", b"1")
            store.put(f"d{number % 3}/{number % 60:03}-dir-{name}/x", b"1")
            store.delete(f"d{number % 3}/{number % 60:03}-{name}")
            store.delete(f"d{number % 3}/{number % 60:03}-dir-{name}/x")

    threads = [Thread(target=churn, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    try:
        for limit in (1000, 10, 3) * 4:
            found, position = [], ""
            while True:
                page = list_keys(store.tree, store.windows, "", position, limit, "")
                found += [entry.path for entry in page.entries]
                if page.complete:
                    break
                position = found[-1] + "\0"
            assert found == sorted(set(found))
            assert set(lasting) <= set(found)
    finally:
        done.set()
        for thread in threads:
            thread.join()


def test_deep_trees_hold_one_descriptor(directory):
    """A listing needs no more descriptors for a deep tree than for a flat one."""
    store = directory(folders=False)
    key = "/".join(["d"] * 500)
    store.foreign(key)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + 20, before[1]))
    try:
        assert store.listed() == [key]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_keys_that_no_request_can_name(directory):
    """A path of more bytes than a key may have is not listed."""
    store = directory(folders=False)
    longest = "/".join(["x" * 204] * 4) + "/" + "y" * 204
    store.foreign(longest)
    store.foreign(longest + "z")
    store.foreign(longest.replace("y", "z") + "/a")
    assert store.listed() == [longest]


def test_an_unreadable_directory_is_said(directory):
    """A directory that cannot be read fails the listing: one that silently lacks keys would have them deleted elsewhere."""
    store = directory()
    store.foreign("a/b")
    store.at("link").symlink_to("a")
    assert isinstance(list_keys(store.tree, store.windows, "", "", 10, "").entries[0], Status)
    store.at("a").chmod(0)
    if os.access(store.at("a"), os.R_OK):
        pytest.skip("nothing is unreadable to root")
    with pytest.raises(PermissionRefused):
        store.listed()
