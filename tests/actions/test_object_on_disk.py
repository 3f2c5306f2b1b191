"""Objects of a local directory, made, read, copied and deleted: what a directory tree and real threads could spoil."""

from __future__ import annotations

import hashlib

import pytest
import pytest_twisted

from alluxio_s3.s3.errors import S3Error

TARGET = "/bucket/a/k"
DATA = bytes(range(251)) * 8000
ETAG = f'"{hashlib.md5(DATA).hexdigest()}"'


@pytest.fixture
def bench(disk_bench):
    """Every test here is on disk."""
    return disk_bench


@pytest_twisted.ensureDeferred
async def test_round_trip(bench):
    """Bytes, metadata, tags and stretches come back as they went in."""
    headers = {"content-length": str(len(DATA)), "content-type": "text/plain", "x-amz-meta-a": "å", "x-amz-tagging": "t=1"}
    put = await bench.ask("PUT", TARGET, headers, [DATA[at : at + 300_000] for at in range(0, len(DATA), 300_000)])
    got = await bench.ask("GET", TARGET)
    assert (got.body, got.headers["ETag"], put.headers["ETag"]) == (DATA, ETAG, ETAG)
    assert (got.headers["Content-Type"], got.headers["x-amz-meta-a"], got.headers["x-amz-tagging-count"]) == ("text/plain", "å", "1")
    stretch = await bench.ask("GET", TARGET, {"range": "bytes=1000000-1499999"})
    assert (stretch.status, stretch.body) == (206, DATA[1_000_000:1_500_000])
    assert (await bench.refusal("GET", TARGET, {"if-none-match": ETAG})).code == "NotModified"
    assert (await bench.refusal("GET", TARGET, {"range": f"bytes={len(DATA)}-"})).code == "InvalidRange"


@pytest_twisted.ensureDeferred
async def test_bad_body_changes_nothing(bench):
    """A body that is cut short leaves what was there."""
    await bench.ask("PUT", TARGET, {}, b"before")
    error = await bench.refusal("PUT", TARGET, {"content-length": "900000"}, [bytes(300_000), S3Error("IncompleteBody")])
    assert error.code == "IncompleteBody"
    assert (await bench.ask("GET", TARGET)).body == b"before"


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("own_copies", [True, False])
async def test_copy(bench, own_copies):
    """A copy has the bytes, the ETag, the metadata and the tags; onto itself it changes what was asked to."""
    bench.store.own_copies = own_copies
    await bench.ask("PUT", TARGET, {"x-amz-meta-a": "1", "x-amz-tagging": "t=1"}, DATA)
    await bench.ask("PUT", "/bucket/copy", {"x-amz-copy-source": "bucket/a/k", "x-amz-checksum-algorithm": "CRC64NVME"})
    got = await bench.ask("GET", "/bucket/copy", {"x-amz-checksum-mode": "ENABLED"})
    assert (got.body, got.headers["ETag"], got.headers["x-amz-meta-a"], got.headers["x-amz-tagging-count"]) == (DATA, ETAG, "1", "1")
    assert "x-amz-checksum-crc64nvme" in got.headers
    await bench.ask("PUT", TARGET, {"x-amz-copy-source": "bucket/a/k", "x-amz-metadata-directive": "REPLACE", "x-amz-meta-b": "2"})
    got = await bench.ask("GET", TARGET)
    assert (got.body, got.headers["x-amz-meta-b"], "x-amz-meta-a" in got.headers) == (DATA, "2", False)


@pytest_twisted.ensureDeferred
async def test_file_of_another_program(bench, tmp_path):
    """A file that came another way is an object: its ETag is no MD5, and the copy of it has one."""
    (tmp_path / "bucket" / "file").write_bytes(DATA)
    got = await bench.ask("GET", "/bucket/file")
    assert (got.body, got.headers["Content-Type"]) == (DATA, "binary/octet-stream")
    assert len(got.headers["ETag"].strip('"')) != 32
    await bench.ask("PUT", "/bucket/copy", {"x-amz-copy-source": "bucket/file"})
    assert (await bench.ask("HEAD", "/bucket/copy")).headers["ETag"] == ETAG


@pytest_twisted.ensureDeferred
async def test_folders(bench):
    """Folders are made, headed, copied and deleted by their keys with the slash, and by no other."""
    await bench.ask("PUT", "/bucket/dir/", {"x-amz-meta-a": "1"}, b"")
    await bench.ask("PUT", "/bucket/dir/x", {}, b"x")
    assert (await bench.ask("HEAD", "/bucket/dir/")).headers["x-amz-meta-a"] == "1"
    assert (await bench.ask("GET", "/bucket/dir/")).body == b""
    assert (await bench.refusal("GET", "/bucket/dir")).code == "NoSuchKey"
    await bench.ask("PUT", "/bucket/moved/", {"x-amz-copy-source": "bucket/dir/"})
    assert (await bench.ask("HEAD", "/bucket/moved/")).headers["x-amz-meta-a"] == "1"
    assert (await bench.ask("DELETE", "/bucket/moved/")).status == 204
    assert (await bench.refusal("HEAD", "/bucket/moved/")).code == "NoSuchKey"
    assert (await bench.refusal("PUT", "/bucket/dir", {}, b"x")).code == "InvalidRequest"


@pytest_twisted.ensureDeferred
async def test_conditions(bench):
    """Conditions hold on a directory too: for making, replacing and deleting."""
    first = await bench.ask("PUT", TARGET, {"if-none-match": "*"}, b"1")
    assert (await bench.refusal("PUT", TARGET, {"if-none-match": "*"}, b"2")).code == "PreconditionFailed"
    second = await bench.ask("PUT", TARGET, {"if-match": first.headers["ETag"]}, b"3")
    assert (await bench.refusal("DELETE", TARGET, {"if-match": first.headers["ETag"]})).code == "PreconditionFailed"
    assert (await bench.ask("DELETE", TARGET, {"if-match": second.headers["ETag"]})).status == 204


@pytest_twisted.ensureDeferred
async def test_delete_many(bench):
    """Files in one another's folders are deleted at the same time, and nothing of theirs is left."""
    keys = [f"a/b{n % 7}/c{n % 3}/{n}" for n in range(100)]
    for key in keys:
        await bench.ask("PUT", f"/bucket/{key}", {}, b"")
    body = f"<Delete>{''.join(f'<Object><Key>{key}</Key></Object>' for key in keys)}<Quiet>true</Quiet></Delete>"
    answer = await bench.ask("POST", "/bucket?delete", {}, body.encode())
    assert b"<Error>" not in answer.body
    left = await bench.store.list("bucket/", "", 10, "")
    assert [entry.path for entry in left.entries if entry.path != "bucket/"] == []
