"""OIDC: the user is whom a JSON Web Token of a trusted issuer names.

The token comes in ``Authorization: Bearer``, or where SDKs put a session token; then the signature beside it is not looked at, since
the daemon has no secret to verify it with. Rules: RFC 7519, RFC 8725; promises C8.
"""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64decode
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, cast

from attrs import define, evolve, field, frozen
from joserfc import jwt
from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jwk import Key
from treq.client import HTTPClient
from twisted.internet.interfaces import IReactorTime
from twisted.web.client import Agent
from zope.interface import implementer

from alluxio_s3.auth.key_sets import FetchedKeys, FileKeys, KeySource
from alluxio_s3.auth.principals import ANONYMOUS, Principal
from alluxio_s3.auth.temporary_keys import TemporaryKeys, parse_secret
from alluxio_s3.auth.watched_file import WatchedFile
from alluxio_s3.clocks import wall_clock
from alluxio_s3.interfaces import IAuthenticator, IFormAuthenticator, IPluginFactory, ITokenExchange, TemporaryCredentials
from alluxio_s3.s3.credentials import bearer_token, check_not_expired, find_credentials
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.form_credentials import SignedForm, verify_form
from alluxio_s3.s3.request import RequestHead
from alluxio_s3.s3.sigv4 import verify
from alluxio_s3.threads import Threads

MAX_TOKEN_BYTES = 16 << 10
LEEWAY_SECONDS = 60
# Which kind of key an algorithm needs. Symmetric ones and "none" are not among them: a public key must never be taken for a secret.
_KEY_TYPES = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
    "EdDSA": "OKP",
}
_REMEMBERED = 4096
# What says that a query carries credentials, or a part of them.
_IN_QUERY = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-Security-Token", "AWSAccessKeyId", "Signature")


@frozen
class Issuer:
    """Whose tokens are taken, if they are for ``audience``."""

    name: str
    audience: str
    keys: KeySource


@frozen
class Claims:
    """Which claims name the user, the groups and the roles."""

    user: str = "sub"
    groups: str = "groups"
    roles: str = "roles"


@implementer(IAuthenticator, IFormAuthenticator, ITokenExchange)
@define
class OidcAuthenticator:
    """Verifies tokens. One that was found right is remembered until it expires.

    With ``temporary`` it gives temporary keys for them, and verifies what is signed with those, for ``region``.
    """

    issuers: Mapping[str, Issuer]
    claims: Claims
    clock: IReactorTime
    temporary: TemporaryKeys | None = None
    region: str = "us-east-1"
    _known: OrderedDict[bytes, tuple[float, Principal]] = field(factory=OrderedDict, init=False)

    async def authenticate(self, head: RequestHead) -> Principal:
        """See ``IAuthenticator``. Raises S3Error: InvalidToken, ExpiredToken, AccessDenied, ServiceUnavailable (no keys to verify with)."""
        token = bearer_token(head.headers)
        if token is not None and any(name in head.target.query for name in _IN_QUERY):
            raise S3Error("InvalidArgument", "Only one auth mechanism allowed", ArgumentName="Authorization")
        if token is None:
            credentials = find_credentials(head)
            if credentials is None:
                return Principal(ANONYMOUS, ANONYMOUS)
            check_not_expired(credentials, self.clock.seconds())
            token = credentials.session_token
            if token is None:
                raise S3Error("AccessDenied", "A token is needed: as Authorization: Bearer, or as the session token of the credentials.")
            if self.temporary is not None and self.temporary.is_one(token):
                secret, principal = self.temporary.read(token, credentials.access_key)
                signature = verify(head, credentials, secret, region=self.region, service="s3", now_seconds=self.clock.seconds())
                return evolve(principal, signature=signature).until(credentials.expires_at)
            return (await self.principal(token)).until(credentials.expires_at)
        return await self.principal(token)

    async def authenticate_form(self, form: SignedForm) -> Principal:
        """See ``IFormAuthenticator``: by a token, or temporary keys with theirs. Raises S3Error as those and ``verify_form``."""
        token = form.credentials.session_token
        if token is None:
            raise S3Error("AccessDenied", "A token is needed: as the field x-amz-security-token.")
        if self.temporary is None or not self.temporary.is_one(token):
            return await self.principal(token)
        secret, principal = self.temporary.read(token, form.credentials.access_key)
        verify_form(form, secret, region=self.region, now_seconds=self.clock.seconds())
        return principal

    async def exchange(self, token: str, seconds: int) -> TemporaryCredentials:
        """See ``ITokenExchange``."""
        if self.temporary is None:
            raise S3Error("NotImplemented")
        return self.temporary.issue(await self.principal(token), seconds)

    async def principal(self, token: str) -> Principal:
        """Whom ``token`` names. Raises S3Error as ``authenticate``."""
        mark = hashlib.sha256(token.encode()).digest()
        known = self._known.get(mark)
        now = self.clock.seconds()
        if known is not None and now < known[0]:
            return known[1]
        claims = await self._verified(token)
        principal = self._named(claims).until(float(claims["exp"]))
        self._known[mark] = (float(claims["exp"]) + LEEWAY_SECONDS, principal)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return principal

    async def _verified(self, token: str) -> Mapping[str, Any]:
        header, claims = _unverified(token)
        algorithm, kid = header.get("alg"), header.get("kid")
        key_type = _KEY_TYPES.get(algorithm) if isinstance(algorithm, str) else None
        issuer = self.issuers.get(claims.get("iss", "")) if isinstance(claims.get("iss"), str) else None
        if key_type is None or issuer is None or not isinstance(kid, str | None):
            raise S3Error("InvalidToken")
        keys = [key for key in await issuer.keys.keys(kid) if key.key_type == key_type]
        verified = _decode(token, keys, str(algorithm))
        registry = jwt.JWTClaimsRegistry(
            now=lambda: int(self.clock.seconds()),
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": issuer.name},
            aud={"essential": True, "value": issuer.audience},
            exp={"essential": True},
        )
        try:
            registry.validate(dict(verified))
        except ExpiredTokenError:
            raise S3Error("ExpiredToken") from None
        except (JoseError, TypeError, ValueError):
            raise S3Error("InvalidToken") from None
        return verified

    def _named(self, claims: Mapping[str, Any]) -> Principal:
        user = claims.get(self.claims.user)
        if not isinstance(user, str) or not user or not user.isprintable():
            raise S3Error("AccessDenied", f"The token has no claim {self.claims.user!r} that names a user.")
        return Principal(user, "oidc", _names(claims.get(self.claims.groups)), _names(claims.get(self.claims.roles)))


def _unverified(token: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Header and claims of a token of which nothing is proven. Raises S3Error InvalidToken."""
    pieces = token.split(".")
    if len(token) > MAX_TOKEN_BYTES or len(pieces) != 3 or not token.isascii():
        raise S3Error("InvalidToken")
    try:
        header, claims = (json.loads(urlsafe_b64decode(piece + "=" * (-len(piece) % 4))) for piece in pieces[:2])
    except (ValueError, RecursionError):
        raise S3Error("InvalidToken") from None
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise S3Error("InvalidToken")
    return header, claims


def _decode(token: str, keys: Sequence[Key], algorithm: str) -> Mapping[str, Any]:
    for key in keys:
        try:
            return jwt.decode(token, key, algorithms=[algorithm]).claims
        except (JoseError, ValueError, TypeError):
            continue
    raise S3Error("InvalidToken")


def _names(value: Any) -> frozenset[str]:
    """The names in a claim: a list, or a text with spaces or commas between."""
    if isinstance(value, str):
        value = value.replace(",", " ").split()
    return frozenset(one for one in value if isinstance(one, str)) if isinstance(value, list) else frozenset()


@implementer(IPluginFactory)
class OidcFactory:
    """Builds the authenticator.

    Options: ``issuers``, ``audiences`` and ``keys`` (a file, a URL, or nothing: what the issuer says), each a list with commas, all
    of one length; ``user_claim``, ``groups_claim``, ``roles_claim``; ``sts_secret``, the file of the secret
    behind temporary keys (none: there are no such keys), and ``region``, for which they sign.
    """

    def build(self, options: Mapping[str, str], reactor: object, threads: Threads) -> OidcAuthenticator:
        """See ``IPluginFactory``."""
        del threads
        clock = cast("IReactorTime", reactor)
        wall = wall_clock(clock)
        names, audiences, keys = ([one.strip() for one in options.get(name, "").split(",")] for name in ("issuers", "audiences", "keys"))
        if not all(names) or not all(audiences):
            raise ValueError("it needs alluxio.worker.s3.authentication.oidc.issuer and .audience")
        if len(audiences) != len(names) or (keys != [""] and len(keys) != len(names)):
            raise ValueError("it needs as many audiences, and as many jwks.uri or none, as there are issuers")
        client = HTTPClient(Agent(reactor, connectTimeout=5))
        sources = keys if len(keys) == len(names) else [""] * len(names)
        issuers = {
            name: Issuer(name, audience, _source(name, source, client, clock, options.get(f"kept:{source}")))
            for name, audience, source in zip(names, audiences, sources, strict=True)
        }
        claims = Claims(options.get("user_claim", "sub"), options.get("groups_claim", "groups"), options.get("roles_claim", "roles"))
        secret = options.get("sts_secret")
        temporary = TemporaryKeys(WatchedFile(secret, parse_secret, clock, options.get(f"kept:{secret}")), wall) if secret else None
        return OidcAuthenticator(issuers, claims, wall, temporary, options.get("region", "us-east-1"))


def _source(issuer: str, where: str, client: HTTPClient, clock: IReactorTime, kept: str | None) -> KeySource:
    if where and "://" not in where:
        return FileKeys(where, clock, kept)
    return FetchedKeys(issuer, where, client, clock)
