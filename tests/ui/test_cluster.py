"""The panels of a cluster in a real browser: three workers that know each other by a real etcd."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import frozen

from tests.cluster.servers.etcd import SCRIPT, EtcdNode, is_installed
from tests.cluster.trio import HOSTS, Trio, get, running_trio
from tests.ui.conftest import until

pytestmark = [pytest.mark.ui, pytest.mark.skipif(not is_installed(), reason=f"etcd is not installed: {SCRIPT} install")]

AGENTS = ({"User-Agent": "curl/8.0"}, {"User-Agent": "Wget/1.21"}, {"User-Agent": "Boto3/1.40"}, {})


@frozen
class Scene:
    """A trio, its etcd, and the dashboard of the first worker."""

    trio: Trio
    node: EtcdNode
    admin: str


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Under load: clients of several kinds ask the first worker for what others own."""
    place = tmp_path_factory.mktemp("trio")
    with EtcdNode(place / "etcd") as node, running_trio(place, {"alluxio.worker.s3.admin.port": 0}, etcd=node.endpoint) as trio:
        found = re.search(r"Metrics at (http://\S+)/metrics", trio.daemons[0].log)
        assert found
        over = threading.Event()
        keys = [trio.key(owner, f"load-{number}") for number in range(4) for owner in range(3)]
        for key in keys:
            trio.put(key, b"x" * 200_000)

        def ask() -> None:
            while not over.wait(0.02):
                for number, key in enumerate(keys):
                    get(f"{trio.endpoints[0]}/objects/{key}", AGENTS[number % len(AGENTS)])

        load = threading.Thread(target=ask)
        load.start()
        yield Scene(trio, node, found[1])
        over.set()
        load.join(60)


def test_the_panels_of_a_cluster(scene, pages) -> None:
    """Members are listed with their addresses and shares, decisions move; a member that is gone goes from the list, and comes back."""
    page = pages.open(scene.admin)
    page.wait_for_selector("[data-panel=cluster] table")
    told = page.inner_text("[data-panel=cluster]")
    for host in HOSTS:
        assert f"{host}:{scene.trio.port}" in told
    assert told.count("33.3 %") == 3
    until(page, "/proxy|redirect/.test(document.querySelector('[data-panel=redirects]').innerText)")
    before = page.inner_html("[data-panel=redirects] table")
    until(page, "before => document.querySelector('[data-panel=redirects]').innerHTML !== before", before)
    gone = f"{HOSTS[2]}:{scene.trio.port}"
    scene.trio.daemons[2].stop()
    until(page, "gone => !document.querySelector('[data-panel=cluster]').innerText.includes(gone)", gone)
    assert page.inner_text("[data-panel=cluster]").count("50 %") == 2
    scene.trio.start(2)
    until(page, "gone => document.querySelector('[data-panel=cluster]').innerText.includes(gone)", gone, seconds=60)
    assert pages.troubles == []


def test_etcd_away_shows(scene, pages) -> None:
    """It is a warning above the panels, and a figure; both go when etcd is back."""
    page = pages.open(scene.admin)
    until(page, "document.querySelector('#health').textContent === 'ready'")
    scene.node.kill()
    until(page, "document.querySelector('#warnings').textContent.includes('cluster')", seconds=60)
    assert page.inner_text("#health") == "ready"
    scene.node.start()
    until(page, "!document.querySelector('#warnings').textContent.includes('cluster')", seconds=60)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(scene, pages, scheme: str, tmp_path: Path) -> None:
    """The panels fit 360 pixels."""
    page = pages.open(scene.admin, viewport={"width": 360, "height": 740}, color_scheme=scheme)
    page.wait_for_selector("[data-panel=cluster] table")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator("[data-panel=cluster]").screenshot(path=str(tmp_path / "cluster.png"))
