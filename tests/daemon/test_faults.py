"""Each row of docs/faults.md: the figure, the line in the log and the answer of /ready for a fault of a real daemon."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
import yaml
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.certificates import Authority
from tests.cluster.servers.etcd import SCRIPT, EtcdNode, is_installed
from tests.daemon.test_admin import Admin, properties
from tests.faults.disks import Disk, lack
from tests.faults.test_a24_clocks import FAKETIME, Wall
from tests.running import ROOT, Daemon, free_port, properties_text
from tests.wire import Wire
from tools import print_metrics


class Faulty:
    """A daemon to which something happens."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.daemon = Daemon(directory / "conf")
        self.properties = properties(directory)

    def start(self, **more: object) -> Wire:
        self.properties |= {name.replace("__", "."): value for name, value in more.items()}
        wire = Wire(self.daemon.start(self.properties))
        self.admin = Admin(self.daemon)
        return wire

    def said(self) -> dict[str, dict[str, str]]:
        return json.loads(self.admin.get("/ready")[2])

    def wait(self, what: Callable[[], object]) -> None:
        while not what():
            assert self.daemon.alive, self.daemon.log

    def logs(self, text: str) -> None:
        with self.daemon._changed:
            assert self.daemon._changed.wait_for(lambda: re.search(text, self.daemon.log), 60), self.daemon.log

    def figure(self, *key: str) -> float:
        return self.admin.figures().get(key, 0.0)


@pytest.fixture
def faulty(tmp_path: Path) -> Iterator[Faulty]:
    made = Faulty(tmp_path)
    with made.daemon:
        yield made
        made.daemon.stop()
    assert made.daemon.trouble == []


def test_the_store_is_down(faulty: Faulty) -> None:
    """Requests fail and are counted, each is in the log with its id, and no others should come."""
    nobody = free_port()
    wire = faulty.start(
        alluxio__dora__client__ufs__root="s3://storage",
        alluxio__dora__client__ufs__root__option__s3a__accessKeyId="a",
        alluxio__dora__client__ufs__root__option__s3a__secretKey="b",
        **{"alluxio.dora.client.ufs.root.option.alluxio.underfs.s3.endpoint": f"http://127.0.0.1:{nobody}"},
    )
    answer = wire("GET", "bucket", "k")
    assert (answer.status, answer.code) == (503, "ServiceUnavailable")
    faulty.logs(rf"{answer.headers['x-amz-request-id']} GetObject: The S3 store did not answer")
    assert faulty.figure("alluxio_s3_errors_total", "ServiceUnavailable") == 1
    assert sum(value for key, value in faulty.admin.figures().items() if key[0] == "alluxio_s3_ufs_calls_total" and "ok" not in key) >= 1
    assert faulty.admin.get("/ready")[0] == 503
    assert list(faulty.said()["reasons"]) == ["store"]


def test_the_directory_is_gone(faulty: Faulty) -> None:
    """Where the root is a directory, that it is not there keeps requests away, too."""
    faulty.start()
    shutil.rmtree(faulty.directory / "data")
    faulty.wait(lambda: "store" in faulty.said()["reasons"])
    assert faulty.admin.get("/ready")[0] == 503


def test_a_mount_is_broken(faulty: Faulty) -> None:
    """It is counted, named and warned of, and tried again."""
    table = faulty.directory / "mounts.json"
    table.write_text(json.dumps({"version": 1, "mounts": [{"path": "/m", "uri": f"file://{faulty.directory}/absent"}]}))
    faulty.start(alluxio__worker__s3__mount__table=table)
    faulty.logs("/m is broken: .*; it will be tried again")
    assert "m" in faulty.said()["warnings"]["mounts"]
    assert faulty.figure("alluxio_s3_mounts_broken") == 1
    assert faulty.figure("alluxio_s3_warnings", "mounts") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk is root's to mount")
def test_the_disk_of_the_cache_is_full(faulty: Faulty) -> None:
    """It is warned of, and reads go on."""
    cache = faulty.directory / "cache"
    cache.mkdir(0o700)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=700", "tmpfs", cache], check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        (cache / "filler").write_bytes(bytes(56 << 20))
        wire = faulty.start(alluxio__worker__page__store__dirs=cache, alluxio__worker__page__store__sizes="40MB")
        faulty.logs("cache: the disk of .* is full")
        assert "is full" in faulty.said()["warnings"]["cache"]
        assert faulty.figure("alluxio_s3_warnings", "cache") == 1
        assert faulty.admin.ready()[0]
        assert wire("PUT", "bucket", "k", body=b"x").status == 200
        assert wire("GET", "bucket", "k").status == 200
    finally:
        faulty.daemon.stop()
        subprocess.run(["umount", cache], check=True)


def test_the_certificate_expires(faulty: Faulty) -> None:
    """When it does is a figure; that it does so soon is warned of, and so no more after a reload with another."""
    authority = Authority()
    certificate, key = faulty.directory / "certificate.pem", faulty.directory / "key.pem"

    def replace(days: float) -> None:
        issued = authority.issue(ends=timedelta(days=days))
        issued.certificate_file(certificate)
        issued.key_file(key)

    replace(5)
    faulty.start(
        alluxio__network__tls__enabled=True,
        alluxio__worker__s3__https__port=0,
        alluxio__network__tls__server__cert=certificate,
        alluxio__network__tls__server__key=key,
    )
    faulty.logs("certificate: .* expires in [45].. days")
    assert "expires in" in faulty.said()["warnings"]["certificate"]
    ends = faulty.figure("alluxio_s3_certificate_expires_timestamp_seconds")
    assert 4 < (ends - datetime.now(UTC).timestamp()) / 86400 <= 5
    replace(100)
    os.kill(faulty.daemon.pid, signal.SIGHUP)
    faulty.wait(lambda: "certificate" not in faulty.said()["warnings"])
    assert faulty.figure("alluxio_s3_certificate_expires_timestamp_seconds") > ends


@pytest.mark.skipif(not FAKETIME.exists(), reason="libfaketime is not installed")
def test_the_clock_is_off(faulty: Faulty, monkeypatch: pytest.MonkeyPatch) -> None:
    """That it was set is logged, counted and warned of; who signs by another clock is refused, and counted by the code for that."""
    wall = Wall(faulty.directory / "offset")
    (faulty.directory / "keys").write_text("[alice]\naws_access_key_id=alice\naws_secret_access_key=canary\n")
    for name, value in wall.environment.items():
        monkeypatch.setenv(name, value)
    faulty.start(
        alluxio__worker__s3__authentication__type="SIGV4", alluxio__worker__s3__authentication__keys__file=faulty.directory / "keys"
    )
    monkeypatch.undo()
    s3 = boto3.client(
        "s3",
        endpoint_url=re.findall(r"Serving S3 at (\S+)", faulty.daemon.log)[-1],
        region_name="us-east-1",
        aws_access_key_id="alice",
        aws_secret_access_key="canary",
        config=Config(retries={"total_max_attempts": 1}),
    )
    assert s3.head_bucket(Bucket="bucket")
    steps = faulty.figure("alluxio_s3_clock_steps_total")
    wall.set("+1d")
    faulty.logs(r"clock: the machine's clock was set by \+86[34]\d\d\.\d s")
    faulty.wait(lambda: faulty.figure("alluxio_s3_clock_steps_total") == steps + 1)
    assert "was set by +86" in faulty.said()["warnings"]["clock"]
    assert faulty.figure("alluxio_s3_warnings", "clock") == 1
    assert faulty.figure("alluxio_s3_clock_unsynchronized") in (0, 1)
    with pytest.raises(ClientError, match="RequestTimeTooSkewed"):
        s3.list_objects_v2(Bucket="bucket")
    assert faulty.figure("alluxio_s3_errors_total", "RequestTimeTooSkewed") >= 1
    assert faulty.admin.ready()[0]


@pytest.mark.skipif(not is_installed(), reason=f"etcd is not installed: {SCRIPT} install")
def test_etcd_is_away(faulty: Faulty) -> None:
    """It is logged, warned of and a figure, while requests are answered; and all is well when it is back."""
    with EtcdNode(faulty.directory / "etcd") as node:
        wire = faulty.start(
            alluxio__etcd__endpoints=node.endpoint,
            alluxio__cluster__name="faults",
            alluxio__worker__failure__detection__timeout="5sec",
        )
        faulty.logs("registered in etcd")
        faulty.wait(lambda: faulty.figure("alluxio_s3_cluster_frozen") == 0)
        assert "cluster" not in faulty.said()["warnings"]
        node.kill()
        faulty.wait(lambda: faulty.figure("alluxio_s3_cluster_frozen") == 1)
        faulty.wait(lambda: "cluster" in faulty.said()["warnings"])
        faulty.logs("this worker goes on with the members that it knows")
        assert faulty.admin.ready()[0]
        assert wire("PUT", "bucket", "k", body=b"x").status == 200
        node.start()
        faulty.wait(lambda: faulty.figure("alluxio_s3_cluster_frozen") == 0)
        faulty.wait(lambda: "cluster" not in faulty.said()["warnings"])
        faulty.logs("etcd answers again")


def test_the_event_loop_is_late(faulty: Faulty) -> None:
    """Who asks for health has no answer in time, and the delay is a figure afterwards."""
    faulty.start()
    late = ("alluxio_s3_loop_lag_seconds_bucket", "1.0")
    faulty.wait(lambda: faulty.figure("alluxio_s3_loop_lag_seconds_count") >= 1)
    os.kill(faulty.daemon.pid, signal.SIGSTOP)
    try:
        with pytest.raises(TimeoutError):
            urllib.request.urlopen(f"{faulty.admin.endpoint}/ready", timeout=2.5)
    finally:
        os.kill(faulty.daemon.pid, signal.SIGCONT)
    faulty.wait(lambda: faulty.figure("alluxio_s3_loop_lag_seconds_count") > faulty.figure(*late))


@pytest.mark.skipif(lack("mkfs.ext4", "fsfreeze") is not None, reason="root freezes a disk for this, with fsfreeze")
def test_calls_wait_for_threads(faulty: Faulty) -> None:
    """On a disk that takes no writes for a while they wait, which is a figure; and are done when it goes on."""
    disk = Disk("ext4", faulty.directory)
    why_not = disk.make()
    if why_not:
        disk.close()
        pytest.skip(why_not)
    try:
        (disk.place / "bucket").mkdir()
        faulty.start(alluxio__dora__client__ufs__root=disk.place)
        endpoint = re.findall(r"Serving S3 at (\S+)", faulty.daemon.log)[-1]
        subprocess.run(["fsfreeze", "--freeze", disk.place], check=True)
        try:
            with ThreadPoolExecutor(30) as clients:
                writing = [clients.submit(Wire(endpoint), "PUT", "bucket", f"k{number}", body=b"x") for number in range(30)]
                faulty.wait(lambda: faulty.figure("alluxio_s3_threads_waiting") >= 1)
                subprocess.run(["fsfreeze", "--unfreeze", disk.place], check=True)
                assert {one.result().status for one in writing} == {200}
        finally:
            subprocess.run(["fsfreeze", "--unfreeze", disk.place], check=False, capture_output=True)
        faulty.wait(lambda: faulty.figure("alluxio_s3_threads_waiting") == 0)
        faulty.daemon.stop()
    finally:
        disk.close()


def test_a_process_ends(faulty: Faulty) -> None:
    """The log says which and how, another is started and counted, and requests are answered all the while or soon."""
    faulty.start(alluxio__worker__s3__processes=2)
    faulty.wait(lambda: faulty.figure("alluxio_s3_starts_total") == 2)
    children = Path(f"/proc/{faulty.daemon.pid}/task/{faulty.daemon.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)
    faulty.logs(r"Process \d has ended \(SIGKILL\)")
    faulty.wait(lambda: faulty.figure("alluxio_s3_starts_total") == 3)
    faulty.wait(lambda: faulty.admin.get("/ready")[0] == 200)


def test_a_changed_file_is_no_good(faulty: Faulty) -> None:
    """What was there holds on; the log says what is wrong, and a figure that something is."""
    wire = faulty.start()
    config = faulty.daemon.directory / "alluxio-site.properties"
    config.write_text(properties_text(faulty.properties | {"alluxio.worker.s3.drain.timeout": "soon"}))
    os.kill(faulty.daemon.pid, signal.SIGHUP)
    faulty.logs("properties: as they were, because of .*drain.timeout")
    assert faulty.figure("alluxio_s3_reloads_total", "refused", "properties") == 1
    assert wire("HEAD", "bucket").status == 200


def test_the_table_names_what_there_is() -> None:
    """Metrics and alerts of the page exist, and every alert has a row."""
    page = (ROOT / "docs" / "faults.md").read_text()
    known = {row.name for row in print_metrics.found()}
    assert set(re.findall(r"alluxio_s3_[a-z0-9_]+", page)) <= known
    groups = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"]} - {"AlluxioS3Down"}
    assert set(re.findall(r"AlluxioS3\w+", page)) == alerts
