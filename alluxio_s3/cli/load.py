"""``alluxio-s3 load``: have the daemon fetch what will be needed. It asks as any S3 client could: HEAD, a range and one header."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote, unquote_plus, urlsplit
from xml.etree.ElementTree import fromstring

import click
from attrs import define, field, frozen
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.session import get_session
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from treq import content
from treq.client import HTTPClient
from twisted.internet.defer import Deferred, DeferredLock, FirstError, gatherResults
from twisted.internet.error import ConnectError, ConnectionDone, ConnectionLost, DNSLookupError
from twisted.internet.task import deferLater
from twisted.web.client import Agent, HTTPConnectionPool, ResponseFailed

from alluxio_s3.cli.configuration import NotDone, ToldWrongly, configured
from alluxio_s3.cli.errand import run
from alluxio_s3.settings import Loaded
from alluxio_s3.settings.values import size

# What one request has loaded: what was loaded before an interruption is found again at the price of one request for so much.
UNIT_BYTES = 64 << 20
TIMEOUT_SECONDS = 600.0
_S3 = "{http://s3.amazonaws.com/doc/2006-03-01/}"
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104
_BYTES = size()


@click.command()
@click.argument("name", metavar="BUCKET[/PREFIX]")
@click.option("--endpoint", metavar="URL", help="The daemon; else the one that the configuration describes, on this machine.")
@click.option("--parallel", type=click.IntRange(1, 64), default=4, show_default=True, help="So many requests at a time.")
@click.option("--rate", metavar="SIZE", help="At most so many bytes a second, such as 100MB.")
@click.option("--budget", metavar="SIZE", help="Stop when so many bytes have been loaded, such as 10GB.")
@click.option("--json", "as_json", is_flag=True, help="For programs: no progress, one document at the end.")
@configured
def load(loaded: Loaded, name: str, endpoint: str | None, parallel: int, rate: str | None, budget: str | None, *, as_json: bool) -> None:
    """Load the objects under a prefix into the cache, behind what clients wait for.

    What is there already is not fetched again, so an interrupted load is simply started again. Credentials are those that the AWS
    command line would use (AWS_ACCESS_KEY_ID and the like); without any, nobody's.
    """
    bucket, _, prefix = name.removeprefix("/").partition("/")
    if not bucket:
        raise ToldWrongly("say which bucket: BUCKET or BUCKET/PREFIX")
    limits = [_size("--rate", rate), _size("--budget", budget)]
    where = endpoint_of(loaded, endpoint)
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=as_json or not console.is_terminal) as progress:

        async def work(reactor: Any) -> Tally:
            door = Door(where, loaded.settings.region, HTTPClient(Agent(reactor, pool=HTTPConnectionPool(reactor))))
            loading = Loading(door, bucket, prefix, limits[0], limits[1], reactor, progress, progress.add_task(name, total=None))
            return await loading.run(parallel)

        tally = run(work)
    if as_json:
        click.echo(json.dumps({"objects": tally.objects, "bytes": tally.bytes, "loaded": tally.loaded, "failed": tally.failed}))
    else:
        stopped = " The budget is used up." if tally.stopped else ""
        click.echo(f"{tally.objects} objects, {tally.bytes} bytes: {tally.loaded} loaded, the rest was there.{stopped}")
        for told in tally.problems[:10]:
            click.echo(told, err=True)
    if tally.failed:
        sys.exit(1)


@define
class Tally:
    """What has been done: ``bytes`` are in the cache now, of which ``loaded`` were not before."""

    objects: int = 0
    bytes: int = 0
    loaded: int = 0
    failed: int = 0
    stopped: bool = False
    problems: list[str] = field(factory=list)


@frozen
class Door:
    """The daemon, as an S3 client sees it."""

    endpoint: str
    region: str
    client: HTTPClient
    credentials: Any = field(factory=lambda: get_session().get_credentials(), repr=False)

    async def request(self, method: str, path: str, query: str = "", headers: dict[str, str] | None = None) -> Any:
        """The answer to a signed request. Raises NotDone when there is none."""
        url = f"{self.endpoint}{path}" + (f"?{query}" if query else "")
        signed = AWSRequest(method, url, headers=dict(headers or {}))
        if self.credentials is not None:
            frozen_keys = self.credentials.get_frozen_credentials()
            keys = Credentials(frozen_keys.access_key, frozen_keys.secret_key, frozen_keys.token)
            S3SigV4Auth(keys, "s3", self.region).add_auth(signed)
        try:
            return await self.client.request(method, url, headers=dict(signed.headers.items()), timeout=TIMEOUT_SECONDS, unbuffered=False)
        except (ConnectError, ConnectionLost, ConnectionDone, DNSLookupError, ResponseFailed) as problem:
            raise NotDone(f"{self.endpoint}: {problem}") from None


@define
class Loading:
    """One command's work. ``rate`` is in bytes a second, ``budget`` in bytes; None is no limit."""

    door: Door
    bucket: str
    prefix: str
    rate: int | None
    budget: int | None
    reactor: Any
    progress: Progress
    task: TaskID
    tally: Tally = field(factory=Tally)
    _lock: DeferredLock = field(factory=DeferredLock)
    _free_at: float = 0.0
    _total: int = 0

    async def run(self, parallel: int) -> Tally:
        """Load it all. Raises NotDone when nothing can be listed."""
        units = self._units()

        async def worker() -> None:
            while not self.tally.stopped:
                await self._lock.acquire()
                try:
                    unit = await anext(units, None)
                finally:
                    self._lock.release()
                if unit is None:
                    return
                await self._load(*unit)

        try:
            await gatherResults([Deferred.fromCoroutine(worker()) for _ in range(parallel)], consumeErrors=True)
        except FirstError as first:
            first.subFailure.raiseException()
        return self.tally

    async def _units(self) -> AsyncIterator[tuple[str, int, int]]:
        token: str | None = ""
        while token is not None:
            query = f"list-type=2&encoding-type=url&prefix={quote(self.prefix, safe='')}"
            if token:
                query = f"continuation-token={quote(token, safe='')}&{query}"
            answer = await self.door.request("GET", f"/{self.bucket}", query)
            body = await content(answer)
            if answer.code != 200:
                raise NotDone(f"{self.bucket} can't be listed: {answer.code} {_code(body)}")
            document = fromstring(body)  # noqa: S314  # the daemon's own
            objects = [
                (unquote_plus(one.findtext(f"{_S3}Key") or ""), int(one.findtext(f"{_S3}Size") or 0))
                for one in document.iter(f"{_S3}Contents")
            ]
            self._total += sum(count for _, count in objects)
            self.progress.update(self.task, total=self._total)
            for key, count in objects:
                if not key.endswith("/"):
                    self.tally.objects += 1
                    for offset in range(0, max(count, 1), UNIT_BYTES):
                        yield key, offset, min(UNIT_BYTES, count - offset)
            token = document.findtext(f"{_S3}NextContinuationToken")

    async def _load(self, key: str, offset: int, count: int) -> None:
        await self._wait_for_turn(count)
        headers = {"x-alluxio-load": "true", "x-alluxio-residency": "true"}
        if count:
            headers["Range"] = f"bytes={offset}-{offset + count - 1}"
        answer = await self.door.request("HEAD", f"/{self.bucket}/{quote(key, safe='/~')}", "", headers)
        await content(answer)
        if answer.code not in (200, 206):
            self.tally.failed += 1
            self.tally.problems.append(f"{self.bucket}/{key}: {answer.code}")
            return
        was_there = answer.headers.getRawHeaders("x-alluxio-residency")
        if was_there is None:
            raise NotDone(f"there is no cache before {self.bucket}: see its options, and alluxio.worker.page.store.dirs")
        self.tally.bytes += count
        self.tally.loaded += count - int(was_there[0])
        self.progress.advance(self.task, count)
        if self.budget is not None and self.tally.loaded >= self.budget:
            self.tally.stopped = True

    async def _wait_for_turn(self, count: int) -> None:
        """Spread what is loaded over time, as ``rate`` has it."""
        if self.rate is None:
            return
        now = self.reactor.seconds()
        start = max(now, self._free_at)
        self._free_at = start + count / self.rate
        if start > now:
            await deferLater(self.reactor, start - now)


def endpoint_of(loaded: Loaded, given: str | None) -> str:
    """The daemon's endpoint: the one that was ``given``, or the configuration's on this machine. Raises ToldWrongly."""
    if given is not None:
        return _checked(given)
    settings = loaded.settings
    if settings.only_https or not settings.rest_port:
        raise ToldWrongly("say where the daemon is: --endpoint URL")
    return f"http://{_ANYWHERE.get(settings.bind_host, settings.bind_host)}:{settings.rest_port}"


def _checked(endpoint: str) -> str:
    try:
        parts = urlsplit(endpoint)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and parts.path in ("", "/")
    except ValueError:  # a port that is no number
        good = False
    if not good:
        raise ToldWrongly(f"--endpoint: expected a URL such as http://127.0.0.1:29998, not {endpoint[:100]!r}")
    return endpoint.rstrip("/")


def _size(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return int(_BYTES.parse(text)) or None
    except ValueError as problem:
        raise ToldWrongly(f"{option}: expected {problem}, not {text!r}") from None


def _code(body: bytes) -> str:
    return body.decode("utf-8", "replace").partition("<Code>")[2].partition("</Code>")[0]
