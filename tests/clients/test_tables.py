"""deltalake, polars and obstore, which stand on Rust's object_store."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.programs import Program, script


@pytest.fixture
def tables(environment: dict[str, str], tmp_path: Path) -> Program:
    return script("tables", "tables_client.py", environment, tmp_path)


def test_delta(tables: Program, endpoint: str, bucket: str, tmp_path: Path) -> None:
    """A Delta table is written, appended to by two writers of the same version, updated, vacuumed and read."""
    tables("delta", endpoint, bucket, tmp_path)


def test_polars(tables: Program, endpoint: str, bucket: str, tmp_path: Path) -> None:
    """polars writes parquet, and scans it by pattern, with a filter and a part of the columns."""
    tables("polars_frames", endpoint, bucket, tmp_path)


def test_obstore(tables: Program, endpoint: str, bucket: str, tmp_path: Path) -> None:
    """obstore puts (in parts and on conditions), gets, reads ranges, lists, copies, renames and deletes."""
    tables("obstore_objects", endpoint, bucket, tmp_path)
