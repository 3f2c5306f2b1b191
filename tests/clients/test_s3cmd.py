"""s3cmd: from PyPI and from Debian."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.programs import ACCESS_KEY, SECRET_KEY, Program, installed, on_the_system
from tests.clients.samples import LARGE, PAGE, digest_of, random_file, random_tree, tree_digests

SETTINGS = """[default]
access_key = {access_key}
secret_key = {secret_key}
host_base = {host}
host_bucket = {host}
use_https = False
"""


@pytest.fixture(params=["PyPI", "Debian"])
def s3cmd(request: pytest.FixtureRequest, environment: dict[str, str], home: Path, tmp_path: Path) -> Program:
    """`s3cmd` with a settings file such as `docs/clients.md` shows."""
    program = installed("s3cmd", "s3cmd") if request.param == "PyPI" else on_the_system("s3cmd")
    host = environment["ENDPOINT"].removeprefix("http://")
    (home / ".s3cfg").write_text(SETTINGS.format(access_key=ACCESS_KEY, secret_key=SECRET_KEY, host=host))
    return Program([str(program), "--no-progress"], environment, tmp_path)


@pytest.mark.parametrize("size", [0, PAGE, LARGE])
def test_put_and_get(s3cmd: Program, bucket: str, tmp_path: Path, size: int) -> None:
    """put uploads a file, in parts when it is large, and get downloads it; s3cmd compares MD5s on its own."""
    sent = random_file(tmp_path / "sent", size)
    s3cmd("put", "--multipart-chunk-size-mb=6", "sent", f"s3://{bucket}/dir/a b+é.bin")
    s3cmd("get", f"s3://{bucket}/dir/a b+é.bin", "got")
    assert digest_of(tmp_path / "got") == sent


def test_sync(s3cmd: Program, bucket: str, tmp_path: Path) -> None:
    """sync carries a tree there and back, and uploads nothing when nothing has changed."""
    tree = random_tree(tmp_path / "tree")
    s3cmd("sync", "tree/", f"s3://{bucket}/top/")
    assert "upload:" not in s3cmd.text("sync", "tree/", f"s3://{bucket}/top/")
    (tmp_path / "back").mkdir()
    s3cmd("sync", f"s3://{bucket}/top/", "back/")
    assert tree_digests(tmp_path / "back") == tree
    (tmp_path / "tree" / "one.bin").unlink()
    assert "delete:" in s3cmd.text("sync", "--delete-removed", "tree/", f"s3://{bucket}/top/")
    assert f"s3://{bucket}/top/one.bin" not in s3cmd.text("ls", "--recursive", f"s3://{bucket}")


def test_list_and_info(s3cmd: Program, bucket: str, tmp_path: Path) -> None:
    """ls shows folders and objects, and info the size, type and MD5 of an object and the place of a bucket."""
    random_file(tmp_path / "f", PAGE)
    s3cmd("put", "--mime-type=text/csv", "--add-header=x-amz-meta-owner:alice", "f", f"s3://{bucket}/dir/f")
    s3cmd("put", "f", f"s3://{bucket}/f")
    assert f"s3://{bucket}" in s3cmd.text("ls")
    listed = s3cmd.text("ls", f"s3://{bucket}")
    assert f"DIR  s3://{bucket}/dir/" in listed
    assert f"s3://{bucket}/f" in listed
    shown = s3cmd.text("info", f"s3://{bucket}/dir/f")
    for line in (f"File size: {PAGE}", "MIME type: text/csv", "x-amz-meta-owner: alice"):
        assert line in shown
    assert "Location:" in s3cmd.text("info", f"s3://{bucket}")
    assert str(2 * PAGE) in s3cmd.text("du", f"s3://{bucket}")


def test_copy_move_and_delete(s3cmd: Program, bucket: str, tmp_path: Path) -> None:
    """cp, mv and del work on the server, and rb removes the empty bucket."""
    sent = random_file(tmp_path / "f", PAGE)
    s3cmd("put", "f", f"s3://{bucket}/one")
    s3cmd("cp", f"s3://{bucket}/one", f"s3://{bucket}/dir/two")
    s3cmd("mv", f"s3://{bucket}/dir/two", f"s3://{bucket}/dir/three +é")
    s3cmd("get", f"s3://{bucket}/dir/three +é", "got")
    assert digest_of(tmp_path / "got") == sent
    assert f"s3://{bucket}/dir/two" not in s3cmd.text("ls", "--recursive", f"s3://{bucket}")
    s3cmd("modify", "--add-header=x-amz-meta-new:1", f"s3://{bucket}/one")
    assert "x-amz-meta-new: 1" in s3cmd.text("info", f"s3://{bucket}/one")
    s3cmd("del", f"s3://{bucket}/one")
    s3cmd("del", "--recursive", "--force", f"s3://{bucket}/dir/")
    s3cmd("rb", f"s3://{bucket}")
    assert f"s3://{bucket}\n" not in s3cmd.text("ls")
