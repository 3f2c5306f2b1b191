"""The pages, and what they ask."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from attrs import frozen
from klein import Klein
from twisted.internet.interfaces import IReactorTime
from twisted.web.http import HTTPChannel, Request
from twisted.web.resource import IResource

from alluxio_s3 import __version__
from alluxio_s3.dashboard.feed import Feed
from alluxio_s3.dashboard.files import HEADERS, page_files
from alluxio_s3.dashboard.relay import Knows, Upstream, channels
from alluxio_s3.ops.admin import Witness


class Informant(Protocol):
    """Who knows what no figure tells."""

    async def mounts(self) -> Sequence[Mapping[str, Any]]:
        """What is mounted, the root first, secrets left out."""

    async def explain(self, name: str) -> Mapping[str, Any]:
        """All that there is to know of the object ``name`` (``bucket/key``) and the cache. Raises LookupError with what is in the way."""


@frozen
class About:
    """What the pages have to know of the daemon: how users are identified, the region, and S3's port for who asks from elsewhere."""

    authentication: str
    region: str
    s3_port: Callable[[], tuple[str, int] | None]
    guarded: bool = False


class Dashboard:
    """What the admin port has beside metrics and health: see ``Annex``."""

    app = Klein()

    def __init__(self, witness: Witness, informant: Informant, about: About, upstream: Upstream, clock: IReactorTime) -> None:
        self._feed = Feed(witness, clock)
        self._informant = informant
        self._about = about
        self._upstream = upstream
        self._files = page_files()

    def resource(self) -> IResource:
        """See ``Annex``."""
        resource: IResource = self.app.resource()
        return resource

    def channels(self, knows: Knows) -> Callable[[], HTTPChannel]:
        """See ``Annex``."""
        return channels(self._upstream, knows)

    @app.route("/", methods=["GET", "HEAD"])
    def index(self, request: Request) -> bytes:
        """The page."""
        return self._files["index.html"].answer(request)

    @app.route("/static/<name>", methods=["GET", "HEAD"])
    def static(self, request: Request, name: str) -> bytes:
        """A file of the page."""
        found = self._files.get(name)
        if found is None:
            request.setResponseCode(404)
            return b""
        return found.answer(request)

    @app.route("/dashboard/about", methods=["GET"])
    def about(self, request: Request) -> bytes:
        """What does not change."""
        port = self._about.s3_port()
        return _json(
            request,
            {
                "version": __version__,
                "authentication": self._about.authentication,
                "region": self._about.region,
                "scheme": port[0] if port else None,
                "port": port[1] if port else None,
                "guarded": self._about.guarded,
            },
        )

    @app.route("/dashboard/feed", methods=["GET"])
    def feed(self, request: Request) -> Awaitable[None] | bytes:
        """The live feed."""
        if self._feed.full:
            request.setResponseCode(503)
            return b""
        return self._feed.listen(request)

    @app.route("/dashboard/mounts", methods=["GET"])
    async def mounts(self, request: Request) -> bytes:
        """What is mounted."""
        return _json(request, {"mounts": list(await self._informant.mounts())})

    @app.route("/dashboard/explain", methods=["GET"])
    async def explain(self, request: Request) -> bytes:
        """All that there is to know of an object: ``?name=bucket/key``."""
        name = (request.args or {}).get(b"name", [b""])[0].decode("utf-8", "replace")
        try:
            return _json(request, {"explained": dict(await self._informant.explain(name))})
        except LookupError as problem:
            request.setResponseCode(404)
            return _json(request, {"problem": str(problem.args[0])})


def _json(request: Request, value: object) -> bytes:
    for header, told in HEADERS.items():
        request.setHeader(header, told)
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"cache-control", b"no-store")
    return json.dumps(value).encode() + b"\n"
