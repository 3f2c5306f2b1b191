"""The keys that an issuer signs its tokens with: from a file, a URL, or what the issuer says of itself (OpenID Connect Discovery 1.0)."""

from __future__ import annotations

import json
from typing import Any, Protocol
from urllib.parse import urlsplit

from joserfc.errors import JoseError
from joserfc.jwk import Key, KeySet
from treq import collect
from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from alluxio_s3.auth.watched_file import WatchedFile
from alluxio_s3.s3.errors import S3Error

# A token that names a key that is not known makes us ask for the keys again, but not more often than this; sooner if the last answer
# had the key that was asked for, or none came.
ASK_AGAIN_SECONDS = 60.0
SOON_SECONDS = 5.0
# Keys that an issuer has withdrawn are forgotten by then.
MAX_AGE_SECONDS = 3600.0
TIMEOUT_SECONDS = 5.0
MAX_BYTES = 1 << 20
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class KeySource(Protocol):
    """Where an issuer's keys come from."""

    async def keys(self, kid: str | None) -> list[Key]:
        """The keys that may have signed a token whose header names ``kid``, or none. Raises ``S3Error`` ServiceUnavailable."""


def check_uri(uri: str) -> None:
    """Refuse an address from which keys could be forged on the way. Raises ValueError."""
    parts = urlsplit(uri)
    if not (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)) or not parts.hostname:
        raise ValueError(f"{uri}: keys are fetched by https (by http only from this machine)")


def parse_key_set(text: str) -> list[Key]:
    """The keys in a JSON Web Key Set (RFC 7517), less those of a kind that no token may be signed with. Raises ValueError."""
    try:
        given = list(json.loads(text)["keys"])
    except (ValueError, KeyError, TypeError):
        raise ValueError("it is no JSON Web Key Set") from None
    found: list[Key] = []
    for one in given:
        if isinstance(one, dict) and one.get("kty") in ("RSA", "EC", "OKP") and one.get("use", "sig") == "sig":
            try:
                found += KeySet.import_key_set({"keys": [one]}).keys
            except (JoseError, ValueError, TypeError, KeyError):
                continue
    return found


class FileKeys:
    """Keys in a file, which is read again when it changes."""

    def __init__(self, path: str, clock: IReactorTime, kept: str | None = None) -> None:
        self._file = WatchedFile(path, parse_key_set, clock, kept)

    async def keys(self, kid: str | None) -> list[Key]:
        """See ``KeySource``."""
        return _named(self._file.value, kid)


class FetchedKeys:
    """Keys behind a URL, or behind the one that ``issuer`` names when ``uri`` is empty. Fetched when they are first needed.

    When they can't be fetched, those that are known go on. Raises ValueError for an address that is not safe.
    """

    _log = Logger()

    def __init__(self, issuer: str, uri: str, client: HTTPClient, clock: IReactorTime) -> None:
        check_uri(uri or issuer)
        self._issuer = issuer
        self._uri = uri
        self._client = client
        self._clock = clock
        self._keys: list[Key] = []
        self._fetched_at: float | None = None
        self._asked_at: float | None = None
        self._failed = False
        self._fruitful = False
        self._waiting: list[Deferred[None]] | None = None

    async def keys(self, kid: str | None) -> list[Key]:
        """See ``KeySource``."""
        found = _named(self._keys, kid)
        if not found or self._is_old():
            asked = await self._fetch()
            found = _named(self._keys, kid)
            if asked:
                self._fruitful = bool(found)
        if not found and self._failed:
            raise S3Error("ServiceUnavailable", "The keys of the token's issuer can't be fetched just now.")
        return found

    def _is_old(self) -> bool:
        return self._fetched_at is None or self._clock.seconds() - self._fetched_at > MAX_AGE_SECONDS

    async def _fetch(self) -> bool:
        """Ask for the keys, unless that was done lately (False); whoever comes meanwhile waits for the same answer."""
        if self._waiting is None:
            now = self._clock.seconds()
            pause = SOON_SECONDS if self._failed or self._fruitful else ASK_AGAIN_SECONDS
            if self._asked_at is not None and 0 <= now - self._asked_at < pause:
                return False
            self._asked_at = now
            self._waiting = []
            # On its own: who asked first may leave before the answer comes.
            _ = Deferred.fromCoroutine(self._load())
        if self._waiting is not None:
            waiting: Deferred[None] = Deferred()
            self._waiting.append(waiting)
            await waiting
        return True

    async def _load(self) -> None:
        try:
            self._keys = parse_key_set(await self._get(self._uri or await self._discovered()))
            self._fetched_at = self._clock.seconds()
            self._failed = False
        except Exception as problem:  # noqa: BLE001  # whatever a network and a foreign server can do
            self._failed = True
            self._log.error("The keys of {issuer} can't be fetched: {problem!r}", issuer=self._issuer, problem=problem)
        waiters, self._waiting = self._waiting or [], None
        for one in waiters:
            if not one.called:
                one.callback(None)

    async def _discovered(self) -> str:
        document: Any = json.loads(await self._get(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"))
        if document.get("issuer") != self._issuer:
            raise ValueError("the discovery document is another issuer's")
        uri = str(document["jwks_uri"])
        check_uri(uri)
        return uri

    async def _get(self, uri: str) -> str:
        response = await self._client.get(uri, allow_redirects=False, timeout=TIMEOUT_SECONDS, unbuffered=True)
        if response.code != 200:
            raise ValueError(f"{uri} answers {response.code}")
        pieces: list[bytes] = []
        size = 0

        def collected(piece: bytes) -> None:
            nonlocal size
            size += len(piece)
            if size <= MAX_BYTES:
                pieces.append(piece)

        await collect(response, collected).addTimeout(TIMEOUT_SECONDS, self._clock)
        if size > MAX_BYTES:
            raise ValueError(f"{uri} answers with too much")
        return b"".join(pieces).decode()


def _named(keys: list[Key], kid: str | None) -> list[Key]:
    """Those that a token naming ``kid`` may be signed with. A key without a name may be any (some issuers name only their tokens' keys)."""
    return [key for key in keys if kid is None or key.kid in (kid, None)]
