"""What somebody sees who comes for the first time: a daemon that nobody asks for anything, and a port that wants a token."""

from __future__ import annotations

import pytest

from tests.running import Daemon
from tests.ui.conftest import AXE, start, until

pytestmark = pytest.mark.ui
TOKEN = "a-token-of-32-characters-or-more"


def test_nothing_happens(pages, tmp_path) -> None:
    """Every panel says that there is nothing, none is empty or wrong, and the figures are zeros or dashes."""
    with Daemon(tmp_path / "conf") as daemon:
        site = start(daemon, tmp_path)
        page = pages.open(site.admin)
        until(page, "document.querySelector('#health').textContent === 'ready'")
        page.wait_for_selector("[data-panel=hot] .empty")
        until(page, "!document.querySelector('[data-panel=throughput] .chart').innerText.includes('NaN')")
        for name in ("hot", "errors", "cache", "stores", "mounts", "process"):
            assert page.inner_text(f"[data-panel={name}] .body").strip(), name
        told = page.inner_text("main")
        for wrong in ("NaN", "undefined", "null", "Infinity"):
            assert wrong not in told
        assert pages.troubles == []
        daemon.stop()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_token_is_asked_for_once(pages, tmp_path, scheme: str) -> None:
    """By keyboard alone: a wrong token is said to be wrong, the right one opens the page that was asked for, logging out closes it."""
    (tmp_path / "token").write_text(TOKEN)
    with Daemon(tmp_path / "conf") as daemon:
        site = start(daemon, tmp_path, **{"alluxio.worker.s3.admin.token.path": tmp_path / "token"})
        page = pages.open(f"{site.admin}/", color_scheme=scheme, bypass_csp=True)
        page.wait_for_selector("#token")
        assert page.evaluate("document.activeElement.id") == "token"
        page.keyboard.type("another")
        page.keyboard.press("Enter")
        page.wait_for_selector("[role=alert]")
        if AXE:
            page.add_script_tag(path=AXE[-1])
            found = page.evaluate("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa']})")["violations"]
            assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
        page.keyboard.type(TOKEN)
        page.keyboard.press("Enter")
        page.wait_for_selector("#health")
        until(page, "document.querySelector('#health')?.textContent === 'ready'")
        page.click("#logout button")
        page.wait_for_selector("#token")
        page.goto(f"{site.admin}/")
        page.wait_for_selector("#token")
        assert all("403" in one or "401" in one for one in pages.troubles)
        daemon.stop()
