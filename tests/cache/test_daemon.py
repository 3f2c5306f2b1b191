"""A daemon with a cache, from outside."""

from __future__ import annotations

import json
import os
import re
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from pathlib import Path

import pytest

from tests.running import Daemon

BODY = os.urandom((5 << 20) + 12345)


class Client:
    """Speaks to one endpoint; the worst that is read of an error is its status."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint

    def call(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Message, bytes]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(f"{self.endpoint}/{path}", body, named, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()


def until_hit(client: Client, path: str) -> None:
    """Read an object until it comes from the cache: what was read goes to the disk behind the answer."""
    answers = (client.call("GET", path)[1]["Cache-Status"] for _ in range(200))
    assert "alluxio-s3; hit" in answers


@pytest.fixture
def properties(tmp_path: Path) -> dict[str, object]:
    """Of a daemon that reads a directory through a cache, believing what it was told for ten minutes."""
    (tmp_path / "data" / "b").mkdir(parents=True)
    return {
        "alluxio.worker.s3.api.enabled": True,
        "alluxio.worker.rest.port": 0,
        "alluxio.worker.s3.bind.host": "127.0.0.1",
        "alluxio.dora.client.ufs.root": tmp_path / "data",
        "alluxio.dora.client.ufs.root.option.freshness": "max_age=600",
        "alluxio.worker.page.store.dirs": tmp_path / "pages",
        "alluxio.worker.page.store.sizes": "64MB",
    }


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """Ended and looked at afterwards."""
    with Daemon(tmp_path / "conf") as made:
        yield made
        assert made.stop() == -signal.SIGTERM
        assert made.trouble == []


def test_reads_come_from_the_cache_and_writes_are_seen(daemon: Daemon, properties: dict[str, object], tmp_path: Path) -> None:
    """The second answer is a hit with an age, also after a restart; a change behind the daemon's back waits, one through it does not."""
    client = Client(daemon.start(properties))
    assert client.call("PUT", "b/k", BODY)[0] == 200
    status, headers, body = client.call("GET", "b/k")
    assert (status, body) == (200, BODY)
    assert headers["Cache-Status"] == "alluxio-s3; fwd=uri-miss; stored"
    assert headers["Age"] is None
    until_hit(client, "b/k")
    seen = set()
    for _ in range(2):
        status, headers, body = client.call("GET", "b/k", Range="bytes=1000000-3000000")
        assert (status, body) == (206, BODY[1000000:3000001])
        seen.add(headers["Cache-Status"])
        assert int(headers["Age"]) >= 0
    assert seen == {"alluxio-s3; hit"}
    (tmp_path / "data" / "b" / "k").write_bytes(b"changed")
    assert client.call("GET", "b/k")[2] == BODY
    daemon.stop()
    client = Client(daemon.start(properties))
    status, headers, body = client.call("GET", "b/k")
    assert (body, headers["Cache-Status"]) == (BODY, "alluxio-s3; hit")
    assert client.call("PUT", "b/k", b"new")[0] == 200
    assert client.call("GET", "b/k")[2] == b"new"
    assert client.call("HEAD", "b/k")[1]["Cache-Status"] == "alluxio-s3; hit"
    for condition, code in ({"If_None_Match": "*"}, 304), ({"If_Match": "other"}, 412):
        status, headers, _ = client.call("GET", "b/k", **condition)
        assert (status, headers["Cache-Status"]) == (code, "alluxio-s3; hit")
    assert client.call("DELETE", "b/k")[0] == 204
    assert client.call("GET", "b/k")[0] == 404


def test_small_objects_take_the_short_way(daemon: Daemon, properties: dict[str, object]) -> None:
    """A small object that was read is answered as before, with its age."""
    client = Client(daemon.start(properties))
    client.call("PUT", "b/small", b"small")
    until_hit(client, "b/small")
    answers = [client.call("GET", "b/small") for _ in range(20)]
    assert {body for _, _, body in answers} == {b"small"}
    assert [headers["Cache-Status"] for _, headers, _ in answers] == ["alluxio-s3; hit"] * 20
    assert len({tuple(sorted(set(headers) - {"Age"})) for _, headers, _ in answers}) == 1


def test_loading_and_residency_by_header(daemon: Daemon, properties: dict[str, object]) -> None:
    """HEAD with a header loads a range, and tells how much of one was there."""
    client = Client(daemon.start(properties))
    client.call("PUT", "b/k", BODY)
    whole = {"x-alluxio-residency": "true"}
    assert client.call("HEAD", "b/k", **whole)[1]["x-alluxio-residency"] == "0"
    assert client.call("HEAD", "b/k", Range="bytes=1048576-2097151", x_alluxio_load="true")[0] == 206
    assert client.call("HEAD", "b/k", **whole)[1]["x-alluxio-residency"] == str(1 << 20)
    assert client.call("HEAD", "b/k", x_alluxio_load="true")[0] == 200
    assert client.call("HEAD", "b/k", **whole)[1]["x-alluxio-residency"] == str(len(BODY))
    until_hit(client, "b/k")


@pytest.mark.parametrize(
    ("listing", "asking"),
    [
        ("b?list-type=2", {"x-alluxio-residency": "true"}),
        ("b", {"x-alluxio-residency": "true"}),
        ("b?list-type=2", {"x-amz-optional-object-attributes": "RestoreStatus, Residency"}),
    ],
)
def test_listings_tell_how_much_of_each_object_is_cached(
    daemon: Daemon, properties: dict[str, object], listing: str, asking: dict[str, str]
) -> None:
    """Asked by a header, ours or S3's own for more than a listing tells, a listing has the bytes of each object's present version that are
    in the cache; unasked it says nothing of them, and folders have none.
    """
    client = Client(daemon.start(properties))

    def told(**asked: str) -> dict[str, str | None]:
        status, _, body = client.call("GET", listing, **asked)
        found = {one[1].decode(): one[2] for one in re.finditer(rb"<Contents><Key>(.*?)</Key>(.*?)</Contents>", body)}
        sizes = {key: re.search(rb"</StorageClass><Residency>(\d+)</Residency>$", rest) for key, rest in found.items()}
        assert status == 200
        return {key: one and one[1].decode() for key, one in sizes.items()}

    for key in ("b/k", "b/cold", "b/folder/"):
        client.call("PUT", key, BODY if key == "b/k" else b"" if key.endswith("/") else b"cold")
    assert told(**asking) == {"cold": "0", "folder/": None, "k": "0"}
    assert client.call("HEAD", "b/k", Range="bytes=1048576-2097151", x_alluxio_load="true")[0] == 206
    assert told(**asking) == {"cold": "0", "folder/": None, "k": str(1 << 20)}
    assert client.call("HEAD", "b/k", x_alluxio_load="true")[0] == 200
    assert told(**asking)["k"] == str(len(BODY))
    assert set(told().values()) == {None}
    client.call("PUT", "b/k", b"another")
    assert told(**asking)["k"] == "0"


def test_without_a_cache_nothing_is_said_of_one(daemon: Daemon, properties: dict[str, object]) -> None:
    """A local directory is not cached unless the mount asks, and its answers have no such headers."""
    client = Client(daemon.start({name: value for name, value in properties.items() if "freshness" not in name}))
    client.call("PUT", "b/k", b"1")
    for _ in range(3):
        headers = client.call("GET", "b/k")[1]
        assert headers["Cache-Status"] is None
        assert headers["Age"] is None


def test_writes_are_seen_at_once_by_other_processes(properties: dict[str, object], tmp_path: Path) -> None:
    """What one process writes, the next read through another sees, however long it may believe what it knows."""
    with Daemon(tmp_path / "one") as one, Daemon(tmp_path / "two") as two:
        clients = [Client(one.start(properties)), Client(two.start(properties))]
        for turn in range(40):
            writer, reader = clients[turn % 2], clients[(turn + 1) % 2]
            body = b"%d" % turn * (1 + turn % 3)
            assert writer.call("PUT", "b/k", body)[0] == 200
            assert reader.call("GET", "b/k")[2] == body
            until_hit(reader, "b/k")
        for client, other in (clients, clients[::-1]):
            assert client.call("DELETE", "b/k")[0] == 204
            assert other.call("HEAD", "b/k")[0] == 404
            assert client.call("PUT", "b/k", b"1")[0] == 200
            assert other.call("HEAD", "b/k")[0] == 200
        for daemon in (one, two):
            daemon.stop()
            assert daemon.trouble == []


def test_processes_fetch_each_page_once(properties: dict[str, object], tmp_path: Path) -> None:
    """Fifty clients that read one object at once through a daemon of two processes cost the store one read of each of its pages."""
    body = os.urandom((640 << 10) + 321)
    (tmp_path / "data" / "store").mkdir()
    (tmp_path / "data" / "store" / "k").write_bytes(body)
    log = tmp_path / "origin.log"
    kept = {name: value for name, value in properties.items() if "page.store" in name}
    kept["alluxio.worker.page.store.page.size"] = "64KB"
    plain = {name: value for name, value in properties.items() if name not in kept and "freshness" not in name}
    with Daemon(tmp_path / "origin") as origin, Daemon(tmp_path / "front") as front:
        store = origin.start(plain | {"alluxio.worker.s3.access.log.path": log})
        options = {"alluxio.underfs.s3.endpoint": store, "alluxio.underfs.s3.region": "us-east-1"}
        options |= {"s3a.accessKeyId": "a", "s3a.secretKey": "b", "freshness": "max_age=1h"}
        table = tmp_path / "mounts.json"
        table.write_text(json.dumps({"version": 1, "mounts": [{"path": "/m", "uri": "s3://store", "options": options}]}), encoding="ascii")
        table.chmod(0o600)
        mounted = {"alluxio.worker.s3.mount.table": table, "alluxio.worker.s3.processes": 2}
        client = Client(front.start(plain | kept | mounted))
        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(lambda _: client.call("GET", "m/k"), range(50)))
        assert {status for status, _, told in answers if told != body} == set()
        for daemon in (front, origin):
            daemon.stop()
            assert daemon.trouble == []
    reads = [line for line in log.read_text(encoding="utf-8").splitlines() if "GetObject" in line]
    assert sum(int(one) for line in reads for one in re.findall(r" out=(\d+)", line)) == len(body), reads
