"""alluxio.worker.s3.put.md5.enabled=false: ETags that cost less, and are ETags all the same."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import Daemon
from tests.wire import Answer, Wire

FAST = re.compile(r'"[0-9a-f]{32}-0"')
BODY = b"x" * 300_000


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    """A daemon without MD5, and a bucket."""
    root: Path = tmp_path_factory.mktemp("without-md5")
    (root / "data").mkdir()
    with Daemon(root / "conf") as daemon:
        endpoint = daemon.start(
            {
                "alluxio.worker.s3.api.enabled": True,
                "alluxio.worker.rest.port": 0,
                "alluxio.worker.s3.bind.host": "127.0.0.1",
                "alluxio.dora.client.ufs.root": root / "data",
                "alluxio.worker.s3.connection.keep.alive.enabled": True,
                "alluxio.worker.s3.put.md5.enabled": False,
            }
        )
        made = Wire(endpoint)
        assert made("PUT", "b").status == 200
        yield made
        made.close()
        daemon.stop()
        assert daemon.trouble == []


def put(wire: Wire, key: str, body: bytes, **headers: str) -> Answer:
    answer = wire("PUT", "b", key, body=body, headers=headers)
    assert answer.status == 200, answer
    return answer


def test_the_etag_is_of_the_bytes(wire: Wire) -> None:
    """The same bytes have the same ETag, others another; GET, HEAD and listings agree, and it is no MD5."""
    first, again, other = put(wire, "one", BODY), put(wire, "two", BODY), put(wire, "three", BODY[1:])
    assert FAST.fullmatch(first.headers["etag"])
    assert first.headers["etag"] == again.headers["etag"] != other.headers["etag"]
    assert wire("GET", "b", "one").headers["etag"] == wire("HEAD", "b", "one").headers["etag"] == first.headers["etag"]
    assert wire("GET", "b", query={"prefix": "one"}).texts("Contents/ETag") == [first.headers["etag"]]


def test_conditions_take_it(wire: Wire) -> None:
    """If-Match and If-None-Match work with it."""
    etag = put(wire, "conditional", BODY).headers["etag"]
    assert wire("GET", "b", "conditional", headers={"If-None-Match": etag}).status == 304
    assert wire("PUT", "b", "conditional", headers={"If-Match": etag}, body=b"new").status == 200
    assert wire("PUT", "b", "conditional", headers={"If-Match": etag}, body=b"newer").status == 412


def test_a_digest_that_is_sent_is_verified_and_used(wire: Wire) -> None:
    """Content-MD5 is checked as ever, and since it has been computed it is the ETag."""
    md5 = hashlib.md5(BODY, usedforsecurity=False)
    digest = base64.b64encode(md5.digest()).decode()
    assert put(wire, "digest", BODY, **{"Content-MD5": digest}).headers["etag"] == f'"{md5.hexdigest()}"'
    assert wire("PUT", "b", "digest", body=b"other", headers={"Content-MD5": digest}).code == "BadDigest"


def test_a_checksum_of_the_clients_is_kept_alone(wire: Wire) -> None:
    """What the client asked for is stored and told; what the ETag was made of is not."""
    put(wire, "checksum", b"123456789", **{"x-amz-checksum-crc32": "y/Q5Jg=="})
    told = wire("HEAD", "b", "checksum", headers={"x-amz-checksum-mode": "ENABLED"}).headers
    assert told["x-amz-checksum-crc32"] == "y/Q5Jg=="
    assert "x-amz-checksum-crc64nvme" not in told


def test_copies_and_uploads_work(wire: Wire) -> None:
    """A copy and a multipart object have an ETag that is no MD5, and hold the right bytes."""
    put(wire, "source", BODY)
    copied = wire("PUT", "b", "copy", headers={"x-amz-copy-source": "/b/source"})
    assert copied.status == 200
    assert not re.fullmatch(r'"[0-9a-f]{32}"', copied.texts("ETag")[0])
    upload = wire("POST", "b", "multi", query={"uploads": ""}).texts("UploadId")[0]
    part = wire("PUT", "b", "multi", query={"partNumber": "1", "uploadId": upload}, body=BODY).headers["etag"]
    document = f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{part}</ETag></Part></CompleteMultipartUpload>"
    completed = wire("POST", "b", "multi", query={"uploadId": upload}, body=document.encode())
    assert completed.status == 200, completed
    for key, etag in (("copy", copied.texts("ETag")[0]), ("multi", completed.texts("ETag")[0])):
        got = wire("GET", "b", key)
        assert (got.body, got.headers["etag"]) == (BODY, etag)
