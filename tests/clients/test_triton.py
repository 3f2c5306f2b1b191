"""A real Triton inference server, as docs/clients.md shows it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from tests.clients.programs import ROOT
from tests.clients.samples import MIB
from tests.clients.triton import Triton, repository

COMMAND = (
    "tritonserver --model-repository=s3://http://127.0.0.1:29998/example/repository --model-control-mode=poll --repository-poll-secs=1\n"
)


def test_models_are_loaded_and_loaded_again(s3: Any, endpoint: str, bucket: str, environment: dict[str, str], tmp_path: Path) -> None:
    """Its models load from a bucket, answer, and load again when a file of theirs changes, as the page's command has it."""
    assert COMMAND in (ROOT / "docs" / "clients.md").read_text()
    first, second = os.urandom(5 * MIB), os.urandom(5 * MIB + 1)
    for name, data in repository(first).items():
        s3.put_object(Bucket=bucket, Key=f"repository/{name}", Body=data)
    with Triton(f"s3://{endpoint}/{bucket}/repository", environment, tmp_path) as triton:
        assert triton.comes_to_say(hashlib.sha256(first).hexdigest()), triton.log.read_text()[-3000:]
        s3.put_object(Bucket=bucket, Key="repository/said/1/weights.csv", Body=second)
        assert triton.comes_to_say(hashlib.sha256(second).hexdigest()), triton.log.read_text()[-3000:]
