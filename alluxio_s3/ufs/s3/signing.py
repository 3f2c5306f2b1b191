"""Credentials and signatures of AWS: botocore finds the one and makes the other.

botocore's chain may read files and ask services over the network, so it runs in a thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import define, field
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials, ReadOnlyCredentials
from botocore.exceptions import BotoCoreError
from botocore.session import Session
from twisted.internet.defer import DeferredLock
from twisted.internet.interfaces import IReactorTime

from alluxio_s3.storage import PermissionRefused, Unavailable
from alluxio_s3.threads import Threads
from alluxio_s3.ufs.s3.options import Options

# What botocore refreshes it refreshes well before it expires; so often it is asked.
_FRESH_SECONDS = 60.0
EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
UNSIGNED = "UNSIGNED-PAYLOAD"


@define
class Keyring:
    """The credentials to sign with: those given, or what botocore's chain finds, kept fresh."""

    _options: Options
    _threads: Threads
    _clock: IReactorTime
    _region: str | None = field(default=None, init=False)
    _chain: Any = field(default=None, init=False)
    _current: Any = field(default=None, init=False)
    _until: float = field(default=0.0, init=False)
    _turn: DeferredLock = field(factory=DeferredLock, init=False)

    async def signer(self) -> Signer:
        """What signs with the credentials of now. Raises PermissionRefused if there are none, Unavailable if they can't be fetched."""
        if self._current is None or self._clock.seconds() >= self._until:
            await self._refresh()
        return Signer(self._current, self._options.region or self._region or "us-east-1")

    async def _refresh(self) -> None:
        await self._turn.acquire()
        try:
            if self._current is None or self._clock.seconds() >= self._until:
                self._current = await self._threads.run(self._find)
                self._until = self._clock.seconds() + _FRESH_SECONDS
        finally:
            self._turn.release()

    def _find(self) -> object:
        """In a thread: botocore's word for who we are at this moment."""
        try:
            if self._chain is None:
                if self._options.keys is not None:
                    self._chain = Credentials(*self._options.keys)
                else:
                    session = Session()
                    self._region = session.get_config_variable("region")
                    self._chain = session.get_credentials()
            if self._chain is None:
                raise PermissionRefused(message="There are no credentials for the S3 under-store: set s3a.accessKeyId and s3a.secretKey.")
            found: ReadOnlyCredentials = self._chain.get_frozen_credentials()
        except (BotoCoreError, OSError, RuntimeError) as error:
            raise Unavailable(message=f"The credentials for the S3 under-store cannot be fetched: {type(error).__name__}") from None
        return found


@define
class Signer:
    """Signs requests (SigV4) for one region."""

    _credentials: object
    _region: str

    def sign(self, method: str, url: str, headers: Mapping[str, str], payload: str) -> dict[str, str]:
        """``headers`` and those that sign the request. ``payload`` is the SHA-256 of its body in hex, or UNSIGNED-PAYLOAD."""
        request = AWSRequest(method=method, url=url, headers=dict(headers))
        _Auth(self._credentials, self._region, payload).add_auth(request)
        return dict(request.headers.items())


class _Auth(S3SigV4Auth):  # type: ignore[misc]  # botocore has no types
    """Signs with a digest of the payload that is known already: bodies are files, and on their way for long."""

    def __init__(self, credentials: object, region: str, payload: str) -> None:
        super().__init__(credentials, "s3", region)
        self._payload = payload

    def payload(self, request: object) -> str:  # noqa: ARG002 it is known
        return self._payload
