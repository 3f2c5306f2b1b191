"""s3fs, which is fsspec's S3 (and with it dask, zarr and pandas)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.programs import Program, script


@pytest.fixture
def s3fs(environment: dict[str, str], tmp_path: Path) -> Program:
    return script("s3fs", "s3fs_client.py", environment, tmp_path)


def test_files(s3fs: Program, endpoint: str, bucket: str, tmp_path: Path) -> None:
    """Files can be written in blocks and read with seeks, appended to, described, copied, moved and removed."""
    s3fs("files", endpoint, bucket, tmp_path)


def test_trees(s3fs: Program, endpoint: str, bucket: str, tmp_path: Path) -> None:
    """Trees can be put, listed, walked, found by pattern, got and removed."""
    s3fs("trees", endpoint, bucket, tmp_path)


def test_buckets(s3fs: Program, endpoint: str, bucket: str, tmp_path: Path) -> None:
    """Buckets can be made, listed and removed; objects have metadata and tags."""
    s3fs("buckets", endpoint, bucket, tmp_path)


def test_many_at_once(s3fs: Program, endpoint: str, bucket: str, tmp_path: Path) -> None:
    """A hundred objects written and read at once from one event loop, as dask and zarr do, are all right."""
    s3fs("many_at_once", endpoint, bucket, tmp_path)
