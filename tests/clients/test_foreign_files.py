"""Files that came to the directory another way: clients read, compare and sync them like any object."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.clients.programs import Program, installed, script
from tests.clients.samples import random_tree, tree_digests

pytestmark = pytest.mark.needs("files")


@pytest.fixture
def tree(daemon: Any, bucket: str) -> dict[str, str]:
    """A tree under `top/` of the bucket that nobody put through S3, by name and digest."""
    if daemon.data is None:
        pytest.skip("the server's directory is not at hand")
    return random_tree(daemon.data / bucket / "top")


@pytest.mark.ci
def test_boto3(s3: Any, bucket: str, tree: dict[str, str], tmp_path: Path) -> None:
    """They are listed with sizes and ETags that stay the same and that nobody takes for an MD5; downloads are right, by range too."""
    listed = {entry["Key"].removeprefix("top/"): entry for entry in s3.list_objects_v2(Bucket=bucket, Prefix="top/")["Contents"]}
    assert sorted(name for name in listed if name and not name.endswith("/")) == sorted(tree)
    for name in tree:
        head = s3.head_object(Bucket=bucket, Key=f"top/{name}")
        assert (head["ETag"], head["ContentLength"]) == (listed[name]["ETag"], listed[name]["Size"])
        assert not re.fullmatch(r'"[0-9a-f]{32}(-[1-9]\d*)?"', head["ETag"])
        s3.download_file(bucket, f"top/{name}", str(tmp_path / "got"))
        s3.get_object(Bucket=bucket, Key=f"top/{name}", IfMatch=head["ETag"])["Body"].read()
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "top/page.bin"})
    assert s3.head_object(Bucket=bucket, Key="copy")["ContentLength"] == listed["page.bin"]["Size"]


@pytest.mark.ci
def test_aws_cli(environment: dict[str, str], bucket: str, tree: dict[str, str], tmp_path: Path) -> None:
    """aws s3 sync brings the tree down, and then has nothing more to do."""
    aws = Program([str(installed("aws-cli", "aws")), "--endpoint-url", environment["ENDPOINT"]], environment, tmp_path)
    aws("s3", "sync", f"s3://{bucket}/top", "back")
    assert tree_digests(tmp_path / "back") == tree
    assert aws.text("s3", "sync", f"s3://{bucket}/top", "back") == ""


@pytest.mark.ci
def test_s5cmd(environment: dict[str, str], bucket: str, tree: dict[str, str], tmp_path: Path) -> None:
    """s5cmd cp of a wildcard brings the tree down."""
    s5cmd = Program([str(installed("s5cmd", "s5cmd")), "--endpoint-url", environment["ENDPOINT"], "--retry-count=0"], environment, tmp_path)
    s5cmd("cp", f"s3://{bucket}/top/*", "back/")
    assert tree_digests(tmp_path / "back") == tree


def test_rclone(environment: dict[str, str], bucket: str, tree: dict[str, str], tmp_path: Path) -> None:
    """rclone brings the tree down, compares it by reading it, and lists it by date without a HEAD each."""
    remote = f":s3,provider=Other,env_auth,endpoint='{environment['ENDPOINT']}':{bucket}/top"
    rclone = Program([str(installed("rclone", "rclone")), "--retries=1", "--low-level-retries=1"], environment, tmp_path)
    rclone("copy", remote, "back")
    assert tree_digests(tmp_path / "back") == tree
    rclone("check", "--download", remote, "back")
    rclone("check", remote, "back")


def test_s3cmd(environment: dict[str, str], bucket: str, tree: dict[str, str], tmp_path: Path) -> None:
    """s3cmd sync brings the tree down, though there is no MD5 to compare."""
    host = environment["ENDPOINT"].removeprefix("http://")
    options = ["--no-progress", "--no-ssl", f"--host={host}", f"--host-bucket={host}", "--access_key=alice", "--secret_key=anything"]
    s3cmd = Program([str(installed("s3cmd", "s3cmd")), *options], environment, tmp_path)
    (tmp_path / "back").mkdir()
    s3cmd("sync", f"s3://{bucket}/top/", "back/")
    assert tree_digests(tmp_path / "back") == tree


@pytest.mark.ci
def test_pyarrow_writes_what_others_read(environment: dict[str, str], daemon: Any, bucket: str, tmp_path: Path) -> None:
    """The other way round: a dataset written through S3 lies in the directory as plain files and folders."""
    if daemon.data is None:
        pytest.skip("the server's directory is not at hand")
    script("pyarrow", "pyarrow_client.py", environment, tmp_path)("dataset", environment["ENDPOINT"], bucket, tmp_path)
    found = sorted(path.parent.name for path in (daemon.data / bucket / "warehouse" / "table").rglob("*.parquet"))
    assert found == ["day=2026-01-01", "day=2026-01-02", "day=2026-01-03"]
