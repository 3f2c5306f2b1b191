"""The bucket browser in a real browser."""

from __future__ import annotations

import base64
import hashlib
import os
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.running import Daemon
from tests.ui.conftest import LARGE, Site, start, until

pytestmark = pytest.mark.ui

PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAIAQMAAAD+wSzIAAAABlBMVEX///+/v7+jQ3Y5AAAADklEQVQI12P4AIX8EAgALgAD/aNpbtEAAAAASUVORK5CYII="
)
KEY, SECRET = "AKIDCAROL", "carols-secret/+key"


def signed_in(pages: Any, site: Site, where: str, user: str = "alice", secret: str = "") -> Any:
    """The page at ``where``, with a user."""
    page = pages.open(f"{site.admin}/#/buckets/{where}")
    page.click("#who")
    page.fill("#access-key", user)
    if secret:
        page.fill("#secret-key", secret)
    page.click("#session-ok")
    until(page, "user => document.querySelector('#who').textContent === user", user)
    return page


def drop(page: Any, path: Path) -> None:
    """Drag the file at ``path`` into the page, and drop it, as the browser itself does."""
    box = page.locator("#drop").bounding_box()
    wire = page.context.new_cdp_session(page)
    at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        wire.send("Input.dispatchDragEvent", {"type": kind, **at, "data": data})


def put(site: Site, key: str, body: bytes, kind: str) -> None:
    request = urllib.request.Request(f"{site.s3}/bucket/{key}", body, {"Content-Type": kind}, method="PUT")
    urllib.request.urlopen(request, timeout=30).close()


def open_object(page: Any, name: str) -> None:
    page.locator("#listing button.link", has_text=name).click()
    page.wait_for_selector("#object[open] .facts")


def test_a_large_file_arrives_whole(site, pages, tmp_path) -> None:
    """100 MiB that are dropped on the page are uploaded by parts, with progress, and are those that were dropped."""
    large = tmp_path / "large.bin"
    large.write_bytes(os.urandom(LARGE))
    page = signed_in(pages, site, "bucket")
    drop(page, large)
    line = page.locator(".upload")
    until(
        page,
        "() => { const one = document.querySelector('.upload progress'); return one && one.value > 0 && one.value < one.max }",
        seconds=60,
    )
    line.locator(".what", has_text="whole").wait_for(timeout=120_000)
    with (site.data / "large.bin").open("rb") as arrived, large.open("rb") as sent:
        assert hashlib.file_digest(arrived, "sha256").digest() == hashlib.file_digest(sent, "sha256").digest()
    until(page, "() => document.querySelector('#listing').innerText.includes('large.bin')")
    assert pages.troubles == []


def test_an_upload_that_is_stopped_leaves_nothing(site, pages, tmp_path) -> None:
    """Who stops an upload finds no object, and no parts, afterwards."""
    large = tmp_path / "stopped.bin"
    large.write_bytes(bytes(LARGE))
    page = signed_in(pages, site, "bucket")
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 4 << 20}
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", slow)
    drop(page, large)
    until(page, "() => (document.querySelector('.upload progress')?.value ?? 0) > 0", seconds=60)
    page.evaluate("() => document.querySelector('.upload button').focus()")
    page.keyboard.press("Enter")
    until(page, "() => document.querySelector('.upload .what').textContent === 'stopped'")
    assert not (site.data / "stopped.bin").exists()
    with urllib.request.urlopen(f"{site.s3}/bucket?uploads", timeout=30) as answer:
        assert b"stopped.bin" not in answer.read()


def test_names_of_all_kinds(site, pages, tmp_path) -> None:
    """Keys that have to be escaped are uploaded, listed, opened and deleted as any others."""
    name = "ünï côdé +%25 'q' & <b>.txt"
    (tmp_path / name).write_text("hello")
    page = signed_in(pages, site, "bucket/" + "a%20%26%20b%2F")
    drop(page, tmp_path / name)
    page.locator(".upload .what", has_text="whole").wait_for()
    assert (site.data / "a & b" / name).read_text() == "hello"
    until(page, "name => document.querySelector('#listing').innerText.includes(name)", name)
    open_object(page, name)
    page.locator(".preview pre", has_text="hello").wait_for()
    page.click("#delete")
    page.click("#confirm-ok")
    until(page, "() => document.querySelector('#listing').innerText.includes('Nothing is here')")
    assert not (site.data / "a & b" / name).exists()
    assert pages.troubles == []


def test_previews(site, pages) -> None:
    """Text and pictures are shown; what claims to be a page is text, and none of it runs."""
    put(site, "previews/picture.png", PICTURE, "image/png")
    put(site, "previews/evil.html", b"<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">", "text/html")
    put(site, "previews/bytes.bin", bytes(range(256)), "application/octet-stream")
    page = signed_in(pages, site, "bucket/previews%2F")
    open_object(page, "picture.png")
    page.wait_for_selector(".preview img")
    until(page, "() => document.querySelector('.preview img').naturalWidth === 8")
    page.keyboard.press("Escape")
    open_object(page, "evil.html")
    page.locator(".preview pre", has_text="<script>").wait_for()
    assert page.title() == "Buckets · alluxio-s3"
    page.keyboard.press("Escape")
    open_object(page, "bytes.bin")
    page.locator("#object .empty", has_text="neither text nor a picture").wait_for()
    assert pages.troubles == []


def test_tags_are_shown_and_changed(site, pages) -> None:
    """Tags that are added are there for the next who looks; one that is removed is gone."""
    put(site, "tagged.txt", b"x", "text/plain")
    page = signed_in(pages, site, "bucket")
    open_object(page, "tagged.txt")
    page.get_by_role("button", name="Add a tag").click()
    page.get_by_label("Name of the tag").fill("team: x")
    page.get_by_label("Value of the tag").fill("research")
    page.get_by_role("button", name="Save tags").click()
    until(page, "() => document.querySelector('#toast').textContent.includes('saved')")
    page.keyboard.press("Escape")
    open_object(page, "tagged.txt")
    page.wait_for_selector(".tags input")
    assert page.get_by_label("Name of the tag").input_value() == "team: x"
    page.get_by_role("button", name="Remove the tag").click()
    page.get_by_role("button", name="Save tags").click()
    asking = "await (await fetch('/s3/bucket/tagged.txt?tagging', {headers: {'x-s3-authorization': ''}})).text()"
    until(page, f"async () => !({asking}).includes('team')")
    assert pages.troubles == []


def test_a_shared_link_opens(site, pages) -> None:
    """The link is for the S3 endpoint, and whoever has it reads the object."""
    put(site, "shared.txt", b"for you", "text/plain")
    page = signed_in(pages, site, "bucket")
    open_object(page, "shared.txt")
    page.click("#share")
    page.wait_for_selector("#shared-open", state="visible")
    link = page.input_value("#shared-link")
    assert link.startswith(f"{site.s3}/bucket/shared.txt?")
    with page.context.expect_page() as opened:
        page.click("#shared-open")
    assert opened.value.inner_text("body") == "for you"


def test_buckets_are_made(site, pages) -> None:
    """A bucket that is made is there and can be uploaded to by the button."""
    page = signed_in(pages, site, "")
    page.click("#new-bucket")
    page.fill("#ask-name", "made-here")
    page.keyboard.press("Enter")
    until(page, "() => location.hash === '#/buckets/made-here'")
    with page.expect_file_chooser() as choosing:
        page.click("#upload")
    choosing.value.set_files([{"name": "note.txt", "mimeType": "text/plain", "buffer": b"hi"}])
    until(page, "() => document.querySelector('#listing').innerText.includes('note.txt')")
    assert (site.data.parent / "made-here" / "note.txt").read_bytes() == b"hi"


def test_signatures_are_verified(pages, tmp_path) -> None:
    """Under SIGV4 what the page signs is verified, uploads and links too; a wrong key or none gets nothing; the log knows who it was."""
    keys, log = tmp_path / "keys", tmp_path / "access.log"
    keys.write_text(f"[carol]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
    keys.chmod(0o600)
    more = {
        "alluxio.worker.s3.authentication.type": "SIGV4",
        "alluxio.worker.s3.authentication.keys.file": keys,
        "alluxio.worker.s3.access.log.path": log,
    }
    with Daemon(tmp_path / "conf") as daemon:
        site = start(daemon, tmp_path, **more)
        large = tmp_path / "signed + ü.bin"
        large.write_bytes(os.urandom(20 << 20))
        page = signed_in(pages, site, "bucket", KEY, SECRET)
        until(page, "() => document.querySelector('#listing').innerText.includes('Nothing is here')")
        pages.troubles.clear()  # the browser's own word for the refusal before
        drop(page, large)
        until(page, "() => /whole|fail|match|denied/i.test(document.querySelector('.upload .what')?.textContent)", seconds=120)
        assert "whole" in page.inner_text(".upload .what")
        assert (site.data / large.name).read_bytes() == large.read_bytes()
        until(page, "() => document.querySelector('#listing').innerText.includes('signed')")
        open_object(page, "signed")
        page.click("#share")
        page.wait_for_selector("#shared-open", state="visible")
        link = page.input_value("#shared-link")
        with urllib.request.urlopen(link, timeout=30) as answer:
            assert answer.read() == large.read_bytes()
        assert pages.troubles == []
        page = signed_in(pages, site, "bucket", KEY, "wrong")
        page.locator("#listing .trouble").wait_for()
        page = pages.open(f"{site.admin}/#/buckets/bucket")
        page.locator("#listing .trouble").wait_for()
        daemon.stop()
        assert daemon.trouble == []
        assert SECRET not in daemon.log + log.read_text()
        assert " carol CompleteMultipartUpload " in log.read_text()
