"""Daemons that are there at once, for tests that kill thousands: forked from a process that has imported everything already.

with Nursery(tmp_path) as nursery:
    daemon = nursery.daemon("one")
    daemon.start(properties)   # as `running.Daemon`, of which it is a part of the whole
    daemon.kill()              # returns when it is dead, its ports and files being free
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Self

from tests.faults.load import ROOT
from tests.running import SERVING, TROUBLE, DaemonFailed, properties_text

_LOOK_SECONDS = 0.01


class Nursery:
    """The process that daemons are forked from. A context manager; what it still has at the end is killed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        # Daemons may be started by several threads.
        self._turn = Lock()
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("ALLUXIO_", "AWS_"))}
        command = [sys.executable, "-m", "tests.faults.nursery", str(theirs.fileno())]
        self._process = subprocess.Popen(command, cwd=ROOT, env=environment, pass_fds=[theirs.fileno()])
        theirs.close()
        self._daemons: list[Fosterling] = []

    def daemon(self, name: str) -> Fosterling:
        """One more, not running, whose configuration and log are in a directory of that *name*."""
        made = Fosterling(self, self._directory / name)
        self._daemons.append(made)
        return made

    def ask(self, word: str, **about: Any) -> int:
        """Have the process do something, and what it says."""
        with self._turn:
            self._line.send(json.dumps({"word": word, **about}).encode())
            return int(self._line.recv(100))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        for one in self._daemons:
            one.kill()
        self._line.close()
        self._process.wait(30)


class Fosterling:
    """A daemon. See `running.Daemon`: what is called the same does the same."""

    def __init__(self, nursery: Nursery, directory: Path) -> None:
        self.pid = 0
        self._nursery = nursery
        self._directory = directory
        self._log = directory / "log"

    @property
    def log(self) -> str:
        """All that it has written, over all starts."""
        return self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""

    @property
    def trouble(self) -> list[str]:
        """The lines that no healthy daemon's log has."""
        return [line for line in self.log.splitlines() if TROUBLE.search(line)]

    @property
    def alive(self) -> bool:
        """Whether it is there."""
        return bool(self.pid) and Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"

    def start(self, properties: Mapping[str, object], *, timeout: float = 120.0) -> None:
        """Start it, and return when it serves. Raises DaemonFailed."""
        self._directory.mkdir(parents=True, exist_ok=True)
        config = self._directory / "alluxio-site.properties"
        config.write_text(properties_text(properties), encoding="ascii")
        begun = self._log.stat().st_size if self._log.exists() else 0
        self.pid = self._nursery.ask("start", config=str(config), log=str(self._log))
        deadline = time.monotonic() + timeout
        while not SERVING.search(said := self._since(begun)):
            if not self.alive or time.monotonic() > deadline:
                raise DaemonFailed(f"it does not serve; the log:\n{said}")
            time.sleep(_LOOK_SECONDS)

    def _since(self, offset: int) -> str:
        if not self._log.exists():
            return ""
        with self._log.open("rb") as file:
            file.seek(offset)
            return file.read().decode("utf-8", "replace")

    def kill(self) -> None:
        """End it at once, if it is there."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._nursery.ask("bury", pid=self.pid)
            self.pid = 0


def main() -> None:
    """Start and bury daemons, as whoever is at the other end of the socket says."""
    import twisted.scripts.twistd  # noqa: F401, PLC0415  # whoever imports this module needs none of it
    from twisted.internet import reactor  # noqa: PLC0415

    import alluxio_s3.gateway  # noqa: F401, PLC0415

    line = socket.socket(fileno=int(sys.argv[1]))
    while raw := line.recv(1 << 16):
        said = json.loads(raw)
        if said["word"] == "bury":
            with contextlib.suppress(ChildProcessError):
                os.waitpid(said["pid"], 0)
            line.send(b"0")
            continue
        child = os.fork()
        if not child:
            line.close()
            _live(reactor, said["config"], said["log"])
        line.send(str(child).encode())


def _live(reactor: Any, config: str, log: str) -> None:
    """Be a daemon, to the end."""
    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number in (1, 2):
        os.dup2(output, number)
    os.close(output)
    # It has not run: what it has begun, such as its epoll, must not be its parent's and its siblings' too.
    reactor.__init__()
    sys.argv = ["twistd", "-n", "--pidfile=", "alluxio-s3", "--config", config]
    try:
        from twisted.scripts.twistd import run  # noqa: PLC0415

        run()
    finally:
        sys.stdout.flush()
        os._exit(1)


if __name__ == "__main__":
    main()
