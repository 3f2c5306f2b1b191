"""The Klein resources of the S3 routes: the service, a bucket, an object.

Klein's router decodes paths, merges slashes and redirects, so it never sees a key: the
site parses the raw target once and names the kind of resource that it is, which is the name of a route. ``Leaf`` calls the route by
that name, past the router; what Klein's own resource makes for each request besides holds itself, and everything that the request had,
until the garbage collector comes round, for which all others wait.
"""

from __future__ import annotations

from functools import partial
from typing import cast

from klein import Klein
from klein.resource import KleinResource
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET

from alluxio_s3.http.channel import S3Request
from alluxio_s3.http.pipeline import Pipeline


class S3Routes:
    """Every route leads into the one pipeline."""

    app = Klein()

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    @app.route("/service")
    async def service(self, request: S3Request) -> None:
        """What is about all buckets."""
        await self._pipeline.run(request)

    @app.route("/bucket")
    async def bucket(self, request: S3Request) -> None:
        """What is about one bucket."""
        await self._pipeline.run(request)

    @app.route("/object")
    async def object(self, request: S3Request) -> None:
        """What is about one key."""
        await self._pipeline.run(request)

    def resource(self) -> Leaf:
        """What a site serves."""
        return Leaf(self.app)


class Leaf(KleinResource):
    """Klein's resource of the routes, which calls the one that a request names. Who leaves before the end cancels it."""

    _log = Logger()

    def render(self, request: S3Request) -> int:  # type: ignore[override]  # the site makes no others
        """See IResource. The answer comes later."""
        running = cast("Deferred[None]", self._app.execute_endpoint(b"".join(request.postpath or ()).decode(), request))
        if not running.called:
            _ = request.notifyFinish().addErrback(lambda _: running.cancel())
        _ = running.addErrback(partial(self._failed, request))
        return NOT_DONE_YET

    def _failed(self, request: S3Request, reason: Failure) -> None:
        if not reason.check(CancelledError):
            self._log.failure("A connection is ended", reason)
        if not request.finished:  # whoever cancelled it, nobody else would answer
            request.cut()
