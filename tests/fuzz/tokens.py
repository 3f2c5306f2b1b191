"""Tokens for a target: some that are signed well, whatever they claim."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from joserfc import jws
from joserfc.jwk import Key, OKPKey
from twisted.internet.task import Clock

from alluxio_s3.auth.oidc import Claims, Issuer, OidcAuthenticator

_KEY = OKPKey.generate_key("Ed25519", {"kid": "k"})


class _Keys:
    async def keys(self, kid: str | None) -> list[Key]:
        del kid
        return [_KEY]


_CLOCK = Clock()
_CLOCK.advance(1_767_268_800.0)
_OIDC = OidcAuthenticator({"https://issuer": Issuer("https://issuer", "s3", _Keys())}, Claims(), _CLOCK)


def signed(claims: bytes) -> bytes:
    """A token of those bytes."""
    return jws.serialize_compact({"alg": "EdDSA", "kid": "k"}, claims, _KEY, algorithms=["EdDSA"]).encode()


def token(claims: Mapping[str, Any]) -> bytes:
    """A token of those claims."""
    return signed(json.dumps(claims).encode())


def judge_token(data: bytes) -> None:
    """*data* as a token. Raises S3Error."""
    _run(data.decode("latin-1"))


def judge_claims(data: bytes) -> None:
    """*data* as what a well-signed token claims. Raises S3Error."""
    _run(signed(data).decode())


def _run(text: str) -> None:
    try:
        _OIDC.principal(text).send(None)  # nothing in it waits
    except StopIteration as done:
        assert done.value.name.isprintable()
