"""A server that a script of this directory installs and runs, for one protocol of fsspec."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Self

from tests.running import free_port

HERE = Path(__file__).parent
TOOLS = HERE.parents[2] / ".tools"


def is_installed(name: str) -> bool:
    """Whether the server of ``name.sh`` can be run on this machine."""
    return subprocess.run([HERE / f"{name}.sh", "installed"], check=False).returncode == 0


class Started:
    """A new one in ``directory``; a context manager. Its libraries can be imported, those that are there otherwise first."""

    def __init__(self, name: str, directory: Path) -> None:
        self._name = name
        self.directory = directory
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        library = str(TOOLS / self._name / "lib")
        if library not in sys.path:
            sys.path.append(library)
        self.directory.mkdir(parents=True, exist_ok=True)
        log = self.directory.with_suffix(".log")
        with log.open("wb") as output:
            command = [HERE / f"{self._name}.sh", "run", self.directory, str(self.port)]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        pause = threading.Event()
        for _ in range(600):
            if self._listens():
                return self
            if self._process.poll() is not None:
                break
            pause.wait(0.1)
        self.__exit__()
        raise RuntimeError(f"{self._name} did not start:\n{log.read_text(errors='replace')}")

    def __exit__(self, *exc: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait()

    def _listens(self) -> bool:
        with socket.socket() as connection:
            connection.settimeout(5)
            return connection.connect_ex(("127.0.0.1", self.port)) == 0
