"""``status``, ``doctor`` and ``bench`` beside a real daemon."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.clients.tls_front import write_certificate
from tests.daemon.test_admin import Admin, properties
from tests.running import Daemon
from tests.wire import Wire

COMMAND = Path(sys.executable).with_name("alluxio-s3")


class Scene:
    """A daemon, and the command beside it."""

    def __init__(self, directory: Path) -> None:
        self.daemon = Daemon(directory / "conf")
        self.directory = directory
        self.properties = properties(directory)

    def start(self, **more: object) -> None:
        self.properties |= {name.replace("__", "."): value for name, value in more.items()}
        self.endpoint = self.daemon.start(self.properties)
        self.admin = urlsplit(Admin(self.daemon).endpoint).netloc

    def run(self, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [COMMAND, *map(str, arguments)]
        config = self.daemon.directory / "alluxio-site.properties"
        if arguments[0] != "completion":
            command += ["--config", config]
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ALLUXIO_"))}
        return subprocess.run(command, capture_output=True, text=True, env=clean | environment, timeout=120, check=False)

    def document(self, *arguments: object, **environment: str) -> dict[str, object]:
        done = self.run(*arguments, "--json", **environment)
        assert done.stdout, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    with made.daemon:
        yield made
    assert made.daemon.trouble == []


def test_status_is_one_screen(scene: Scene) -> None:
    """Health, rates, cache and mounts of the daemon, for people and for programs; 1 when it is not ready or not there."""
    (scene.directory / "cache").mkdir(0o700)
    scene.start(alluxio__worker__page__store__dirs=scene.directory / "cache", alluxio__worker__page__store__sizes="64MB")
    wire = Wire(scene.endpoint)
    for _ in range(10):
        assert wire("HEAD", "bucket").status == 200
    done = scene.run("status", "--admin", scene.admin, "--interval", "0.1")
    assert done.returncode == 0, done.stderr
    assert "ready" in done.stdout
    assert len(done.stdout.splitlines()) <= 24
    found = scene.document("status", "--admin", scene.admin, "--interval", "0")
    assert found["ready"] is True
    assert found["requests"] == {"total": 10, "in_flight": 0}
    assert found["processes"] == 1
    assert 0 <= found["uptime_seconds"] < 600
    assert found["cache"]["size_bytes"] == 64 << 20
    shutil.rmtree(scene.directory / "data")
    while (done := scene.run("status", "--admin", scene.admin, "--interval", "0")).returncode == 0:
        pass
    assert done.returncode == 1
    assert "NOT READY" in done.stdout
    scene.daemon.stop()
    done = scene.run("status", "--admin", scene.admin)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no daemon answers" in done.stderr
    assert scene.run("status", "--admin", "nonsense").returncode == 2


def test_doctor_says_what_to_do(scene: Scene) -> None:
    """Nothing is wrong with a daemon that is well; a missing disk, a certificate of another key, a broken store are, with advice."""
    certificate, key = write_certificate(scene.directory)
    scene.start()
    found = scene.document("doctor", "-o", f"alluxio.worker.s3.admin.port={scene.admin.rpartition(':')[2]}")
    assert found["ok"] is True
    about = {one["about"]: one["level"] for one in found["findings"]}
    assert about["daemon"] == about["attributes"] == about["store at /"] == "ok"
    again = scene.directory / "again"
    again.mkdir()
    table = scene.directory / "mounts.json"
    uri = f"file://{scene.directory}/no-such-place"
    table.write_text(json.dumps({"version": 1, "mounts": [{"path": "/broken", "uri": uri}]}))
    wrong = {
        "alluxio.network.tls.enabled": "true",
        "alluxio.network.tls.server.cert": certificate,
        "alluxio.network.tls.server.key": write_certificate(again)[1],
        "alluxio.worker.page.store.dirs": scene.directory / "absent",
        "alluxio.worker.page.store.sizes": "1GB",
        "alluxio.worker.s3.mount.table": table,
        "alluxio.etcd.endpoints": "http://127.0.0.1:1",
    }
    options = [part for name, value in wrong.items() for part in ("-o", f"{name}={value}")]
    done = scene.run("doctor", "--json", *options)
    assert done.returncode == 1, done.stderr
    problems = {one["about"]: one for one in json.loads(done.stdout)["findings"] if one["level"] == "problem"}
    assert {"certificate", "cache", "mount /broken", "etcd"} <= set(problems)
    assert all(one["advice"] for one in problems.values())
    assert scene.run("doctor", *options).returncode == 1
    assert scene.run("doctor", "-o", "alluxio.worker.s3.io.threads=many").returncode == 2
    assert key.exists()
    scene.daemon.stop()


def test_doctor_writes_where_it_is_told_to(scene: Scene) -> None:
    """With --write an object is written to each mount and deleted; read-only ones are left alone."""
    place = scene.directory / "mounted"
    place.mkdir()
    table = scene.directory / "mounts.json"
    mounts = [{"path": "/a", "uri": f"file://{place}"}, {"path": "/b", "uri": f"file://{place}", "options": {"readonly": "true"}}]
    table.write_text(json.dumps({"version": 1, "mounts": mounts}))
    scene.start(alluxio__worker__s3__mount__table=table)
    said = {one["about"]: one["said"] for one in scene.document("doctor", "--write")["findings"]}
    assert said["mount /a"].endswith("takes what is written")
    assert said["mount /b"].endswith("answers")
    assert [one.name for one in place.iterdir() if not one.name.startswith(".alluxio-s3")] == []
    assert not list(place.glob(".alluxio-s3-doctor*"))
    scene.daemon.stop()


def test_bench_measures_and_leaves_nothing(scene: Scene) -> None:
    """PUT, HEAD and GET have rates and latencies; what was written is gone afterwards; who may not is told why."""
    scene.start()
    keys = {"AWS_ACCESS_KEY_ID": "alice", "AWS_SECRET_ACCESS_KEY": "anything"}
    options = ("bench", "--endpoint", scene.endpoint, "--count", 20, "--size", "10KB", "--parallel", 2)
    found = scene.document(*options, **keys)
    assert [one["method"] for one in found["results"]] == ["PUT", "HEAD", "GET"]
    for one in found["results"]:
        assert one["requests"] == 20
        assert one["requests_per_second"] > 0
        assert 0 < one["p50_seconds"] <= one["p99_seconds"] <= one["max_seconds"]
    assert found["results"][2]["bytes_per_second"] > 0
    assert {one.name for one in (scene.directory / "data").iterdir() if not one.name.startswith(".")} == {"bucket"}
    done = scene.run(*options, "--bucket", "no-such-bucket", **keys)
    assert done.returncode == 1
    assert "NoSuchBucket" in done.stderr
    assert scene.run(*options, "--bucket", "bucket", **keys).returncode == 0
    assert scene.run("bench", "--endpoint", "ftp://x").returncode == 2
    scene.daemon.stop()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete(scene: Scene, shell: str) -> None:
    """What a shell is to source is printed."""
    done = scene.run("completion", shell)
    assert done.returncode == 0, done.stderr
    assert "_ALLUXIO_S3_COMPLETE" in done.stdout


def test_every_command_speaks_to_programs() -> None:
    """All but `completion` have --json."""
    from alluxio_s3.cli.main import main  # noqa: PLC0415

    def commands(group, path=()):
        for name, one in group.commands.items():
            yield from commands(one, (*path, name)) if hasattr(one, "commands") else [((*path, name), one)]

    for path, one in commands(main):
        assert path == ("completion",) or any("--json" in parameter.opts for parameter in one.params), path
