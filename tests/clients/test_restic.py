"""restic: a backup whose repository is a bucket."""

from __future__ import annotations

from pathlib import Path

from tests.clients.programs import Program, on_the_system
from tests.clients.samples import random_tree, tree_digests


def test_backup_and_restore(environment: dict[str, str], bucket: str, tmp_path: Path) -> None:
    """A repository can be made, backed up to twice, checked down to its bytes, pruned and restored from."""
    settings = {"RESTIC_REPOSITORY": f"s3:{environment['ENDPOINT']}/{bucket}/repository", "RESTIC_PASSWORD": "secret"}
    restic = Program([str(on_the_system("restic")), "--no-cache"], environment | settings, tmp_path)
    restic("init")
    random_tree(tmp_path / "tree")
    restic("backup", "tree")
    (tmp_path / "tree" / "part.bin").unlink()
    restic("backup", "tree")
    restic("forget", "--keep-last=1", "--prune")
    restic("check", "--read-data")
    restic("restore", "latest", "--target=back")
    (top,) = [path for path in (tmp_path / "back").rglob("tree") if path.is_dir()]
    assert tree_digests(top) == tree_digests(tmp_path / "tree")
