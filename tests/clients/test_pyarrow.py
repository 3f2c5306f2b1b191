"""pyarrow: its file system and its datasets."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.programs import Program, script

pytestmark = pytest.mark.ci


@pytest.fixture
def pyarrow(environment: dict[str, str], tmp_path: Path) -> Program:
    return script("pyarrow", "pyarrow_client.py", environment, tmp_path)


def test_dataset(pyarrow: Program, endpoint: str, bucket: str, tmp_path: Path) -> None:
    """A partitioned dataset can be written, discovered, filtered and overwritten."""
    pyarrow("dataset", endpoint, bucket, tmp_path)


def test_parquet(pyarrow: Program, endpoint: str, bucket: str, tmp_path: Path) -> None:
    """One parquet file larger than a part can be written, its footer read alone, and single columns read."""
    pyarrow("parquet", endpoint, bucket, tmp_path)


def test_files(pyarrow: Program, endpoint: str, bucket: str, tmp_path: Path) -> None:
    """Streams, random reads, metadata, copies, moves and removals work."""
    pyarrow("files", endpoint, bucket, tmp_path)


def test_directories(pyarrow: Program, endpoint: str, bucket: str, tmp_path: Path) -> None:
    """Directories can be made, seen, listed and removed with what is in them; so can buckets."""
    pyarrow("directories", endpoint, bucket, tmp_path)
