"""The admin port: what operators and their programs ask, apart from S3 and on this machine only unless it is told otherwise."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Protocol

from klein import Klein
from twisted.web.http import Request
from twisted.web.iweb import IRequest
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


class AdminPages:
    """What the port answers: to everybody, or, with a ``door``, to whom that lets in."""

    app = Klein()

    def __init__(self, witness: Witness, door: Door | None = None) -> None:
        self._witness = witness
        self._door = door

    def site(self) -> Site:
        """For a port to listen with."""
        pages = self.app.resource()
        return _AdminSite(pages if self._door is None else self._door.guard(pages))

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
        return _json(request, {"ready": not reasons, "reasons": dict(reasons)} if self._trusts(request) else {"ready": not reasons})

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
