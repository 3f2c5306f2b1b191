"""PyTorch with Amazon's S3 connector, as the documentation's page shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.programs import Program, script


@pytest.fixture
def torch(environment: dict[str, str], tmp_path: Path) -> Program:
    return script("torch", "torch_client.py", environment, tmp_path)


def test_datasets(torch: Program, endpoint: str, bucket: str, tmp_path: Path) -> None:
    """A map-style and an iterable dataset from a prefix give every object, item by item and through a loader."""
    torch("datasets", endpoint, bucket, tmp_path)


def test_checkpoint(torch: Program, endpoint: str, bucket: str, tmp_path: Path) -> None:
    """A model's state, several parts large, goes through a checkpoint writer and comes back equal."""
    torch("checkpoint", endpoint, bucket, tmp_path)


def test_random_access(torch: Program, endpoint: str, bucket: str, tmp_path: Path) -> None:
    """A reader can seek: pieces of an object read in any order are right."""
    torch("random_access", endpoint, bucket, tmp_path)
