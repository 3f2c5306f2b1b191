"""The Klein resources of the S3 routes: the service, a bucket, an object.

Klein's router decodes paths, merges slashes and redirects, so it never sees a key: the
site parses the raw target once and gives the router the kind of resource that it names.
"""

from __future__ import annotations

from klein import Klein

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
