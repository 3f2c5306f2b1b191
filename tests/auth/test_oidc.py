"""OIDC: right tokens name their user, forged ones nobody, and keys come and go while the daemon runs."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey
from twisted.internet import reactor
from twisted.internet.defer import maybeDeferred
from twisted.internet.task import Clock

from alluxio_s3.auth.key_sets import check_uri, parse_key_set
from alluxio_s3.auth.oidc import OidcAuthenticator, OidcFactory
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.request import Headers, RequestHead
from alluxio_s3.s3.target import parse_target
from alluxio_s3.threads import Threads
from tests.auth.issuers import AUDIENCE, LocalIssuer
from tests.auth.signing import signed


@pytest_twisted.async_yield_fixture
async def issuer() -> AsyncIterator[LocalIssuer]:
    """An issuer that listens."""
    one = LocalIssuer()
    yield one
    await maybeDeferred(one.port.stopListening)


def built(**options: str) -> OidcAuthenticator:
    return OidcFactory().build(options, reactor, Threads(reactor, 1, "none"))  # type: ignore[arg-type]  # runs nothing


@pytest.fixture
def authenticator(issuer: LocalIssuer) -> OidcAuthenticator:
    """One that trusts that issuer, and finds its keys by discovery."""
    return built(issuers=issuer.name, audiences=AUDIENCE)


def bearing(token: str) -> RequestHead:
    return RequestHead("GET", parse_target(b"/b/k"), Headers({"host": "h", "authorization": f"Bearer {token}"}), b"/b/k")


async def refusal(authenticator: OidcAuthenticator, token: str) -> str:
    with pytest.raises(S3Error) as caught:
        await authenticator.authenticate(bearing(token))
    assert token not in str(caught.value)
    return caught.value.code


@pytest_twisted.ensureDeferred
async def test_right_tokens(authenticator: OidcAuthenticator, issuer: LocalIssuer) -> None:
    """A right token names user and groups, as a bearer and as the session token that SDKs send, in headers and presigned URLs."""
    for head in (
        bearing(issuer.token()),
        signed("any", "any", token=issuer.token()),
        signed("any", "any", how="presigned", token=issuer.token()),
    ):
        principal = await authenticator.authenticate(head)
        assert (principal.name, principal.how, principal.groups) == ("alice", "oidc", {"analysts"})
    nobody = await authenticator.authenticate(RequestHead("GET", parse_target(b"/b/k"), Headers({"host": "h"}), b"/b/k"))
    assert nobody.how == "anonymous"
    with pytest.raises(S3Error, match="A token is needed"):
        await authenticator.authenticate(signed("alice", "any"))
    assert issuer.key_set.asked == 1


@pytest_twisted.ensureDeferred
async def test_who_is_known_for_a_time_only(authenticator: OidcAuthenticator, issuer: LocalIssuer) -> None:
    """Who comes by a token is known till that expires, and by a presigned URL no longer than that is good."""
    claims = issuer.claims()
    principal = await authenticator.authenticate(bearing(issuer.token(exp=claims["exp"] + 5)))
    assert principal.expires_at == claims["exp"] + 5
    head = signed("any", "any", how="presigned", token=issuer.token(exp=claims["exp"] + 10**6))
    assert (await authenticator.authenticate(head)).expires_at < claims["exp"] + 10**6


def forged(issuer: LocalIssuer) -> dict[str, str]:
    """Tokens that must not be taken, by what is wrong with them."""
    now = int(time.time())
    right = issuer.token()
    header, claims, signature = right.split(".")
    public = issuer.keys[0].as_pem(private=False)
    loaded = load_pem_private_key(issuer.keys[0].as_pem(private=True), None)
    assert isinstance(loaded, RSAPrivateKey)

    def private(text: bytes) -> bytes:
        return loaded.sign(text, PKCS1v15(), SHA256())

    other = RSAKey.generate_key(2048, {"kid": "one"}, private=True)
    unsigned = base64.urlsafe_b64encode(json.dumps({"alg": "none"}).encode()).rstrip(b"=").decode()
    symmetric = _signed({"alg": "HS256", "kid": "one"}, issuer, lambda text: hmac.digest(public, text, "sha256"))
    inside = issuer.token(header={"jwk": other.as_dict(private=False), "kid": None}, key=other)
    return {
        "no signature": f"{unsigned}.{claims}.",
        "the header of another": f"{unsigned}.{claims}.{signature}",
        "signed with the public key as a secret": symmetric,
        "another key of the same name": issuer.token(key=other),
        "its own key in its header": inside,
        "an unknown key": issuer.token(header={"kid": "two"}),
        "a name that is none": issuer.token(header={"kid": None}) + "x",
        "another issuer": issuer.token(iss="https://elsewhere.example"),
        "no issuer": issuer.token(iss=None),
        "another audience": issuer.token(aud="other"),
        "no audience": issuer.token(aud=None),
        "no expiry": issuer.token(exp=None),
        "an expiry that is no number": issuer.token(exp="tomorrow"),
        "not yet": issuer.token(nbf=now + 3600),
        "a critical header": _signed({"alg": "RS256", "kid": "one", "crit": ["x"], "x": 1}, issuer, private),
        "huge": issuer.token(more="x" * 20_000),
        "rubbish": "a.b.c",
        "two pieces": f"{header}.{claims}",
        "deep": base64.urlsafe_b64encode(b"[" * 12_000).decode() + f".{claims}.{signature}",
    }


def _signed(header: dict[str, Any], issuer: LocalIssuer, sign: Callable[[bytes], bytes]) -> str:
    """A token as no library would make it."""
    text = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, issuer.claims()))
    return f"{text}.{base64.urlsafe_b64encode(sign(text.encode())).rstrip(b'=').decode()}"


@pytest_twisted.ensureDeferred
async def test_forged_tokens(authenticator: OidcAuthenticator, issuer: LocalIssuer) -> None:
    """No forged token is taken, however it was forged; an expired one is called that."""
    for what, token in forged(issuer).items():
        assert await refusal(authenticator, token) == "InvalidToken", what
    assert await refusal(authenticator, issuer.token(exp=int(time.time()) - 61)) == "ExpiredToken"
    assert await refusal(authenticator, issuer.token(sub=None)) == "AccessDenied"
    assert (await authenticator.authenticate(bearing(issuer.token()))).name == "alice"


@pytest_twisted.ensureDeferred
async def test_rotation(issuer: LocalIssuer) -> None:
    """A new key is found seconds after the last one, when a token names it; forgeries make us ask no more than once a minute."""
    clock = Clock()
    clock.advance(time.time())
    authenticator = built(issuers=issuer.name, audiences=AUDIENCE)
    source = authenticator.issuers[issuer.name].keys
    source._clock = authenticator.clock = clock  # type: ignore[attr-defined]
    old = issuer.token()
    await authenticator.authenticate(bearing(old))
    issuer.keys = [ECKey.generate_key("P-256", {"kid": "two"}, private=True)]
    assert await refusal(authenticator, issuer.token(header={"alg": "ES256"})) == "InvalidToken"
    clock.advance(6)
    assert (await authenticator.authenticate(bearing(issuer.token(header={"alg": "ES256"})))).name == "alice"
    assert issuer.key_set.asked == 2
    for _ in range(9):
        clock.advance(6)
        assert await refusal(authenticator, issuer.token(header={"alg": "ES256", "kid": "forged"})) == "InvalidToken"
    assert issuer.key_set.asked == 3


@pytest_twisted.ensureDeferred
async def test_issuer_down(authenticator: OidcAuthenticator, issuer: LocalIssuer) -> None:
    """While the issuer is down, tokens of known keys are taken; of others it is said that nobody can tell."""
    await authenticator.authenticate(bearing(issuer.token()))
    await issuer.port.stopListening()
    assert (await authenticator.authenticate(bearing(issuer.token(sub="bob")))).name == "bob"
    fresh = built(issuers=issuer.name, audiences=AUDIENCE)
    assert await refusal(fresh, issuer.token()) == "ServiceUnavailable"


@pytest_twisted.ensureDeferred
async def test_impostors(issuer: LocalIssuer) -> None:
    """A discovery document of another issuer, and an answer that is an error, give no keys."""
    issuer.discovery.make = lambda: {"issuer": "https://other.example", "jwks_uri": issuer.name + "/keys"}
    assert await refusal(built(issuers=issuer.name, audiences=AUDIENCE), issuer.token()) == "ServiceUnavailable"
    issuer.key_set.code = 302
    assert await refusal(built(issuers=issuer.name, audiences=AUDIENCE, keys=issuer.name + "/keys"), issuer.token()) == "ServiceUnavailable"


@pytest_twisted.ensureDeferred
async def test_keys_in_a_file(issuer: LocalIssuer, tmp_path: Path) -> None:
    """Keys may be in a file, and claims may have other names."""
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(KeySet(issuer.keys).as_dict(private=False)))
    authenticator = built(issuers=issuer.name, audiences=AUDIENCE, keys=str(path), user_claim="email", roles_claim="r")
    principal = await authenticator.authenticate(bearing(issuer.token(email="a@b.example", r="admin writer")))
    assert (principal.name, principal.roles) == ("a@b.example", {"admin", "writer"})


@pytest.mark.parametrize("uri", ["http://keys.example/jwks", "file:///etc/passwd", "ftp://x", "https://", "http://127.0.0.1.example/"])
def test_addresses(uri: str) -> None:
    """Keys are fetched by https; by http only from this machine."""
    with pytest.raises(ValueError, match="https"):
        check_uri(uri)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"keys": 1}', '{"keys": null}'])
def test_wrong_key_sets(text: str) -> None:
    """What is no key set is called that."""
    with pytest.raises(ValueError, match="Key Set"):
        parse_key_set(text)


def test_odd_keys() -> None:
    """Secrets, keys for encryption, and what is no key are left out of a key set."""
    odd: list[Any] = [OctKey.generate_key(256).as_dict(), {"kty": "RSA"}, 1, {"kty": "RSA", "use": "enc"}, {"kty": "new"}]
    assert parse_key_set(json.dumps({"keys": odd})) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "oidc.issuer"),
        ({"issuers": "https://a", "audiences": "x,y"}, "as many"),
        ({"issuers": "https://a,https://b", "audiences": "x,y", "keys": "k"}, "as many"),
        ({"issuers": "http://a.example", "audiences": "x"}, "https"),
    ],
)
def test_wrong_options(options: dict[str, str], said: str) -> None:
    """Options that can't work are told of."""
    with pytest.raises(ValueError, match=said):
        built(**options)
