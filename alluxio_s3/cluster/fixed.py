"""Workers that are known without etcd: one on its own, or those of a file, who are there whether they answer or not."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from typing import ClassVar

from attrs import define, evolve, field
from zope.interface import implementer

from alluxio_s3.cluster.owners import Owners, OwnersKnown
from alluxio_s3.cluster.registration import Forget
from alluxio_s3.interfaces import IMembers, Member

_LINE = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9_.-]+)(?::([0-9]{1,5}))?(?:/([0-9]{1,5})(?:/([0-9]{1,5}))?)?", re.ASCII)


def parse_members(text: str, http_port: int, peer_port: int, https_port: int | None = None, *, plain: bool = True) -> Mapping[str, Member]:
    """The members of a file, by id, which is ``host:port``: a line for each, ``host``, ``host:port``, ``host:port/peer-port`` or
    ``host:port/peer-port/https-port``.

    What follows ``#`` is not read. The ports are what a line that does not say means; with no ``https_port`` nobody serves HTTPS, whatever
    a line says, and if it is not ``plain`` nobody serves HTTP, and their ports there are only names. Raises ValueError.
    """
    found: dict[str, Member] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].strip()
        if not words:
            continue
        match = _LINE.fullmatch(words)
        defaults = ((2, http_port), (3, peer_port), (4, https_port or 1))
        ports = [int(match[group] or default) for group, default in defaults] if match else []
        if match is None or not all(0 < port < 65536 for port in ports):
            raise ValueError(f"line {number}: expected host[:port[/peer-port[/https-port]]], not {words[:100]!r}")
        worker = f"{match[1]}:{ports[0]}"
        if worker in found:
            raise ValueError(f"line {number}: {worker} is there twice")
        found[worker] = Member(worker, "", match[1].strip("[]"), ports[0] if plain else None, ports[2] if https_port else None, ports[1])
    return found


@implementer(IMembers)
@define(eq=False)
class FixedMembers(OwnersKnown):
    """``me`` and ``others``, for good. ``now`` tells seconds by a clock that never goes back."""

    leased: ClassVar[bool] = False
    me: Member
    others: Mapping[str, Member]
    now: Callable[[], float]
    secret: bytes = field(factory=lambda: secrets.token_bytes(32), repr=False)
    _owners: Owners = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Have them on the ring."""
        self._owners = Owners(self.me, self.now)
        self._owners.show(self.others, 1)

    async def start(self, http_port: int | None, https_port: int | None, peer_port: int | None) -> None:
        """Know the ports that this worker has."""
        self.me = self._owners.me = evolve(self.me, http_port=http_port, https_port=https_port, peer_port=peer_port)
        self._owners.show(self.others, 1)

    async def stop(self) -> None:
        """Nothing: the others will notice."""

    def is_certain(self) -> bool:
        """See ``IMembers``. Never: there is no lease, so nobody can wait till it has ended."""
        return False

    def is_alone(self) -> bool:
        """See ``IMembers``."""
        return len(self.live) == 1

    async def mark(self, path: str) -> None:
        """See ``IMembers``. Word is not needed where nobody is ever certain."""

    def on_mark(self, forget: Forget) -> None:
        """See ``IMembers``."""
