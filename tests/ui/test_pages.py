"""Buckets used by the pages of another site, in a real browser: what it lets the pages do is what the bucket's rules say."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from attrs import frozen
from botocore.config import Config

from tests.daemon.test_admin import properties
from tests.running import Daemon

pytestmark = pytest.mark.ui


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        """Nothing."""


@frozen
class Scene:
    """A daemon under SIGV4, its client ``s3``, and two sites whose pages have nothing in them: the rules let ``friend`` in."""

    endpoint: str
    s3: Any
    friend: str
    stranger: str


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A bucket with an object and rules."""
    directory = tmp_path_factory.mktemp("pages")
    (directory / "www").mkdir()
    (directory / "www" / "index.html").write_text("<!DOCTYPE html><meta charset=utf-8><title>page</title>")
    (directory / "keys").write_text("[alice]\naws_access_key_id=AKIAALICE\naws_secret_access_key=canary\n")
    handler = functools.partial(_Quiet, directory=str(directory / "www"))
    servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) for _ in range(2)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    friend, stranger = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    more = {"alluxio.worker.s3.authentication.type": "SIGV4", "alluxio.worker.s3.authentication.keys.file": directory / "keys"}
    with Daemon(directory / "conf") as daemon:
        endpoint = daemon.start({**properties(directory), **more})
        s3 = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="AKIAALICE",
            aws_secret_access_key="canary",
            config=Config(signature_version="s3v4"),
        )
        s3.put_object(Bucket="bucket", Key="k", Body=b"bytes", Metadata={"a": "b"})
        rule = {
            "AllowedOrigins": [friend],
            "AllowedMethods": ["GET", "PUT", "POST"],
            "AllowedHeaders": ["content-type", "x-amz-*"],
            "ExposeHeaders": ["ETag"],
        }
        s3.put_bucket_cors(Bucket="bucket", CORSConfiguration={"CORSRules": [rule]})
        yield Scene(endpoint, s3, friend, stranger)
        daemon.stop()
        assert daemon.trouble == []
    for server in servers:
        server.shutdown()
        server.server_close()


FETCH = """async ([url, options]) => {
  try {
    const answer = await fetch(url, options);
    return {status: answer.status, text: await answer.text(), etag: answer.headers.get("etag"), meta: answer.headers.get("x-amz-meta-a")};
  } catch (problem) { return {problem: problem.name}; }
}"""


def fetch(page: Any, url: str, **options: object) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate(FETCH, [url, options])
    return found


def test_fetching(scene: Scene, pages: Any) -> None:
    """A page of an origin that is let in reads an object and the headers that are exposed, and why it is refused; another page nothing."""
    url = scene.s3.generate_presigned_url("get_object", {"Bucket": "bucket", "Key": "k"})
    absent = scene.s3.generate_presigned_url("get_object", {"Bucket": "bucket", "Key": "absent"})
    page = pages.open(scene.friend)
    etag = scene.s3.head_object(Bucket="bucket", Key="k")["ETag"]
    assert fetch(page, url) == {"status": 200, "text": "bytes", "etag": etag, "meta": None}
    assert fetch(page, url, credentials="include")["status"] == 200
    assert "NoSuchKey" in fetch(page, absent)["text"]
    assert "SignatureDoesNotMatch" in fetch(page, url.replace("/k?", "/l?"))["text"]
    stranger = pages.open(scene.stranger)
    assert fetch(stranger, url) == {"problem": "TypeError"}
    assert fetch(stranger, absent) == {"problem": "TypeError"}


def test_writing(scene: Scene, pages: Any) -> None:
    """What a browser asks beforehand is answered by the rules: a page may send what they let it, and nothing else leaves the browser."""
    page = pages.open(scene.friend)
    url = scene.s3.generate_presigned_url("put_object", {"Bucket": "bucket", "Key": "written", "ContentType": "text/plain"})
    sent = {"method": "PUT", "body": "from a page", "headers": {"Content-Type": "text/plain"}}
    assert fetch(page, url, **sent)["status"] == 200
    assert scene.s3.get_object(Bucket="bucket", Key="written")["Body"].read() == b"from a page"
    assert fetch(page, url, **{**sent, "headers": {"Content-Type": "text/plain", "X-Other": "1"}}) == {"problem": "TypeError"}
    delete = scene.s3.generate_presigned_url("delete_object", {"Bucket": "bucket", "Key": "written"})
    assert fetch(page, delete, method="DELETE") == {"problem": "TypeError"}
    assert fetch(pages.open(scene.stranger), url, **{**sent, "body": "evil"}) == {"problem": "TypeError"}
    assert scene.s3.get_object(Bucket="bucket", Key="written")["Body"].read() == b"from a page"


def test_a_form_in_a_page(scene: Scene, pages: Any, tmp_path: Path) -> None:
    """A form with a signed policy sends a file, and the browser goes where the form says; a script can send it, too."""
    done = f"{scene.stranger}/"
    given = scene.s3.generate_presigned_post(
        "bucket",
        "form/${filename}",
        Fields={"success_action_redirect": done},
        Conditions=[{"success_action_redirect": done}, ["content-length-range", 1, 1000]],
    )
    (tmp_path / "größe.txt").write_text("sent by a form")
    # A page of an origin that the rules do not let in: the policy is signed, and nobody reads the answer.
    page = pages.open(scene.stranger)
    inputs = "".join(f"<input type=hidden name='{name}' value='{value}'>" for name, value in given["fields"].items())
    page.set_content(
        f"<form action='{given['url']}' method=post enctype=multipart/form-data>{inputs}"
        "<input type=file name=file><button>Send</button></form>"
    )
    page.set_input_files("input[type=file]", str(tmp_path / "größe.txt"))
    with page.expect_navigation():
        page.click("button")
    assert page.url.startswith(f"{done}?bucket=bucket&key=form%2F"), page.content()
    assert scene.s3.get_object(Bucket="bucket", Key="form/größe.txt")["Body"].read() == b"sent by a form"
    script = """async ([url, fields]) => {
      const form = new FormData();
      for (const [name, value] of Object.entries(fields)) form.append(name, value);
      form.append("file", new Blob(["sent by a script"]), "s.txt");
      const answer = await fetch(url, {method: "POST", body: form});
      return answer.status;
    }"""
    given = scene.s3.generate_presigned_post("bucket", "form/script")
    assert pages.open(scene.friend).evaluate(script, [given["url"], given["fields"]]) == 204
    assert scene.s3.get_object(Bucket="bucket", Key="form/script")["Body"].read() == b"sent by a script"
