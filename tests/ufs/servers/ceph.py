"""A real Ceph behind its RADOS gateway, as tests/ufs/servers/ceph.sh sets it up: an S3 store that checks signatures."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import threading
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import boto3
from botocore.config import Config

SCRIPT = Path(__file__).with_suffix(".sh")
ACCESS_KEY, SECRET_KEY = "AKIDOFTHETESTS", "secret-of-the-tests"


def is_installed() -> bool:
    """Whether it can be run on this machine."""
    return subprocess.run([SCRIPT, "installed"], check=False).returncode == 0


class Ceph:
    """A new and empty one in ``directory``; a context manager."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.port = _free_ports(50)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """The address of its S3."""
        return f"http://127.0.0.1:{self.port}"

    def client(self, secret: str = SECRET_KEY):
        """Another program that uses it."""
        config = Config(request_checksum_calculation="when_required", s3={"addressing_style": "path"})
        keys = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": secret}
        return boto3.client("s3", endpoint_url=self.endpoint, region_name="us-east-1", config=config, **keys)

    def make_bucket(self) -> str:
        """A fresh bucket; its name."""
        name = f"bucket-{uuid.uuid4()}"
        client = self.client()
        client.create_bucket(Bucket=name)
        client.close()
        return name

    def __enter__(self) -> Self:
        with (self._directory / "run.log").open("wb") as log:
            command = [SCRIPT, "run", self._directory / "data", str(self.port), ACCESS_KEY, SECRET_KEY]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        pause = threading.Event()
        for _ in range(1200):
            if self._answers():
                return self
            if self._process.poll() is not None:
                break
            pause.wait(0.1)
        self.__exit__()
        raise RuntimeError(f"Ceph did not start:\n{(self._directory / 'run.log').read_text(errors='replace')}")

    def __exit__(self, *exc: object) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)  # unshare takes the whole of its namespace with it
        self._process.wait()

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


def _free_ports(count: int) -> int:
    """The first of ``count`` ports in a row that nobody listens on."""
    for first in range(18000, 30000, count):
        with ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    listening = stack.enter_context(socket.socket())
                    listening.bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise RuntimeError("there are no free ports")
