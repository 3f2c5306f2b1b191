"""A real daemon with a cache, under load, and a real browser before its dashboard (make test-ui)."""

from __future__ import annotations

import http.client
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from tests.daemon.test_admin import properties
from tests.running import ROOT, Daemon
from tests.wire import authorization

AXE = sorted((ROOT / ".tools" / "axe").glob("*/axe.min.js"))
LARGE = 100 << 20


@frozen
class Site:
    """A daemon: where its dashboard and its S3 are, and the directory behind its bucket ``bucket``."""

    admin: str
    s3: str
    data: Path
    directory: Path


def _host(url: str) -> str:
    return url.removeprefix("http://")


def start(daemon: Daemon, directory: Path, **more: object) -> Site:
    """Start ``daemon``, with a mount ``/models`` that is read through the cache."""
    table = directory / "mounts.json"
    settings: dict[str, object] = {
        **properties(directory),
        "alluxio.worker.s3.mount.table": table,
        "alluxio.worker.page.store.dirs": directory / "pages",
        "alluxio.worker.page.store.sizes": "256MB",
        **more,
    }
    (directory / "models").mkdir()
    s3 = daemon.start(settings)
    command = [
        str(Path(sys.executable).with_name("alluxio-s3")),
        "mount",
        "add",
        "--config",
        str(daemon.directory / "alluxio-site.properties"),
    ]
    options = ["--option", "cache=always", "--option", "freshness=max_age=1h"]
    subprocess.run([*command, "--path", "/models", "--ufs-uri", f"file://{directory}/models", *options], check=True, cwd=ROOT, timeout=60)
    found = re.search(r"Metrics at (http://\S+)/metrics", daemon.log)
    assert found
    return Site(found[1], s3, directory / "data" / "bucket", directory)


class Load:
    """Clients that read, write and fail, until ``stop``."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(3)]
        for number in range(40):
            (site.directory / "models" / f"weights-{number:05}.safetensors").write_bytes(os.urandom(300_000))
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let them end."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self, seed: int) -> None:
        chance = random.Random(seed)
        connection = http.client.HTTPConnection(_host(self._site.s3), timeout=30)
        while not self._stopped.wait(0.01):
            number = min(39, int(chance.expovariate(0.25)))
            kind = chance.random()
            if kind < 0.75:
                self._ask(connection, "GET", f"/models/weights-{number:05}.safetensors")
            elif kind < 0.88:
                self._ask(connection, "PUT", f"/bucket/runs/{seed}/{number}.json", b"{}" * 20_000)
            elif kind < 0.95:
                self._ask(connection, "GET", "/bucket?list-type=2")
            else:
                self._ask(connection, "GET", f"/models/absent-{number}")

    def _ask(self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None) -> None:
        connection.request(method, path, body, {"Authorization": authorization("alice")})
        connection.getresponse().read()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser."""
    playwright = pytest.importorskip("playwright.sync_api", reason="make test-ui installs playwright")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("make test-ui installs Chromium")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A daemon that nobody has to prove anything to."""
    directory = tmp_path_factory.mktemp("ui")
    with Daemon(directory / "conf") as daemon:
        yield start(daemon, directory)
        daemon.stop()
        assert daemon.trouble == []


@pytest.fixture(scope="session")
def busy(site: Site) -> Iterator[Site]:
    """The same, under load."""
    load = Load(site)
    yield site
    load.stop()


class Watched:
    """Pages of the browser, of which everything that goes wrong is collected in ``troubles``, as is every request in ``asked``."""

    def __init__(self, browser: Any) -> None:
        self.troubles: list[str] = []
        self.asked: list[str] = []
        self.contexts: list[Any] = []
        self._browser = browser

    def open(self, address: str, **options: Any) -> Any:
        """A page of its own, at ``address``."""
        given = {"viewport": {"width": 1360, "height": 900}, "locale": "en-GB", "timezone_id": "UTC", **options}
        context = self._browser.new_context(**given)
        self.contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(90_000)
        page.on("console", lambda message: self.troubles.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda problem: self.troubles.append(str(problem)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(address)
        return page


def until(page: Any, script: str, given: object = None, seconds: float = 90.0) -> None:
    """Wait until ``script`` is true in ``page``. Playwright's own waiting evaluates text in the page, which its policy forbids."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(script, given):
        assert time.monotonic() < deadline, f"{script} did not come true\n{page.inner_text('body')[:3000]}"
        page.wait_for_timeout(50)


@pytest.fixture
def pages(chromium: Any) -> Iterator[Watched]:
    """Pages that close after the test."""
    watched = Watched(chromium)
    yield watched
    for context in watched.contexts:
        context.close()
