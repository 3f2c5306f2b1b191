"""A real daemon in a process of its own, for tests that talk to it from outside."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

SERVING = re.compile(r"Serving S3 at (https?://\S+)")
TROUBLE = re.compile(r"Traceback|Unhandled error|CRITICAL")

ROOT = Path(__file__).resolve().parent.parent


class DaemonFailed(Exception):
    """The daemon did not start, or ended when nobody asked it to; the message carries its log."""


def properties_text(properties: Mapping[str, object]) -> str:
    """`alluxio-site.properties` holding *properties*; booleans become `true` and `false`."""
    lines = []
    for name, value in properties.items():
        shown = str(value).lower() if isinstance(value, bool) else str(value).replace("\\", "\\\\")
        lines.append(f"{name}={shown}\n")
    return "".join(lines)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, on any of the addresses; no two are the same."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("0.0.0.0", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def free_port() -> int:
    """A port that nobody listens on."""
    return free_ports(1)[0]


class Daemon:
    """`twistd -n alluxio-s3` on a configuration of the test's own.

    `start` writes the properties to *directory*, starts the process and returns the first endpoint that it announces;
    `stop` ends it as an init system would, `kill` as a power cut would. One object may be started again after either.
    The process leads a group of its own, so `kill` takes its children with it.

    Args:
        directory: where the configuration file goes; made if it is not there.
        before: words that stand before the command, such as those that have it run in a network of its own.
    """

    def __init__(self, directory: Path, before: Sequence[str] = ()) -> None:
        self.directory = directory
        self.before = before
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def start(self, properties: Mapping[str, object], *, timeout: float = 60.0) -> str:
        """Start it and return its endpoint, such as `http://127.0.0.1:43210`. *timeout* is in seconds.

        Raises:
            DaemonFailed: it ended, or announced nothing in time.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        config = self.directory / "alluxio-site.properties"
        config.write_text(properties_text(properties), encoding="ascii")
        twistd = Path(sys.executable).with_name("twistd")
        command = [*self.before, str(twistd), "-n", "--pidfile=", "alluxio-s3", "--config", str(config)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("ALLUXIO_", "AWS_"))}
        first_line = len(self._lines)
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment | {"PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        return self._wait_for_endpoint(first_line, timeout)

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            with self._changed:
                self._lines.append(line)
                self._changed.notify_all()
        process.wait()
        with self._changed:
            self._changed.notify_all()

    def _wait_for_endpoint(self, first_line: int, timeout: float) -> str:
        with self._changed:
            self._changed.wait_for(lambda: self._endpoints(first_line) or not self.alive, timeout)
            endpoints = self._endpoints(first_line)
        if endpoints:
            return endpoints[0]
        self.kill()
        raise DaemonFailed(f"no endpoint announced; the log:\n{self.log}")

    def _endpoints(self, first_line: int) -> list[str]:
        found = map(SERVING.search, self._lines[first_line:])
        return [match.group(1).rstrip("/") for match in found if match]

    @property
    def pid(self) -> int:
        """The process id of the daemon that was started last."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """All that it has written to its standard output and error, over all starts."""
        return "".join(self._lines)

    @property
    def trouble(self) -> list[str]:
        """What its log has that no healthy daemon's has: each such line, with the one before it and the indented ones after it."""
        lines = list(self._lines)
        found: list[str] = []
        end = 0
        for at, line in enumerate(lines):
            if at < end or not TROUBLE.search(line):
                continue
            end = at + 1
            while end < len(lines) and lines[end][:1] in ("\t", " "):
                end += 1
            found.append("".join(lines[max(at - 1, 0) : end]))
        return found

    def signal_stop(self) -> None:
        """Send SIGTERM, and don't wait: requests under way may take their time."""
        assert self._process is not None, "not started"
        self._process.send_signal(signal.SIGTERM)

    def stop(self, *, timeout: float = 60.0) -> int:
        """Send SIGTERM (again, if it has been sent), wait for the end, and return the exit status: minus the signal's number.

        *timeout* is in seconds.

        Raises:
            DaemonFailed: it was still there when the time was up; it has been killed then.
        """
        assert self._process is not None, "not started"
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise DaemonFailed(f"still running {timeout} s after SIGTERM; the log:\n{self.log}") from None
        self._join_reader()
        return status

    def kill(self) -> None:
        """End it and its children at once."""
        assert self._process is not None, "not started"
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._join_reader()

    def _join_reader(self) -> None:
        # A child that outlived its parent would hold the pipe open: don't wait for it for ever.
        if self._reader is not None:
            self._reader.join(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        if self.alive:
            self.kill()
