"""A network of its own for a benchmark: a namespace in which TCP is not paced.

bbr, the default of some machines, paces each connection by what it believes of the path. On loopback that caps nginx itself at a fraction
of what the kernel can do, and the figures compare pacing.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_INSIDE = "ALLUXIO_S3_BENCH_NAMESPACE"
_CONGESTION = Path("/proc/sys/net/ipv4/tcp_congestion_control")
# In <sched.h>: it is a network that is entered.
_CLONE_NEWNET = 0x40000000
_SETTING = "net.ipv4.tcp_congestion_control"
# The ends of a link, from the block that is for benchmarks (RFC 2544).
NEAR, FAR = "198.18.0.1", "198.18.0.2"


def congestion_control() -> str:
    """What TCP uses here."""
    return _CONGESTION.read_text(encoding="ascii").strip()


def run_inside(module: str) -> int | None:
    """Run ``module`` again, with the same arguments, in a namespace made for it, and return its exit status.

    None: it is inside already, or there can be no namespace, which is said; then the caller goes on where it is.
    """
    if os.environ.get(_INSIDE):
        return None
    ip = shutil.which("ip", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if os.geteuid() != 0 or ip is None:
        print(f"No network namespace (that takes root and ip): TCP is under {congestion_control()} here.", flush=True)
        if congestion_control() == "bbr":
            print("bbr paces loopback: take the figures of large objects as a comparison of pacing.", flush=True)
        return None
    name = f"bench-{os.getpid()}"
    subprocess.run([ip, "netns", "add", name], check=True)
    try:
        subprocess.run([ip, "-n", name, "link", "set", "lo", "up"], check=True)
        inside = [ip, "netns", "exec", name]
        subprocess.run([*inside, "sysctl", "-q", "-w", f"{_SETTING}=reno"], check=True)
        again = [*inside, sys.executable, "-m", module, *sys.argv[1:]]
        return subprocess.run(again, env=os.environ | {_INSIDE: name}, check=False).returncode
    finally:
        subprocess.run([ip, "netns", "del", name], check=True)


@contextmanager
def behind_a_link(gigabits: float) -> Iterator[list[str]]:
    """The words that have a command run in a namespace which is ``FAR`` from here, over a link that brings so many Gbit/s either way.

    For inside ``run_inside``.
    """
    name = f"bench-far-{os.getpid()}"
    ip = shutil.which("ip", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") or "ip"
    inside = [ip, "netns", "exec", name]
    rate = ["tbf", "rate", f"{round(gigabits * 1000)}mbit", "burst", "1mb", "latency", "10ms"]
    subprocess.run([ip, "netns", "add", name], check=True)
    try:
        for command in (
            [ip, "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", name],
            [ip, "address", "add", f"{NEAR}/30", "dev", "near"],
            [ip, "link", "set", "near", "up"],
            [ip, "-n", name, "address", "add", f"{FAR}/30", "dev", "far"],
            [ip, "-n", name, "link", "set", "far", "up"],
            [ip, "-n", name, "link", "set", "lo", "up"],
            [*inside, "tc", "qdisc", "add", "dev", "far", "root", *rate],
            ["tc", "qdisc", "add", "dev", "near", "root", *rate],
            [*inside, "sysctl", "-q", "-w", f"{_SETTING}=reno"],
        ):
            subprocess.run(command, check=True)
        yield inside
    finally:
        subprocess.run([ip, "netns", "del", name], check=True)


@contextmanager
def over_there(inside: Sequence[str]) -> Iterator[None]:
    """Have this thread be where the words of ``behind_a_link`` lead: what sockets it makes are there, and stay there."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open("rb") as here, Path("/run/netns", inside[-1]).open("rb") as there:
        _enter(libc, there.fileno())
        try:
            yield
        finally:
            _enter(libc, here.fileno())


def _enter(libc: ctypes.CDLL, namespace: int) -> None:
    if libc.setns(namespace, _CLONE_NEWNET):
        problem = ctypes.get_errno()
        raise OSError(problem, os.strerror(problem))
