"""Machines that are none: network namespaces on one bridge, whose cables can be pulled, in both directions or in one.

A cut is silent, as that of a firewall or of a broken switch: nobody is refused, packets do not arrive. It is made by sending them to an
address of Ethernet that nobody has, so it needs nothing but iproute2 and root.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

# Where `ip netns` keeps their names.
NAMES = Path("/run/netns")
SWITCH = "switch"
_NOWHERE = "02:ff:ff:ff:ff:ff"
_NEW_NETWORK = 0x40000000  # CLONE_NEWNET, of linux/sched.h


class Network:
    """*hosts* are names and addresses (IPv4, of one /24), *name* is what tells this network from others. A context manager."""

    def __init__(self, name: str, hosts: Mapping[str, str]) -> None:
        self.hosts = dict(hosts)
        self._name = name
        self._cuts: Counter[tuple[str, str]] = Counter()
        self._pulled: Counter[str] = Counter()

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self._remove()

    def at(self, host: str) -> Sequence[str]:
        """What stands before a command that is to run there. Its process id is the command's."""
        return "nsenter", f"--net={NAMES / self._space(host)}"

    @contextlib.contextmanager
    def inside(self, host: str) -> Iterator[None]:
        """Have this thread, and what it starts, be there within it."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            with (NAMES / self._space(host)).open("rb") as space:
                _enter(space.fileno())
            try:
                yield
            finally:
                _enter(home)
        finally:
            os.close(home)

    def cut(self, sender: str, receiver: str) -> None:
        """What *sender* sends to *receiver* does not arrive. The other direction is another cut; what is cut twice is healed twice."""
        self._cuts[sender, receiver] += 1
        self._lead(sender, receiver, _NOWHERE)

    def heal(self, sender: str, receiver: str) -> None:
        """It arrives again."""
        self._cuts[sender, receiver] -= 1
        if not self._cuts[sender, receiver]:
            self._lead(sender, receiver, _hardware(self.hosts[receiver]))

    def pull(self, host: str) -> None:
        """Pull its cable."""
        self._pulled[host] += 1
        self._ip("-n", self._space(SWITCH), "link", "set", host, "down")

    def plug(self, host: str) -> None:
        """Plug it in again."""
        self._pulled[host] -= 1
        if not self._pulled[host]:
            self._ip("-n", self._space(SWITCH), "link", "set", host, "up")

    def _space(self, host: str) -> str:
        return f"{self._name}-{host}"

    def _build(self) -> None:
        switch = self._space(SWITCH)
        self._ip("netns", "add", switch)
        self._ip("-n", switch, "link", "add", "bridge", "type", "bridge")
        self._ip("-n", switch, "link", "set", "bridge", "up")
        for host, address in self.hosts.items():
            space = self._space(host)
            self._ip("netns", "add", space)
            peer = ("peer", "name", "eth0", "netns", space, "address", _hardware(address))
            self._ip("-n", switch, "link", "add", host, "type", "veth", *peer)
            self._ip("-n", switch, "link", "set", host, "master", "bridge", "up")
            self._ip("-n", space, "link", "set", "lo", "up")
            self._ip("-n", space, "address", "add", f"{address}/24", "dev", "eth0")
            self._ip("-n", space, "link", "set", "eth0", "up")
        for sender in self.hosts:
            for receiver, address in self.hosts.items():
                if sender != receiver:
                    self._lead(sender, receiver, _hardware(address))

    def _lead(self, sender: str, receiver: str, hardware: str) -> None:
        entry = (self.hosts[receiver], "lladdr", hardware, "nud", "permanent", "dev", "eth0")
        self._ip("-n", self._space(sender), "neighbour", "replace", *entry)

    def _remove(self) -> None:
        for host in (*self.hosts, SWITCH):
            with contextlib.suppress(subprocess.CalledProcessError):
                self._ip("netns", "delete", self._space(host))

    def _ip(self, *words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)


def _enter(network: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(network, _NEW_NETWORK):
        raise OSError(ctypes.get_errno(), "setns")


def _hardware(address: str) -> str:
    return "02:00:" + ":".join(f"{int(part):02x}" for part in address.split("."))


def is_possible() -> bool:
    """Whether this process may make networks: a container's root often may not."""
    if os.geteuid() or not all(shutil.which(one) for one in ("ip", "nsenter")):
        return False
    try:
        with Network(f"try{os.getpid()}", {"one": "10.0.0.1", "two": "10.0.0.2"}) as network, network.inside("one"):
            return True
    except (OSError, subprocess.SubprocessError):
        return False
