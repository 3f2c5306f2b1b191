"""What can be changed while a real daemon serves, with one process and with two."""

from __future__ import annotations

import os
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.clients.tls_front import write_certificate
from tests.running import properties_text
from tests.supervisor.test_processes import Family
from tests.wire import Wire

KEYS = "[alice]\naws_access_key_id = AKIAALICE\naws_secret_access_key = {}\n"
POLICY = '[[allow]]\nusers = ["alice"]\nactions = ["*"]\nresources = ["{}"]\n'


class Changing(Family):
    """A daemon whose configuration changes."""

    def start(self, **more: object) -> str:
        self.properties |= {name.replace("__", "."): value for name, value in more.items()}
        return super().start()

    def change(self, expected: str, times: int | None = None, **more: object) -> None:
        """Write the configuration anew, and return when each process has said what is expected after SIGHUP."""
        self.properties |= {name.replace("__", "."): value for name, value in more.items()}
        (self.daemon.directory / "alluxio-site.properties").write_text(properties_text(self.properties))
        self.hang_up(expected, times)

    def hang_up(self, expected: str, times: int | None = None) -> None:
        times = times or int(str(self.properties["alluxio.worker.s3.processes"]))
        before = self.daemon.log.count(expected)
        os.kill(self.daemon.pid, signal.SIGHUP)
        self.wait_for(expected, before + times)

    def reloads(self, what: str, outcome: str) -> float:
        return self.admin.figures().get(("alluxio_s3_reloads_total", outcome, what), 0)


@pytest.fixture(params=[1, 2])
def daemon(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Changing]:
    """A daemon of one or two processes that is not running yet; it must not log trouble."""
    made = Changing(tmp_path)
    made.properties["alluxio.worker.s3.processes"] = request.param
    with made.daemon:
        yield made
    assert made.daemon.trouble == []


def client(endpoint: str, secret: str = "canary-1"):
    config = Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"})
    return boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="AKIAALICE", aws_secret_access_key=secret, config=config
    )


def outcome(made) -> str:
    try:
        made.list_objects_v2(Bucket="bucket")
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "ok"


def test_properties_are_read_again(daemon: Changing) -> None:
    """Limits, connections, the level of the log change at a HUP; what needs a restart is named; a file that is wrong changes nothing."""
    processes = int(str(daemon.properties["alluxio.worker.s3.processes"]))
    wire = Wire(daemon.start())
    headers = {"x-amz-meta-a": "x" * 3000}
    assert wire("PUT", "bucket", "k", body=b"", headers=headers).status == 400
    daemon.change(
        "limits: read again",
        alluxio__proxy__s3__header__metadata__max__size="4KB",
        alluxio__worker__s3__io__threads=8,
    )
    assert wire("PUT", "bucket", "k", body=b"", headers=headers).status == 200
    daemon.wait_for("alluxio.worker.s3.io.threads: the change needs a restart")
    assert daemon.reloads("limits", "taken") == processes
    daemon.properties["alluxio.worker.s3.io.threads"] = 16
    daemon.properties["alluxio.proxy.s3.header.metadata.max.size"] = "much"
    (daemon.daemon.directory / "alluxio-site.properties").write_text(properties_text(daemon.properties))
    daemon.hang_up("properties: as they were, because of ", 1)
    assert wire("PUT", "bucket", "k", body=b"", headers=headers).status == 200
    assert daemon.reloads("properties", "refused") == 1
    daemon.properties |= {"alluxio.proxy.s3.header.metadata.max.size": "1KB", "alluxio.worker.s3.log.level": "warn"}
    (daemon.daemon.directory / "alluxio-site.properties").write_text(properties_text(daemon.properties))
    taken = daemon.reloads("log level", "taken")
    for _ in range(2):
        before = daemon.daemon.log.count("log level: read again")
        os.kill(daemon.daemon.pid, signal.SIGHUP)
        taken += processes
        while daemon.reloads("log level", "taken") < taken:
            assert daemon.daemon.alive, daemon.daemon.log
        assert wire("PUT", "bucket", "k", body=b"", headers=headers).status == 400
    assert daemon.daemon.log.count("log level: read again") == before
    daemon.daemon.stop()


def test_how_long_clients_may_stand_still_changes(daemon: Changing) -> None:
    """A body and an answer that stand still are given up after the time that the file says now."""
    host, _, port = urlsplit(daemon.start(alluxio__worker__s3__body__stall__timeout="0sec")).netloc.partition(":")
    (Path(str(daemon.properties["alluxio.dora.client.ufs.root"])) / "bucket" / "large").write_bytes(bytes(64 << 20))
    daemon.change("limits: read again", alluxio__worker__s3__body__stall__timeout="1sec")
    with socket.create_connection((host, int(port)), timeout=60) as sending, socket.socket() as taking:
        sending.sendall(b"PUT /bucket/k HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf")
        taking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        taking.settimeout(60)
        taking.connect((host, int(port)))
        taking.sendall(b"GET /bucket/large HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"RequestTimeout" in sending.recv(1 << 16)
        while daemon.admin.figures()["alluxio_s3_connections",]:
            pass
    daemon.daemon.stop()


def test_who_may_come_in_changes(daemon: Changing, tmp_path: Path) -> None:
    """SIMPLE becomes SIGV4 with a policy at a HUP, and files can be others; one that is no good leaves what was, and says why."""
    endpoint = daemon.start()
    assert outcome(client(endpoint, "anything")) == "ok"
    keys, policy = tmp_path / "keys", tmp_path / "policy.toml"
    keys.write_text(KEYS.format("canary-1"))
    policy.write_text(POLICY.format("*"))
    daemon.change(
        "users and policy: read again",
        alluxio__worker__s3__authentication__type="SIGV4",
        alluxio__worker__s3__authentication__keys__file=keys,
        alluxio__worker__s3__authorization__policy__file=policy,
    )
    assert outcome(client(endpoint, "anything")) == "SignatureDoesNotMatch"
    assert outcome(client(endpoint)) == "ok"
    other = tmp_path / "other.toml"
    other.write_text("rule = 3")
    daemon.change("users and policy: as they were, because of ", 1, alluxio__worker__s3__authorization__policy__file=other)
    assert outcome(client(endpoint)) == "ok"
    assert daemon.reloads("admission", "refused") == 1
    other.write_text(POLICY.format("elsewhere"))
    daemon.hang_up("users and policy: read again")
    assert outcome(client(endpoint)) == "AccessDenied"
    assert "canary" not in daemon.daemon.log
    daemon.daemon.stop()


def test_a_child_starts_while_files_are_no_good(tmp_path: Path) -> None:
    """A child that takes the place of one that died serves by the certificate, keys, policy and mounts that were good last."""
    family = Changing(tmp_path)
    keys, policy, table = tmp_path / "keys", tmp_path / "policy.toml", tmp_path / "mounts.json"
    keys.write_text(KEYS.format("canary-1"))
    policy.write_text(POLICY.format("elsewhere"))
    (tmp_path / "mounted").mkdir()
    table.write_text(f'{{"version": 1, "mounts": [{{"path": "/mounted", "uri": "file://{tmp_path}/mounted"}}]}}')
    certificate, key = write_certificate(tmp_path)
    with family.daemon:
        family.start(
            alluxio__worker__s3__https__port=0,
            alluxio__network__tls__enabled=True,
            alluxio__network__tls__server__cert=certificate,
            alluxio__network__tls__server__key=key,
            alluxio__worker__s3__authentication__type="SIGV4",
            alluxio__worker__s3__authentication__keys__file=keys,
            alluxio__worker__s3__authorization__policy__file=policy,
            alluxio__worker__s3__mount__table=table,
        )
        plain, secure = (next(one for one in family.daemon._endpoints(0) if one.startswith(f"{scheme}://")) for scheme in ("http", "https"))
        at = (urlsplit(secure).hostname or "", urlsplit(secure).port or 0)
        shown = ssl.get_server_certificate(at)
        assert outcome(client(plain)) == "AccessDenied"
        policy.write_text(POLICY.format("*"))
        while outcome(client(plain)) != "ok":
            pass
        family.hang_up("users and policy: read again")
        for path in (keys, policy, table, certificate):
            path.write_text("canary of what is no good")
        victims = family.children
        for child in victims:
            os.kill(child, signal.SIGKILL)
        family.wait_for("has ended", 2)
        family.wait_until_ready()
        assert not victims & family.children
        for _ in range(8):
            assert outcome(client(plain)) == "ok"
            assert client(plain).list_objects_v2(Bucket="mounted")["KeyCount"] == 0
            assert ssl.get_server_certificate(at) == shown
        assert "holds on" in family.daemon.log
        assert "the certificate is the one that was there before" in family.daemon.log
        family.daemon.stop()
    assert "canary" not in family.daemon.log
    assert family.daemon.trouble == []
