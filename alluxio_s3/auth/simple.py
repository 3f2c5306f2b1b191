"""SIMPLE identity: the user is who the request says it is.

Alluxio's documented default. It identifies and does not authenticate: the access key of a header or
presigned URL, in the form of signature version 4 or 2, is taken as the user's name and the signature is
not checked; a request without any is the daemon's own user.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import cast

from attrs import frozen
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from alluxio_s3.auth.principals import ANONYMOUS, Principal
from alluxio_s3.clocks import wall_clock
from alluxio_s3.interfaces import IAuthenticator, IFormAuthenticator, IPluginFactory, IPrincipal, IQuickAuthenticator
from alluxio_s3.s3.credentials import check_not_expired, find_credentials
from alluxio_s3.s3.form_credentials import SignedForm
from alluxio_s3.s3.request import RequestHead
from alluxio_s3.threads import Threads

# What SDKs send. ``find_credentials`` takes more; what this does not match is left to it.
_SDK = re.compile(
    rb"AWS4-HMAC-SHA256 Credential=([A-Za-z0-9_.@+-]{1,256})/\d{8}/[a-z0-9-]+/s3/aws4_request,"
    rb" ?SignedHeaders=[a-z0-9;-]+, ?Signature=[0-9a-f]{64}"
)


@lru_cache(maxsize=1024)
def _named(access_key: bytes) -> Principal:
    """Who says so."""
    return Principal(access_key.decode(), "simple")


@implementer(IAuthenticator, IFormAuthenticator, IQuickAuthenticator)
@frozen
class SimpleAuthenticator:
    """Takes the access key as the user. ``clock`` tells wall time, for presigned URLs that have expired."""

    user: str
    clock: IReactorTime

    def identify(self, authorization: bytes | None, method: str, raw_target: bytes, headers: Mapping[bytes, bytes]) -> IPrincipal | None:
        """See ``IQuickAuthenticator``."""
        del method, raw_target, headers
        if authorization is None:
            return Principal(self.user, ANONYMOUS)
        match = _SDK.fullmatch(authorization)
        return None if match is None else _named(match[1])

    async def authenticate(self, head: RequestHead) -> IPrincipal:
        """The user that ``head`` names, or the daemon's own. Raises S3Error for malformed or expired credentials."""
        credentials = find_credentials(head)
        if credentials is None:
            return Principal(self.user, ANONYMOUS)
        check_not_expired(credentials, self.clock.seconds())
        return Principal(credentials.access_key, "simple")

    async def authenticate_form(self, form: SignedForm) -> IPrincipal:
        """See ``IFormAuthenticator``: the user that the form names."""
        return Principal(form.credentials.access_key, "simple")


@implementer(IPluginFactory)
class SimpleFactory:
    """Builds the authenticator. Option ``user``: the name of whoever sends no credentials."""

    def build(self, options: Mapping[str, str], reactor: object, threads: Threads) -> SimpleAuthenticator:
        """See ``IPluginFactory``."""
        del threads
        return SimpleAuthenticator(options["user"], wall_clock(cast("IReactorTime", reactor)))
