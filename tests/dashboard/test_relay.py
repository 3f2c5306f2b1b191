"""The pages of a real daemon's admin port, and their way to S3."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.daemon.test_admin import properties
from tests.running import Daemon
from tests.wire import authorization

TOKEN = "canary-0123456789abcdef"
ALICE = {"X-S3-Authorization": authorization("alice")}


class Port:
    """An admin port."""

    def __init__(self, daemon: Daemon) -> None:
        found = re.search(r"Metrics at http://([^/\s]+)/metrics", daemon.log)
        assert found, daemon.log
        self.host = found[1]

    def ask(self, method: str, path: str, headers=None, body=None) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection(self.host, timeout=30)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()


def started(daemon: Daemon, directory: Path, **more: object) -> Port:
    daemon.start({**properties(directory), **more})
    return Port(daemon)


@pytest.fixture(scope="module", params=[1, 2], ids=["one", "two"])
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    """That of a daemon of one process, and of two."""
    directory = tmp_path_factory.mktemp("dashboard")
    with Daemon(directory / "conf") as daemon:
        yield started(daemon, directory, **{"alluxio.worker.s3.processes": request.param})
        daemon.stop()
        assert daemon.trouble == []


def test_pages_come_from_here_and_may_ask_nowhere_else(port: Port) -> None:
    """Each page has a policy that lets in no script or style but the daemon's own files, and is of the type that it says."""
    status, headers, page = port.ask("GET", "/")
    assert status == 200
    files = re.findall(r'(?:src|href)="/?(static/[^"]+)"', page.decode())
    assert len(files) >= 2
    assert not re.search(rb"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=|https?://", page.replace(b"http://www.w3.org", b""))
    for name in ("", *files):
        status, headers, _ = port.ask("GET", f"/{name}")
        assert status == 200, name
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert port.ask("GET", f"/{name}", {"If-None-Match": headers["ETag"]})[0] == 304
    for absent in ("/static/pages.py", "/static/..%2fpages.py", "/static/", "/nothing"):
        assert port.ask("GET", absent)[0] == 404


def events(port: Port) -> Iterator[tuple[str, object]]:
    connection = http.client.HTTPConnection(port.host, timeout=30)
    connection.request("GET", "/dashboard/feed")
    answer = connection.getresponse()
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    try:
        while True:
            name = answer.readline().decode().removeprefix("event: ").strip()
            data = json.loads(answer.readline().decode().removeprefix("data: "))
            assert answer.readline() == b"\n"
            yield name, data
    finally:
        connection.close()


def test_the_feed_tells_of_what_happens(port: Port) -> None:
    """Whoever listens is told the past, then each second what was done in it."""
    feed = events(port)
    assert next(feed)[0] == "past"
    assert port.ask("PUT", "/s3/bucket/fed", ALICE, b"x" * 1000)[0] == 200
    for name, told in feed:
        assert name == "point"
        assert told["reasons"] == {}
        assert isinstance(told["warnings"], dict)
        if "bucket/fed" in [one["key"] for one in told["hot"]] and told["requests"].get("PutObject"):
            assert told["in"] > 0
            break
    feed.close()
    past = next(events(port))
    assert past[0] == "past"
    assert past[1]


def test_mounts_and_explanations(port: Port) -> None:
    """What is mounted is told; of what is not cached it is said so."""
    found = json.loads(port.ask("GET", "/dashboard/mounts")[2])["mounts"]
    assert found[0]["path"] == "/"
    assert found[0]["uri"]
    status, _, body = port.ask("GET", "/dashboard/explain?name=bucket/k")
    assert (status, json.loads(body)) == (404, {"problem": "there is no cache: alluxio.worker.page.store.dirs is not set"})
    about = json.loads(port.ask("GET", "/dashboard/about")[2])
    assert about["authentication"] == "SIMPLE"
    assert about["scheme"] == "http"


def test_s3_is_reached_under_its_prefix(port: Port) -> None:
    """Requests under /s3 are S3's, with the user that they name; what comes back is what went in."""
    content = os.urandom(3 << 20)
    assert port.ask("PUT", "/s3/bucket/a%20key", ALICE, content)[0] == 200
    status, headers, body = port.ask("GET", "/s3/bucket/a%20key", ALICE)
    assert status == 200
    assert hashlib.sha256(body).digest() == hashlib.sha256(content).digest()
    assert headers["x-amz-request-id"]
    assert port.ask("HEAD", "/s3/bucket/a%20key", ALICE)[1]["Content-Length"] == str(len(content))
    assert b"ListAllMyBucketsResult" in port.ask("GET", "/s3/", ALICE)[2]
    assert b"<Code>NoSuchKey</Code>" in port.ask("GET", "/s3/bucket/absent", ALICE)[2]
    assert port.ask("DELETE", "/s3/bucket/a%20key", ALICE)[0] == 204


def test_only_a_page_of_this_port_asks(port: Port) -> None:
    """Without X-S3-Authorization, which no other page, link or form can send, nothing reaches S3: so no object is ever a page here."""
    for headers in ({}, {"Authorization": ALICE["X-S3-Authorization"]}, {"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.test"}):
        assert port.ask("PUT", "/s3/bucket/forged", headers, b"x")[0] == 403
        assert port.ask("GET", "/s3/bucket/forged?X-Amz-Signature=1", headers)[0] == 403
    assert port.ask("GET", "/s3/bucket/forged", ALICE)[0] == 404
    assert port.ask("GET", "/s3/", {"X-S3-Authorization": ""})[0] == 200
    assert port.ask("GET", "/s3x", ALICE)[0] == 404


@pytest.mark.parametrize("length", ["Content-Length: 16385", "Transfer-Encoding: chunked"])
def test_what_the_pages_have_no_use_for_is_not_collected(port: Port, length: str) -> None:
    """Who sends more than a login takes is refused before any of it has come, logged in or not."""
    host, _, number = port.host.rpartition(":")
    with socket.create_connection((host, int(number)), timeout=30) as wire:
        wire.sendall(f"POST /login HTTP/1.1\r\nHost: h\r\n{length}\r\n\r\n".encode())
        answer = b""
        while piece := wire.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert port.ask("POST", "/login", body=b"x" * 16384)[0] != 413


def test_nothing_is_read_behind_a_request(port: Port) -> None:
    """What follows a request that went to S3 is neither a request to S3 nor one to this port: the connection ends with the answer."""
    host, _, number = port.host.rpartition(":")
    with socket.create_connection((host, int(number)), timeout=30) as wire:
        head = b"\r\nHost: h\r\nX-S3-Authorization:\r\nContent-Length: 2\r\n\r\nab"
        wire.sendall(
            b"PUT /s3/bucket/first HTTP/1.1" + head + b"PUT /bucket/second HTTP/1.1" + head + b"GET /live HTTP/1.1\r\nHost: h\r\n\r\n"
        )
        answer = b""
        while piece := wire.recv(65536):
            answer += piece
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.startswith(b"HTTP/1.1 200")
    assert port.ask("GET", "/s3/bucket/first", ALICE)[2] == b"ab"
    assert port.ask("GET", "/s3/bucket/second", ALICE)[0] == 404


def test_a_client_that_leaves_takes_its_request_along(port: Port) -> None:
    """An upload that is broken off is broken off at S3 too, and leaves nothing."""
    host, _, number = port.host.rpartition(":")
    with socket.create_connection((host, int(number)), timeout=30) as wire:
        wire.sendall(b"PUT /s3/bucket/cut HTTP/1.1\r\nHost: h\r\nX-S3-Authorization:\r\nContent-Length: 9\r\n\r\nabc")
        while b"alluxio_s3_requests_in_flight 1.0" not in port.ask("GET", "/metrics")[2]:
            pass
    while b"alluxio_s3_requests_in_flight 0.0" not in port.ask("GET", "/metrics")[2]:
        pass
    assert port.ask("GET", "/s3/bucket/cut", ALICE)[0] == 404


def test_who_reads_slowly_is_waited_for(port: Port) -> None:
    """An answer that nobody takes is not collected: the daemon's memory stays as it was."""

    def memory() -> float:
        figures = port.ask("GET", "/metrics")[2].decode()
        return float(re.search(r"^alluxio_s3_resident_bytes (\S+)", figures, re.MULTILINE)[1])

    size = 64 << 20
    assert port.ask("PUT", "/s3/bucket/large", ALICE, bytes(size))[0] == 200
    before = memory()
    connection = http.client.HTTPConnection(port.host, timeout=30)
    connection.request("GET", "/s3/bucket/large", headers=ALICE)
    answer = connection.getresponse()
    answer.read(1 << 20)
    for _ in range(5):
        assert memory() - before < 24 << 20
    assert len(answer.read()) == size - (1 << 20)
    connection.close()


def test_a_token_guards_all_of_it_and_stays_here(tmp_path: Path) -> None:
    """With a token every page but the login needs it, or the cookie of the login; neither goes on to S3."""
    (tmp_path / "token").write_text(TOKEN)
    log = tmp_path / "access.log"
    with Daemon(tmp_path / "conf") as daemon:
        more = {"alluxio.worker.s3.admin.token.path": tmp_path / "token", "alluxio.worker.s3.access.log.path": log}
        port = started(daemon, tmp_path, **more)
        paths = ("/", "/static/dashboard.css", "/dashboard/feed", "/dashboard/mounts", "/dashboard/explain?name=b/k", "/s3/")
        for path in paths:
            assert port.ask("GET", path, ALICE)[0] == 401, path
        body = f"token={TOKEN}"
        typed = {"Content-Type": "application/x-www-form-urlencoded"}
        status, headers, _ = port.ask("POST", "/login?next=%2F", typed, body)
        assert (status, headers["Location"]) == (303, "/")
        cookie = {"Cookie": headers["Set-Cookie"].partition(";")[0]}
        assert port.ask("GET", "/", cookie)[0] == 200
        assert port.ask("PUT", "/s3/bucket/k", {**cookie, **ALICE}, b"x")[0] == 200
        assert port.ask("PUT", "/s3/bucket/k", {**cookie, **ALICE, "Origin": "http://evil.test"}, b"y")[0] == 401
        assert port.ask("GET", "/s3/bucket/k", {"Authorization": f"Bearer {TOKEN}", **ALICE})[2] == b"x"
        daemon.stop()
        assert daemon.trouble == []
        assert " alice PutObject " in log.read_text()


def test_https_is_as_good(tmp_path: Path) -> None:
    """Where S3 is served by HTTPS only the pages reach it all the same."""
    issued = Authority().issue()
    with Daemon(tmp_path / "conf") as daemon:
        more = {
            "alluxio.network.tls.enabled": True,
            "alluxio.network.tls.server.cert": issued.certificate_file(tmp_path / "server.pem"),
            "alluxio.network.tls.server.key": issued.key_file(tmp_path / "server.key"),
            "alluxio.worker.s3.https.port": 0,
            "alluxio.worker.s3.only.https.access": True,
        }
        port = started(daemon, tmp_path, **more)
        assert port.ask("PUT", "/s3/bucket/k", ALICE, b"secret")[0] == 200
        assert port.ask("GET", "/s3/bucket/k", ALICE)[2] == b"secret"
        assert json.loads(port.ask("GET", "/dashboard/about")[2])["scheme"] == "https"
        daemon.stop()
        assert daemon.trouble == []
