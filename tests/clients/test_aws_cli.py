"""The AWS command line: version 1 from PyPI and version 2 from Debian."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.clients.programs import Program, installed, on_the_system
from tests.clients.samples import LARGE, OVER_A_PART, PAGE, digest, digest_of, random_bytes, random_file, random_tree, tree_digests


@pytest.fixture(params=[pytest.param("1", marks=pytest.mark.ci), "2"])
def aws(request: pytest.FixtureRequest, environment: dict[str, str], tmp_path: Path) -> Program:
    """`aws`, which takes the endpoint from AWS_ENDPOINT_URL in version 1 and from an option in version 2.9."""
    program = installed("aws-cli", "aws") if request.param == "1" else on_the_system("aws")
    return Program([str(program), "--endpoint-url", environment["ENDPOINT"]], environment, tmp_path)


def test_make_list_and_remove_buckets(aws: Program, bucket: str) -> None:
    """mb, ls and rb --force make, show and remove a bucket with all that is in it."""
    name = f"{bucket}-other"
    aws("s3", "mb", f"s3://{name}")
    assert name in aws.text("s3", "ls")
    for key in ("a", "deep/er/b", "deep/c"):
        aws("s3", "cp", "-", f"s3://{name}/{key}", data=b"x")
    aws("s3", "rb", f"s3://{name}", "--force")
    assert name not in aws.text("s3", "ls").split()


@pytest.mark.parametrize("size", [0, PAGE, LARGE])
def test_copy_there_and_back(aws: Program, bucket: str, tmp_path: Path, size: int) -> None:
    """cp uploads a file, in parts when it is large, copies it on the server, and downloads it."""
    sent = random_file(tmp_path / "sent", size)
    aws("s3", "cp", "sent", f"s3://{bucket}/dir/a b+é.bin")
    aws("s3", "cp", f"s3://{bucket}/dir/a b+é.bin", f"s3://{bucket}/copy.bin")
    aws("s3", "cp", f"s3://{bucket}/copy.bin", "got")
    assert digest_of(tmp_path / "got") == sent


def test_streams(aws: Program, bucket: str) -> None:
    """cp reads from a pipe and writes to one."""
    body = random_bytes(OVER_A_PART)
    aws("s3", "cp", "-", f"s3://{bucket}/k", data=body)
    assert digest(aws("s3", "cp", f"s3://{bucket}/k", "-")) == digest(body)


def test_sync(aws: Program, bucket: str, tmp_path: Path) -> None:
    """sync carries a tree there and back, does nothing when nothing has changed, and --delete removes what went."""
    tree = random_tree(tmp_path / "tree")
    aws("s3", "sync", "tree", f"s3://{bucket}/top")
    assert aws.text("s3", "sync", "tree", f"s3://{bucket}/top") == ""
    aws("s3", "sync", f"s3://{bucket}/top", "back")
    assert tree_digests(tmp_path / "back") == tree
    (tmp_path / "tree" / "one.bin").unlink()
    random_file(tmp_path / "tree" / "page.bin", PAGE + 1)
    output = aws.text("s3", "sync", "tree", f"s3://{bucket}/top", "--delete")
    assert sorted(line.split(":")[0] for line in output.replace("\r", "\n").splitlines() if line.startswith(("upload", "delete"))) == [
        "delete",
        "upload",
    ]
    aws("s3", "sync", f"s3://{bucket}/top", "again")
    assert tree_digests(tmp_path / "again") == tree_digests(tmp_path / "tree")


def test_move_list_and_remove(aws: Program, bucket: str, tmp_path: Path) -> None:
    """mv renames, ls shows names and sizes at each level, rm --recursive removes a prefix and nothing else."""
    random_file(tmp_path / "f", PAGE)
    aws("s3", "mv", "f", f"s3://{bucket}/dir/one")
    assert not (tmp_path / "f").exists()
    aws("s3", "mv", f"s3://{bucket}/dir/one", f"s3://{bucket}/dir/two")
    aws("s3", "cp", "-", f"s3://{bucket}/directory", data=b"stays")
    listed = aws.text("s3", "ls", f"s3://{bucket}")
    assert "PRE dir/" in listed
    assert "5 directory" in listed
    assert f"{PAGE} two" in aws.text("s3", "ls", f"s3://{bucket}/dir/")
    aws("s3", "rm", f"s3://{bucket}/dir/", "--recursive")
    assert [line.split()[-1] for line in aws.text("s3", "ls", f"s3://{bucket}", "--recursive").splitlines()] == ["directory"]


def test_presign(aws: Program, bucket: str) -> None:
    """A URL made by presign works for a client without credentials."""
    aws("s3", "cp", "-", f"s3://{bucket}/a b.txt", data=b"hello")
    url = aws.text("s3", "presign", f"s3://{bucket}/a b.txt", "--expires-in", "60").strip()
    with urllib.request.urlopen(url, timeout=60) as answer:
        assert answer.read() == b"hello"


def test_s3api(aws: Program, bucket: str, tmp_path: Path) -> None:
    """The low-level commands put, head, get by range, tag, list, copy and delete."""

    def api(*arguments: Any) -> Any:
        output = aws.text("s3api", *arguments, "--bucket", bucket, "--output", "json")
        return json.loads(output) if output.strip() else None

    sent = random_bytes(PAGE)
    (tmp_path / "f").write_bytes(sent)
    etag = api("put-object", "--key", "dir/k", "--body", "f", "--metadata", "a=b", "--content-type", "text/csv", "--tagging", "t=1")["ETag"]
    head = api("head-object", "--key", "dir/k")
    assert (head["ETag"], head["Metadata"], head["ContentType"], head["ContentLength"]) == (etag, {"a": "b"}, "text/csv", PAGE)
    api("get-object", "--key", "dir/k", "--range", "bytes=10-19", "part")
    assert (tmp_path / "part").read_bytes() == sent[10:20]
    assert api("get-object-tagging", "--key", "dir/k")["TagSet"] == [{"Key": "t", "Value": "1"}]
    assert api("list-objects-v2", "--delimiter", "/")["CommonPrefixes"] == [{"Prefix": "dir/"}]
    api("copy-object", "--key", "copy", "--copy-source", f"{bucket}/dir/k")
    api("wait", "object-exists", "--key", "copy")
    assert api("get-bucket-location")["LocationConstraint"] in (None, "us-east-1")
    gone = api("delete-objects", "--delete", json.dumps({"Objects": [{"Key": "copy"}, {"Key": "dir/k"}]}))
    assert sorted(entry["Key"] for entry in gone["Deleted"]) == ["copy", "dir/k"]


def test_an_error_is_told(aws: Program, bucket: str) -> None:
    """A missing key ends with S3's own words and a non-zero status."""
    done = aws.attempt("s3api", "get-object", "--bucket", bucket, "--key", "absent", "out")
    assert done.returncode != 0
    assert b"NoSuchKey" in done.stderr
