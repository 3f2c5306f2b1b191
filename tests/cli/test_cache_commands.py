"""``alluxio-s3 load``, ``ls-cache``, ``free`` and ``explain`` beside a real daemon with a cache."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_mount_command import environment
from tests.running import Daemon

COMMAND = str(Path(sys.executable).with_name("alluxio-s3"))
PAGE = 64 << 10
OBJECTS = {"a/one": 10, "a/two +é": 3 * PAGE + 5, "a/three/x": PAGE, "b/other": 7, "a/empty": 0}


class Scene:
    """A daemon whose one mount, a directory, is read through a cache."""

    def __init__(self, directory: Path) -> None:
        self.data = directory / "data"
        for key, size in OBJECTS.items():
            (self.data / key).parent.mkdir(parents=True, exist_ok=True)
            (self.data / key).write_bytes(b"x" * size)
        table = directory / "mounts.json"
        self.properties = {
            "alluxio.worker.s3.api.enabled": True,
            "alluxio.worker.rest.port": 0,
            "alluxio.worker.s3.bind.host": "127.0.0.1",
            "alluxio.worker.s3.mount.table": table,
            "alluxio.worker.page.store.dirs": directory / "cache",
            "alluxio.worker.page.store.sizes": "16MB",
            "alluxio.worker.page.store.page.size": "64KB",
        }
        self.daemon = Daemon(directory / "conf")
        self.endpoint = ""

    def run(self, *arguments: str, status: int = 0) -> str:
        """What ``alluxio-s3`` says, with the daemon's configuration."""
        options = [
            text for name, value in self.properties.items() for text in ("-o", f"{name}={str(value).lower() if value is True else value}")
        ]
        ended = subprocess.run([COMMAND, *arguments, *options], capture_output=True, text=True, timeout=120, env=environment(), check=False)
        assert "Traceback" not in ended.stderr, ended.stderr
        assert ended.returncode == status, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    def load(self, *arguments: str, status: int = 0) -> Any:
        return json.loads(self.run("load", *arguments, "--endpoint", self.endpoint, "--json", status=status))

    def cached(self, name: str) -> dict[str, int]:
        """The objects of which something is in the cache, and how many bytes."""
        lines = self.run("ls-cache", name, "--json").splitlines()
        return {one["object"]: one["cached"] for one in map(json.loads, lines)}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The daemon, running."""
    made = Scene(tmp_path_factory.mktemp("cache"))
    made.run("mount", "add", "--path", "/m", "--ufs-uri", str(made.data), "--option", "cache=always", "--option", "freshness=max_age=1h")
    with made.daemon:
        made.endpoint = made.daemon.start(made.properties)
        yield made
        assert made.daemon.trouble == []


@pytest.fixture(autouse=True)
def _empty(scene: Scene) -> None:
    """Each test begins with nothing in the cache."""
    scene.run("free", "m")


def test_load(scene: Scene) -> None:
    """A prefix is loaded, all of it and nothing else, and a second time costs nothing."""
    size = sum(size for key, size in OBJECTS.items() if key.startswith("a/"))
    assert scene.load("m/a/") == {"objects": 4, "bytes": size, "loaded": size, "failed": 0}
    assert scene.cached("m") == {"m/a/one": 10, "m/a/three/x": PAGE, "m/a/two +é": 3 * PAGE + 5}
    assert scene.load("m/a/")["loaded"] == 0
    assert scene.load("m")["loaded"] == OBJECTS["b/other"]


def test_free(scene: Scene) -> None:
    """What is freed is gone from the cache, and the rest stays; the under-store keeps everything."""
    scene.load("m")
    assert json.loads(scene.run("free", "m/a/t", "--json")) == {"objects": 2, "bytes": 4 * PAGE + 5}
    assert scene.cached("m/") == {"m/a/one": 10, "m/b/other": 7}
    assert "Freed 10 bytes of 1 object." in scene.run("free", "m/a/one")
    assert (scene.data / "a" / "one").read_bytes() == b"x" * 10


def test_explain(scene: Scene) -> None:
    """What is told of an object: what the store has, what is remembered, which pages are here."""
    before = json.loads(scene.run("explain", "m/a/two +é", "--json"))
    assert before["in the cache"] == "nothing"
    assert before["under-store"] == str(scene.data)
    scene.load("m/a/")
    after = json.loads(scene.run("explain", "m/a/two +é", "--json"))
    assert after["in the cache"] == f"4 of 4 pages, {3 * PAGE + 5} of {3 * PAGE + 5} bytes"
    assert after["remembered"].startswith("ETag ")
    assert after["freshness"] == "max_age=3600s, cache=always"
    assert "other pages" in after["evicted next"]
    assert "NoSuchPath" in json.loads(scene.run("explain", "m/nothing", "--json"))["the store says"]
    assert "4 of 4 pages" in scene.run("explain", "m/a/two +é")


def test_budget(scene: Scene) -> None:
    """A budget ends a load, and what was loaded stays."""
    answer = scene.load("m/a/", "--budget", "1KB", "--parallel", "1", "--rate", "100MB")
    assert 1024 <= answer["loaded"] < sum(OBJECTS.values())
    assert sum(scene.cached("m").values()) == answer["loaded"]


def test_tables(scene: Scene) -> None:
    """People get a table, and words where there is nothing to show."""
    assert "Nothing of m/a is in the cache." in scene.run("ls-cache", "m/a")
    assert "5 objects" in scene.run("load", "m", "--endpoint", scene.endpoint)
    table = scene.run("ls-cache", "m/a/two")
    assert "m/a/two +é" in table
    assert "100 %" in table


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("ls-cache", "nowhere"), 1, "nothing is mounted at /nowhere"),
        (("explain", "/"), 2, "say which bucket"),
        (("load", "m", "--rate", "fast"), 2, "--rate: expected"),
        (("load", "nowhere", "--endpoint", "ENDPOINT"), 1, "NoSuchBucket"),
        (("load", "m", "--endpoint", "http://127.0.0.1:1"), 1, "http://127.0.0.1:1"),
        (("load", "m", "--endpoint", "http://nobody.invalid:1"), 1, "Error: http://nobody.invalid:1: DNS"),
        (("load", "m", "--endpoint", "localhost:29998"), 2, "--endpoint: expected"),
        (("load", "m", "--endpoint", "http://localhost:port"), 2, "--endpoint: expected"),
    ],
)
def test_told_wrongly(scene: Scene, arguments: tuple[str, ...], status: int, said: str) -> None:
    """What can't be done is told in a line, with a status of its own."""
    assert said in scene.run(*(one.replace("ENDPOINT", scene.endpoint) for one in arguments), status=status)


def test_no_cache(tmp_path: Path) -> None:
    """Without directories for pages it is told which property to set."""
    ended = subprocess.run(
        [COMMAND, "ls-cache", "b", "-o", f"alluxio.dora.client.ufs.root={tmp_path}"],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(),
        check=False,
    )
    assert ended.returncode == 2
    assert "alluxio.worker.page.store.dirs" in ended.stderr


def test_a_damaged_mount_table(tmp_path: Path) -> None:
    """Of a mount table that cannot be read one line says so, as ``mount list`` does."""
    (tmp_path / "mounts").write_text("{")
    (tmp_path / "pages").mkdir(mode=0o700)
    properties = (
        f"alluxio.worker.s3.mount.table={tmp_path}/mounts",
        f"alluxio.worker.page.store.dirs={tmp_path}/pages",
        "alluxio.worker.page.store.sizes=64MB",
    )
    command = [COMMAND, "ls-cache", "b", *(word for one in properties for word in ("-o", one))]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment(), check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"Error: {tmp_path}/mounts is no mount table: ")
