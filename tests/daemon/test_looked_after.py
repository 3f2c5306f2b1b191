"""What a service manager has of the daemon: its states, the sockets that it hands over, and logs that may be rotated."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.running import ROOT, properties_text

TWISTD = Path(sys.executable).with_name("twistd")
PATIENCE_SECONDS = 30.0
# What is inherited is the descriptor 3, and for one process number.
START = (
    "import os, sys; os.environ['LISTEN_PID'] = str(os.getpid()); port = int(sys.argv[1]);"
    "os.set_inheritable(3, True) if port == 3 else os.dup2(port, 3); os.execv(sys.argv[2], sys.argv[2:])"
)


class Manager:
    """Starts the daemon as systemd would, with a socket that it is to serve, and hears what it says."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "data" / "bucket").mkdir(parents=True)
        self.heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.heard.bind(str(directory / "notify"))
        self.heard.settimeout(PATIENCE_SECONDS)
        self.port = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.access = directory / "access.log"
        self.properties: dict[str, object] = {
            "alluxio.worker.s3.api.enabled": True,
            # Somebody else's: the inherited socket is served in its place.
            "alluxio.worker.rest.port": self.port.getsockname()[1],
            "alluxio.worker.s3.bind.host": "127.0.0.1",
            "alluxio.dora.client.ufs.root": directory / "data",
            "alluxio.worker.s3.access.log.path": self.access,
            "alluxio.worker.s3.connection.keep.alive.enabled": True,
            "alluxio.worker.s3.durability": "rename",
        }

    def close(self) -> None:
        self.heard.close()
        self.port.close()

    @contextmanager
    def daemon(self, *options: str, watchdog: int = 0, name: str = "http", **more: object) -> Iterator[subprocess.Popen[str]]:
        """It runs, and serves if it is to; ended at the end, if it has not been."""
        config = self.directory / "alluxio-site.properties"
        config.write_text(properties_text(self.properties | {key.replace("__", "."): value for key, value in more.items()}))
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("ALLUXIO_", "AWS_", "LISTEN_"))}
        environment |= {"NOTIFY_SOCKET": str(self.directory / "notify"), "LISTEN_FDS": "1", "LISTEN_FDNAMES": name}
        environment |= {"ALLUXIO_S3_LOG_FILE": str(self.directory / "own.log")}
        environment |= {"WATCHDOG_USEC": str(watchdog)} if watchdog else {}
        options = ("-n", "--pidfile=", *options)
        command = [sys.executable, "-c", START, str(self.port.fileno()), str(TWISTD), *options, "alluxio-s3", "--config", str(config)]
        log = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        process: subprocess.Popen[str] = subprocess.Popen(command, cwd=ROOT, env=environment, pass_fds=[self.port.fileno()], **log)
        try:
            yield process
            process.terminate()
            process.wait(PATIENCE_SECONDS)
        finally:
            process.kill()
            process.communicate()

    def says(self, state: str) -> list[str]:
        """Wait until it says that; return all that it said in that message."""
        while True:
            lines = self.heard.recv(4096).decode().split("\n")
            if state in lines:
                return lines

    def get(self, path: str = "/bucket?list-type=2") -> int:
        connection = HTTPConnection(*self.port.getsockname(), timeout=PATIENCE_SECONDS)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            answer = connection.getresponse()
            answer.read()
        finally:
            connection.close()
        return answer.status


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    found = Manager(tmp_path)
    yield found
    found.close()


def wait_for(path: Path, text: str) -> None:
    """Return when the file has it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (path.is_file() and text in path.read_text()):
        assert time.monotonic() < deadline, f"no {text!r} in {path}"
        threading.Event().wait(0.02)


@pytest.mark.parametrize("processes", [1, 2])
def test_the_manager_hears_how_it_is(manager: Manager, processes: int) -> None:
    """READY comes once requests are answered, RELOADING and READY again around a SIGHUP, beats all the while, STOPPING at the end."""
    with manager.daemon(watchdog=200_000, alluxio__worker__s3__processes=processes) as daemon:
        manager.says("READY=1")
        assert manager.get() == 200
        manager.says("WATCHDOG=1")
        daemon.send_signal(signal.SIGHUP)
        assert manager.says("RELOADING=1")[1].startswith("MONOTONIC_USEC=")
        manager.says("READY=1")
        daemon.terminate()
        manager.says("STOPPING=1")
        assert daemon.wait(PATIENCE_SECONDS) == -signal.SIGTERM


@pytest.mark.parametrize("processes", [1, 2])
def test_no_request_is_lost_in_a_restart(manager: Manager, processes: int) -> None:
    """The socket stays open between two daemons: whoever comes in between is answered by the second."""
    answers: list[int] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            answers.append(manager.get())

    clients = [threading.Thread(target=ask) for _ in range(4)]
    with manager.daemon(alluxio__worker__s3__processes=processes):
        manager.says("READY=1")
        for client in clients:
            client.start()
        while len(answers) < 20:
            assert any(client.is_alive() for client in clients)
            over.wait(0.01)
    before = len(answers)
    with manager.daemon(alluxio__worker__s3__processes=processes):
        manager.says("READY=1")
        while len(answers) < before + 20:
            assert any(client.is_alive() for client in clients)
            over.wait(0.01)
        over.set()
        for client in clients:
            client.join(PATIENCE_SECONDS)
    assert set(answers) == {200}


@pytest.mark.parametrize("processes", [1, 2])
def test_logs_are_opened_anew(manager: Manager, processes: int) -> None:
    """After SIGUSR1 the access log and the daemon's own go on in new files, and what was renamed is whole."""
    own = manager.directory / "own.log"
    with manager.daemon("--logger=alluxio_s3.ops.log_file.observer", alluxio__worker__s3__processes=processes) as daemon:
        manager.says("READY=1")
        assert manager.get("/bucket/before") == 404
        wait_for(manager.access, "/bucket/before")
        for path in (own, manager.access):
            path.rename(path.with_suffix(".1"))
        daemon.send_signal(signal.SIGUSR1)
        wait_for(manager.access, "")
        assert manager.get("/bucket/after") == 404
        wait_for(manager.access, "/bucket/after")
        assert "/bucket/before" not in manager.access.read_text()
        assert "/bucket/after" not in manager.access.with_suffix(".1").read_text()
    wait_for(own, "Server Shut Down")
    assert "Server Shut Down" not in own.with_suffix(".1").read_text()


@pytest.mark.parametrize(
    ("name", "more", "reason"),
    [
        ("https", {}, "alluxio.network.tls.enabled is not set"),
        ("http", {"alluxio__worker__s3__only__https__access": True}, "a socket for HTTP was inherited"),
    ],
)
def test_what_cannot_be_served_is_refused(manager: Manager, name: str, more: dict[str, object], reason: str) -> None:
    """A socket that would have to be served otherwise than the configuration allows stops the start, with the reason."""
    with manager.daemon(name=name, **more) as daemon:
        log, _ = daemon.communicate(timeout=PATIENCE_SECONDS)
        assert daemon.returncode != 0
        assert reason in log
        assert "Traceback" not in log
