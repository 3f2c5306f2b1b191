"""The admin port: what operators and their programs ask, apart from S3 and on this machine only unless it is told otherwise."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from klein import Klein
from twisted.web.http import HTTPChannel, Request
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource, NoResource
from twisted.web.server import Site

from alluxio_s3 import __version__
from alluxio_s3.ops.door import Door
from alluxio_s3.ops.exposition import render
from alluxio_s3.ops.metrics import Snapshot


class Witness(Protocol):
    """Who can say how the daemon is: one process of itself, or a parent of its children."""

    async def snapshot(self) -> Snapshot:
        """Every figure."""

    async def reasons(self) -> Mapping[str, str]:
        """As ``Health.reasons``."""

    def warnings(self) -> Mapping[str, str]:
        """As ``Health.warnings``."""


class Annex(Protocol):
    """What a port has beside these pages."""

    def resource(self) -> IResource:
        """What answers all other paths."""

    def channels(self, knows: Callable[[Any], bool]) -> Callable[[], HTTPChannel]:
        """What makes connections; ``knows`` says whether a request may come in."""


class AdminPages:
    """What the port answers, and its ``annex``: to everybody, or, with a ``door``, to whom that lets in."""

    app = Klein()

    def __init__(self, witness: Witness, door: Door | None = None, annex: Annex | None = None) -> None:
        self._witness = witness
        self._door = door
        self._annex = annex

    def site(self) -> Site:
        """For a port to listen with."""
        pages = self.app.resource()
        site = _AdminSite(pages if self._door is None else self._door.guard(pages))
        if self._annex is not None:
            site.protocol = self._annex.channels(self._trusts)  # type: ignore[assignment,method-assign]  # HTTP/2 is not on offer
        return site

    @app.route("/metrics", methods=["GET"])
    async def metrics(self, request: IRequest) -> bytes:
        """Every figure, for Prometheus."""
        body, content_type = render(await self._witness.snapshot(), request.getHeader("accept") or "")
        request.setHeader("content-type", content_type)
        return body

    @app.route("/live", methods=["GET"])
    async def live(self, request: IRequest) -> bytes:
        """That the process answers: who restarts it otherwise asks this."""
        return _json(request, {"live": True, "version": __version__} if self._trusts(request) else {"live": True})

    @app.route("/ready", methods=["GET"])
    async def ready(self, request: IRequest) -> bytes:
        """Whether requests should be sent here: 200, or 503 and why not."""
        reasons = await self._witness.reasons()
        if reasons:
            request.setResponseCode(503)
        told = {"reasons": dict(reasons), "warnings": dict(self._witness.warnings())} if self._trusts(request) else {}
        return _json(request, {"ready": not reasons, **told})

    @app.route("/", branch=True)
    def others(self, request: IRequest) -> IResource:
        """Every other path."""
        del request
        return NoResource() if self._annex is None else self._annex.resource()

    def _trusts(self, request: IRequest) -> bool:
        return self._door is None or self._door.knows(request)


class _AdminSite(Site):
    displayTracebacks = False  # noqa: N815  # Twisted's name

    def log(self, request: Request) -> None:
        """Nothing: it is asked the same every few seconds, for ever."""


def _json(request: IRequest, value: object) -> bytes:
    request.setHeader("content-type", "application/json")
    request.setHeader("cache-control", "no-store")
    return json.dumps(value).encode() + b"\n"
