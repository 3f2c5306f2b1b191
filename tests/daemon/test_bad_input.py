"""Bad input gets the S3 error that fits, stores nothing, tells nothing, and leaves the daemon alive."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from attrs import frozen

from tests.daemon.bad_input import CASES
from tests.running import Daemon
from tests.wire import Wire

OLD = b"old\n\0"


@frozen
class Target:
    """A daemon with something to lose."""

    daemon: Daemon
    address: tuple[str, int]
    wire: Wire
    upload_id: str
    before: object

    def state(self) -> object:
        """All that a refused request might have changed."""
        listing = self.wire("GET", "b", query={"list-type": "2"})
        return (
            self.wire("GET").texts("Buckets/Bucket/Name"),
            listing.texts("Contents/Key"),
            listing.texts("Contents/ETag"),
            listing.texts("Contents/LastModified"),
            self.wire("GET", "b", "k").body,
            self.wire("GET", "b", "k", query={"tagging": ""}).texts("TagSet/Tag/Key"),
            self.wire("GET", "b", query={"uploads": ""}).texts("Upload/UploadId"),
            self.wire("GET", "b", "m", query={"uploadId": self.upload_id}).texts("Part/ETag"),
        )


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A bucket, two objects and an upload, with the state that must not change."""
    root: Path = tmp_path_factory.mktemp("bad-input")
    (root / "data").mkdir()
    with Daemon(root / "conf") as daemon:
        endpoint = daemon.start(
            {
                "alluxio.worker.s3.api.enabled": True,
                "alluxio.worker.rest.port": 0,
                "alluxio.worker.s3.bind.host": "127.0.0.1",
                "alluxio.dora.client.ufs.root": root / "data",
                "alluxio.worker.s3.connection.keep.alive.enabled": True,
            }
        )
        wire = Wire(endpoint)
        assert wire("PUT", "b").status == 200
        assert wire("PUT", "b", "k", body=OLD, headers={"x-amz-tagging": "kept=yes"}).status == 200
        assert wire("PUT", "b", "empty").status == 200
        upload_id = wire("POST", "b", "m", query={"uploads": ""}).texts("UploadId")[0]
        assert wire("PUT", "b", "m", query={"partNumber": "1", "uploadId": upload_id}, body=b"part").status == 200
        split = urlsplit(endpoint)
        made = Target(daemon, (split.hostname or "", split.port or 0), wire, upload_id, None)
        yield Target(daemon, made.address, wire, upload_id, made.state())
        wire.close()
        daemon.stop()
        assert daemon.trouble == []


def test_the_table_is_large_enough() -> None:
    """At least 150 ways to go wrong."""
    assert len(CASES) >= 150


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_refused(target: Target, name: str) -> None:
    """The answer has the status and the code of the table, and nothing has changed."""
    request, status, code = CASES[name]
    answer = exchange(target.address, request.replace(b"UPLOAD", target.upload_id.encode()))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert (int(head.split(b" ", 2)[1]), re.findall(rb"<Code>(.*?)</Code>", body)) == (status, [code.encode()]), answer
    assert b"Traceback" not in answer
    assert b"/work/" not in body
    assert target.daemon.alive
    assert target.state() == target.before


def exchange(address: tuple[str, int], request: bytes) -> bytes:
    """The answer to ``request`` on a connection of its own, up to the end of the error document."""
    with socket.create_connection(address, timeout=20) as connection:
        with suppress(ConnectionError):  # it has answered and closed already: the answer can still be read
            connection.sendall(request)
        received = b""
        while b"</Error>" not in received:
            data = connection.recv(65536)
            if not data:
                break
            received += data
    return received
