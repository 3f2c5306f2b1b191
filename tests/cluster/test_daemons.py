"""Whole daemons that are one cluster."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
from base64 import b64decode, b64encode
from pathlib import Path

import pytest

from tests.running import Daemon

ROOT = "/alluxio-s3/tests/"


def keys_of(node, part):
    """What etcd has under a part of the cluster's prefix, by the rest of the key."""
    begin = (ROOT + part).encode()
    found = node.ask("kv/range", key=b64encode(begin).decode(), range_end=b64encode(begin[:-1] + b"0").decode())
    return {b64decode(one["key"])[len(begin) :].decode(): b64decode(one["value"]) for one in found.get("kvs", ())}


def wait_for(condition, seconds=20.0):
    """Wait until it holds, in a test that has no reactor of its own."""
    pause = threading.Event()
    for _ in range(int(seconds / 0.05)):
        if condition():
            return
        pause.wait(0.05)
    raise AssertionError("it did not come about")


def get(url, path):
    """The status and the body of an answer."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    connection.request("GET", path, headers={"authorization": "AWS alice:x"})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


@pytest.fixture
def properties(own_node, tmp_path):
    """Of a worker, but for what is its own."""
    (tmp_path / "data").mkdir()
    return {
        "alluxio.worker.s3.api.enabled": True,
        "alluxio.worker.s3.bind.host": "127.0.0.1",
        "alluxio.worker.rest.port": 0,
        "alluxio.worker.s3.peer.port": 0,
        "alluxio.worker.s3.admin.port": 0,
        "alluxio.dora.client.ufs.root": tmp_path / "data",
        "alluxio.cluster.name": "tests",
        "alluxio.etcd.endpoints": own_node.endpoint,
        "alluxio.worker.failure.detection.timeout": "2sec",
        "alluxio.worker.s3.mount.table": "etcd",
    }


def test_workers_come_and_go(own_node, properties, tmp_path):
    """Workers register where they serve, each process; what is mounted by one command is a bucket of all; who is stopped is gone."""
    with Daemon(tmp_path / "one") as one, Daemon(tmp_path / "two") as two:
        first = one.start(properties)
        second = two.start(properties | {"alluxio.worker.s3.processes": 2, "alluxio.worker.identity.uuid": "two"})
        wait_for(lambda: len(keys_of(own_node, "workers/")) == 3)
        found = {key: json.loads(value) for key, value in keys_of(own_node, "workers/").items()}
        identity = (tmp_path / "one" / "worker_identity").read_text().strip()
        assert set(found) == {f"{identity}/0", "two/0", "two/1"}
        assert found[f"{identity}/0"]["http"] == int(first.rpartition(":")[2])
        assert found["two/1"]["http"] == int(second.rpartition(":")[2])

        (tmp_path / "mounted").mkdir()
        (tmp_path / "mounted" / "k").write_text("hello")
        program, config = Path(sys.executable).with_name("alluxio-s3"), ["--config", tmp_path / "one" / "alluxio-site.properties"]
        command = [program, "mount", "add", *config, "--path", "/m", "--ufs-uri", tmp_path / "mounted"]
        subprocess.run(command, check=True, capture_output=True)
        listed = subprocess.run([program, "mount", "list", *config, "--json"], check=True, capture_output=True)
        assert [mount["path"] for mount in json.loads(listed.stdout)] == ["/m"]
        for endpoint in (first, second):
            wait_for(lambda endpoint=endpoint: get(endpoint, "/m/k") == (200, b"hello"))

        assert two.stop() in (0, -15)
        assert [key for key in keys_of(own_node, "workers/") if key.startswith("two/")] == []
        assert not one.trouble
        assert not two.trouble


def test_a_daemon_without_etcd(own_node, properties, tmp_path):
    """While etcd is away a daemon serves what it knows, and says so; when it is back, it joins, and reads what is for all workers."""
    del properties["alluxio.worker.s3.mount.table"]
    own_node.kill()
    (tmp_path / "data" / "b").mkdir()
    (tmp_path / "data" / "b" / "k").write_text("hello")
    with Daemon(tmp_path / "one") as one:
        endpoint = one.start(properties | {"alluxio.worker.s3.cluster.settings.file": tmp_path / "copy"})
        assert get(endpoint, "/b/k") == (200, b"hello")
        admin = next(line for line in one.log.splitlines() if "Metrics at " in line).partition("Metrics at ")[2].partition("/metrics")[0]
        wait_for(lambda: b"etcd" in get(admin, "/ready")[1])
        assert get(admin, "/ready")[0] == 200
        own_node.start()
        wait_for(lambda: keys_of(own_node, "workers/"))
        wait_for(lambda: b"etcd" not in get(admin, "/ready")[1])
        own_node.ask(
            "kv/put", key=b64encode(f"{ROOT}settings/alluxio.worker.s3.region".encode()).decode(), value=b64encode(b"here").decode()
        )
        wait_for((tmp_path / "copy").exists)
        wait_for(lambda: "alluxio.worker.s3.region: the change needs a restart" in one.log)
        status, body = get(admin, "/metrics")
        assert status == 200
        assert b"alluxio_s3_cluster_members 1.0" in body
        assert not one.trouble
