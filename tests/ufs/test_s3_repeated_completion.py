"""A completion whose answer is lost is repeated, by way of another daemon: the store knows what has been done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.exchange import Exchange
from tests.running import Daemon

COMMON = {"alluxio.worker.s3.api.enabled": True, "alluxio.worker.s3.bind.host": "127.0.0.1", "alluxio.worker.rest.port": 0}


@pytest.fixture(scope="module")
def daemons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Exchange]]:
    """Two before one store, which is a daemon with a directory; the second has a cache."""
    place = tmp_path_factory.mktemp("repeated")
    with ExitStack() as undo:

        def started(name: str, properties: dict[str, object]) -> Exchange:
            daemon = undo.enter_context(Daemon(place / name))
            exchange = Exchange(daemon.start(COMMON | properties))
            undo.callback(exchange.close)
            return exchange

        (place / "data").mkdir()
        store = started("store", {"alluxio.dora.client.ufs.root": place / "data"})
        assert store.ask("PUT", "store").status == 200
        root: dict[str, object] = {
            "alluxio.dora.client.ufs.root": "s3://store/in",
            "alluxio.underfs.s3.endpoint": store.endpoint,
            "s3a.accessKeyId": "AKIAIOSFODNN7EXAMPLE",
            "s3a.secretKey": "a-secret-of-ours",
        }
        cached = {"alluxio.worker.page.store.dirs": Path(place / "pages"), "alluxio.worker.page.store.sizes": "100MB"}
        yield [started("one", root), started("two", root | cached)]


def begun(daemon: Exchange, key: str) -> tuple[str, bytes]:
    """An upload with one part, and the completion of it."""
    assert daemon.ask("PUT", "bucket").status in (200, 409)
    upload = daemon.ask("POST", f"bucket/{key}", {"uploads": ""}).texts("UploadId")[0]
    etag = daemon.ask("PUT", f"bucket/{key}", {"partNumber": "1", "uploadId": upload}, None, b"part").headers["etag"]
    part = f"<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
    return upload, f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>".encode()


def test_what_another_has_completed(daemons: list[Exchange]) -> None:
    """The same completion through another daemon has the same answer."""
    upload, document = begun(daemons[0], "done")
    first, again = (one.ask("POST", "bucket/done", {"uploadId": upload}, None, document) for one in daemons)
    assert first.status == again.status == 200, again
    assert first.texts("ETag") == again.texts("ETag") != []
    assert daemons[1].ask("GET", "bucket/done").body == b"part"


def test_what_another_has_given_up(daemons: list[Exchange]) -> None:
    """An upload that was aborted cannot be completed, whoever is asked."""
    upload, document = begun(daemons[0], "given-up")
    assert daemons[0].ask("DELETE", "bucket/given-up", {"uploadId": upload}).status == 204
    for one in daemons:
        answer = one.ask("POST", "bucket/given-up", {"uploadId": upload}, None, document)
        assert (answer.status, answer.code) == (404, "NoSuchUpload")
    assert daemons[1].ask("GET", "bucket/given-up").status == 404
