"""Take the pictures of docs/dashboard.md: python -m tests.ui.screenshots (make screenshots)."""

from __future__ import annotations

import shutil
import struct
import sys
import tempfile
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.running import ROOT, Daemon
from tests.ui.conftest import Load, Site, start
from tests.ui.palettes import chunk, with_palette
from tests.wire import authorization

PICTURES = ROOT / "docs" / "pictures"
SECONDS = 110
# Of a picture in the docs; those that would be larger have fewer colours.
MANY_BYTES = 150_000
DESK = {"width": 1120, "height": 760}
PHONE = {"width": 360, "height": 780}
ALICE = {"Authorization": authorization("alice")}


def main() -> None:
    """Each picture, under load."""
    playwright = import_module("playwright.sync_api")
    PICTURES.mkdir(exist_ok=True)
    with _busy() as site, playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        first = _page(browser, site, "#/live", DESK, "light")
        first.wait_for_timeout(SECONDS * 1000)
        _shoot(first, "dashboard-live.png", full=True)
        _shoot(_page(browser, site, "#/live", DESK, "dark"), "dashboard-live-dark.png", full=True)
        _shoot(_page(browser, site, "#/live", PHONE, "light"), "dashboard-live-phone.png")
        for size, scheme, name in ((DESK, "light", "dashboard-object.png"), (PHONE, "dark", "dashboard-object-phone.png")):
            page = _signed_in(_page(browser, site, "#/buckets/bucket/plots%2F", size, scheme))
            if size is DESK:
                _shoot(page, "dashboard-buckets.png")
            page.locator("#listing button.link", has_text="attention.png").click()
            page.wait_for_selector(".preview img")
            page.wait_for_timeout(1000)
            _shoot(page, name)
        page = _page(browser, site, "#/explain/models%2Fweights-00000.safetensors", DESK, "light")
        page.wait_for_selector("#explained .facts")
        _shoot(page, "dashboard-explain.png")
        browser.close()


@contextmanager
def _busy() -> Iterator[Site]:
    with tempfile.TemporaryDirectory() as scratch, Daemon(Path(scratch) / "conf") as daemon:
        site = start(daemon, Path(scratch))
        for key, body, kind in (
            ("plots/attention.png", _picture(), "image/png"),
            ("plots/loss.csv", b"step,loss\n1,3.2\n2,2.9\n", "text/csv"),
            ("plots/2026/readme.md", b"# Plots\n", "text/markdown"),
        ):
            headers = {"Content-Type": kind, "x-amz-tagging": "team=research&run=42", "x-amz-meta-made-by": "train.py", **ALICE}
            urllib.request.urlopen(urllib.request.Request(f"{site.s3}/bucket/{key}", body, headers, method="PUT"), timeout=30).close()
        load = Load(site)
        yield site
        load.stop()
        daemon.stop()


def _page(browser: Any, site: Site, where: str, size: dict[str, int], scheme: str) -> Any:
    page = browser.new_context(viewport=size, color_scheme=scheme, locale="en-GB", timezone_id="UTC").new_page()
    page.goto(f"{site.admin}/{where}")
    page.wait_for_timeout(2500)
    return page


def _signed_in(page: Any) -> Any:
    page.click("#who")
    page.fill("#access-key", "alice")
    page.click("#session-ok")
    page.wait_for_timeout(700)
    return page


def _shoot(page: Any, name: str, *, full: bool = False) -> None:
    taken = page.screenshot(full_page=full)
    (PICTURES / name).write_bytes(taken if len(taken) < MANY_BYTES else with_palette(taken))
    sys.stdout.write(f"{name}: {(PICTURES / name).stat().st_size} bytes\n")


def _picture() -> bytes:
    """Something to look at: a map of attention, of 96 by 96 squares."""
    side, scale = 96, 4
    rows = bytearray()
    for y in range(side):
        row = bytearray()
        for x in range(side):
            near = max(0.0, 1 - abs(x - y) / 14) ** 2 + 0.55 * ((x * 7 + y * 13) % 17 == 0) * (x < y)
            warm = min(1.0, near if x <= y else near * 0.12)
            row += bytes((int(18 + 230 * warm), int(24 + 150 * warm**2), int(70 + 60 * (1 - warm)))) * scale
        rows += (b"\0" + row) * scale
    size = side * scale

    head = struct.pack("!2I5B", size, size, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(rows), 9)) + chunk(b"IEND", b"")


if __name__ == "__main__":
    main()
