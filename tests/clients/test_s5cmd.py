"""s5cmd."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.programs import Program, installed
from tests.clients.samples import LARGE, OVER_A_PART, PAGE, digest, digest_of, random_bytes, random_file, random_tree, tree_digests

pytestmark = pytest.mark.ci


@pytest.fixture
def s5cmd(environment: dict[str, str], tmp_path: Path) -> Program:
    """`s5cmd`, which takes credentials and region from AWS's variables, and the endpoint from an option."""
    command = [str(installed("s5cmd", "s5cmd")), "--endpoint-url", environment["ENDPOINT"], "--retry-count", "0"]
    return Program(command, environment, tmp_path)


@pytest.mark.parametrize("size", [0, PAGE, LARGE])
def test_copy_there_and_back(s5cmd: Program, bucket: str, tmp_path: Path, size: int) -> None:
    """cp uploads a file, in parts when it is large, copies it on the server, and downloads it."""
    sent = random_file(tmp_path / "sent", size)
    s5cmd("cp", "--part-size", "5", "sent", f"s3://{bucket}/dir/one é.bin")
    s5cmd("cp", f"s3://{bucket}/dir/one é.bin", f"s3://{bucket}/copy.bin")
    s5cmd("cp", "--part-size", "5", f"s3://{bucket}/copy.bin", "got")
    assert digest_of(tmp_path / "got") == sent


def test_trees_and_wildcards(s5cmd: Program, bucket: str, tmp_path: Path) -> None:
    """cp takes a tree up and a wildcard down, ls and du see the same, and rm removes what a wildcard matches."""
    tree = random_tree(tmp_path / "tree")
    s5cmd("cp", "tree/", f"s3://{bucket}/top/")
    s5cmd("cp", f"s3://{bucket}/top/*", "back/")
    assert tree_digests(tmp_path / "back") == tree
    listed = s5cmd.text("ls", f"s3://{bucket}/top/*.bin").splitlines()
    assert sorted(line.split(maxsplit=3)[3] for line in listed) == sorted(tree)
    assert "DIR" in s5cmd.text("ls", f"s3://{bucket}/top/")
    s5cmd("rm", f"s3://{bucket}/top/deep/*")
    left = [line.split(maxsplit=3)[3] for line in s5cmd.text("ls", f"s3://{bucket}/top/*.bin").splitlines()]
    assert sorted(left) == sorted(name for name in tree if not name.startswith("deep/"))


def test_sync(s5cmd: Program, bucket: str, tmp_path: Path) -> None:
    """sync carries what has changed, in both directions, and --delete removes what went."""
    random_tree(tmp_path / "tree")
    s5cmd("sync", "tree/", f"s3://{bucket}/top/")
    assert s5cmd.text("sync", "tree/", f"s3://{bucket}/top/") == ""
    (tmp_path / "tree" / "one.bin").unlink()
    random_file(tmp_path / "tree" / "page.bin", PAGE + 1)
    s5cmd("sync", "--delete", "tree/", f"s3://{bucket}/top/")
    s5cmd("sync", f"s3://{bucket}/top/*", "back/")
    assert tree_digests(tmp_path / "back") == tree_digests(tmp_path / "tree")


def test_move_and_cat(s5cmd: Program, bucket: str, tmp_path: Path) -> None:
    """mv renames on the server, and cat writes an object to standard output."""
    body = random_bytes(OVER_A_PART)
    (tmp_path / "f").write_bytes(body)
    s5cmd("mv", "f", f"s3://{bucket}/dir/one")
    s5cmd("mv", f"s3://{bucket}/dir/one", f"s3://{bucket}/dir/two")
    assert digest(s5cmd("cat", f"s3://{bucket}/dir/two")) == digest(body)
    assert s5cmd.attempt("cat", f"s3://{bucket}/dir/one").returncode != 0


def test_buckets(s5cmd: Program, bucket: str) -> None:
    """mb, ls and rb make, show and remove a bucket."""
    s5cmd("mb", f"s3://{bucket}-two")
    assert f"s3://{bucket}-two" in s5cmd.text("ls")
    s5cmd("rb", f"s3://{bucket}-two")
    assert f"s3://{bucket}-two" not in s5cmd.text("ls")
