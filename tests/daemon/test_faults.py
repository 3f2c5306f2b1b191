"""Each row of docs/faults.md: the figure, the line in the log and the answer of /ready for a fault of a real daemon."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from tests.certificates import Authority
from tests.daemon.test_admin import Admin, properties
from tests.running import ROOT, Daemon, properties_text
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
    """Requests fail and are counted, and no others should come."""
    wire = faulty.start()
    shutil.rmtree(faulty.directory / "data")
    faulty.wait(lambda: "store" in faulty.said()["reasons"])
    assert faulty.admin.get("/ready")[0] == 503
    assert wire("GET", "bucket", "k").status in (404, 500, 503)
    assert sum(value for key, value in faulty.admin.figures().items() if key[0] == "alluxio_s3_errors_total") >= 1


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
