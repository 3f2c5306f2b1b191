"""What the commands say to what they can't do: one line and a status, never a trace."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("alluxio-s3")
PROPERTIES = """\
alluxio.worker.s3.api.enabled=true
alluxio.dora.client.ufs.root={directory}/data
alluxio.worker.s3.admin.port=1
alluxio.worker.rest.port=1
alluxio.worker.s3.bind.host=127.0.0.1
alluxio.worker.s3.mount.table={directory}/mounts.json
"""
TOLD_WRONGLY = [
    ["nonsense"],
    ["status", "--config", "absent.properties"],
    ["status", "--config", "malformed.properties"],
    ["bench", "--size", "much"],
    ["mount", "add", "--path", "/a", "--ufs-uri", "s3://bucket", "--option", "s3a.secretKey=canary"],
    ["explain"],
    ["policy", "explain", "bob", "nonsense", "bucket/key"],
    ["doctor", "-o", "alluxio.worker.s3.https.port=x"],
    ["completion", "tcsh"],
]
NOT_DONE = [
    ["status"],
    ["bench", "--endpoint", "http://127.0.0.1:1"],
    ["mount", "add", "--path", "/a", "--ufs-uri", "nope://x"],
    ["mount", "remove", "--path", "/absent"],
    ["mount", "list", "-o", "alluxio.worker.s3.mount.table=malformed.json"],
    ["load", "bucket"],
]


@pytest.mark.parametrize(("status", "arguments"), [*((2, one) for one in TOLD_WRONGLY), *((1, one) for one in NOT_DONE)])
def test_one_line_says_what_is_wrong(tmp_path: Path, status: int, arguments: list[str]) -> None:
    """The status tells whether it was the command line and the configuration (2), or the world (1); the last line tells what."""
    (tmp_path / "data" / "bucket").mkdir(parents=True)
    (tmp_path / "site.properties").write_text(PROPERTIES.format(directory=tmp_path))
    (tmp_path / "malformed.properties").write_text("a=\\u00zz\n")
    (tmp_path / "malformed.json").write_text("{")
    given = [] if "--config" in arguments or arguments[0] in ("nonsense", "completion") else ["--config", "site.properties"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ALLUXIO_"))}
    done = subprocess.run([COMMAND, *arguments, *given], cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].strip()
    assert "Error: " in done.stderr
    assert "Traceback" not in done.stderr
    assert "canary" not in done.stderr
