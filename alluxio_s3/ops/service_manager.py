"""The service manager that started the daemon, and what it is told: the protocol of ``sd_notify(3)``."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

from attrs import frozen
from twisted.logger import Logger

_log = Logger()


@frozen
class ServiceManager:
    """Where states are sent; None: nobody wants to know.

    ``watchdog_seconds`` is how often at least it wants to hear that the daemon is well; 0: it does not ask.
    """

    address: str | None = None
    watchdog_seconds: float = 0.0

    @classmethod
    def of(cls, environ: Mapping[str, str], pid: int) -> ServiceManager:
        """That of a process, ``pid``, with such an environment."""
        address = environ.get("NOTIFY_SOCKET") or None
        wanted = environ.get("WATCHDOG_USEC", "")
        meant = environ.get("WATCHDOG_PID", str(pid)) == str(pid)
        return cls(address, int(wanted) / 1e6 if address and meant and wanted.isdecimal() else 0.0)

    def serving(self, status: str) -> None:
        """It serves; ``status`` is a line for people. Also said when a reload is over."""
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """It reads its files again; ``serving`` says when that is done."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", "STATUS=Reloading")

    def stopping(self) -> None:
        """It takes no more requests."""
        self._send("STOPPING=1", "STATUS=Letting requests end")

    def well(self) -> None:
        """Its event loop turns."""
        self._send("WATCHDOG=1")

    def _send(self, *states: str) -> None:
        if self.address is None:
            return
        # What begins with "@" is in the abstract namespace.
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.setblocking(False)
                channel.sendto(os.fsencode("\n".join(states)), address)
        except OSError as problem:
            _log.warn("The service manager could not be told {states}: {problem}", states=", ".join(states), problem=problem)
