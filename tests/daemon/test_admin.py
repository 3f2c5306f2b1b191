"""The admin port of a real daemon."""

from __future__ import annotations

import json
import re
import shutil
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.running import Daemon
from tests.wire import Wire


class Admin:
    """What its admin port says."""

    def __init__(self, daemon: Daemon) -> None:
        found = re.search(r"Metrics at (http://\S+)/metrics", daemon.log)
        assert found, daemon.log
        self.endpoint = found[1]

    def get(self, path: str) -> tuple[int, str, bytes]:
        try:
            with urllib.request.urlopen(self.endpoint + path, timeout=30) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read()
        except urllib.error.HTTPError as answer:
            return answer.code, answer.headers["Content-Type"], answer.read()

    def figures(self) -> dict[tuple[str, ...], float]:
        """Samples by name and the values of their labels."""
        families = text_string_to_metric_families(self.get("/metrics")[2].decode())
        return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}

    def ready(self) -> tuple[bool, dict[str, str]]:
        status, _, body = self.get("/ready")
        said = json.loads(body)
        assert status == (200 if said["ready"] else 503)
        return said["ready"], said["reasons"]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with Daemon(tmp_path / "conf") as made:
        yield made
    assert made.trouble == []


def properties(tmp_path: Path) -> dict[str, object]:
    (tmp_path / "data" / "bucket").mkdir(parents=True)
    return {
        "alluxio.worker.s3.api.enabled": True,
        "alluxio.worker.rest.port": 0,
        "alluxio.worker.s3.bind.host": "127.0.0.1",
        "alluxio.worker.s3.admin.port": 0,
        "alluxio.dora.client.ufs.root": tmp_path / "data",
        "alluxio.worker.s3.connection.keep.alive.enabled": True,
        "alluxio.worker.s3.durability": "rename",
    }


def test_figures_and_health_of_a_daemon(daemon: Daemon, tmp_path: Path) -> None:
    """What clients did shows at /metrics, be it answered the long way or the short one; /ready follows the store, /live does not."""
    wire = Wire(daemon.start(properties(tmp_path)))
    admin = Admin(daemon)
    assert wire("PUT", "bucket", "k", body=b"x" * 100).status == 200
    for _ in range(5):
        assert wire("GET", "bucket", "k").status == 200
    assert wire("GET", "bucket", "absent").status == 404
    found = admin.figures()
    assert found["alluxio_s3_requests_total", "PutObject", "2xx"] == 1
    assert found["alluxio_s3_requests_total", "GetObject", "2xx"] == 5
    assert found["alluxio_s3_sent_bytes_total", "GetObject"] > 500
    assert found["alluxio_s3_received_bytes_total", "PutObject"] == 100
    assert found["alluxio_s3_errors_total", "NoSuchKey"] == 1
    assert found["alluxio_s3_connections",] == 1
    assert found["alluxio_s3_processes",] == 1
    assert admin.ready() == (True, {})
    shutil.rmtree(tmp_path / "data")
    while admin.ready()[0]:  # what was found is good for a second
        pass
    assert list(admin.ready()[1]) == ["store"]
    assert admin.get("/live")[0] == 200
    assert admin.get("/nothing")[0] == 404
    daemon.stop()


def test_who_drains_is_not_ready(daemon: Daemon, tmp_path: Path) -> None:
    """While requests end, the admin port still answers, and says that no others should come."""
    wire = Wire(daemon.start(properties(tmp_path)))
    admin = Admin(daemon)
    connection = wire._connection
    connection.putrequest("PUT", "/bucket/k")
    connection.putheader("Content-Length", "3")
    connection.endheaders(b"ab")
    while not admin.figures()["alluxio_s3_requests_in_flight",]:
        pass
    daemon.signal_stop()
    while admin.ready()[0]:
        pass
    assert admin.ready() == (False, {"daemon": "it is stopping"})
    connection.send(b"c")
    assert connection.getresponse().status == 200
    daemon._process.wait(60)


@pytest.mark.parametrize("processes", [1, 2])
def test_who_is_told_to_stop_gives_notice(daemon: Daemon, tmp_path: Path, processes: int) -> None:
    """While a balancer finds out that the daemon is not ready, whatever it sends is answered, on connections that then close."""
    notice = {"alluxio.worker.s3.drain.notice": "10min", "alluxio.worker.s3.connection.keep.alive.enabled": True}
    endpoint = daemon.start(properties(tmp_path) | notice | {"alluxio.worker.s3.processes": processes})
    admin = Admin(daemon)
    kept = Wire(endpoint)
    assert kept("HEAD", "bucket").headers.get("connection") != "close"
    daemon.signal_stop()
    while admin.ready()[0]:
        pass
    for wire in (kept, Wire(endpoint)):
        while (answer := wire("HEAD", "bucket")).headers.get("connection") != "close":  # each process hears of it in its turn
            assert answer.status == 200
        assert answer.status == 200
    daemon.stop()
    assert "are cut" not in daemon.log


def test_what_is_no_request_is_accounted_for(daemon: Daemon, tmp_path: Path) -> None:
    """It is answered with a request id, and the access log and the figures have it."""
    log = tmp_path / "access.log"
    endpoint = urlsplit(daemon.start(properties(tmp_path) | {"alluxio.worker.s3.access.log.path": log}))
    with socket.create_connection((endpoint.hostname, endpoint.port)) as connection:
        connection.sendall(b"no request\r\n\r\n")
        answer = connection.makefile("rb").read().decode()
    found = re.search(r"x-amz-request-id: (\w+)\r\n", answer, re.IGNORECASE)
    assert found, answer
    assert f"<RequestId>{found[1]}</RequestId>" in answer
    assert Admin(daemon).figures()["alluxio_s3_errors_total", "InvalidRequest"] == 1
    daemon.stop()
    assert re.search(rf'127.0.0.1 - - "- -" 400 InvalidRequest .* {found[1]}\n', log.read_text())
