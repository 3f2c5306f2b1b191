"""SIGV4: the user is whose secret key signed the request."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import cast

from attrs import frozen
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from alluxio_s3.auth.access_keys import AccessKey, parse_access_keys
from alluxio_s3.auth.principals import ANONYMOUS, Principal
from alluxio_s3.auth.shared_keys import IN_ETCD, Keys, SharedKeys
from alluxio_s3.auth.watched_file import WatchedFile
from alluxio_s3.clocks import wall_clock
from alluxio_s3.interfaces import IAuthenticator, IFormAuthenticator, IKeyed, IPluginFactory, IQuickAuthenticator, ISharedTexts
from alluxio_s3.s3.credentials import V2_QUERY, bearer_token, check_not_expired, find_credentials
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.form_credentials import V2_FORM, SignedForm, verify_form, verify_form_v2
from alluxio_s3.s3.plain_signatures import is_right, parse_authorization
from alluxio_s3.s3.request import RequestHead
from alluxio_s3.s3.sigv2 import verify_presigned
from alluxio_s3.s3.sigv4 import verify
from alluxio_s3.threads import Threads


@lru_cache(maxsize=1024)
def _verified(key: AccessKey) -> Principal:
    """Whose ``key`` it is."""
    return Principal(key.user, "sigv4", key.groups, key.roles)


@implementer(IAuthenticator, IFormAuthenticator, IKeyed, IQuickAuthenticator)
@frozen
class SigV4Authenticator:
    """Verifies signatures with the secrets of ``keys``.

    A request without credentials is nobody's: whether it may do anything is for the policy to say. ``version_2`` takes presigned URLs of
    version 2, too.
    """

    keys: Keys
    region: str
    clock: IReactorTime
    version_2: bool = False

    def follow(self, texts: ISharedTexts) -> None:
        """See ``IKeyed``."""
        if isinstance(self.keys, SharedKeys):
            self.keys.source = texts

    def identify(self, authorization: bytes | None, method: str, raw_target: bytes, headers: Mapping[bytes, bytes]) -> Principal | None:
        """See ``IQuickAuthenticator``."""
        if authorization is None:
            return Principal(ANONYMOUS, ANONYMOUS)
        plain = parse_authorization(authorization)
        try:
            key = None if plain is None else self.keys.value.get(plain.access_key)
        except S3Error:
            return None
        if plain is None or key is None:
            return None
        now = self.clock.seconds()
        if not is_right(plain, method, raw_target, headers, key.secret, region=self.region, now_seconds=now):
            return None
        return _verified(key)

    async def authenticate(self, head: RequestHead) -> Principal:
        """See ``IAuthenticator``. Raises S3Error as ``find_credentials`` and ``sigv4.verify`` do, InvalidAccessKeyId, InvalidToken."""
        if bearer_token(head.headers) is not None:
            raise S3Error("InvalidArgument", "Unsupported Authorization Type", ArgumentName="Authorization")
        credentials = find_credentials(head)
        if credentials is None:
            return Principal(ANONYMOUS, ANONYMOUS)
        if credentials.session_token is not None:
            raise S3Error("InvalidToken")
        key = self.keys.value.get(credentials.access_key)
        if key is None:
            raise S3Error("InvalidAccessKeyId", AWSAccessKeyId=credentials.access_key)
        now = self.clock.seconds()
        if credentials.form == V2_QUERY and self.version_2:
            check_not_expired(credentials, now)
            verify_presigned(head, credentials, key.secret)
            return Principal(key.user, "sigv2", key.groups, key.roles, expires_at=credentials.expires_at)
        signature = verify(head, credentials, key.secret, region=self.region, service="s3", now_seconds=now)
        return Principal(key.user, "sigv4", key.groups, key.roles, signature, credentials.expires_at)

    async def authenticate_form(self, form: SignedForm) -> Principal:
        """See ``IFormAuthenticator``. Raises S3Error as ``verify_form`` does, InvalidAccessKeyId, InvalidToken."""
        credentials = form.credentials
        if credentials.session_token is not None:
            raise S3Error("InvalidToken")
        key = self.keys.value.get(credentials.access_key)
        if key is None:
            raise S3Error("InvalidAccessKeyId", AWSAccessKeyId=credentials.access_key)
        if credentials.form == V2_FORM and self.version_2:
            verify_form_v2(form, key.secret)
            return Principal(key.user, "sigv2", key.groups, key.roles)
        verify_form(form, key.secret, region=self.region, now_seconds=self.clock.seconds())
        return Principal(key.user, "sigv4", key.groups, key.roles)


@implementer(IPluginFactory)
class SigV4Factory:
    """Builds the authenticator.

    Options: ``keys``, the file of access keys; ``region``, the one that clients sign for; ``sigv2``, whether presigned URLs of version
    2 are taken (``true``).
    """

    def build(self, options: Mapping[str, str], reactor: object, threads: Threads) -> SigV4Authenticator:
        """See ``IPluginFactory``."""
        del threads
        if not options.get("keys"):
            raise ValueError("it needs a file of access keys: set alluxio.worker.s3.authentication.keys.file")
        clock = cast("IReactorTime", reactor)
        keys: Keys = SharedKeys()
        if options["keys"] != IN_ETCD:
            keys = WatchedFile(options["keys"], parse_access_keys, clock, options.get(f"kept:{options['keys']}"))
        return SigV4Authenticator(keys, options.get("region", "us-east-1"), wall_clock(clock), options.get("sigv2") == "true")
