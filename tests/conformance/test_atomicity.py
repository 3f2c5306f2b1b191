"""Many at once: whole objects, never a mixture; and clients that leave, which leave nothing behind."""

from __future__ import annotations

import http.client
import os
import random
import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.conftest import MIN_PART, Served, status_of


def together(*works: Callable[[], None]) -> None:
    """Run all of them at the same time; an error in any of them is the test's."""
    problems: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as problem:  # noqa: BLE001  # raised below
            problems.append(problem)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]


@pytest.mark.parametrize("size", [0, 1, 5_000, 1 << 20, 4 << 20])
@pytest.mark.needs("reads while it is replaced")
def test_a_read_sees_one_version(s3: Any, bucket: str, size: int) -> None:
    """While two writers replace an object, every read is all of one version, and its ETag, metadata and length are that version's."""
    versions = {name: name.encode() * size for name in ("A", "B")}
    etags = {name: s3.put_object(Bucket=bucket, Key="k", Body=body, Metadata={"who": name})["ETag"] for name, body in versions.items()}

    def write(name: str) -> Callable[[], None]:
        return lambda: [s3.put_object(Bucket=bucket, Key="k", Body=versions[name], Metadata={"who": name}) for _ in range(6)] and None

    def read() -> None:
        for _ in range(10):
            found = s3.get_object(Bucket=bucket, Key="k")
            name = found["Metadata"]["who"]
            assert found["Body"].read() == versions[name]
            assert (found["ETag"], found["ContentLength"]) == (etags[name], size)

    together(write("A"), write("B"), read, read)


def test_a_read_in_progress_keeps_its_version(s3: Any, bucket: str) -> None:
    """An object that is replaced, or deleted, while it is read, is read to its end as it was (s3-tests' test_atomic_read)."""
    body = os.urandom(8 << 20)
    for end in (lambda: s3.put_object(Bucket=bucket, Key="k", Body=b"new"), lambda: s3.delete_object(Bucket=bucket, Key="k")):
        s3.put_object(Bucket=bucket, Key="k", Body=body)
        stream = s3.get_object(Bucket=bucket, Key="k")["Body"]
        start = stream.read(1000)
        end()
        assert start + stream.read() == body


def test_a_write_in_progress_is_not_seen(served: Served, s3: Any, bucket: str) -> None:
    """Until its last byte has come a write shows nothing, and then all (s3-tests' test_atomic_write)."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"old")
    with socket.create_connection(served.address, timeout=20) as connection:
        connection.sendall(f"PUT /{bucket}/k HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n".encode() + bytes(999_999))
        assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"old"
        assert [one["Size"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [3]
        connection.sendall(b"\0")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == bytes(1_000_000)


def test_the_bucket_goes_during_a_write(served: Served, s3: Any, bucket: str) -> None:
    """A write whose bucket is deleted meanwhile fails with 404 and does not bring the bucket back."""
    with socket.create_connection(served.address, timeout=20) as connection:
        connection.sendall(f"PUT /{bucket}/k HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n".encode() + bytes(200_000))
        while status_of(s3.delete_bucket, Bucket=bucket) != 204:
            pass
        connection.sendall(bytes(100_000))
        assert connection.recv(1000).startswith(b"HTTP/1.1 404 ")
    assert status_of(s3.head_bucket, Bucket=bucket) == 404


def body_of(name: str) -> bytes:
    """The bytes of the version ``name``."""
    return name.encode().ljust(10, b".") * 20_000


def upload_in_parts(s3: Any, bucket: str, key: str, name: str) -> None:
    """Make ``key`` the version ``name``, in two parts."""
    made = s3.create_multipart_upload(Bucket=bucket, Key=key, Metadata={"who": name})["UploadId"]
    body, parts = body_of(name), []
    for number, piece in enumerate((body[: 2 * MIN_PART], body[2 * MIN_PART :]), 1):
        sent = s3.upload_part(Bucket=bucket, Key=key, UploadId=made, PartNumber=number, Body=piece)
        parts.append({"PartNumber": number, "ETag": sent["ETag"]})
    s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=made, MultipartUpload={"Parts": parts})


@pytest.mark.needs("reads while it is replaced")
def test_everything_at_once(s3: Any, bucket: str) -> None:
    """Puts, copies, uploads, deletes and reads of the same two keys at once: what is read is whole, and nobody gets a 5xx."""
    keys = ["x", "d/x"] * 8

    def write(number: int) -> None:
        for turn, key in enumerate(keys[:6]):
            s3.put_object(Bucket=bucket, Key=key, Body=body_of(f"{number}-{turn}"), Metadata={"who": f"{number}-{turn}"})
            assert status_of(s3.copy_object, Bucket=bucket, Key=keys[turn + 1], CopySource=f"{bucket}/{key}") in (200, 404)

    def upload() -> None:
        for turn, key in enumerate(keys[:4]):
            upload_in_parts(s3, bucket, key, f"u-{turn}")

    def delete() -> None:
        for key in keys:
            assert s3.delete_object(Bucket=bucket, Key=key)["ResponseMetadata"]["HTTPStatusCode"] == 204

    def read() -> None:
        for key in keys * 2:
            try:
                found = s3.get_object(Bucket=bucket, Key=key)
            except s3.exceptions.NoSuchKey:
                continue
            assert found["Body"].read() == body_of(found["Metadata"]["who"])

    together(lambda: write(1), lambda: write(2), upload, delete, read, read)


def descriptors(served: Served) -> list[str]:
    """What the daemon has open, but for connections and the objects that it keeps open between reads."""
    opened = []
    for entry in Path(f"/proc/{served.daemon.pid}/fd").iterdir():
        try:
            opened.append(str(entry.readlink()))
        except FileNotFoundError:
            continue
    kept = f"{served.data}/conf-"
    return sorted(one for one in opened if not one.startswith(("socket:", kept)))


def temporaries(served: Served) -> list[str]:
    """The files on their way to be objects."""
    assert served.data is not None
    reserved = served.data / ".alluxio-s3"
    return [str(one) for place in ("tmp", "uploads") for one in (reserved / place).rglob("*") if one.is_file() and one.suffix != ".run"]


def reset(connection: socket.socket) -> None:
    """Leave without a word."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def settled(now: Callable[[], Any], before: Any) -> Any:
    """What ``now`` gives when it has become ``before``, or else after a time that is ample."""
    deadline = time.monotonic() + 20
    while (found := now()) != before and time.monotonic() < deadline:
        threading.Event().wait(0.02)
    return found


@pytest.mark.needs("files")
def test_resets_leave_nothing(served: Served, s3: Any, bucket: str) -> None:
    """Five hundred clients that leave at random points of an upload, a part or a download: no file, no descriptor, no change
    and no complaint in the log."""
    rng = random.Random(500)
    large = rng.randbytes(3 << 20)
    s3.put_object(Bucket=bucket, Key="large", Body=large)
    s3.put_object(Bucket=bucket, Key="old", Body=b"old")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="m")["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="m", UploadId=upload, PartNumber=1, Body=b"part")["ETag"]
    files, open_before = temporaries(served), descriptors(served)
    for _ in range(500):
        connection = socket.create_connection(served.address, timeout=20)
        sent = rng.choice([0, 10, 5_000, 100_000, 1_000_000])
        announced = f"Host: x\r\nContent-Length: {sent + rng.choice([1, 5_000_000])}\r\n\r\n"
        request = rng.choice(
            [
                f"PUT /{bucket}/old HTTP/1.1\r\n{announced}".encode() + large[:sent],
                f"PUT /{bucket}/m?partNumber=1&uploadId={upload} HTTP/1.1\r\n{announced}".encode() + large[:sent],
                f"GET /{bucket}/large HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
                f"PUT /{bucket}/old HTTP/1.1\r\n{announced}".encode()[: rng.randrange(20, 40)],
            ]
        )
        connection.sendall(request)
        if request.startswith(b"GET"):
            wanted = rng.choice([0, 1, 100_000, 2_000_000])
            while wanted > 0 and (data := connection.recv(65536)):
                wanted -= len(data)
        reset(connection)
    assert settled(lambda: temporaries(served), files) == files
    assert settled(lambda: descriptors(served), open_before) == open_before
    assert s3.get_object(Bucket=bucket, Key="old")["Body"].read() == b"old"
    assert s3.get_object(Bucket=bucket, Key="large")["Body"].read() == large
    assert [one["ETag"] for one in s3.list_parts(Bucket=bucket, Key="m", UploadId=upload)["Parts"]] == [part]
    s3.abort_multipart_upload(Bucket=bucket, Key="m", UploadId=upload)
    assert not any(upload in name for name in temporaries(served))
    assert served.daemon.trouble == []


def test_pipelined_requests(served: Served, s3: Any, bucket: str) -> None:
    """Requests sent without waiting for answers are answered all, in their order."""
    bodies = [b"%d" % number * (1 if number % 2 else 200_000) for number in range(8)]
    for number, body in enumerate(bodies):
        s3.put_object(Bucket=bucket, Key=f"k{number}", Body=body)
    with socket.create_connection(served.address, timeout=20) as connection:
        connection.sendall(b"".join(f"GET /{bucket}/k{number} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for number in range(8)))
        file = connection.makefile("rb")
        for body in bodies:
            assert file.readline() == b"HTTP/1.1 200 OK\r\n"
            headers = http.client.parse_headers(file)
            assert file.read(int(headers["Content-Length"])) == body


def test_connections_are_kept(served: Served, s3: Any, bucket: str) -> None:
    """One connection serves every kind of answer, one after the other, large and small, good and bad."""
    s3.put_object(Bucket=bucket, Key="large", Body=bytes(1_234_567))
    s3.put_object(Bucket=bucket, Key="small", Body=b"small")
    connection = http.client.HTTPConnection(*served.address, timeout=20)
    connection.connect()
    kept = connection.sock
    rng = random.Random(7)
    kinds: list[tuple[str, str, bytes | None, dict[str, str], int]] = [
        ("GET", "large", None, {}, 200),
        ("GET", "large", None, {"Range": "bytes=1000000-"}, 206),
        ("GET", "small", None, {}, 200),
        ("HEAD", "large", None, {}, 200),
        ("GET", "none", None, {}, 404),
        ("HEAD", "none", None, {}, 404),
        ("GET", "small", None, {"If-None-Match": "*"}, 304),
        ("PUT", "new", b"x" * 100_000, {}, 200),
        ("PUT", "new", b"x" * 100_000, {"Content-MD5": "x"}, 400),
        ("PUT", "new", b"", {}, 200),
        ("DELETE", "new", None, {}, 204),
        ("GET", "small", None, {"Range": "bytes=99-"}, 416),
    ]
    for _ in range(150):
        method, key, body, headers, status = rng.choice(kinds)
        connection.request(method, f"/{bucket}/{key}", body, headers)
        answer = connection.getresponse()
        answer.read()
        assert (method, key, answer.status) == (method, key, status)
        assert connection.sock is kept
    connection.close()
