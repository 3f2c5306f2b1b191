"""A clean Debian that runs under systemd-nspawn, with nothing of this machine but its kernel."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

HERE = Path(__file__).resolve().parent
PATIENCE_SECONDS = 300.0
ENVIRONMENT = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8"]


class CommandFailed(Exception):
    """A command in the machine ended with another status than 0; the message has what it wrote."""


def wait_until(true: Callable[[], bool], what: str) -> float:
    """Look again and again; the seconds that it took. Raises TimeoutError, which says for ``what``."""
    start = time.monotonic()
    while not true():
        if time.monotonic() - start > PATIENCE_SECONDS:
            raise TimeoutError(what)
        time.sleep(0.1)
    return time.monotonic() - start


class Machine:
    """It runs in the ``with`` block, as ``kind`` has it: systemd or sysvinit. ``root`` is its file system."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._directory = Path(tempfile.mkdtemp(prefix=f"alluxio-s3-deb-{kind}-"))
        self.root = self._directory / "root"

    def __enter__(self) -> Self:
        subprocess.run([HERE / "roots.sh", self.kind, self.root], check=True)
        name = f"s3deb-{self.kind}-{os.getpid()}"
        command = ["systemd-nspawn", "--register=no", "--keep-unit", "-q", "-D", self.root, "-M", name, "--private-network", "--boot"]
        with (self._directory / "console").open("wb") as console:
            self._nspawn = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True)
        self._leader = str(self._nspawn.pid)
        try:
            wait_until(self._booted, "the machine")
        except BaseException as problem:
            problem.add_note((self._directory / "console").read_text(errors="replace"))
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._nspawn.send_signal(signal.SIGTERM)
        try:
            self._nspawn.wait(20)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.kill(int(self._leader), signal.SIGKILL)
            self._nspawn.kill()
            self._nspawn.wait()
        shutil.rmtree(self._directory, ignore_errors=True)

    def run(self, command: str) -> str:
        """What its shell writes for ``command``. Raises CommandFailed."""
        inside = ["nsenter", "-t", self._leader, "-a", *ENVIRONMENT, "sh", "-c", command]
        done = subprocess.run(inside, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            raise CommandFailed(f"{command} ended with {done.returncode}:\n{done.stdout}")
        return done.stdout.strip()

    def succeeds(self, command: str) -> bool:
        """Whether ``command`` ends with 0."""
        try:
            self.run(command)
        except CommandFailed:
            return False
        return True

    def files(self) -> set[str]:
        """Every file and directory that is not of the kernel's, or of a moment."""
        return set(
            self.run("find / -xdev -not -path '/run/*' -not -path '/tmp/*' -not -path '/var/tmp/*' -not -path '/proc*'").splitlines()
        )

    def _booted(self) -> bool:
        # Its first child is not the machine's first process, but makes that, and ends.
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split()
        if not children:
            return False
        self._leader = children[0]
        if self.kind == "systemd":
            return self.succeeds("systemctl is-system-running | grep -qE 'running|degraded'")
        return self.succeeds("runlevel | grep -q ' [2-5]$'")
