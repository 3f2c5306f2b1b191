"""Who answers a read of what another worker owns: that worker, to which the client is sent, or this one, which fetches it.

To send a client away is cheaper for all that is large, and breaks those that stop at redirects; to fetch works for everybody, and
costs a hop. So each client gets what it can use. Every decision is counted by its reason.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator

from attrs import field, frozen
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from alluxio_s3.cluster.arrivals import Arrivals
from alluxio_s3.cluster.clients import FOLLOWS, RESIGNS, Client, Clients
from alluxio_s3.cluster.hops import HOP, HopTokens
from alluxio_s3.interfaces import (
    Asker,
    Elsewhere,
    IMembers,
    IMetrics,
    IOwned,
    IPrincipal,
    IRouting,
    ITally,
    IUnderFileSystem,
    Member,
    Steered,
)
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.ranges import parse_range
from alluxio_s3.s3.request import RequestHead

# With ``true`` or ``false`` a client says itself whether it is to be redirected.
OVERRIDE = "x-alluxio-redirect"
# A client that may come back without a token is not sent away twice for the same path within so long.
LOOP_SECONDS = 5.0
_MOST_SENT = 10_000
# Whoever reads an object in pieces goes the same way for so long.
SAME_WAY_SECONDS = 1.0
_MOST_WAYS = 1024
_PRESIGNED = frozenset({"x-amz-signature", "signature"})
_AUTHORITY = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)
_PRINTABLE = re.compile(rb"/[!-~]*")
_CLOSED_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{1,18})")


@frozen
class RedirectPolicy:
    """Whom to redirect: ``auto`` those that are known to follow, ``always`` everybody, ``never`` nobody; and from how many bytes on."""

    mode: str = "auto"
    min_bytes: int = 1 << 20


@frozen
class _Way:
    """Where ``client``, as ``principal``, was sent, to ``owner``, and when; with a token by that ``secret``."""

    client: str
    principal: IPrincipal
    owner: Member
    secret: bytes = field(repr=False)
    when: float
    steered: Steered


@implementer(IRouting)
@frozen(eq=False)
class Routing:
    """See ``IRouting``."""

    members: IMembers
    policy: RedirectPolicy
    clients: Clients
    tokens: HopTokens
    arrivals: Arrivals
    clock: IReactorTime
    _sent: OrderedDict[tuple[str, str], float] = field(factory=OrderedDict, init=False)
    _ways: dict[Asker, _Way] = field(factory=dict, init=False)
    _tallies: list[Callable[..., ITally]] = field(factory=list, init=False)

    def measure(self, metrics: IMetrics) -> None:
        """See ``IMeasured``."""
        self._tallies.append(
            metrics.counters(
                "alluxio_s3_redirects_total",
                "Reads of what another worker owns, by what was done (`redirect`, `proxy`) and why.",
                ("decision", "reason"),
            )
        )

    async def steer(self, head: RequestHead, principal: IPrincipal, ufs: IUnderFileSystem, path: str) -> Steered:
        """See ``IRouting``."""
        owned = IOwned(ufs, None)
        if owned is None:
            return Steered()
        owned.note(path, sent=HOP in head.target.query)
        owner = owned.owner(path)
        if owner is None:
            return Steered()
        reason, allowed = self._judge(head, owner)
        found = Steered(reason=reason)
        if allowed:
            size = owned.size(path, owner)
            if size is None and not path.endswith("/"):
                size = (await ufs.status(path)).size
                owner = owned.owner(path)  # to ask it may have shown that it is gone
            if size is None or not self._is_large(head.headers.get("range"), size):
                found = Steered(reason="size")
            else:
                found = Steered() if owner is None else self._send(head, principal, owner, reason)
        return self._counted(found)

    def send(
        self, asker: Asker, head: Callable[[], RequestHead], principal: IPrincipal, ufs: IUnderFileSystem, path: str
    ) -> Steered | None:
        """See ``IRouting``."""
        owned = IOwned(ufs, None)
        owner = None if owned is None else owned.owner(path)
        size = None if owned is None or owner is None else owned.size(path, owner)
        if owned is None or owner is None or size is None or not self._is_large(asker.span, size):
            return None
        found = self._same_way(asker, principal, owner) or self._new_way(asker, head(), principal, owner)
        if found is None:
            return None
        owned.note(path, sent=False)
        return self._counted(found)

    def _same_way(self, asker: Asker, principal: IPrincipal, owner: Member) -> Steered | None:
        """Where ``asker`` was sent a moment ago, if all is as it was then."""
        way = self._ways.get(asker)
        if way is None or way.owner is not owner or way.principal != principal or way.secret != self.members.secret:
            return None
        if self.arrivals.stops(way.client):
            return None
        return way.steered if 0 <= self.clock.seconds() - way.when < SAME_WAY_SECONDS else None

    def _new_way(self, asker: Asker, head: RequestHead, principal: IPrincipal, owner: Member) -> Steered | None:
        reason, allowed = self._judge(head, owner)
        found = self._send(head, principal, owner, reason) if allowed else Steered()
        if found.elsewhere is None:
            return None
        if self._follows(head):
            if len(self._ways) >= _MOST_WAYS:
                self._ways.clear()
            self._ways[asker] = _Way(_client(head), principal, owner, self.members.secret, self.clock.seconds(), found)
        return found

    def _counted(self, found: Steered) -> Steered:
        if found.reason:
            for tally in self._tallies:
                tally("proxy" if found.elsewhere is None else "redirect", found.reason).add()
        return found

    def _judge(self, head: RequestHead, owner: Member) -> tuple[str, bool]:
        """Why it is to be redirected, and True; or why not, and False. All that can be told without asking anybody."""
        kind = self.clients.find(head.headers.get("user-agent", ""))
        for holds, reason in self._hindrances(head, owner, kind):
            if holds:
                return reason, False
        if head.headers.get(OVERRIDE, "").lower() == "true":
            return "override", True
        if self.policy.mode == "always":
            return "policy", True
        if kind.may not in (FOLLOWS, RESIGNS):
            return f"client-{kind.may}", False
        if kind.may == FOLLOWS and self.arrivals.stops(_client(head)):
            return "client-stopped", False
        return "client", True

    def _hindrances(self, head: RequestHead, owner: Member, kind: Client) -> Iterator[tuple[bool, str]]:
        """What would keep anybody from being redirected: whether it does, and its name. Looked at one after the other, until one does."""
        yield HOP in head.target.query, "hop"
        yield self.policy.mode == "never", "policy"
        yield head.headers.get(OVERRIDE, "").lower() == "false", "override"
        yield (owner.https_port if head.secure else owner.http_port) is None, "protocol"
        yield _raw_path(head.raw_target) is None, "target"
        yield kind.may != FOLLOWS and any(name.lower() in _PRESIGNED for name in head.target.query), "presigned"
        yield self._too_short(head), "size"
        yield kind.may != FOLLOWS and self._returns(head), "loop"

    def _too_short(self, head: RequestHead) -> bool:
        asked = _CLOSED_RANGE.fullmatch(head.headers.get("range", ""))
        return asked is not None and int(asked[2]) - int(asked[1]) + 1 < self.policy.min_bytes

    def _is_large(self, span: str | None, size: int) -> bool:
        try:
            stretch = parse_range(span, size)
        except S3Error:
            return False
        return (size if stretch is None else stretch.count) >= max(1, self.policy.min_bytes)

    def _returns(self, head: RequestHead) -> bool:
        """Whether that client has just been sent away for that path."""
        sent = self._sent.get((_client(head), f"{head.target.bucket}/{head.target.key}")) if self._sent else None
        return sent is not None and 0 <= self.clock.seconds() - sent < LOOP_SECONDS

    def _send(self, head: RequestHead, principal: IPrincipal, owner: Member, reason: str) -> Steered:
        client = _client(head)
        follows = self._follows(head)
        learns = self.policy.mode == "auto" and follows
        reports = client if learns and self.arrivals.wants(client) else ""
        token = self.tokens.issue(principal, head.target, self.members.me.worker, reports)
        path = _raw_path(head.raw_target)
        if token is None or path is None:
            return Steered(reason="identity")
        if reports:
            self.arrivals.sent(client)
        if not follows:
            self._sent[client, f"{head.target.bucket}/{head.target.key}"] = self.clock.seconds()
            if len(self._sent) > _MOST_SENT:
                self._sent.popitem(last=False)
        host = f"[{owner.host}]" if ":" in owner.host else owner.host
        scheme, port = ("https", owner.https_port) if head.secure else ("http", owner.http_port)
        joint = "&" if "?" in path else "?"
        return Steered(Elsewhere(f"{scheme}://{host}:{port}{path}{joint}{HOP}={token}", f"{host}:{port}"), reason)

    def _follows(self, head: RequestHead) -> bool:
        """Whether the client is one that is known to follow: such a one does not come back."""
        return self.clients.find(head.headers.get("user-agent", "")).may == FOLLOWS


def _client(head: RequestHead) -> str:
    return Arrivals.name(head.headers.get("user-agent", ""), head.peer)


def _raw_path(raw: bytes) -> str | None:
    """Path and query as they came, of whatever form the target was; None if they can't stand in a header."""
    match = _AUTHORITY.match(raw)
    path = raw[match.end() :] if match else raw
    return path.decode() if _PRINTABLE.fullmatch(path) and not path.startswith(b"//") else None
