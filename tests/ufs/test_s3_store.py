"""What an S3 store can do better than others, and what is special about one that others write to as well."""

from __future__ import annotations

import gzip
from random import Random

import boto3
import pytest
from attrs import evolve
from botocore.config import Config

from alluxio_s3.interfaces import IBucketContainer, IMultipartUploads, IPartLocator, IRangeCopier, IRemote
from alluxio_s3.s3.conditions import ALWAYS, WriteCondition
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.storage import (
    AlreadyExists,
    Attributes,
    NotEmpty,
    ObjectChanged,
    Part,
    PartPlace,
    PathTooLong,
    PermissionRefused,
    Unavailable,
    Unsupported,
    Upload,
)
from alluxio_s3.testing.in_reactor import in_reactor
from alluxio_s3.testing.workbench import outcome_of
from alluxio_s3.ufs.s3 import listing
from tests.ufs.servers.faulty import Reply

DATA = Random(1).randbytes(300_000)


@pytest.fixture
def bucket(moto):
    return moto.make_bucket()


@pytest.fixture
def build(on_s3, bucket):
    def make(prefix="", **options):
        return on_s3(**{"uri": f"s3://{bucket}{prefix}", **options})

    return make


@pytest.fixture
def store(build):
    return build()


@pytest.fixture
def others(moto):
    """Another program that uses the same store."""
    client = boto3.client(
        "s3",
        endpoint_url=moto.endpoint,
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=Config(request_checksum_calculation="when_required"),
    )
    yield client
    client.close()


async def copied(store, source, key, attributes=Attributes(), condition=ALWAYS):  # noqa: B008 - it is frozen
    """Copy as the daemon does."""
    reader = await store.ufs.open(source)
    writer = await store.ufs.create(key, attributes, reader.status.size)
    assert await IRangeCopier(writer).copy_from(reader, 0, reader.status.size)
    await reader.close()
    try:
        return await writer.commit(attributes, condition)
    finally:
        await writer.abort()


def refusing(code):
    """An act of a server: it refuses the user."""
    body = f"<Error><Code>{code}</Code></Error>".encode()
    return lambda exchange: exchange.send(Reply(403, (("Content-Length", str(len(body))),), body))


@in_reactor
async def test_the_root_costs_no_request(store, server):
    """It is looked at with each write and each listing, and is always there."""
    assert (await store.ufs.status("")).path == ""
    assert not server.seen


@in_reactor
async def test_whether_the_store_answers(store, server, build):
    """It is asked, and a user who may read but not list is answered; one whom the store does not know is told."""
    remote = IRemote(store.ufs)
    await remote.reach()
    assert server.count("GET") == 1
    server.on("GET", refusing("AccessDenied"), refusing("InvalidAccessKeyId"))
    await remote.reach()
    assert isinstance(await outcome_of(remote.reach()), PermissionRefused)
    assert isinstance(await outcome_of(IRemote(build(uri="s3://is-not-there").ufs).reach()), Unavailable)


@in_reactor
async def test_copies_are_the_stores_own(store, server):
    """A whole object is copied without its bytes passing through, with the attributes that were asked for."""
    await store.put("a", DATA, Attributes(content_type="text/plain", user_metadata={"old": "1"}, tags={"old": "1"}))
    status = await copied(store, "a", "dir/é b", Attributes(user_metadata={"new": "2"}, tags={"new": "2"}))
    assert status.size == len(DATA)
    assert all("tagging" in one.target for one in server.seen if one.method == "GET")
    assert await store.get("dir/é b") == DATA
    found = await store.status("dir/é b")
    assert (found.etag, found.attributes.content_type, dict(found.attributes.user_metadata)) == (status.etag, None, {"new": "2"})
    assert await store.ufs.tags("dir/é b") == {"new": "2"}


@in_reactor
async def test_a_copy_of_what_has_changed(store):
    """A source that changes after it was opened is not copied in another version."""
    await store.put("a", DATA)
    reader = await store.ufs.open("a")
    await store.put("a", b"other")
    writer = await store.ufs.create("b", Attributes(), len(DATA))
    assert await IRangeCopier(writer).copy_from(reader, 0, len(DATA))
    assert isinstance(await outcome_of(writer.commit(Attributes(), ALWAYS)), ObjectChanged)
    await writer.abort()
    assert not await store.exists("b")


@in_reactor
async def test_conditions_of_copies(store):
    """A copy is made if its condition holds."""
    await store.put("a", DATA)
    await store.put("b", b"old")
    with pytest.raises(S3Error, match="PreconditionFailed"):
        await copied(store, "a", "b", condition=WriteCondition(if_none_match=("*",)))
    assert await store.get("b") == b"old"


@in_reactor
async def test_a_copy_to_which_bytes_are_added(store):
    """What was to be copied comes as bytes if more bytes follow."""
    await store.put("a", DATA)
    reader = await store.ufs.open("a")
    writer = await store.ufs.create("b", Attributes(), None)
    assert await IRangeCopier(writer).copy_from(reader, 0, len(DATA))
    await writer.write(b"|")
    await writer.commit(Attributes(), ALWAYS)
    assert await store.get("b") == DATA + b"|"


@in_reactor
async def test_parts_that_the_store_copies(store, server):
    """A part that is a stretch of an object is made by the store."""
    await store.put("a", DATA)
    uploads = IMultipartUploads(store.ufs)
    upload = await uploads.create_upload(Upload("", "b", 0, Attributes()))
    reader = await store.ufs.open("a")
    writer = await uploads.create_part(upload, 1, 1000)
    assert await IRangeCopier(writer).copy_from(reader, 17, 1000)
    status = await writer.commit(Attributes(), ALWAYS)
    assert status.size == 1000
    await uploads.complete(upload, [Part(1, 1000, 0, status.etag)], Attributes(), ALWAYS)
    assert server.count("GET") == 0
    assert await store.get("b") == DATA[17:1017]


@in_reactor
async def test_compressed_objects_stay_so(store, others, bucket):
    """An object with a Content-Encoding is given as it is stored."""
    data = gzip.compress(DATA)
    others.put_object(Bucket=bucket, Key="a", Body=data, ContentEncoding="gzip")
    assert (await store.status("a")).attributes.headers["content-encoding"] == "gzip"
    assert await store.get("a") == data


@in_reactor
async def test_what_others_see(store, others, bucket):
    """What is written here is for any other program what it would have written itself: nothing of ours is in it."""
    await store.put("a", b"1", Attributes(content_type="text/plain", user_metadata={"colour": "blue"}, owner="alice", tags={"x": "y z"}))
    found = others.head_object(Bucket=bucket, Key="a")
    assert (found["ContentType"], found["Metadata"], found["ContentLength"]) == ("text/plain", {"colour": "blue"}, 1)
    assert others.get_object_tagging(Bucket=bucket, Key="a")["TagSet"] == [{"Key": "x", "Value": "y z"}]


@in_reactor
async def test_buckets_that_nobody_made(build, others, bucket):
    """Data that was there before shows as buckets; one without a marker has no owner, and tags of its own when it gets some."""
    others.put_object(Bucket=bucket, Key="p/found/a", Body=b"1")
    store = build("/p", buckets="true")
    container = IBucketContainer(store.ufs)
    await container.create_bucket("made", Attributes(owner="bob"))
    assert [(one.path, one.attributes.owner) for one in await container.buckets()] == [("found/", None), ("made/", "bob")]
    assert (await container.bucket("found")).path == "found/"
    assert isinstance(await outcome_of(container.create_bucket("found", Attributes())), AlreadyExists)
    assert isinstance(await outcome_of(container.delete_bucket("found")), NotEmpty)
    assert await store.ufs.tags("found/") == {}
    await store.ufs.set_tags("found/", {"a": "b"})
    assert await store.ufs.tags("found/") == {"a": "b"}
    assert others.head_object(Bucket=bucket, Key="p/made/")["Metadata"] == {"alluxio-owner": "bob"}
    assert not (await container.bucket("made")).attributes.user_metadata


@in_reactor
async def test_a_mount_has_no_buckets(store):
    """A mount is one bucket, and holds none."""
    assert IBucketContainer(store.ufs, None) is None


@in_reactor
async def test_long_keys_with_a_prefix(build):
    """The prefix counts: a key that is too long with it is PathTooLong before a byte is sent."""
    store = build("/" + "p" * 100)
    assert isinstance(await outcome_of(store.put("k" * 1000, b"1")), PathTooLong)


@in_reactor
async def test_attributes_of_large_objects(store):
    """The attributes of a large object are those it was begun with; others at its end are refused, and nothing is left."""
    writer = await store.ufs.create("a", Attributes(content_type="text/plain"), None)
    for _ in range(17):
        await writer.write(bytes(1 << 20))
    assert isinstance(await outcome_of(writer.commit(Attributes(content_type="text/html"), ALWAYS)), Unsupported)
    await writer.abort()
    assert not await store.exists("a")
    assert await IMultipartUploads(store.ufs).uploads("") == []


@in_reactor
async def test_expiry_leaves_the_uploads_of_others(store, others, bucket):
    """Uploads that another program began are not ours to abort."""
    theirs = others.create_multipart_upload(Bucket=bucket, Key="theirs")["UploadId"]
    uploads = IMultipartUploads(store.ufs)
    upload = await uploads.create_upload(Upload("", "ours", 0, Attributes()))
    assert await uploads.expire(upload.initiated_ns + 10**15) == 1
    assert [one.upload_id for one in await uploads.uploads("")] == [theirs]
    found = await uploads.upload("theirs", theirs)
    assert found.upload_id == theirs


@in_reactor
async def test_more_than_a_page(store, others, bucket, monkeypatch):
    """A listing goes on over as many of the store's pages as it takes."""
    monkeypatch.setattr(listing, "_PAGE", 7)
    keys = [f"{number:04}" for number in range(40)]
    for key in keys:
        others.put_object(Bucket=bucket, Key=key, Body=b"")
    assert [key for key, _ in await store.keys(keys)] == keys
    assert len((await store.page(limit=20)).entries) == 20
    assert not (await store.page(limit=20)).complete
    assert (await store.page(limit=40)).complete


def made_of_parts(others, bucket, key, *sizes):
    """Have an object be made of parts of these sizes."""
    upload = others.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    parts = [
        others.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=bytes([number]) * size)
        for number, size in enumerate(sizes, 1)
    ]
    told = {"Parts": [{"PartNumber": number, "ETag": part["ETag"]} for number, part in enumerate(parts, 1)]}
    others.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload=told)


@in_reactor
async def test_parts_are_where_the_store_says(store, server, others, bucket):
    """A part is where the store says, or what is before it ends; what is no part, or of another version, is no answer."""
    mib = 1 << 20
    made_of_parts(others, bucket, "a", 5 * mib, 6 * mib, 1000)
    status = await store.status("a")
    locator = IPartLocator(store.ufs)
    places = [await locator.part(status, number) for number in (1, 2, 3, 4)]
    assert places == [
        PartPlace(0, 5 * mib, 3),
        PartPlace(5 * mib, 6 * mib, 3),
        PartPlace(11 * mib, 1000, 3),
        PartPlace(11 * mib + 1000, 0, 3, there=False),
    ]
    server.on("HEAD", lambda exchange: exchange.send(exchange.forward().with_header("Content-Range", f"bytes 7-11/{status.size}")))
    assert await locator.part(status, 2) == PartPlace(7, 5, 3)
    server.on("HEAD", lambda exchange: exchange.send(exchange.forward().with_header("Content-Length", str(status.size))))
    assert await locator.part(status, 1) is None  # a store that does not know the question
    await store.put("whole", b"whole")
    assert await locator.part(await store.status("whole"), 1) is None
    made_of_parts(others, bucket, "empty", 0)
    assert await locator.part(await store.status("empty"), 1) is None  # it has no bytes that could be somewhere
    made_of_parts(others, bucket, "a", 5 * mib, 7)
    with pytest.raises(ObjectChanged):
        await locator.part(status, 2)


@in_reactor
async def test_an_empty_last_part_is_there(store, others, bucket):
    """S3 lets the last part be empty: it is there, without bytes, and the one before it may have all of them."""
    mib = 1 << 20
    locator = IPartLocator(store.ufs)
    for sizes in ((5 * mib, 0), (5 * mib, 6 * mib, 0)):
        made_of_parts(others, bucket, "a", *sizes)
        status = await store.status("a")
        places = [await locator.part(status, number) for number in range(1, len(sizes) + 2)]
        expected = [PartPlace(sum(sizes[:at]), size, len(sizes)) for at, size in enumerate(sizes)]
        assert places == [*expected, PartPlace(status.size, 0, len(sizes), there=False)]


@in_reactor
async def test_parts_are_asked_for_once(store, server, others, bucket):
    """Of a store that tells how long parts are, but not where, all parts of an object cost a few requests each, not one for each before."""
    made_of_parts(others, bucket, "a", *[5 << 20] * 12)
    status = await store.status("a")
    locator = IPartLocator(store.ufs)
    before = len(server.seen)
    for number in range(1, 13):
        assert await locator.part(status, number) == PartPlace((number - 1) * (5 << 20), 5 << 20, 12)
    assert len(server.seen) - before <= 12 * 2  # moto tells the part's own ETag, so that the version is asked for, too
    before = len(server.seen)
    assert await locator.part(status, 7) == PartPlace(6 * (5 << 20), 5 << 20, 12)
    assert len(server.seen) - before <= 2


@in_reactor
async def test_a_part_that_the_store_does_not_tell_of_has_no_place(store, server, others, bucket):
    """A part before that the store refuses once is not taken for an empty one, now or later: what comes after it would be elsewhere."""
    made_of_parts(others, bucket, "a", *[5 << 20] * 4)
    status = await store.status("a")
    locator = IPartLocator(store.ufs)

    def refused_once(exchange):
        if "partNumber=2" in exchange.target and not refusals:
            refusals.append(exchange.target)
            return exchange.send(Reply(400, (("Content-Length", "0"),), b""))
        return exchange.send(exchange.forward())

    refusals = []
    server.on("HEAD", *[refused_once] * 20)
    assert await locator.part(status, 3) is None
    assert refusals
    assert await locator.part(status, 3) == PartPlace(10 << 20, 5 << 20, 4)


@in_reactor
async def test_what_is_made_of_no_parts(store, server):
    """An ETag that counts no parts is of an object that was not made of any: another gateway says so of files. It is its own part 1."""
    status = await store.put("a", b"data")
    before = len(server.seen)
    assert await IPartLocator(store.ufs).part(evolve(status, etag=f"{status.etag}-0"), 1) is None
    assert len(server.seen) == before
