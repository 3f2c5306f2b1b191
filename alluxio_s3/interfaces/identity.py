"""Who is asking, and what they may do. See the package for the rules that hold for all."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen
from zope.interface import Attribute, Interface

from alluxio_s3.s3.form_credentials import SignedForm
from alluxio_s3.s3.request import RequestHead
from alluxio_s3.s3.sigv4 import Signature


class IPrincipal(Interface):
    """Who is asking."""

    name: str = Attribute("The user's name: the owner of what it makes. Never empty.")
    how: str = Attribute("How it came to be known, for logs: an authenticator's word, such as ``simple`` or ``anonymous``.")


class IMember(Interface):
    """A principal that belongs to groups or has roles."""

    groups: frozenset[str] = Attribute("The names of its groups.")
    roles: frozenset[str] = Attribute("The names of its roles.")


class IExpiring(Interface):
    """A principal that is known by something that may be good for a time only."""

    expires_at: float | None = Attribute("Until when, in seconds since the epoch; None: there is no such time.")


class ISigner(Interface):
    """A principal whose request was signed."""

    signature: Signature | None = Attribute("The signature, verified; the chunks of the body are verified with it. None: they are not.")


class IAuthorizer(Interface):
    """Says who may do what."""

    async def authorize(principal: IPrincipal, action: str, bucket: str, key: str) -> None:
        """Return if ``principal`` may do ``action`` (``s3:GetObject``). Raises S3Error: AccessDenied, ServiceUnavailable if none can tell.

        ``bucket`` and ``key`` are what it is done to, as parsed; empty for the service and for a whole bucket. A listing's
        ``key`` is its prefix.
        """


class IExplainer(Interface):
    """An authorizer that can say what it goes by, for operators."""

    def explain(user: str, groups: frozenset[str], roles: frozenset[str], action: str, resource: str) -> tuple[bool, str]:
        """Whether that user may do ``action`` on ``resource`` (a bucket, or a bucket and key with a slash), and by which rule."""


class IQuickAuthorizer(Interface):
    """An authorizer that can tell without waiting for anything."""

    def allows(principal: IPrincipal, action: str, bucket: str, key: str) -> bool:
        """Whether ``authorize`` would return."""


@frozen
class TemporaryCredentials:
    """Keys of ``user`` until ``expires_at`` (seconds since the epoch), good only together with their session token."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expires_at: int
    user: str


class ITokenExchange(Interface):
    """An authenticator that gives temporary keys for a token."""

    async def exchange(token: str, seconds: int) -> TemporaryCredentials:
        """Keys of whom ``token`` names, for so long. Raises S3Error: InvalidToken, ExpiredToken, AccessDenied, ServiceUnavailable."""


class IAuthenticator(Interface):
    """Finds out who is asking."""

    async def authenticate(head: RequestHead) -> IPrincipal:
        """Who sent ``head``. Raises S3Error; never returns anything for a request that is to be refused."""


class IFormAuthenticator(Interface):
    """An authenticator that can tell who sent a form to a bucket, whose credentials are among its fields."""

    async def authenticate_form(form: SignedForm) -> IPrincipal:
        """Who signed the policy of ``form``. Raises S3Error. What the policy allows, and until when, is another question."""


class ISharedTexts(Interface):
    """Texts that all workers of a cluster have from one place, such as files of keys."""

    version: int = Attribute("A number that is another when the texts may have changed. 0: they are not known yet.")

    def texts() -> Mapping[str, bytes]:
        """Those of now, by name."""


class IKeyed(Interface):
    """An authenticator that may have its keys from such a place, if its option ``keys`` is ``etcd``."""

    def follow(texts: ISharedTexts) -> None:
        """Take them from there, and what becomes of them."""


class IQuickAuthenticator(Interface):
    """An authenticator that can tell who is asking without waiting for anything, for the plainest of requests."""

    def identify(authorization: bytes | None, method: str, raw_target: bytes, headers: Mapping[bytes, bytes]) -> IPrincipal | None:
        """Who sent a request with that one Authorization header (or none) and no other credentials.

        ``headers`` are by their names as they are spelled, no two of them the same but for case; values may have spaces around.
        The request has no body. None if it takes ``authenticate`` to tell, or to refuse. For the same request it is whom ``authenticate``
        returns, but without a signature, which nobody needs where there is no body.
        """
