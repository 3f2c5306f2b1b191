"""Identity that survives a redirect: a token in the query of the URL that a client is sent to.

Behind a 307 most clients bring no credentials, some bring old ones, and some name the host that they came from. So the worker that
redirects writes down who asks, in a token that only members can make; the one that is asked takes it before any Authorization, and
compares no Host. It is good for reads of that one object by that one query, until it expires: clients try again with the same URL. It
has only characters that no client encodes anew (RFC 3986, 2.3).
"""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from attrs import frozen
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from alluxio_s3.cluster.seals import derived, mac
from alluxio_s3.interfaces import IAuthenticator, IExpiring, IMember, IPrincipal, IQuickAuthenticator
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.request import RequestHead
from alluxio_s3.s3.target import Target, parse_target

# The query parameter that carries a token.
HOP = "x-alluxio-hop"
LIFE_SECONDS = 300.0
# For so long whoever reads one object in pieces is given the same token, which neither end has to work out anew.
SAME_SECONDS = 10.0
MOST_KEPT = 1024
# Who is known for less time than this is not redirected any more.
LEAST_SECONDS = 2.0
# Clocks of workers may differ by so much, either way, as those of who signs and who verifies may (SigV4).
SKEW_SECONDS = 900.0
# Groups and roles may be many; URLs may not be long.
MAX_TOKEN = 2048
_MAC_BYTES = 20
_METHODS = frozenset({"GET", "HEAD"})
_TOKEN = HOP.encode()
_COMPACT = json.JSONEncoder(separators=(",", ":")).encode
_REFUSED = "The redirect that this request follows is not, or no more, good for it: ask the first endpoint again."


@implementer(IPrincipal, IMember)
@frozen
class Guest:
    """Who was redirected, as the worker that did it knew them. See ``IPrincipal``, ``IMember``."""

    name: str
    how: str
    groups: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()


@frozen
class Hop:
    """What a token says. ``issuer`` is the id of the worker that redirected; ``client`` who of its clients, if it wants to hear of them."""

    guest: Guest
    issuer: str
    client: str = ""


class HopTokens:
    """Makes and reads tokens. ``secret`` gives the members', which may come to be another; ``clock`` tells wall time."""

    def __init__(self, secret: Callable[[], bytes], clock: IReactorTime, life_seconds: float = LIFE_SECONDS) -> None:
        self._secret = secret
        self._clock = clock
        self._life = life_seconds

    def issue(self, principal: IPrincipal, target: Target, issuer: str, client: str = "") -> str | None:
        """A token for whom ``principal`` is, while that is known, to read ``target``; None if it would be too long, or too brief."""
        member, expiring, now = IMember(principal, None), IExpiring(principal, None), self._clock.seconds()
        end, known_until = now + self._life, None if expiring is None else expiring.expires_at
        end -= end % SAME_SECONDS
        if known_until is not None:
            end = min(end, known_until)
        if end < now + LEAST_SECONDS:
            return None
        said = (
            ("u", principal.name),
            ("h", principal.how),
            ("g", tuple(sorted(member.groups)) if member is not None else ()),
            ("r", tuple(sorted(member.roles)) if member is not None else ()),
            ("x", int(end)),
            ("e", 0 if known_until is None or known_until > end + 2 * SKEW_SECONDS else int(known_until)),
            ("i", issuer),
            ("c", client),
        )
        token = _made(self._secret(), said, target)
        return token if len(token) <= MAX_TOKEN else None

    def read(self, token: str, method: str, target: Target) -> Hop:
        """What ``token`` says. Raises S3Error AccessDenied if it isn't a member's, or not for ``method`` on ``target``, or not any more."""
        if method not in _METHODS or len(token) > MAX_TOKEN:
            raise S3Error("AccessDenied", _REFUSED)
        hop, end, known_until = _told(self._secret(), token, target)
        # When a credential ends is a date, which each worker compares with its own clock.
        now = self._clock.seconds()
        if not now - SKEW_SECONDS <= end <= now + self._life + SKEW_SECONDS or (known_until is not None and now > known_until):
            raise S3Error("AccessDenied", _REFUSED)
        return hop


@implementer(IAuthenticator, IQuickAuthenticator)
class HopAuthenticator:
    """``inner``, but for requests that bring a token. ``arrived`` is told of each of those, of some twice.

    It offers what else ``inner`` offers.
    """

    def __init__(self, inner: IAuthenticator, tokens: HopTokens, arrived: Callable[[Hop], None] = lambda _: None) -> None:
        self._inner = inner
        self._quick = IQuickAuthenticator(inner, None)
        self._tokens = tokens
        self._arrived = arrived

    def __conform__(self, interface: Any) -> object:
        """The optional interfaces of the inner one, less what is done here."""
        return None if interface in (IAuthenticator, IQuickAuthenticator) else interface(self._inner, None)

    def identify(self, authorization: bytes | None, method: str, raw_target: bytes, headers: Mapping[bytes, bytes]) -> IPrincipal | None:
        """See ``IQuickAuthenticator``. To refuse a token is for ``authenticate``."""
        if _TOKEN in raw_target:
            try:
                guest = self._guest(method, _parsed(raw_target))
            except S3Error:
                return None
            if guest is not None:
                return guest
        return None if self._quick is None else self._quick.identify(authorization, method, raw_target, headers)

    async def authenticate(self, head: RequestHead) -> IPrincipal:
        """See ``IAuthenticator``. Raises S3Error AccessDenied for a token that is no good: nobody is let in for another reason then."""
        guest = self._guest(head.method, head.target)
        return await self._inner.authenticate(head) if guest is None else guest

    def _guest(self, method: str, target: Target) -> Guest | None:
        """Who was redirected here; None if nobody was. Raises S3Error."""
        tokens = [value for name, value in target.query.pairs if name == HOP]
        if not tokens:
            return None
        if len(tokens) > 1:
            raise S3Error("AccessDenied", _REFUSED)
        hop = self._tokens.read(tokens[0], method, target)
        self._arrived(hop)
        return hop.guest


_parsed = lru_cache(maxsize=MOST_KEPT)(parse_target)


@lru_cache(maxsize=MOST_KEPT)
def _made(secret: bytes, said: tuple[tuple[str, Any], ...], target: Target) -> str:
    """The token that says that, for ``target``."""
    payload = _encoded(_COMPACT({name: value for name, value in said if value}).encode())
    return f"{payload}.{_encoded(_mac(secret, payload, target))}"


@lru_cache(maxsize=MOST_KEPT)
def _told(secret: bytes, token: str, target: Target) -> tuple[Hop, float, float | None]:
    """What ``token`` says, until when it is good, and until when its credential is known. Raises S3Error if it is not for ``target``."""
    payload, _, seal = token.partition(".")
    try:
        good = hmac.compare_digest(_decoded(seal), _mac(secret, payload, target))
    except ValueError:
        good = False
    if not good:
        raise S3Error("AccessDenied", _REFUSED)
    said = json.loads(_decoded(payload))
    guest = Guest(said["u"], said["h"], frozenset(said.get("g", ())), frozenset(said.get("r", ())))
    return Hop(guest, said["i"], said.get("c", "")), said["x"], said.get("e")


def _mac(secret: bytes, payload: str, target: Target) -> bytes:
    # Some clients encode path and query anew: what counts is what they mean.
    pairs = [pair for pair in target.query.pairs if pair[0] != HOP]
    told = json.dumps([payload, target.bucket, target.key, pairs]).encode()
    return mac(derived(secret, "hop token"), told, _MAC_BYTES)


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    """What ``_encoded`` made. Raises ValueError."""
    return urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
