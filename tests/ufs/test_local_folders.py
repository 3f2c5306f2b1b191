"""Folders in a local directory: which directories are the users', and which are only there for their objects."""

from __future__ import annotations

from threading import Thread

import pytest

from alluxio_s3.s3.conditions import WriteCondition
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.storage import Attributes, NoSuchPath, NotEmpty, PathNotAllowed
from alluxio_s3.ufs.local import buckets
from alluxio_s3.ufs.local.tags import set_tags


@pytest.fixture(params=[True, False], ids=["xattrs", "sidecars"])
def store(request, directory):
    return directory(xattrs=request.param)


def test_directories_of_objects_go_with_the_last(store):
    """The directories that a PUT made are folders while something is in them, and go with the last object."""
    store.put("a/b/c/1")
    store.put("a/b/2")
    assert store.listed() == ["a/", "a/b/", "a/b/2", "a/b/c/", "a/b/c/1"]
    store.delete("a/b/c/1")
    assert store.listed() == ["a/", "a/b/", "a/b/2"]
    store.delete("a/b/2")
    assert store.listed() == []
    assert [one.name for one in store.path.iterdir()] == [".alluxio-s3"]
    assert store.reserved("attributes") == []


def test_folders_that_users_made_stay(store):
    """A folder that was made by its name stays until it is deleted by its name, whatever comes and goes in it."""
    store.put("made/inner/")
    store.put("made/inner/a/1")
    store.delete("made/inner/a/1")
    assert store.listed() == ["made/", "made/inner/"]
    store.delete("made/inner/")
    assert store.listed() == []


def test_an_implicit_folder_can_be_made_ones_own(store):
    """A PUT of a folder that objects made keeps it when they go."""
    store.put("dir/a")
    store.put("dir/", attributes=Attributes(user_metadata={"a": "b"}))
    store.delete("dir/a")
    assert dict(store.status("dir/").attributes.user_metadata) == {"a": "b"}


def test_foreign_directories_stay(store):
    """A directory of another program's stays when the last object in it goes; deleted by name it goes, at once or with what is in it."""
    store.foreign("theirs/dir/")
    store.put("theirs/dir/a")
    store.delete("theirs/dir/a")
    assert store.listed() == ["theirs/", "theirs/dir/"]
    store.put("theirs/dir/a")
    store.delete("theirs/dir/")
    store.delete("theirs/dir/a")
    assert store.listed() == ["theirs/"]
    store.delete("theirs/")
    assert store.listed() == []


def test_a_folder_that_is_not_empty_loses_what_made_it_ones_own(store):
    """Deleting a folder with something in it drops its attributes and tags, and keeps what is in it."""
    store.put("dir/", attributes=Attributes(user_metadata={"a": "b"}))
    set_tags(store.tree, "dir/", {"a": "b"})
    store.put("dir/a", b"1")
    store.delete("dir/")
    assert store.status("dir/").attributes == Attributes()
    assert store.get("dir/a") == b"1"


def test_only_folders_that_were_made(directory):
    """Without the documented folder entries only folders that somebody made are objects; others show where keys are below."""
    store = directory(folders=False)
    store.put("a/b/1")
    store.put("made/")
    store.foreign("empty/deep/")
    store.foreign("theirs/x/2")
    assert store.listed() == ["a/b/1", "made/", "theirs/x/2"]
    assert store.listed(delimiter="/") == ["a/", "made/", "theirs/"]
    for path in ("a/", "empty/", "theirs/"):
        with pytest.raises(NoSuchPath):
            store.status(path)
        with pytest.raises(NoSuchPath):
            store.delete(path)
    assert store.status("made/").size == 0


def test_a_folder_keeps_its_time(store):
    """A folder's time and validator do not change with what is put into it."""
    made = store.put("dir/")
    store.put("dir/a")
    assert store.status("dir/") == made
    implicit = store.status("x/") if store.put("x/a") else None
    store.put("x/b")
    assert store.status("x/") == implicit


def test_conditions_on_folders(store):
    """The conditions of a write and of a delete hold for folders too."""
    absent = WriteCondition(if_none_match=("*",))
    store.put("dir/", condition=absent)
    with pytest.raises(S3Error):
        store.put("dir/", condition=absent)
    with pytest.raises(S3Error):
        store.delete("dir/", WriteCondition(if_match=("other",)))
    assert store.listed() == ["dir/"]


def test_a_file_is_no_folder(store):
    """An object is not found with a slash, nor a directory without it."""
    store.put("a", b"1")
    store.put("dir/b")
    for path in ("a/", "dir"):
        with pytest.raises(NoSuchPath):
            store.status(path)
        with pytest.raises(NoSuchPath):
            store.delete(path)


def test_coming_and_going_at_once(store):
    """While directories go as empty, writes into them, and folders made of them, are not lost."""
    wrong = []

    def come_and_go(name):
        for _ in range(40):
            store.put(f"x/y/{name}", name.encode())
            if store.get(f"x/y/{name}") != name.encode():
                wrong.append(name)
            store.delete(f"x/y/{name}")

    def make_and_delete():
        for _ in range(40):
            store.put("x/y/", attributes=Attributes(user_metadata={"a": "b"}))
            if dict(store.status("x/y/").attributes.user_metadata) != {"a": "b"}:
                wrong.append("x/y/")
            store.delete("x/y/")

    threads = [Thread(target=come_and_go, args=(name,)) for name in "abc"] + [Thread(target=make_and_delete)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert store.listed() == []


class TestBuckets:
    """Where the top-level directories are buckets."""

    @pytest.fixture(params=[True, False], ids=["xattrs", "sidecars"])
    def root(self, request, directory):
        return directory(buckets=True, xattrs=request.param)

    def test_which_directories_are_buckets(self, root):
        """Directories with a bucket's name are buckets; files, and directories of other names, are not, nor are their keys listed."""
        buckets.create(root.tree, "made", Attributes(owner="alice"))
        for key in ("theirs/a", ".hidden/a", "lost+found/a", "two words/a"):
            root.foreign(key)
        root.foreign("file")
        assert [status.path for status in buckets.buckets(root.tree)] == ["made/", "theirs/"]
        assert root.listed() == ["theirs/a"]
        for name in (".hidden", "file", "two words", ".alluxio-s3", "missing", ".."):
            with pytest.raises(NoSuchPath):
                buckets.bucket(root.tree, name)
        with pytest.raises(PathNotAllowed):
            buckets.create(root.tree, ".alluxio-s3", Attributes())

    def test_a_bucket_is_no_folder(self, root):
        """A bucket can be neither made nor deleted as a folder, is in no listing of its keys, and is not removed as empty."""
        buckets.create(root.tree, "b", Attributes(owner="alice"))
        for work in (root.put, root.delete):
            with pytest.raises(PathNotAllowed):
                work("b/")
        root.put("b/a/c")
        root.delete("b/a/c")
        assert root.listed("b/") == root.listed("b/", delimiter="/") == []
        assert buckets.bucket(root.tree, "b").attributes.owner == "alice"

    def test_what_keeps_a_bucket(self, root):
        """A bucket goes when nothing is in it but what a crash left of directories; whatever else there is keeps it."""
        for name, content in (("folder", "dir/"), ("file", "a"), ("foreign", "dir/x/"), ("hidden", "what?")):
            buckets.create(root.tree, name, Attributes())
            root.foreign(f"{name}/{content}")
            with pytest.raises(NotEmpty):
                buckets.delete(root.tree, name)
            assert root.at(f"{name}/{content}").exists()
        buckets.create(root.tree, "left", Attributes())
        root.put("left/a/b/c")
        root.put("left/a/d/e")
        root.at("left/a/b/c").unlink()
        root.at("left/a/d/e").unlink()
        buckets.delete(root.tree, "left")
        assert not root.at("left").exists()

    def test_birth_of_a_foreign_bucket(self, root):
        """A bucket that another program made has a time too, which stays."""
        root.foreign("theirs/")
        first = buckets.bucket(root.tree, "theirs")
        root.put("theirs/a")
        assert buckets.bucket(root.tree, "theirs") == first
        assert first.modified_ns > 0
