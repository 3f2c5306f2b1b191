"""The live page in a real browser."""

from __future__ import annotations

import pytest

from tests.running import Daemon
from tests.ui.conftest import AXE, start, until

pytestmark = pytest.mark.ui

# Each panel, and what of it must change under load.
MOVING = {
    "throughput": "[data-panel=throughput] .chart svg",
    "requests": "[data-panel=requests] .legend",
    "latency": "[data-panel=latency] .chart svg",
    "hits": "[data-panel=hits] .chart svg",
    "hot": "[data-panel=hot] table",
    "errors": "[data-panel=errors] table",
    "cache": "[data-panel=cache] .body",
    "stores": "[data-panel=stores] table",
    "process": "[data-panel=process] .body",
    "tiles": "#tiles",
}
WIDE, PHONE = {"width": 1360, "height": 900}, {"width": 360, "height": 740}


def test_every_panel_moves_under_load(busy, pages) -> None:
    """Each panel changes by itself while there is work, and says what that is; nothing is asked of any other machine."""
    page = pages.open(busy.admin)
    until(page, "document.querySelector('#health').textContent === 'ready'")
    for name, where in MOVING.items():
        page.wait_for_selector(where)
        before = page.inner_html(where)
        until(page, "([where, before]) => document.querySelector(where).innerHTML !== before", [where, before])
        assert page.is_visible(where), name
    until(page, "document.querySelector('[data-panel=requests]').innerText.includes('GetObject')")
    assert "models/weights-00000.safetensors" in page.inner_text("[data-panel=hot]")
    assert "NoSuchKey" in page.inner_text("[data-panel=errors]")
    assert "/models" in page.inner_text("[data-panel=mounts]")
    assert "%" in page.inner_text("[data-panel=hits] .legend")
    assert not page.is_visible("[data-panel=cluster]")
    assert pages.troubles == []
    assert all(url.startswith((busy.admin, "blob:")) for url in pages.asked)


def test_who_comes_back_sees_what_was(busy, pages) -> None:
    """A page that is opened while the feed runs begins with its past, not empty."""
    first = pages.open(busy.admin)
    until(first, "document.querySelectorAll('[data-panel=throughput] path').length > 0")
    second = pages.open(busy.admin)
    until(second, "document.querySelectorAll('[data-panel=throughput] path').length > 0", seconds=3)


def test_explaining_a_hot_key(busy, pages) -> None:
    """A hot key leads to all that there is to know of it and the cache."""
    page = pages.open(busy.admin)
    page.locator("[data-panel=hot] a", has_text="weights-00000").first.click()
    page.wait_for_selector("#explained .facts")
    told = page.inner_text("#explained")
    for what in ("the store says", "freshness", "1 of 1 pages", "evicted next"):
        assert what in told
    page.fill("#explain-name", "bucket/nothing")
    page.press("#explain-name", "Enter")
    page.wait_for_selector("#explained .empty, #explained .facts")
    assert pages.troubles == [] or all("404" in one for one in pages.troubles)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["desktop", "phone"])
def test_everybody_can_use_it(busy, pages, scheme: str, size: dict[str, int]) -> None:
    """axe finds nothing against WCAG 2.2 AA on any page, light or dark, at a desk or on a phone of 360 pixels; nothing is cut off."""
    page = pages.open(busy.admin, viewport=size, color_scheme=scheme, bypass_csp=True)
    page.wait_for_selector("[data-panel=hot] table")
    for where, ready in (("#/live", "#tiles"), ("#/buckets/bucket", "#listing table"), ("#/explain", "#explain-form")):
        page.evaluate("where => { location.hash = where }", where)
        page.wait_for_selector(ready, state="visible")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), where
        if AXE:
            page.add_script_tag(path=AXE[-1])
            tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
            found = page.evaluate("tags => axe.run(document, {runOnly: tags})", tags)["violations"]
            assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []


def test_the_keyboard_is_enough(busy, pages) -> None:
    """With Tab and Enter alone one gets from the top to the buckets and into one, and sees where one is."""
    page = pages.open(busy.admin)
    until(page, "document.querySelector('#health').textContent === 'ready'")
    for _ in range(3):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.dataset.page") == "buckets"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    link = page.locator("#listing a", has_text="bucket").first
    link.wait_for()
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('#listing') !== null"):
            break
    page.keyboard.press("Enter")
    until(page, "location.hash.startsWith('#/buckets/')")


def test_a_daemon_that_is_away_is_said_to_be(pages, tmp_path) -> None:
    """When the daemon ends the page says so; it goes on when another comes."""
    with Daemon(tmp_path / "conf") as daemon:
        site = start(daemon, tmp_path)
        page = pages.open(site.admin)
        until(page, "document.querySelector('#health').textContent === 'ready'")
        daemon.stop()
        until(page, "document.querySelector('#health').textContent === 'no answer'")
