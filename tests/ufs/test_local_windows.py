"""Windows of a directory's names: what is kept of them, and who waits for whom."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Thread

import pytest
from attrs import define, field

from alluxio_s3.ufs.local.kernel import extended_attribute
from alluxio_s3.ufs.local.tree import Tree
from alluxio_s3.ufs.local.walk import list_keys
from alluxio_s3.ufs.local.windows import Window, Windows

_OLD = 10**18


def make(path, names):
    """A directory with empty files, an age of which windows are kept."""
    path.mkdir()
    for name in names:
        (path / name).touch()
    os.utime(path, ns=(_OLD, _OLD))
    return path


@define
class Looks:
    """Windows that count how often a directory was read."""

    windows: Windows
    scans: int = field(init=False, default=0)

    @classmethod
    def of(cls, *args, **kwargs):
        looks = cls(Windows(*args, **kwargs))
        looks.windows._now_ns = looks.counted
        return looks

    def counted(self):
        self.scans += 1
        return _OLD + 10**10

    def window(self, path, bound="") -> Window:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            return self.windows.window(descriptor, bound, lambda _name: None)
        finally:
            os.close(descriptor)


def test_the_directories_used_last_are_kept(tmp_path):
    """What is kept is bounded, directories without names included; those that were asked for last stay."""
    looks = Looks.of(size=10, most=100)
    places = [make(tmp_path / f"{number}", []) for number in range(40)]
    for place in places:
        looks.window(place)
        looks.window(places[0])
    assert looks.scans == 40
    looks.window(places[-1])
    assert looks.scans == 40
    looks.window(places[1])
    assert looks.scans == 41
    assert len(looks.windows._kept._windows) == len(looks.windows._kept._directories) < 15


def test_windows_of_a_directory_that_changed_go(tmp_path):
    """Of a directory that changed nothing is used, and nothing is kept, of before."""
    names = [f"{number:03}" for number in range(100)]
    place = make(tmp_path / "a", names)
    looks = Looks.of(size=10, most=10_000)
    for name in names:
        assert next(looks.window(place, name).following(name)) == name
    assert looks.scans == 20  # ten windows; each was preceded by a look that found the directory to be large
    assert len(looks.windows._kept._windows) == 10
    (place / "new").touch()
    os.utime(place, ns=(_OLD + 1, _OLD + 1))
    assert next(looks.window(place, "05").following("05")) == "050"
    assert len(looks.windows._kept._windows) == 1
    assert list(looks.window(place, "n").following("n")) == ["new"]


@pytest.mark.parametrize("names", [1, 30, 31, 44, 45, 46, 59, 60, 61, 90])
def test_a_directory_of_any_size_is_kept(tmp_path, names):
    """No directory is looked at again for the same names, however many it has."""
    place = make(tmp_path / "a", [f"{number:03}" for number in range(names)])
    looks = Looks.of(size=30, most=60)
    looks.window(place)
    scans = looks.scans
    assert looks.window(place, "000").names[0] == "000"
    assert looks.scans == scans


def test_small_directories_wait_for_nobody(tmp_path):
    """While large directories are read, and more wait for their turn, small ones are listed."""
    large = make(tmp_path / "large", [f"{number:03}" for number in range(100)])
    small = make(tmp_path / "small", ["a"])
    looks = Looks.of(size=20, most=10_000)
    busy = looks.windows._large
    turns = [busy.acquire(), busy.acquire()]
    found = []
    waiting = Thread(target=lambda: found.append(looks.window(large).names[:2]))
    waiting.start()
    try:
        assert looks.window(small).names == ("a",)
        assert not found
    finally:
        for _ in turns:
            busy.release()
        waiting.join()
    assert found == [("000", "001")]


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 1025, 3000])
def test_attributes_of_any_size(tmp_path, size):
    """An extended attribute is read whole, whatever its size."""
    file = tmp_path / "file"
    file.touch()
    path = bytes(file)
    assert extended_attribute(path, b"user.test", follow=False) is None
    value = b"\0" + b"x" * (size - 1) if size else b""
    try:
        os.setxattr(file, "user.test", value)
    except OSError:
        pytest.skip("no extended attribute of that size here")
    assert extended_attribute(path, b"user.test", follow=False) == value
    (tmp_path / "link").symlink_to("file")
    assert extended_attribute(bytes(tmp_path / "link"), b"user.test", follow=True) == value
    with pytest.raises(FileNotFoundError):
        extended_attribute(bytes(Path(tmp_path / "nothing")), b"user.test", follow=True)


def test_common_prefixes_are_not_looked_into(tmp_path):
    """Where directories are keys, a directory is a common prefix whatever is in it, and from whatever key on; a bucket is none."""
    for name in ("b/d1/x", "b/d2/y", "b/d3/"):
        place = tmp_path / name
        place.mkdir(parents=True)
    for folders in (True, False):
        tree = Tree.at(str(tmp_path), buckets=True, folders=folders)
        try:
            for start, found in (("b/", ["d1", "d2", "d3"]), ("b/d2/", ["d2", "d3"]), ("b/d2/x", ["d2", "d3"]), ("b/d2/z", ["d3"])):
                listing = list_keys(tree, Windows(), "b/", start, 10, "/")
                assert [entry for entry in listing.entries if isinstance(entry, str)] == ([f"b/{one}/" for one in found] if folders else [])
        finally:
            tree.close()
