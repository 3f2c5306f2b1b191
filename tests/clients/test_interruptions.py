"""Clients that go away in the middle, and a daemon that does: what was acknowledged stays, and nothing half-done is to be seen."""

from __future__ import annotations

import io
import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config

from tests.clients.programs import ACCESS_KEY, REGION, SECRET_KEY
from tests.clients.samples import LARGE, MIB, PAGE, digest, random_bytes
from tests.running import Daemon
from tests.under_stores import UnderStore

pytestmark = pytest.mark.ci


def hang_up(endpoint: str, request: bytes, *, read: int = 0, reset: bool = True) -> None:
    """Send *request*, read that many bytes of the answer, and close the connection, by reset if *reset*."""
    target = urlsplit(endpoint)
    with socket.create_connection((target.hostname, target.port), timeout=30) as connection:
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(request)
        while read > 0:
            got = connection.recv(min(read, 65536))
            assert got, "the answer ended early"
            read -= len(got)


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
@pytest.mark.parametrize("read", [0, 1, 1000, MIB])
@pytest.mark.parametrize("size", [1, LARGE])
def test_abandoned_downloads(s3: Any, endpoint: str, bucket: str, size: int, read: int, reset: bool) -> None:
    """A client that hangs up during a download disturbs nobody: the daemon's log has no complaint, and others are served."""
    body = random_bytes(size)
    s3.put_object(Bucket=bucket, Key="k", Body=body)
    request = f"GET /{bucket}/k HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    for _ in range(5):
        hang_up(endpoint, request, read=min(read, size), reset=reset)
    assert digest(s3.get_object(Bucket=bucket, Key="k")["Body"].read()) == digest(body)


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
@pytest.mark.parametrize("sent", [0, 1, MIB])
def test_abandoned_uploads(s3: Any, endpoint: str, bucket: str, sent: int, reset: bool) -> None:
    """A client that hangs up during an upload leaves the old object as it was, and a new one unmade."""
    s3.put_object(Bucket=bucket, Key="old", Body=b"old")
    for key in ("old", "new"):
        for framing in ("Content-Length: 20971520", "Transfer-Encoding: chunked"):
            chunk = b"%x\r\n" % MIB + random_bytes(sent) if framing.startswith("Transfer") else random_bytes(sent)
            hang_up(endpoint, f"PUT /{bucket}/{key} HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n".encode() + chunk, reset=reset)
    assert s3.get_object(Bucket=bucket, Key="old")["Body"].read() == b"old"
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["old"]


def test_requests_ahead_of_their_answers(endpoint: str, bucket: str, s3: Any) -> None:
    """Requests that were sent without waiting (pipelined) are answered in order, the last of them too when it closes the connection."""
    for number in range(3):
        s3.put_object(Bucket=bucket, Key=str(number), Body=b"body %d." % number)
    target = urlsplit(endpoint)
    requests = [f"GET /{bucket}/{number} HTTP/1.1\r\nHost: x\r\n".encode() for number in range(3)]
    with socket.create_connection((target.hostname, target.port), timeout=30) as connection:
        connection.sendall(b"\r\n".join(requests) + b"Connection: close\r\n\r\n")
        with connection.makefile("rb") as answers:
            got = answers.read()
    assert got.count(b"HTTP/1.1 200") == 3
    assert re.findall(rb"body \d\.", got) == [b"body 0.", b"body 1.", b"body 2."]


@pytest.fixture
def own_daemon(tmp_path: Path, daemon: Any, request: pytest.FixtureRequest) -> Iterator[tuple[Daemon, dict[str, object]]]:
    """A daemon of the test's own, not started yet, and its properties."""
    if not daemon.ours:
        pytest.skip("another's server is not ours to stop")
    store: UnderStore = request.getfixturevalue("under_store")
    properties = {
        "alluxio.worker.s3.api.enabled": True,
        "alluxio.worker.rest.port": 0,
        "alluxio.worker.s3.bind.host": "127.0.0.1",
        "alluxio.underfs.xattr.change.enabled": True,
        **store.root(tmp_path).properties,
    }
    with Daemon(tmp_path / "conf") as running:
        yield running, properties
        assert not running.trouble, "\n".join(running.trouble)


def client_of(endpoint: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name=REGION,
        config=Config(retries={"total_max_attempts": 1}),
    )


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_restart(own_daemon: tuple[Daemon, dict[str, object]], end: str) -> None:
    """Over a stop, and over a kill, objects keep bytes, ETag, metadata and tags, and an upload in parts goes on where it was."""
    running, properties = own_daemon
    s3 = client_of(running.start(properties))
    s3.create_bucket(Bucket="bucket")
    s3.put_bucket_tagging(Bucket="bucket", Tagging={"TagSet": [{"Key": "cost", "Value": "0"}]})
    body = random_bytes(PAGE)
    etag = s3.put_object(Bucket="bucket", Key="dir/k", Body=body, Metadata={"a": "b"}, ContentType="text/csv", Tagging="t=1")["ETag"]
    upload = s3.create_multipart_upload(Bucket="bucket", Key="large", Metadata={"m": "1"})["UploadId"]
    parts = [random_bytes(5 * MIB), random_bytes(PAGE)]
    first = s3.upload_part(Bucket="bucket", Key="large", UploadId=upload, PartNumber=1, Body=parts[0])["ETag"]
    getattr(running, end)()

    s3 = client_of(running.start(properties))
    got = s3.get_object(Bucket="bucket", Key="dir/k", ChecksumMode="ENABLED")
    assert (got["ETag"], got["Metadata"], got["ContentType"], got["TagCount"]) == (etag, {"a": "b"}, "text/csv", 1)
    assert digest(got["Body"].read()) == digest(body)
    assert s3.get_bucket_tagging(Bucket="bucket")["TagSet"] == [{"Key": "cost", "Value": "0"}]
    second = s3.upload_part(Bucket="bucket", Key="large", UploadId=upload, PartNumber=2, Body=parts[1])["ETag"]
    done = [{"PartNumber": 1, "ETag": first}, {"PartNumber": 2, "ETag": second}]
    s3.complete_multipart_upload(Bucket="bucket", Key="large", UploadId=upload, MultipartUpload={"Parts": done})
    got = s3.get_object(Bucket="bucket", Key="large")
    assert (digest(got["Body"].read()), got["Metadata"]) == (digest(b"".join(parts)), {"m": "1"})
    running.stop()


def test_stop_lets_a_download_finish(own_daemon: tuple[Daemon, dict[str, object]]) -> None:
    """A download that is under way when the daemon is told to stop is finished."""
    running, properties = own_daemon
    s3 = client_of(running.start(properties))
    s3.create_bucket(Bucket="bucket")
    body = random_bytes(3 * LARGE)
    s3.upload_fileobj(io.BytesIO(body), "bucket", "k")
    stream = s3.get_object(Bucket="bucket", Key="k")["Body"]
    beginning = stream.read(PAGE)
    running.signal_stop()
    assert digest(beginning + stream.read()) == digest(body)
    running.stop()
