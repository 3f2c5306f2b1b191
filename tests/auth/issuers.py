"""An issuer of tokens on this machine: its keys, its discovery document, and what it signs."""

from __future__ import annotations

import json
import time
from typing import Any

from joserfc import jwt
from joserfc.jwk import Key, KeySet, RSAKey
from twisted.internet import reactor
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

AUDIENCE = "alluxio-s3"


class Document(Resource):
    """Answers with what ``make`` gives, and counts how often it was asked."""

    isLeaf = True  # noqa: N815  # Twisted's name

    def __init__(self, make: Any) -> None:
        super().__init__()
        self.make = make
        self.asked = 0
        self.code = 200

    def render_GET(self, request: Request) -> bytes:
        """Twisted's name."""
        self.asked += 1
        request.setResponseCode(self.code)
        return json.dumps(self.make()).encode()


class LocalIssuer:
    """Listens on a free port of this machine. ``keys`` are those that it publishes; the last one signs."""

    def __init__(self) -> None:
        self.keys: list[Key] = [RSAKey.generate_key(2048, {"kid": "one"}, private=True)]
        self.key_set = Document(lambda: KeySet(self.keys).as_dict(private=False))
        self.discovery = Document(lambda: {"issuer": self.name, "jwks_uri": self.name + "/keys"})
        root, known = Resource(), Resource()
        root.putChild(b"keys", self.key_set)
        root.putChild(b".well-known", known)
        known.putChild(b"openid-configuration", self.discovery)
        self.port = reactor.listenTCP(0, Site(root), interface="127.0.0.1")  # type: ignore[attr-defined]
        self.name = f"http://127.0.0.1:{self.port.getHost().port}"

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Good claims; a change to None leaves one out."""
        now = int(time.time())
        claims = {"iss": self.name, "aud": AUDIENCE, "sub": "alice", "iat": now, "exp": now + 600, "groups": ["analysts"], **changes}
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, key: Key | None = None, header: dict[str, Any] | None = None, **changes: Any) -> str:
        """A token, signed with ``key`` or the newest one."""
        key = key or self.keys[-1]
        head = {"alg": "RS256", "kid": key.kid, **(header or {})}
        return jwt.encode({name: value for name, value in head.items() if value is not None}, self.claims(**changes), key)
