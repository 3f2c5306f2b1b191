"""minio-py, MinIO's Python client."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.programs import Program, script


@pytest.fixture
def minio(environment: dict[str, str], tmp_path: Path) -> Program:
    return script("minio", "minio_client.py", environment, tmp_path)


def test_objects(minio: Program, endpoint: str, bucket: str, tmp_path: Path) -> None:
    """Objects of any size, of known and unknown length, can be put, described, got whole and in part, and removed."""
    minio("objects", endpoint, bucket, tmp_path)


def test_listings(minio: Program, endpoint: str, bucket: str, tmp_path: Path) -> None:
    """Listings of both versions, folded or not, and removal of many objects at once."""
    minio("listings", endpoint, bucket, tmp_path)


def test_copies(minio: Program, endpoint: str, bucket: str, tmp_path: Path) -> None:
    """Objects can be copied, with new metadata too, and composed of several others and of ranges of them."""
    minio("copies", endpoint, bucket, tmp_path)


def test_tags(minio: Program, endpoint: str, bucket: str, tmp_path: Path) -> None:
    """Objects and buckets have tags, which can be set, read and removed."""
    minio("tags", endpoint, bucket, tmp_path)


def test_buckets_and_urls(minio: Program, endpoint: str, bucket: str, tmp_path: Path) -> None:
    """Buckets can be made, found and removed; presigned URLs upload and download."""
    minio("buckets_and_urls", endpoint, bucket, tmp_path)
