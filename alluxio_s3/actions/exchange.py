"""What goes into an action and what comes out of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping

from attrs import field, frozen
from twisted.internet.interfaces import IReactorTime

from alluxio_s3.clocks import wall_clock
from alluxio_s3.interfaces import (
    IAuthenticator,
    IAuthorizer,
    ICorsStore,
    IObjectReader,
    IPrincipal,
    IRequestBody,
    IRouting,
    ISigner,
    ITagStore,
    ITokenExchange,
)
from alluxio_s3.namespace.mounts import Namespace
from alluxio_s3.s3.request import Headers, RequestHead
from alluxio_s3.s3.sigv4 import Signature
from alluxio_s3.s3.target import Query
from alluxio_s3.threads import Threads


@frozen
class Limits:
    """What the configuration allows of a request; sizes in bytes, 0 is no limit."""

    user_metadata_bytes: int = 2048
    tagging_restrictions: bool = True
    bucket_naming_restrictions: bool = False
    min_part_bytes: int = 5 << 20
    xml_body_bytes: int = 2 << 20
    put_md5: bool = True
    complete_keepalive: bool = True
    complete_keepalive_seconds: float = 10.0


@frozen
class Services:
    """What actions work with; the same for every request of a gateway. ``clock`` is for waits, ``wall`` for dates."""

    namespace: Namespace
    authorizer: IAuthorizer
    tags: ITagStore
    threads: Threads
    clock: IReactorTime
    limits: Limits = Limits()
    region: str = "us-east-1"
    exchange: ITokenExchange | None = None
    cors: ICorsStore | None = None
    routing: IRouting | None = None
    wall: IReactorTime = field(init=False)

    @wall.default
    def _wall(self) -> IReactorTime:
        return wall_clock(self.clock)


def _unheard(*_told: object) -> None:
    """For calls of which nobody keeps an account."""


@frozen
class Call:
    """One request on its way to its action: authenticated, its target parsed.

    Where only the body says who sends it, ``authenticator`` is asked, and ``became`` told user and key (empty: not known yet).
    Where the body names several keys, ``did`` is told what each came to: key, the status that it alone would have had, error or ``-``.
    """

    head: RequestHead
    principal: IPrincipal
    body: IRequestBody
    request_id: str
    services: Services
    authenticator: IAuthenticator | None = None
    became: Callable[[str, str], None] = field(default=_unheard, eq=False)
    did: Callable[[str, int, str], None] = field(default=_unheard, eq=False)

    @property
    def bucket(self) -> str:
        """The bucket it is about."""
        return self.head.target.bucket

    @property
    def key(self) -> str:
        """The key it is about."""
        return self.head.target.key

    @property
    def query(self) -> Query:
        """Its query."""
        return self.head.target.query

    @property
    def headers(self) -> Headers:
        """Its headers."""
        return self.head.headers

    @property
    def signature(self) -> Signature | None:
        """Its signature, if that was verified."""
        signer = ISigner(self.principal, None)
        return None if signer is None else signer.signature

    async def authorize(self, permission: str, bucket: str, key: str) -> None:
        """Return if its sender may do that, too: what the request is about has been asked before. Raises S3Error AccessDenied."""
        await self.services.authorizer.authorize(self.principal, permission, bucket, key)


@frozen
class ReaderBody:
    """``count`` bytes of ``reader`` from ``offset``; whoever sends them closes the reader."""

    reader: IObjectReader
    offset: int
    count: int


@frozen
class Response:
    """An answer. ``headers`` need not name what the pipeline adds: Content-Length, Date, Server,
    Connection, the request ids. An iterator of bytes is sent as it comes, chunked; so are bytes that are not ``measured``.
    """

    status: int = 200
    headers: Mapping[str, str] = field(factory=dict)
    body: bytes | ReaderBody | AsyncIterator[bytes] = b""
    measured: bool = True

    async def close(self) -> None:
        """Let go of what it holds, be it sent or not."""
        if isinstance(self.body, ReaderBody):
            await self.body.reader.close()
