"""A real etcd in processes of its own, one or several that are one cluster, which tests stop, kill and wake as they like."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import ssl
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from tests.running import free_ports

HERE = Path(__file__).parent
TOOLS = Path(os.environ.get("ALLUXIO_S3_TOOLS", HERE.parents[2] / ".tools")) / "etcd" / "root" / "usr" / "bin"
SCRIPT = HERE / "etcd.sh"


def is_installed() -> bool:
    """Whether it can be run on this machine."""
    return subprocess.run([SCRIPT, "installed"], check=False).returncode == 0


class EtcdNode:
    """One etcd that keeps its data in ``directory``; a context manager. ``options`` are more of etcd's own.

    ``before`` stands before its command, such as what has it run in a network of its own, where it is ``host``.
    """

    def __init__(
        self,
        directory: Path,
        name: str = "n",
        *,
        scheme: str = "http",
        options: Sequence[str] = (),
        host: str = "127.0.0.1",
        before: Sequence[str] = (),
    ) -> None:
        self.directory = directory
        self.name = name
        self.scheme = scheme
        self.options = options
        self.host = host
        self.before = before
        self.port, self.peer_port = free_ports(2)
        # Those that are one cluster with it, it too.
        self.cluster: Sequence[EtcdNode] = (self,)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """Where clients reach it."""
        return f"{self.scheme}://{self.host}:{self.port}"

    def start(self) -> Self:
        """Start it, and wait until it answers, if it is alone."""
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        peer = f"http://{self.host}:{self.peer_port}"
        program = TOOLS / "etcd"
        command = [
            *self.before,
            str(program) if program.exists() else "etcd",
            *("--name", self.name, "--data-dir", str(self.directory), "--logger", "zap", "--log-level", "warn"),
            *("--listen-client-urls", self.endpoint, "--advertise-client-urls", self.endpoint),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", ",".join(f"{one.name}=http://{one.host}:{one.peer_port}" for one in self.cluster)),
            *self.options,
        ]
        with self.directory.with_suffix(".log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if self.cluster == (self,):
            self.wait()
        return self

    def wait(self) -> None:
        """Wait until it answers."""
        pause = threading.Event()
        for _ in range(1200):
            if self._answers():
                return
            assert self._process is not None
            if self._process.poll() is not None:
                break
            pause.wait(0.05)
        raise RuntimeError(f"etcd did not start:\n{self.directory.with_suffix('.log').read_text(errors='replace')}")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def wipe(self) -> None:
        """Lose all its data. It must not run."""
        shutil.rmtree(self.directory)

    def ask(self, method: str, **body: Any) -> Any:
        """The answer of ``/v3/<method>``."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=10)
        connection.request("POST", f"/v3/{method}", json.dumps(body), {"content-type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        assert answer.status == 200, content
        return json.loads(content)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.kill()

    def _answers(self) -> bool:
        connection: http.client.HTTPConnection
        if self.scheme == "https":
            context = ssl._create_unverified_context()
            connection = http.client.HTTPSConnection(self.host, self.port, timeout=5, context=context)
        else:
            connection = http.client.HTTPConnection(self.host, self.port, timeout=5)
        try:
            connection.request("POST", "/v3/kv/range", '{"key": "AA=="}', {"content-type": "application/json"})
            return connection.getresponse().status < 500
        except ssl.SSLError:
            return True
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
