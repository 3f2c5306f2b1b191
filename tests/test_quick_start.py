"""The quick start, run as the page has it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pages import commands_on, files_on
from tests.running import ROOT, free_ports
from tests.ufs.servers.moto import MotoServer

PAGE = ROOT / "docs" / "quick-start.md"
TORCH = Path(os.environ.get("ALLUXIO_S3_TOOLS", ROOT / ".tools")) / "torch"
MOST_COMMANDS = 9


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A directory with the page's files, where what the page installs is there already; the daemon that it starts is ended."""
    ports = dict(zip(("29998", "29997"), map(str, free_ports(2)), strict=True))
    for name, text in files_on(PAGE).items():
        (tmp_path / name).write_text(re.sub("29998|29997", lambda found: ports[found[0]], text))
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("alluxio-s3", "twistd"):
        (programs / name).symlink_to(Path(sys.executable).with_name(name))
    # boto3 is in the one environment, PyTorch in the other.
    (programs / "python").write_text(
        f'#!/bin/sh\ncase $1 in *torch*) exec {TORCH}/bin/python "$@" ;; *) exec {sys.executable} "$@" ;; esac\n'
    )
    (programs / "python").chmod(0o755)
    yield tmp_path
    pid = tmp_path / "twistd.pid"
    if pid.is_file():
        os.kill(int(pid.read_text()), signal.SIGKILL)


@pytest.mark.skipif(not (TORCH / "bin" / "python").exists(), reason="tests/clients/install.sh torch")
def test_from_nothing_to_torch(place: Path) -> None:
    """Fewer than ten commands, each of which does and prints what the page says; then the store has what was written, and the cache too."""
    commands = commands_on(PAGE)
    assert len(commands) <= MOST_COMMANDS
    assert [command for command, _ in commands[:2]] == [
        "python3 -m venv .venv",
        ".venv/bin/pip install . boto3 torch s3torchconnector",
    ]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ALLUXIO_", "PYTHON"))}
    with MotoServer() as moto:
        bucket = moto.make_bucket()
        for command, prints in commands[2:]:
            if command.startswith("export "):
                clean |= {"STORE": f"http://127.0.0.1:{moto.port}", "BUCKET": bucket, "KEY": "a", "SECRET": "b"}
                continue
            done = subprocess.run(["bash", "-c", command], cwd=place, env=clean, capture_output=True, text=True, timeout=120, check=False)
            log = (place / "twistd.log").read_text() if (place / "twistd.log").exists() else ""
            assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}{log}"
            if prints:
                assert done.stdout == prints, command
            if "mount add" in command:
                wait_for(place / "twistd.log", "Mounted s3://")
        listed = ["bash", "-c", ".venv/bin/alluxio-s3 ls-cache --config quick.properties data"]
        assert "train/hello.txt" in subprocess.run(listed, cwd=place, env=clean, capture_output=True, text=True, check=True).stdout


def wait_for(path: Path, text: str) -> None:
    """Return when a file has it."""
    while text not in path.read_text():
        assert "Traceback" not in path.read_text()
