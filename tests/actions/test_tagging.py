"""Tags of objects and buckets."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree.ElementTree import fromstring

import pytest
import pytest_twisted
from attrs import evolve
from zope.interface import implementer

import alluxio_s3.actions.everything  # noqa: F401  # fills the registry
from alluxio_s3.forwarding import ForwardingUnderFileSystem
from alluxio_s3.interfaces import ITagStore
from alluxio_s3.namespace.mounts import Namespace
from alluxio_s3.storage import Unsupported
from alluxio_s3.tags.embedded import EmbeddedTagStore
from alluxio_s3.ufs.read_only import ReadOnlyUnderFileSystem

S3 = "{http://s3.amazonaws.com/doc/2006-03-01/}"
BOTH = pytest.mark.parametrize("target", ["/bucket?tagging", "/bucket/k?tagging"])


def document(tags: Mapping[str, str]) -> bytes:
    pairs = "".join(f"<Tag><Key>{key}</Key><Value>{value}</Value></Tag>" for key, value in tags.items())
    return f'<Tagging xmlns="{S3[1:-1]}"><TagSet>{pairs}</TagSet></Tagging>'.encode()


def tags_in(body: bytes) -> dict[str | None, str | None]:
    return {one.findtext(f"{S3}Key"): one.findtext(f"{S3}Value") for one in fromstring(body).iter(f"{S3}Tag")}


@implementer(ITagStore)
class NoTags:
    """A store of tags that takes none."""

    travels = True

    async def get(self, ufs, status):
        return {}

    async def put(self, ufs, status, tags):
        raise Unsupported(status.path, "Tags need alluxio.underfs.xattr.change.enabled=true.")

    async def close(self):
        pass


@pytest_twisted.ensureDeferred
async def test_tags_of_an_object(bench):
    """Tags that were put are read back, replace those before them, and go when they are removed, the object untouched."""
    await bench.ask("PUT", "/bucket/k", {"x-amz-tagging": "a=1"}, b"bytes")
    assert tags_in((await bench.ask("GET", "/bucket/k?tagging")).body) == {"a": "1"}
    assert (await bench.ask("PUT", "/bucket/k?tagging", body=document({"b": "ä b", "c": ""}))).status == 200
    assert tags_in((await bench.ask("GET", "/bucket/k?tagging")).body) == {"b": "ä b", "c": ""}
    assert (await bench.ask("GET", "/bucket/k")).headers["x-amz-tagging-count"] == "2"
    assert (await bench.ask("DELETE", "/bucket/k?tagging")).status == 204
    answer = await bench.ask("GET", "/bucket/k?tagging&versionId=null")
    assert (answer.headers["Content-Type"], tags_in(answer.body)) == ("application/xml", {})
    assert (await bench.ask("GET", "/bucket/k")).body == b"bytes"


@pytest_twisted.ensureDeferred
async def test_tags_of_a_bucket(bench):
    """A bucket's tags are read back; without any it is 404 NoSuchTagSet; removing them leaves the bucket and its keys."""
    await bench.ask("PUT", "/bucket/k", body=b"bytes")
    assert (await bench.refusal("GET", "/bucket?tagging")).code == "NoSuchTagSet"
    assert (await bench.ask("PUT", "/bucket?tagging", body=document({"team": "x"}))).status == 204
    assert tags_in((await bench.ask("GET", "/bucket?tagging")).body) == {"team": "x"}
    assert (await bench.ask("DELETE", "/bucket?tagging")).status == 204
    error = await bench.refusal("GET", "/bucket?tagging")
    assert (error.code, error.status) == ("NoSuchTagSet", 404)
    assert (await bench.ask("GET", "/bucket/k")).body == b"bytes"


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_tags_of_nothing(bench, method):
    """What is not there has no tags and gets none: NoSuchKey, NoSuchBucket."""
    body = document({"a": "1"}) if method == "PUT" else None
    for target, code in (("/bucket/none", "NoSuchKey"), ("/none/k", "NoSuchBucket"), ("/none", "NoSuchBucket")):
        assert (await bench.refusal(method, f"{target}?tagging", body=body)).code == code


@pytest_twisted.ensureDeferred
@BOTH
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "MissingRequestBodyError"),
        (b"<Tagging/>", "MalformedXML"),
        (document({"": "1"}), "InvalidTag"),
        (document({"k" * 129: "1"}), "InvalidTag"),
        (document({"k": "v" * 257}), "InvalidTag"),
        (document({"aws:k": "1"}), "InvalidTag"),
        (document({"k": "1"}).replace(b"</TagSet>", b"<Tag><Key>k</Key><Value>2</Value></Tag></TagSet>"), "InvalidTag"),
        (document({str(number): "" for number in range(51)}), "BadRequest"),
    ],
)
async def test_tags_that_break_the_rules(bench, target, body, code):
    """A set of tags that S3's rules forbid is refused whole, and those there stay."""
    await bench.ask("PUT", "/bucket/k", body=b"bytes")
    await bench.ask("PUT", target, body=document({"old": "1"}))
    assert (await bench.refusal("PUT", target, body=body)).code == code
    assert tags_in((await bench.ask("GET", target)).body) == {"old": "1"}


@pytest_twisted.ensureDeferred
async def test_numbers_of_tags(bench):
    """An object has at most 10 tags and a bucket 50, unless restrictions are off."""
    await bench.ask("PUT", "/bucket/k", body=b"bytes")
    sets = {count: document({str(number): "" for number in range(count)}) for count in (10, 11, 50, 51)}
    assert (await bench.ask("PUT", "/bucket/k?tagging", body=sets[10])).status == 200
    assert (await bench.refusal("PUT", "/bucket/k?tagging", body=sets[11])).code == "BadRequest"
    assert (await bench.ask("PUT", "/bucket?tagging", body=sets[50])).status == 204
    assert (await bench.refusal("PUT", "/bucket?tagging", body=sets[51])).code == "BadRequest"
    bench.limit(tagging_restrictions=False)
    assert (await bench.ask("PUT", "/bucket/k?tagging", body=sets[51])).status == 200


@pytest_twisted.ensureDeferred
async def test_a_body_that_is_not_what_was_sent(bench):
    """A tagging document whose Content-MD5 is another's is refused, and nothing is tagged."""
    await bench.ask("PUT", "/bucket/k", body=b"bytes")
    headers = {"content-md5": "1B2M2Y8AsgTpgAmY7PhCfg=="}
    assert (await bench.refusal("PUT", "/bucket/k?tagging", headers, document({"a": "1"}))).code == "BadDigest"
    assert tags_in((await bench.ask("GET", "/bucket/k?tagging")).body) == {}


@pytest_twisted.ensureDeferred
@BOTH
async def test_without_a_place_for_tags(bench, target):
    """Where no tags can be kept, putting some is 501 with the property to set in the message."""
    await bench.ask("PUT", "/bucket/k", body=b"bytes")
    bench.services = evolve(bench.services, tags=NoTags())
    error = await bench.refusal("PUT", target, body=document({"a": "1"}))
    assert (error.code, "alluxio.underfs.xattr.change.enabled" in error.message) == ("NotImplemented", True)


@pytest_twisted.ensureDeferred
async def test_tags_go_with_their_bucket(bench):
    """A bucket that is made anew has none of the tags of the one before it, wherever tags are kept."""
    kept = {}

    class Elsewhere(NoTags):
        travels = False

        async def get(self, ufs, status):
            return kept.get(status.path, {})

        async def put(self, ufs, status, tags):
            kept[status.path] = tags

    bench.services = evolve(bench.services, tags=Elsewhere())
    await bench.ask("PUT", "/bucket?tagging", body=document({"a": "1"}))
    await bench.ask("DELETE", "/bucket")
    await bench.ask("PUT", "/bucket")
    assert (await bench.refusal("GET", "/bucket?tagging")).code == "NoSuchTagSet"


@BOTH
@pytest_twisted.ensureDeferred
async def test_a_store_that_takes_no_writes(bench, threads, tmp_path, target):
    """Tags of what is mounted read-only stay as they are, also where they are kept beside the store, whatever stands before it."""
    await bench.ask("PUT", "/bucket/k", {}, b"bytes")
    tags = EmbeddedTagStore(str(tmp_path / "tags"), threads)
    bench.services = evolve(bench.services, tags=tags)
    await bench.ask("PUT", target, {}, document({"a": "1"}))
    front = ForwardingUnderFileSystem(ReadOnlyUnderFileSystem(bench.store))
    bench.services = evolve(bench.services, namespace=Namespace(front, "daemon"))
    assert (await bench.refusal("PUT", target, {}, document({"a": "2"}))).code == "AccessDenied"
    assert (await bench.refusal("DELETE", target)).code == "AccessDenied"
    assert tags_in((await bench.ask("GET", target)).body) == {"a": "1"}
    await tags.close()
