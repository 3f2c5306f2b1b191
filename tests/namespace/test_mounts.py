"""Buckets at the root, and mounts beside them."""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet.task import Clock

from alluxio_s3.interfaces import IMultipartUploads
from alluxio_s3.namespace.mounts import Mounted, Namespace, Place
from alluxio_s3.namespace.staged_uploads import StagedUploads
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.storage import Attributes, Unavailable, Upload
from alluxio_s3.testing.workbench import Workbench, outcome_of
from alluxio_s3.ufs.memory import MemoryUnderFileSystem


class WithoutUploads(MemoryUnderFileSystem):
    """A store that has no multipart uploads of its own."""

    def __conform__(self, interface):
        return None


def staged(_name, ufs):
    return StagedUploads(ufs, MemoryUnderFileSystem(Clock(), buckets=False), Clock())


@pytest.fixture
def root():
    return MemoryUnderFileSystem(Clock())


@pytest.fixture
def mount():
    return MemoryUnderFileSystem(Clock(), buckets=False)


@pytest.fixture
def namespace(root, mount):
    return Namespace(root, "alluxio", staged, {"mounted": Mounted("memory://m", mount)})


async def refused(work):
    """The code of the S3Error that ``work`` raises."""
    result = await outcome_of(work)
    assert isinstance(result, S3Error), result
    return result.code


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("kind", [MemoryUnderFileSystem, WithoutUploads])
async def test_uploads_go_with_their_bucket(mount, kind):
    """Who makes a bucket of the same name again does not get the uploads of the one before; other buckets keep theirs."""
    namespace = Namespace(kind(Clock()), "alluxio", staged, {"mounted": Mounted("memory://m", mount)})
    places = [(await namespace.create_bucket(name, "alice")).place for name in ("b", "bb")]
    uploads = namespace.uploads(places[0])
    for place in places:
        await uploads.create_upload(Upload("", place.path("k"), 0))
    await namespace.delete_bucket("b")
    assert [one.path for one in await uploads.uploads("")] == ["bb/k"]


@pytest_twisted.ensureDeferred
async def test_life_of_a_bucket(namespace):
    """A bucket is made by its owner, found, listed, removed, and then is not there."""
    made = await namespace.create_bucket("b", "alice")
    assert (made.name, made.owner, made.place.prefix) == ("b", "alice", "b/")
    assert await namespace.bucket("b") == made
    assert [one.name for one in await namespace.buckets()] == ["b", "mounted"]
    await namespace.delete_bucket("b")
    assert await refused(namespace.bucket("b")) == "NoSuchBucket"
    assert await refused(namespace.delete_bucket("b")) == "NoSuchBucket"


@pytest_twisted.ensureDeferred
async def test_a_bucket_that_is_there(namespace):
    """Making it again tells its owner from everybody else."""
    await namespace.create_bucket("b", "alice")
    assert await refused(namespace.create_bucket("b", "alice")) == "BucketAlreadyOwnedByYou"
    assert await refused(namespace.create_bucket("b", "bob")) == "BucketAlreadyExists"


@pytest_twisted.ensureDeferred
async def test_a_bucket_without_an_owner(namespace, root):
    """What nobody made through S3 is the daemon's user's."""
    await root.create_bucket("b", Attributes())
    assert (await namespace.bucket("b")).owner == "alluxio"
    assert (await namespace.bucket("mounted")).owner == "alluxio"


@pytest_twisted.ensureDeferred
async def test_only_an_empty_bucket_goes(namespace, root):
    """A bucket with a key stays."""
    await namespace.create_bucket("b", "alice")
    await Workbench(root, "b/").put("key", b"1")
    assert await refused(namespace.delete_bucket("b")) == "BucketNotEmpty"
    assert (await namespace.bucket("b")).owner == "alice"


@pytest_twisted.ensureDeferred
async def test_a_mount_hides_a_directory(namespace, root, mount):
    """A mount is found in place of the root's directory of its name, listed once, and its keys are its own."""
    await root.create_bucket("mounted", Attributes(owner="alice"))
    assert namespace.locate("mounted") == Place(mount, "")
    found = await namespace.bucket("mounted")
    assert (found.owner, found.place.ufs) == ("alluxio", mount)
    assert [one.name for one in await namespace.buckets()] == ["mounted"]
    assert namespace.locate("mounted").path("a/b") == "a/b"
    assert namespace.locate("other").path("a/b") == "other/a/b"
    assert namespace.locate("other").key("other/a/b") == "a/b"


@pytest_twisted.ensureDeferred
async def test_mounts_are_an_administrators(namespace, root):
    """A client can neither make a bucket in a mount's name nor remove a mount; the directory it hides is untouched."""
    await root.create_bucket("mounted", Attributes(owner="alice"))
    assert await refused(namespace.create_bucket("mounted", "alice")) == "BucketAlreadyExists"
    assert await refused(namespace.delete_bucket("mounted")) == "InvalidRequest"
    assert (await root.bucket("mounted")).attributes.owner == "alice"


@pytest_twisted.ensureDeferred
async def test_without_a_root(mount):
    """With mounts alone every other bucket is missing, and none can be made."""
    namespace = Namespace(None, "alluxio", mounts={"mounted": Mounted("memory://m", mount)})
    with pytest.raises(S3Error, match="NoSuchBucket"):
        namespace.locate("b")
    assert await refused(namespace.bucket("b")) == "NoSuchBucket"
    assert await refused(namespace.delete_bucket("b")) == "NoSuchBucket"
    assert await refused(namespace.create_bucket("b", "alice")) == "InvalidRequest"
    assert [one.name for one in await namespace.buckets()] == ["mounted"]


@pytest_twisted.ensureDeferred
async def test_names_are_listed_in_order(namespace):
    """Buckets and mounts are listed together, by name."""
    for name in ("z", "a", "mountee", "mounteee"):
        await namespace.create_bucket(name, "alice")
    assert [one.name for one in await namespace.buckets()] == ["a", "mounted", "mountee", "mounteee", "z"]


def test_a_stores_own_uploads(namespace, root, mount):
    """A store that takes multipart uploads is asked itself, always the same way."""
    assert namespace.uploads(Place(root, "b/")) is IMultipartUploads(root)
    assert namespace.uploads(Place(mount, "")) is IMultipartUploads(mount)
    assert namespace.all_uploads() == [IMultipartUploads(root), IMultipartUploads(mount)]


def test_staged_uploads():
    """For a store that takes none they are staged: once for each store, with the URI of its mount."""
    asked = []

    def stage(name, ufs):
        asked.append((name, ufs))
        return staged(name, ufs)

    root, one, two = (WithoutUploads(Clock(), buckets=buckets) for buckets in (True, False, False))
    namespace = Namespace(root, "alluxio", stage, {"one": Mounted("memory://1", one), "two": Mounted("memory://2", two)})
    assert namespace.uploads(namespace.locate("b")) is namespace.uploads(namespace.locate("c"))
    assert namespace.uploads(namespace.locate("one")) is not namespace.uploads(namespace.locate("two"))
    assert len(namespace.all_uploads()) == 3
    assert asked == [("", root), ("memory://1", one), ("memory://2", two)]


def test_staging_that_fails_for_one_store():
    """Whoever goes through all uploads, to expire them, finds those of the other stores."""

    def stage(name, ufs):
        if name == "memory://1":
            raise Unavailable
        return staged(name, ufs)

    one, two = WithoutUploads(Clock(), buckets=False), WithoutUploads(Clock(), buckets=False)
    namespace = Namespace(None, "alluxio", stage, {"one": Mounted("memory://1", one), "two": Mounted("memory://2", two)})
    assert [uploads.target for uploads in namespace.all_uploads()] == [two]
    with pytest.raises(Unavailable):
        namespace.uploads(namespace.locate("one"))


def test_no_uploads_at_all():
    """Without staging a store that takes no multipart uploads says so."""
    namespace = Namespace(WithoutUploads(Clock()), "alluxio")
    with pytest.raises(S3Error, match="NotImplemented"):
        namespace.uploads(namespace.locate("b"))
