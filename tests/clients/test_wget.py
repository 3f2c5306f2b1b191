"""wget."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.clients.programs import Program, on_the_system
from tests.clients.samples import OVER_A_PART, digest, digest_of, random_bytes

pytestmark = pytest.mark.ci


@pytest.fixture
def wget(environment: dict[str, str], tmp_path: Path, daemon: Any) -> Program:
    """`wget` without credentials."""
    if not daemon.ours:
        pytest.skip("requests without credentials are for the daemon's SIMPLE mode")
    return Program([str(on_the_system("wget")), "--tries=1", "-nv"], environment, tmp_path)


def test_download_only_what_is_newer(wget: Program, s3: Any, bucket: str, endpoint: str, tmp_path: Path) -> None:
    """wget -N downloads a file, dates it as the object is, leaves it when the object has not changed, and renews it when it has."""
    s3.put_object(Bucket=bucket, Key="k.bin", Body=b"first")
    url = f"{endpoint}/{bucket}/k.bin"
    wget("-N", url)
    modified = s3.head_object(Bucket=bucket, Key="k.bin")["LastModified"].timestamp()
    assert (tmp_path / "k.bin").stat().st_mtime == modified
    assert b"304 Not Modified" in wget.attempt("-S", "-N", url).stderr
    # HTTP's dates have whole seconds: a file that looks an hour old stands for a download of an hour ago.
    os.utime(tmp_path / "k.bin", (modified - 3600, modified - 3600))
    s3.put_object(Bucket=bucket, Key="k.bin", Body=b"second!")
    wget("-N", url)
    assert (tmp_path / "k.bin").read_bytes() == b"second!"


def test_continue(wget: Program, s3: Any, bucket: str, endpoint: str, tmp_path: Path) -> None:
    """wget -c completes a file that was cut off, and leaves a complete one alone."""
    body = random_bytes(OVER_A_PART)
    s3.put_object(Bucket=bucket, Key="k", Body=body)
    (tmp_path / "k").write_bytes(body[:12345])
    for _ in range(2):
        wget("-c", f"{endpoint}/{bucket}/k")
        assert digest_of(tmp_path / "k") == digest(body)
