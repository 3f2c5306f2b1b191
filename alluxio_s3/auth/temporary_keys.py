"""Temporary keys: what STS gives for a token, so that SDKs that can only sign can use OIDC.

Nothing is kept: the session token says whose keys they are and until when, under a seal; the secret key is derived. Both
from a secret that the processes and workers share.
"""

from __future__ import annotations

import hmac
import json
import secrets
from base64 import b32encode, urlsafe_b64decode, urlsafe_b64encode

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from alluxio_s3.auth.principals import Principal
from alluxio_s3.auth.watched_file import WatchedFile
from alluxio_s3.interfaces import TemporaryCredentials
from alluxio_s3.s3.errors import S3Error

MIN_SECRET_CHARACTERS = 32
# A session token begins with this, and no JSON Web Token does: theirs begin with "ey".
_MARK = "AS1."


@frozen
class TemporaryKeys:
    """Issues them and knows them again."""

    secret: WatchedFile[bytes]
    clock: IReactorTime

    def issue(self, principal: Principal, seconds: int) -> TemporaryCredentials:
        """Keys that are ``principal``'s for so long."""
        access_key = "ASIA" + b32encode(secrets.token_bytes(10)).decode()
        expires_at = int(self.clock.seconds()) + seconds
        said = [access_key, expires_at, principal.name, principal.how, sorted(principal.groups), sorted(principal.roles)]
        payload = urlsafe_b64encode(json.dumps(said, separators=(",", ":")).encode()).decode()
        token = f"{_MARK}{payload}.{self._seal(payload)}"
        return TemporaryCredentials(access_key, self._secret_key(access_key), token, expires_at, principal.name)

    def is_one(self, token: str) -> bool:
        """Whether ``token`` looks like a session token that was issued here."""
        return token.startswith(_MARK)

    def read(self, token: str, access_key: str) -> tuple[str, Principal]:
        """The secret key and the principal of ``token``, which came beside ``access_key``. Raises S3Error InvalidToken, ExpiredToken."""
        payload, _, seal = token.removeprefix(_MARK).partition(".")
        if not self.is_one(token) or not hmac.compare_digest(self._seal(payload).encode(), seal.encode()):
            raise S3Error("InvalidToken")
        issued_to, expires_at, name, how, groups, roles = json.loads(urlsafe_b64decode(payload))
        if issued_to != access_key:
            raise S3Error("InvalidToken")
        if self.clock.seconds() >= expires_at:
            raise S3Error("ExpiredToken")
        return self._secret_key(access_key), Principal(name, how, frozenset(groups), frozenset(roles), expires_at=expires_at)

    def _seal(self, payload: str) -> str:
        return hmac.digest(self.secret.value, b"session\0" + payload.encode(), "sha256").hex()

    def _secret_key(self, access_key: str) -> str:
        digest = hmac.digest(self.secret.value, b"secret\0" + access_key.encode(), "sha256")
        return urlsafe_b64encode(digest).decode().rstrip("=")


def parse_secret(text: str) -> bytes:
    """The shared secret of a file. Raises ValueError."""
    secret = text.strip().encode()
    if len(secret) < MIN_SECRET_CHARACTERS:
        raise ValueError(f"a secret of at least {MIN_SECRET_CHARACTERS} characters is needed, such as `openssl rand -hex 32` makes")
    return secret
