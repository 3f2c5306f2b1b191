"""The AWS SDK for JavaScript, version 3, with lib-storage."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.programs import SCRIPTS, TOOLS, Program, installed

pytestmark = pytest.mark.ci


@pytest.fixture
def javascript(environment: dict[str, str], tmp_path: Path) -> Program:
    packages = TOOLS / "javascript"
    return Program(
        [str(installed("javascript", "node")), str(SCRIPTS / "javascript_client.mjs")], environment | {"PACKAGES": str(packages)}, tmp_path
    )


def test_objects(javascript: Program, endpoint: str, bucket: str) -> None:
    """Objects can be put, described, got whole and by range, copied and deleted."""
    javascript("objects", endpoint, bucket)


@pytest.mark.needs("checksums")
def test_streams(javascript: Program, endpoint: str, bucket: str) -> None:
    """A stream with a known length goes up in chunks with the checksum behind them; every algorithm that the SDK knows is taken."""
    javascript("streams", endpoint, bucket)


def test_uploads(javascript: Program, endpoint: str, bucket: str) -> None:
    """lib-storage uploads a stream of unknown length, in one request or in parts, as its length turns out."""
    javascript("uploads", endpoint, bucket)


@pytest.mark.needs("checksums")
def test_presigned(javascript: Program, endpoint: str, bucket: str) -> None:
    """Presigned URLs upload and download, and what the presigner moves from the headers into the query counts as if it were there."""
    javascript("presigned", endpoint, bucket)


def test_listings(javascript: Program, endpoint: str, bucket: str) -> None:
    """Listings come in pages, buckets can be made and removed, and many objects deleted at once."""
    javascript("listings", endpoint, bucket)
