"""Forms that browsers send to buckets of a real daemon: those that are right are stored, those that are not leave nothing."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import re
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
import requests
from attrs import evolve
from botocore.config import Config

from tests.daemon.forms import BOUNDARY, Form, FormSigner, end_of
from tests.daemon.test_cors import cors_of, properties
from tests.running import Daemon
from tests.wire import Answer

ALICE, BOB = FormSigner("AKIAALICE", "canary-alice"), FormSigner("AKIABOB", "canary-bob")
CONTENT = b"The content of the file."
POLICY = """
[[allow]]
users = ["alice", "AKIAALICE"]
actions = ["all"]
resources = ["*"]

[[allow]]
users = ["bob"]
actions = ["s3:PutObject"]
resources = ["bucket/bob/*"]

[[allow]]
users = ["anonymous"]
actions = ["write"]
resources = ["bucket/open/*"]
"""


class Place:
    """A daemon, its bucket, and what is in it."""

    def __init__(self, daemon: Daemon, endpoint: str, data: Path) -> None:
        self.daemon, self.endpoint, self.data = daemon, endpoint, data
        self.host = urlsplit(endpoint).netloc

    def send(self, form: Form | bytes, headers: Mapping[str, str] | None = None, target: str = "/bucket") -> Answer:
        """A form, or what is said to be the body of one, with other headers, if these are given."""
        body, own = (form, Form(()).headers()) if isinstance(form, bytes) else (form.body(), form.headers())
        connection = http.client.HTTPConnection(self.host, timeout=60)
        try:
            connection.request("POST", target, body, {**own, **(headers or {})})
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def stored(self) -> dict[str, bytes]:
        """Everything that the bucket holds, and what is on its way there."""
        found = {str(path.relative_to(self.data)): path.read_bytes() for path in (self.data / "bucket").rglob("*") if path.is_file()}
        waiting = (self.data / ".alluxio-s3" / "tmp").glob("*")
        return {**found, **{path.name: b"" for path in waiting if not path.name.endswith(".run")}}


def serve(directory: Path, kind: str, **more: object) -> Iterator[Place]:
    (directory / "data" / "bucket").mkdir(parents=True)
    (directory / "keys").write_text(
        "[alice]\naws_access_key_id=AKIAALICE\naws_secret_access_key=canary-alice\n"
        "[bob]\naws_access_key_id=AKIABOB\naws_secret_access_key=canary-bob\n"
    )
    (directory / "policy").write_text(POLICY)
    with Daemon(directory / "conf") as running:
        settings = properties(
            directory,
            alluxio__worker__s3__authentication__type=kind,
            alluxio__worker__s3__authentication__keys__file=directory / "keys",
            alluxio__worker__s3__access__log__path=directory / "access.log",
            **more,
        )
        yield Place(running, running.start(settings), directory / "data")
        running.stop()
    assert running.trouble == []
    assert "canary" not in running.log + (directory / "access.log").read_text()


@pytest.fixture(scope="module")
def verified(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A daemon under SIGV4, with a policy of who may do what."""
    directory = tmp_path_factory.mktemp("verified")
    yield from serve(directory, "SIGV4", alluxio__worker__s3__authorization__policy__file=directory / "policy")


@pytest.fixture(scope="module")
def simple(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A daemon under SIMPLE."""
    yield from serve(tmp_path_factory.mktemp("simple"), "SIMPLE")


def head(place: Place, key: str) -> Mapping[str, Any]:
    answer: Mapping[str, Any] = client(place).head_object(Bucket="bucket", Key=key, ChecksumMode="ENABLED")
    return answer


def client(place: Place) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=place.endpoint,
        region_name="us-east-1",
        aws_access_key_id="AKIAALICE",
        aws_secret_access_key="canary-alice",
        config=Config(signature_version="s3v4", retries={"max_attempts": 1}),
    )


def test_a_form(verified: Place) -> None:
    """The file becomes the object, byte for byte; the answer is 204 with its ETag and place, and the log names the user."""
    file = bytes(range(256)) * 1000
    answer = verified.send(ALICE.form("bucket", {"key": "a/b c.bin"}, file=file))
    etag = hashlib.md5(file).hexdigest()  # S3's ETag
    assert (answer.status, answer.body, answer.headers["etag"]) == (204, b"", f'"{etag}"')
    assert answer.headers["location"] == f"{verified.endpoint}/bucket/a/b%20c.bin"
    assert (verified.data / "bucket" / "a" / "b c.bin").read_bytes() == file
    assert head(verified, "a/b c.bin")["ContentType"] == "binary/octet-stream"
    log = verified.data.parent / "access.log"
    while " alice PostObject " not in log.read_text():  # lines come each second
        assert verified.daemon.alive
    assert '"POST /bucket/a/b%20c.bin" 204' in log.read_text()


def test_everything_that_a_form_can_say(verified: Place) -> None:
    """Headers, metadata, tags and a checksum that are fields are kept as those of a PUT are."""
    tags = "<Tagging><TagSet><Tag><Key>colour</Key><Value>blue</Value></Tag></TagSet></Tagging>"
    checksum = base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()
    fields = {
        "key": "all",
        "Content-Type": "text/plain; charset=utf-8",
        "Cache-Control": "no-cache",
        "Content-Disposition": 'attachment; filename="x"',
        "Content-Encoding": "identity",
        "Expires": "Thu, 01 Dec 2033 16:00:00 GMT",
        "X-Amz-Meta-Note": "é",
        "acl": "private",
        "tagging": tags,
        "x-amz-storage-class": "STANDARD",
        "x-amz-checksum-sha256": checksum,
        "Content-MD5": base64.b64encode(hashlib.md5(CONTENT).digest()).decode(),  # its header
    }
    answer = verified.send(ALICE.form("bucket", fields).with_field("x-ignore-button", "any").with_field("X-Ignore-Other", "any"))
    assert answer.status == 204
    assert answer.headers["x-amz-checksum-sha256"] == checksum
    found = head(verified, "all")
    assert found["ContentType"] == "text/plain; charset=utf-8"
    assert (found["CacheControl"], found["ContentDisposition"], found["ContentEncoding"]) == (
        "no-cache",
        'attachment; filename="x"',
        "identity",
    )
    assert found["ChecksumSHA256"] == checksum
    assert client(verified).get_object_tagging(Bucket="bucket", Key="all")["TagSet"] == [{"Key": "colour", "Value": "blue"}]
    metadata = found["Metadata"]["note"]
    assert metadata.encode("latin-1").decode() == "é"


@pytest.mark.parametrize(
    ("filename", "key"),
    [
        ("photo.jpg", "in/photo.jpg"),
        ("C:\\\\Users\\\\me\\\\photo.jpg", "in/photo.jpg"),
        ("/home/me/photo.jpg", "in/photo.jpg"),
        ("../../photo.jpg", "in/photo.jpg"),
        ("größe 1.jpg", "in/größe 1.jpg"),
        ("a%22b.jpg", 'in/a"b.jpg'),
    ],
)
def test_the_name_of_the_file(verified: Place, filename: str, key: str) -> None:
    """``${filename}`` in the key is the file's own name, without directories; conditions are about what that makes."""
    form = evolve(ALICE.form("bucket", {"key": "in/${filename}"}, [["starts-with", "$key", "in/"]]), filename=filename)
    assert verified.send(form).status == 204
    assert (verified.data / "bucket" / key).read_bytes() == CONTENT
    exact = evolve(ALICE.form("bucket", {"key": "in/${filename}"}, [["eq", "$key", key]]), filename=filename)
    assert verified.send(exact).status == 204


@pytest.mark.parametrize(("given", "status"), [("200", 200), ("201", 201), ("204", 204), ("404", 204), ("", 204), ("2OO", 204)])
def test_status(verified: Place, given: str, status: int) -> None:
    """The form says with which status it succeeds; with 201 a document says what became of it."""
    answer = verified.send(ALICE.form("bucket", {"key": "status", "success_action_status": given}))
    assert answer.status == status
    assert bool(answer.body) == (status == 201)
    if status == 201:
        place = {name: answer.xml.findtext(name) for name in ("Location", "Bucket", "Key", "ETag")}
        assert place == {
            "Location": f"{verified.endpoint}/bucket/status",
            "Bucket": "bucket",
            "Key": "status",
            "ETag": answer.headers["etag"],
        }


@pytest.mark.parametrize(
    ("name", "url", "location"),
    [
        ("success_action_redirect", "http://app.example/done", "http://app.example/done?bucket=bucket&key=re%20d%2F1&etag=%22{}%22"),
        ("redirect", "https://app.example/?a=b#c", "https://app.example/?a=b&bucket=bucket&key=re%20d%2F1&etag=%22{}%22"),
        ("success_action_redirect", "javascript:alert(1)", None),
        ("success_action_redirect", "/done", None),
        ("success_action_redirect", "http://", None),
        ("success_action_redirect", "http://a b/", None),
        ("success_action_redirect", "http://[", None),
        ("success_action_redirect", "http://a/\r\nX-Evil: 1", None),
    ],
)
def test_redirects(verified: Place, name: str, url: str, location: str | None) -> None:
    """The browser is sent where the form says, and told what became of it; what is no URL of the web is as if it was not there."""
    answer = verified.send(ALICE.form("bucket", {"key": "re d/1", name: url}))
    assert "x-evil" not in answer.headers
    if location is None:
        assert answer.status == 204
    else:
        assert (answer.status, answer.headers["location"]) == (303, location.format(answer.headers["etag"].strip('"')))


def test_sizes(verified: Place) -> None:
    """A file of the least and of the most is taken; one byte less or more is refused, and the object is what it was."""
    conditions = [["content-length-range", 2, 4]]
    assert verified.send(ALICE.form("bucket", {"key": "sized"}, conditions, b"12")).status == 204
    assert verified.send(ALICE.form("bucket", {"key": "sized"}, conditions, b"1234")).status == 204
    for file, code in (
        (b"1", "EntityTooSmall"),
        (b"12345", "EntityTooLarge"),
        (b"", "EntityTooSmall"),
        (b"x" * (3 << 20), "EntityTooLarge"),
    ):
        answer = verified.send(ALICE.form("bucket", {"key": "sized"}, conditions, file))
        assert (answer.status, answer.code) == (400, code)
        assert (verified.data / "bucket" / "sized").read_bytes() == b"1234"


def test_folders_and_empty_files(verified: Place) -> None:
    """An empty file is an object; a key that ends with a slash is a folder, which holds no bytes."""
    assert verified.send(ALICE.form("bucket", {"key": "empty"}, file=b"")).status == 204
    assert (verified.data / "bucket" / "empty").read_bytes() == b""
    assert verified.send(ALICE.form("bucket", {"key": "folder/"}, file=b"")).status == 204
    assert (verified.data / "bucket" / "folder").is_dir()
    assert verified.send(ALICE.form("bucket", {"key": "folder2/"}, file=b"x")).code == "InvalidRequest"


def test_odd_files(verified: Place) -> None:
    """A file may hold what looks like a boundary, and come without a name; what is below it counts for nothing."""
    for number, file in enumerate((b"\r\n--" + BOUNDARY.encode()[:-1], b"--" + BOUNDARY.encode(), b"\r\n", b"\r", b"\r\n--")):
        assert verified.send(ALICE.form("bucket", {"key": f"odd/{number}"}, file=file)).status == 204
        assert (verified.data / "bucket" / "odd" / str(number)).read_bytes() == file
    form = evolve(ALICE.form("bucket", {"key": "odd/nameless"}), filename=None)
    assert verified.send(form).status == 204
    below = form.body().removesuffix(f"--{BOUNDARY}--\r\n".encode())
    below += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="key"\r\n\r\nelsewhere\r\n--{BOUNDARY}--\r\nmore'.encode()
    assert verified.send(below).status == 204
    assert not (verified.data / "bucket" / "elsewhere").exists()


def test_who_may_write_where(verified: Place) -> None:
    """A form is allowed what its user may do to the key that it makes; nobody's form what nobody may."""
    assert verified.send(BOB.form("bucket", {"key": "bob/1"})).status == 204
    refused = [
        BOB.form("bucket", {"key": "alice/1"}),
        evolve(BOB.form("bucket", {"key": "${filename}"}, [["starts-with", "$key", ""]]), filename="x"),
        BOB.form("bucket", {"key": "bob/2", "tagging": "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"}),
        Form((("key", "nobody/1"),)),
    ]
    before = verified.stored()
    for form in refused:
        answer = verified.send(form)
        assert (answer.status, answer.code) == (403, "AccessDenied")
    assert verified.stored() == before
    assert verified.send(Form((("key", "open/1"), ("anything", "goes")))).status == 204


def conditions(*more: Any, key: str = "x", drop: str = "") -> dict[str, Any]:
    """A policy document that is good for ``signed``, but for what is said."""
    good = [{"bucket": "bucket"}, {"key": key}, *(["starts-with", f"${name}", ""] for name in CREDENTIALS)]
    return {"expiration": end_of(time.time() + 86400), "conditions": [one for one in good if drop not in one] + list(more)}


CREDENTIALS = ("x-amz-algorithm", "x-amz-credential", "x-amz-date")


def signed(policy: Any, **fields: str) -> Form:
    """A form whose policy is ``policy``, signed by Alice."""
    base = ALICE.form("bucket", {})
    own = {name: base[name] for name in CREDENTIALS}
    return ALICE.sign({"key": "x", **own, **{name.replace("_", "-"): value for name, value in fields.items()}}, policy)


def good(**fields: str) -> Form:
    return ALICE.form("bucket", {"key": "x", **{name.replace("_", "-"): value for name, value in fields.items()}})


DENIED, INVALID, MISSING = (403, "AccessDenied"), (400, "InvalidArgument"), (400, "InvalidPolicyDocument")
MALFORMED = (400, "MalformedPOSTRequest")
# By what is wrong with it, a form and how it is refused: status, code, the beginning of the message.
BAD: Mapping[str, tuple[Any, tuple[int, str], str]] = {
    "no key": (good().without("key"), INVALID, "Bucket POST must contain a field named 'key'."),
    "empty key": (ALICE.form("bucket", {"key": ""}), INVALID, "Bucket POST must contain a field named 'key'."),
    "no policy": (good().without("policy"), INVALID, "Bucket POST must contain a field named 'policy'."),
    "no signature": (good().without("x-amz-signature"), INVALID, "Bucket POST must contain a field named 'x-amz-signature'."),
    "no credential": (good().without("x-amz-credential"), INVALID, "Bucket POST must contain a field named 'x-amz-credential'."),
    "no algorithm": (good().without("x-amz-algorithm"), INVALID, "Bucket POST must contain a field named 'x-amz-algorithm'."),
    "no date": (good().without("x-amz-date"), INVALID, "Bucket POST must contain a field named 'x-amz-date'."),
    "policy alone": (good().without("x-amz-signature", *CREDENTIALS), INVALID, "Bucket POST must contain a field named"),
    "token alone": (Form((("key", "x"), ("x-amz-security-token", "t"))), INVALID, "Bucket POST must contain a field named 'policy'."),
    "another algorithm": (good().with_field("x-amz-algorithm", "AWS4-ECDSA-P256-SHA256"), INVALID, "x-amz-algorithm only supports"),
    "bad credential": (good().with_field("x-amz-credential", "AKIAALICE"), INVALID, "the Credential is mal-formed"),
    "bad date": (good().with_field("x-amz-date", "today"), INVALID, "x-amz-date must be in the ISO8601 Long Format"),
    "another day": (good().with_field("x-amz-date", "20200101T000000Z"), INVALID, "Invalid credential date"),
    "another region": (evolve(ALICE, region="eu-west-1").form("bucket", {"key": "x"}), INVALID, "The credential is mal-formed; the region"),
    "another service": (evolve(ALICE, service="sts").form("bucket", {"key": "x"}), INVALID, "The credential is mal-formed; the region"),
    "wrong signature": (good().with_field("x-amz-signature", "0" * 64), (403, "SignatureDoesNotMatch"), ""),
    "odd signature": (good().with_field("x-amz-signature", "é"), (403, "SignatureDoesNotMatch"), ""),
    "wrong secret": (evolve(ALICE, secret="canary-bob").form("bucket", {"key": "x"}), (403, "SignatureDoesNotMatch"), ""),
    "another policy": (
        good().with_field("policy", ALICE.form("bucket", {"key": "y"})["policy"]),
        (403, "SignatureDoesNotMatch"),
        "",
    ),
    "unknown key": (evolve(ALICE, access_key="AKIAEVE").form("bucket", {"key": "x"}), (403, "InvalidAccessKeyId"), ""),
    "made-up session": (evolve(ALICE, token="any").form("bucket", {"key": "x"}), (400, "InvalidToken"), ""),
    "of the future": (evolve(ALICE, age=-86400).form("bucket", {"key": "x"}), (403, "RequestTimeTooSkewed"), ""),
    "of last week": (evolve(ALICE, age=8 * 86400, seconds=600).form("bucket", {"key": "x"}), DENIED, "Request has expired"),
    "version 2": (ALICE.form_v2("bucket", {"key": "x"}), INVALID, "Forms are signed with version 4"),
    "both versions": (good().with_field("signature", "x"), INVALID, "Only one auth mechanism allowed"),
    "expired": (evolve(ALICE, seconds=-1).form("bucket", {"key": "x"}), DENIED, "Invalid according to Policy: Policy expired."),
    "another bucket": (
        ALICE.form("other", {"key": "x"}),
        DENIED,
        'Invalid according to Policy: Policy Condition failed: ["eq", "$bucket", "other"]',
    ),
    "bucket as a field": (ALICE.form("other", {"key": "x", "bucket": "other"}), INVALID, "The form's bucket is not that of the URL."),
    "another key": (good().with_field("key", "y"), DENIED, 'Invalid according to Policy: Policy Condition failed: ["eq", "$key", "x"]'),
    "key of another case": (good().with_field("key", "X"), DENIED, "Invalid according to Policy: Policy Condition failed:"),
    "extra field": (good().with_field("x-amz-meta-a", "1"), DENIED, "Invalid according to Policy: Extra input fields: x-amz-meta-a"),
    "extra redirect": (
        good().with_field("success_action_redirect", "http://evil"),
        DENIED,
        "Invalid according to Policy: Extra input fields: success_action_redirect",
    ),
    "missing field": (
        good(x_amz_meta_a="1").without("x-amz-meta-a"),
        DENIED,
        'Invalid according to Policy: Policy Condition failed: ["eq", "$x-amz-meta-a", "1"]',
    ),
    "no condition for the bucket": (signed(conditions(drop="bucket")), DENIED, "Invalid according to Policy: Extra input fields: bucket"),
    "no condition for the key": (signed(conditions(drop="key")), DENIED, "Invalid according to Policy: Extra input fields: key"),
    "no conditions": (signed({"expiration": end_of(time.time() + 86400)}), MISSING, "Invalid Policy: Policy missing conditions."),
    "no expiration": (signed({"conditions": []}), MISSING, "Invalid Policy: Policy missing expiration."),
    "no JSON": (signed("{"), MISSING, "Invalid Policy: Invalid JSON."),
    "empty condition": (signed(conditions({})), MISSING, "Invalid Policy: Invalid Simple-Condition"),
    "bad range": (signed(conditions(["content-length-range", -1, 0])), MISSING, "Invalid Policy: Invalid content-length-range"),
    "key that climbs": (ALICE.form("bucket", {"key": "a/../../b"}), INVALID, "This key is not supported"),
    "key of two slashes": (ALICE.form("bucket", {"key": "a//b"}), INVALID, "This key is not supported"),
    "filename that climbs": (
        evolve(ALICE.form("bucket", {"key": "a/${filename}"}, [["starts-with", "$key", "a/"]]), filename=".."),
        INVALID,
        "This key is not supported",
    ),
    "long key": (ALICE.form("bucket", {"key": "a" * 1025}), (400, "KeyTooLongError"), ""),
    "metadata that is too large": (good(x_amz_meta_a="1" * 2048), (400, "MetadataTooLarge"), ""),
    "public": (good(acl="public-read"), (501, "NotImplemented"), "Access control lists"),
    "encryption": (good(x_amz_server_side_encryption="AES256"), (501, "NotImplemented"), "The field x-amz-server-side-encryption"),
    "unknown x-amz": (good(x_amz_what="1"), (501, "NotImplemented"), "The field x-amz-what"),
    "storage class": (good(x_amz_storage_class="GLACIER"), (400, "InvalidStorageClass"), ""),
    "tags that are none": (good(tagging="a=b"), (400, "MalformedXML"), ""),
    "another checksum": (good(x_amz_checksum_crc32="AAAAAA=="), (400, "BadDigest"), "The CRC32 you specified did not match"),
    "another MD5": (good(content_md5="AAAAAAAAAAAAAAAAAAAAAA=="), (400, "BadDigest"), ""),
    "no file": (evolve(good(), file=None), INVALID, "POST requires exactly one file upload per request."),
    "two files": (
        good().body().removesuffix(f"--{BOUNDARY}--\r\n".encode()) + Form(()).body(),
        INVALID,
        "POST requires exactly one file upload per request.",
    ),
    "field twice": (evolve(good(), fields=(*good().fields, ("key", "x"))), INVALID, "The form must contain the field 'key' once."),
    "fields that are too large": (good(x_ignore_a="1" * 20_480), (400, "MaxPostPreDataLengthExceeded"), ""),
    "too many fields": (
        evolve(good(), fields=tuple((f"x-ignore-{number}", "") for number in range(9000))),
        (400, "MaxPostPreDataLengthExceeded"),
        "",
    ),
    "nothing": (b"", MALFORMED, ""),
    "no end": (good().body().removesuffix(b"--\r\n"), MALFORMED, ""),
    "no end of the file": (good().body()[:-60], MALFORMED, ""),
    "another boundary": (good().body("other"), MALFORMED, ""),
    "no name": (good().body().replace(b'; name="key"', b""), MALFORMED, ""),
    "no disposition": (good().body().replace(b"Content-Disposition: form-data; ", b"X: "), MALFORMED, ""),
    "no UTF-8": (good().body().replace(b"\r\n\r\nx\r\n", b"\r\n\r\n\xff\r\n"), MALFORMED, ""),
    "bare newlines": (good().body().replace(b"\r\n", b"\n"), MALFORMED, ""),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_forms(verified: Place, name: str) -> None:
    """What is wrong with a form is told as S3 tells it, and nothing is stored."""
    form, (status, code), message = BAD[name]
    before = verified.stored()
    answer = verified.send(form)
    assert (answer.status, answer.code) == (status, code), answer.body
    assert (answer.xml.findtext("Message") or "").startswith(message), answer.body
    assert verified.stored() == before


@pytest.mark.parametrize(
    ("headers", "target", "status", "code"),
    [
        ({"content-type": "application/x-www-form-urlencoded"}, "/bucket", 412, "PreconditionFailed"),
        ({"content-type": ""}, "/bucket", 412, "PreconditionFailed"),
        ({"content-type": "multipart/form-data"}, "/bucket", 400, "MalformedPOSTRequest"),
        ({"content-type": "multipart/form-data; boundary=a\tb"}, "/bucket", 400, "MalformedPOSTRequest"),
        ({"x-amz-meta-a": "1"}, "/bucket", 403, "AccessDenied"),
        ({"x-amz-acl": "private"}, "/bucket", 403, "AccessDenied"),
        ({}, "/absent", 403, "AccessDenied"),
        ({}, "/bucket?X-Amz-Expires=5", 400, "InvalidArgument"),
        ({}, "/bucket?policy", 403, "AccessDenied"),
        ({}, "/bucket/key", 405, "MethodNotAllowed"),
    ],
)
def test_heads_that_are_not_of_forms(verified: Place, headers: Mapping[str, str], target: str, status: int, code: str) -> None:
    """What the request says beside its form cannot change what the form asks for."""
    before = verified.stored()
    answer = verified.send(good(), headers, target)
    assert (answer.status, answer.code) == (status, code), answer.body
    assert verified.stored() == before


def test_two_credentials(verified: Place) -> None:
    """A form brings its own credentials, and comes with no others."""
    signer = client(verified)
    url = signer.generate_presigned_url("put_object", {"Bucket": "bucket", "Key": "k"}, HttpMethod="POST")
    for target, headers in (
        ("/bucket?" + urlsplit(url).query, {}),
        ("/bucket", {"Authorization": "AWS AKIAALICE:x"}),
        ("/bucket", {"Authorization": "Bearer x"}),
    ):
        answer = verified.send(good(), headers, target)
        assert answer.status >= 400, answer.body
    assert not (verified.data / "bucket" / "x").exists()


def test_an_absent_bucket(verified: Place) -> None:
    """A form to a bucket that is not there says so."""
    answer = verified.send(ALICE.form("absent", {"key": "x"}), target="/absent")
    assert (answer.status, answer.code) == (404, "NoSuchBucket")


def test_boto3_and_requests(verified: Place) -> None:
    """What boto3 presigns for a form, requests sends; conditions beyond the fields hold."""
    s3 = client(verified)
    given = s3.generate_presigned_post(
        "bucket",
        "up/${filename}",
        Fields={"acl": "private", "success_action_status": "201"},
        Conditions=[{"acl": "private"}, {"success_action_status": "201"}, ["content-length-range", 0, 100]],
        ExpiresIn=60,
    )
    answer = requests.post(given["url"], data=given["fields"], files={"file": ("r.txt", b"requests")}, timeout=60)
    assert answer.status_code == 201, answer.text
    assert s3.get_object(Bucket="bucket", Key="up/r.txt")["Body"].read() == b"requests"
    answer = requests.post(given["url"], data=given["fields"], files={"file": ("r.txt", b"x" * 101)}, timeout=60)
    assert answer.status_code == 400 and "EntityTooLarge" in answer.text


def test_curl(verified: Place, tmp_path: Path) -> None:
    """curl -F sends the same, a large file in chunks that it announces with Expect."""
    given = client(verified).generate_presigned_post("bucket", "curl.bin", ExpiresIn=60)
    (tmp_path / "file").write_bytes(b"0123456789" * 500_000)
    fields = [part for name, value in given["fields"].items() for part in ("-F", f"{name}={value}")]
    command = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", *fields, "-F", f"file=@{tmp_path}/file", given["url"]]
    for more in ([], ["-H", "Transfer-Encoding: chunked"]):
        done = subprocess.run([*command, *more], capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout == "204", done
        assert (verified.data / "bucket" / "curl.bin").read_bytes() == b"0123456789" * 500_000


def test_a_client_that_leaves(verified: Place) -> None:
    """What does not come to its end leaves nothing, wherever the client leaves."""
    body = good().body()
    before = verified.stored()
    for end in (0, 10, len(body) // 2, len(body) - 80, len(body) - 3):
        request = (
            f"POST /bucket HTTP/1.1\r\nHost: x\r\nContent-Type: {good().headers()['content-type']}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection(verified.host.split(":"), timeout=30) as connection:
            connection.sendall(request.encode() + body[:end])
            connection.shutdown(socket.SHUT_WR)
            assert not connection.recv(65536).startswith(b"HTTP/1.1 2")
    assert verified.stored() == before


def test_a_byte_at_a_time(verified: Place) -> None:
    """However a form is cut into pieces, it is the same form."""
    form = evolve(good(), file=b"a\r\nb")
    body = form.body()
    with socket.create_connection(verified.host.split(":"), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head_text = (
            f"POST /bucket HTTP/1.1\r\nHost: x\r\nContent-Type: {form.headers()['content-type']}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        connection.sendall(head_text.encode())
        for at in range(len(body)):
            connection.sendall(body[at : at + 1])
        assert connection.recv(65536).startswith(b"HTTP/1.1 204")
    assert (verified.data / "bucket" / "x").read_bytes() == b"a\r\nb"
    (verified.data / "bucket" / "x").unlink()


def test_memory_is_bounded(verified: Place) -> None:
    """A form of 300 MB takes no more memory than one of a few."""

    def peak() -> int:
        return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{verified.daemon.pid}/status").read_text())[1])  # type: ignore[index]

    def upload(megabytes: int) -> int:
        given = good()
        parts = given.body().partition(CONTENT)
        with socket.create_connection(verified.host.split(":"), timeout=60) as connection:
            length = len(parts[0]) + (megabytes << 20) + len(parts[2])
            kind = given.headers()["content-type"]
            connection.sendall(f"POST /bucket HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n".encode())
            connection.sendall(parts[0])
            for _ in range(megabytes):
                connection.sendall(bytes(1 << 20))
            connection.sendall(parts[2])
            assert connection.recv(65536).startswith(b"HTTP/1.1 204")
        return peak()

    before = upload(8)
    assert upload(300) - before < 16 << 10
    (verified.data / "bucket" / "x").unlink()


def test_simple_takes_users_at_their_word(simple: Place) -> None:
    """Under SIMPLE a form's access key is the user, and nobody's form the daemon's own; the policy, where one is, holds all the same."""
    form = ALICE.form("bucket", {"key": "s"}).with_field("x-amz-signature", "0" * 64)
    assert simple.send(form).status == 204
    listed = client(simple).list_objects_v2(Bucket="bucket", FetchOwner=True)["Contents"]
    assert [one["Owner"]["DisplayName"] for one in listed if one["Key"] == "s"] == ["AKIAALICE"]
    assert simple.send(Form((("key", "t"), ("Content-Type", "text/x")))).status == 204
    assert head(simple, "t")["ContentType"] == "text/x"
    answer = simple.send(form.with_field("key", "u"))
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert simple.send(ALICE.form_v2("bucket", {"key": "v"})).status == 204


def test_pages_of_strangers(simple: Place, verified: Place) -> None:
    """A form that nobody signed is not taken from just any page: a browser would send it for whoever visits that page."""
    stranger = {"Origin": "http://evil.example"}
    answer = simple.send(Form((("key", "csrf"),)), stranger)
    assert (answer.status, answer.code) == (403, "AccessForbidden")
    for odd in ("http://[", "null", "", "http://evil.example://x", simple.host):
        assert simple.send(Form((("key", "csrf"),)), {"Origin": odd}).code == "AccessForbidden", odd
    assert simple.send(Form((("key", "own"),)), {"Origin": simple.endpoint}).status == 204
    rules = {"CORSRules": [{"AllowedMethods": ["POST"], "AllowedOrigins": ["http://app.example"]}]}
    client(simple).put_bucket_cors(Bucket="bucket", CORSConfiguration=rules)
    assert simple.send(Form((("key", "csrf"),)), stranger).status == 403
    answer = simple.send(Form((("key", "allowed"),)), {"Origin": "http://app.example"})
    assert answer.status == 204
    assert cors_of(answer)["access-control-allow-origin"] == "http://app.example"
    assert verified.send(Form((("key", "open/2"),)), stranger).status == 403
    assert verified.send(good(), stranger).status == 204
    assert not (simple.data / "bucket" / "csrf").exists()


def test_version_2_when_asked(tmp_path: Path) -> None:
    """With the property for version 2, forms that are signed so are taken, and the wrong ones are not."""
    for place in serve(tmp_path, "SIGV4", alluxio__worker__s3__authentication__sigv2__presigned__enabled=True):
        form = ALICE.form_v2("bucket", {"key": "two"})
        assert place.send(form).status == 204
        assert place.send(form.with_field("signature", "AAAA")).code == "SignatureDoesNotMatch"
        assert place.send(form.with_field("key", "three")).code == "AccessDenied"
        assert place.send(ALICE.form("bucket", {"key": "four"})).status == 204
        assert json.dumps(sorted(path.name for path in (place.data / "bucket").iterdir())) == '["four", "two"]'
