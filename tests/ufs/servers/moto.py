"""moto's S3 server in a process of its own: an S3 store for tests, in memory."""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import threading
import uuid
from pathlib import Path
from typing import Self

_RUNNING = re.compile(r"Running on http://127\.0\.0\.1:([0-9]+)")


class MotoServer:
    """A server on a free port of this machine; a context manager. Parts of uploads may be of any size, as the contract has it."""

    def __init__(self) -> None:
        self.port = 0
        self._process: subprocess.Popen[str] | None = None
        self._started = threading.Event()

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def make_bucket(self) -> str:
        """A fresh bucket; its name."""
        name = f"bucket-{uuid.uuid4()}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("PUT", f"/{name}")
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        connection.close()
        return name

    def __enter__(self) -> Self:
        environment = {
            **os.environ,
            "S3_UPLOAD_PART_MIN_SIZE": "0",
            "MOTO_S3_DEFAULT_KEY_BUFFER_SIZE": str(64 << 20),
            "PYTHONUNBUFFERED": "1",
        }
        self._process = subprocess.Popen(
            [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", "0"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()
        assert self._started.wait(60), "moto did not start"
        assert self.port, "moto did not start"
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if not self._started.is_set() and (match := _RUNNING.search(line)):
                self.port = int(match[1])
                self._started.set()
        self._started.set()
