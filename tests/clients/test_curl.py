"""curl: signing by itself, and without credentials."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.clients.programs import ACCESS_KEY, REGION, SECRET_KEY, Program, on_the_system
from tests.clients.samples import AWKWARD_KEYS, OVER_A_PART, PAGE, digest, digest_of, random_bytes, random_file

pytestmark = pytest.mark.ci


@pytest.fixture
def plain(environment: dict[str, str], tmp_path: Path, daemon: Any) -> Program:
    """`curl` without credentials, quiet, failing on errors."""
    if not daemon.ours:
        pytest.skip("requests without credentials are for the daemon's SIMPLE mode")
    return Program([str(on_the_system("curl")), "-sS", "--fail-with-body"], environment, tmp_path)


@pytest.fixture
def signed(environment: dict[str, str], tmp_path: Path) -> Program:
    """`curl` that signs with version 4."""
    credentials = ["--user", f"{ACCESS_KEY}:{SECRET_KEY}", "--aws-sigv4", f"aws:amz:{REGION}:s3"]
    return Program([str(on_the_system("curl")), "-sS", "--fail-with-body", *credentials], environment, tmp_path)


@pytest.fixture
def url(endpoint: str, bucket: str) -> str:
    """The address of the bucket."""
    return f"{endpoint}/{bucket}"


@pytest.mark.parametrize("size", [1, PAGE, OVER_A_PART])
def test_signed_round_trip(signed: Program, url: str, tmp_path: Path, size: int) -> None:
    """curl --aws-sigv4 puts, gets, lists and deletes."""
    sent = random_file(tmp_path / "sent", size)
    signed("-T", "sent", f"{url}/dir/k")
    assert digest(signed(f"{url}/dir/k")) == sent
    assert "<Key>dir/k</Key>" in signed.text(f"{url}?list-type=2")
    signed("-X", "DELETE", f"{url}/dir/k")
    assert b"<Code>NoSuchKey</Code>" in signed.attempt(f"{url}/dir/k").stdout


@pytest.mark.parametrize("size", [0, 1, PAGE, OVER_A_PART])
def test_put_a_file(plain: Program, url: str, tmp_path: Path, size: int) -> None:
    """PUT of a file and GET need no credentials."""
    sent = random_file(tmp_path / "sent", size)
    plain("-T", "sent", f"{url}/dir/k")
    plain("-o", "got", f"{url}/dir/k")
    assert (digest_of(tmp_path / "got") if size else digest(b"")) == sent


@pytest.mark.parametrize("size", [0, PAGE, OVER_A_PART])
def test_put_a_stream(plain: Program, url: str, size: int) -> None:
    """PUT of a pipe, which HTTP sends chunked and without a length, stores all of it."""
    body = random_bytes(size)
    plain("-T", "-", f"{url}/k", data=body)
    assert digest(plain(f"{url}/k")) == digest(body)


def test_expect_continue(plain: Program, url: str, tmp_path: Path) -> None:
    """A client that waits for 100 Continue before it sends gets it at once, or its refusal without having sent."""
    random_file(tmp_path / "sent", PAGE)
    done = plain.attempt("-v", "-H", "Expect: 100-continue", "--expect100-timeout", "30", "-T", "sent", f"{url}/k")
    assert done.returncode == 0
    assert b"100 Continue" in done.stderr
    refused = plain.attempt("-v", "-H", "Expect: 100-continue", "--expect100-timeout", "30", "-T", "sent", f"{url}-absent/k")
    assert b"<Code>NoSuchBucket</Code>" in refused.stdout


@pytest.mark.needs("digests as ETags")
def test_head(plain: Program, url: str) -> None:
    """HEAD has the headers of GET and no body."""
    plain("-T", "-", f"{url}/k", data=b"hello")
    report = "%{http_code} %header{content-length} %header{etag} %header{accept-ranges}"
    headers = plain.text("-I", "-o", "/dev/null", "-w", report, f"{url}/k")
    assert headers == '200 5 "5d41402abc4b2a76b9719d911017c592" bytes'
    assert plain.text("-o", "/dev/null", "-w", report, f"{url}/k") == headers


@pytest.mark.parametrize(("asked", "part"), [("0-9", slice(0, 10)), ("4000-", slice(4000, None)), ("-7", slice(-7, None))])
def test_ranges(plain: Program, url: str, asked: str, part: slice) -> None:
    """curl -r gives just the range."""
    body = random_bytes(PAGE)
    plain("-T", "-", f"{url}/k", data=body)
    assert plain("-r", asked, f"{url}/k") == body[part]


def test_resume(plain: Program, url: str, tmp_path: Path) -> None:
    """curl -C - completes a file that was cut off."""
    body = random_bytes(OVER_A_PART)
    plain("-T", "-", f"{url}/k", data=body)
    (tmp_path / "got").write_bytes(body[: PAGE + 1])
    plain("-C", "-", "-o", "got", f"{url}/k")
    assert digest_of(tmp_path / "got") == digest(body)


def test_not_modified(plain: Program, url: str) -> None:
    """A GET for what the client has already is 304 without a body, by ETag and by date."""
    plain("-T", "-", f"{url}/k", data=b"hello")
    shown = plain.text("-I", "-w", "%{http_code} %header{etag}", "-o", "/dev/null", f"{url}/k")
    code, _, etag = shown.partition(" ")
    assert code == "200"
    report = ("-w", "%{http_code} %{size_download} %header{etag}")
    assert plain.text(*report, "-H", f"If-None-Match: {etag}", f"{url}/k") == f"304 0 {etag}"
    modified = plain.text("-I", "-o", "/dev/null", "-w", "%header{last-modified}", f"{url}/k")
    assert plain.text(*report, "-H", f"If-Modified-Since: {modified}", f"{url}/k") == f"304 0 {etag}"


def test_keep_alive(plain: Program, url: str) -> None:
    """Requests on one connection are all answered on it: PUT, GET, an error, HEAD, GET."""
    plain("-T", "-", f"{url}/k", data=b"hello")
    asked = [f"{url}/k", f"{url}/absent", f"{url}/k"]
    output = ["-o", "/dev/null"] * len(asked)
    curl = Program([plain.command[0], "-sS"], plain.environment, plain.directory)
    assert curl.text(*output, "-w", "%{http_code} %{num_connects}\n", *asked).splitlines() == ["200 1", "404 0", "200 0"]


@pytest.mark.parametrize("key", [pytest.param(key, marks=pytest.mark.needs("colons") if ":" in key else ()) for key in AWKWARD_KEYS])
def test_awkward_keys(plain: Program, url: str, key: str) -> None:
    """Any key works when the URL encodes it."""
    plain("-T", "-", f"{url}/{quote(key)}", data=b"hello")
    assert plain(f"{url}/{quote(key, safe='')}") == b"hello"


def test_errors_are_xml(plain: Program, endpoint: str) -> None:
    """An error is an XML document with a code, a message, the resource and a request id, the header's."""
    done = plain.attempt("-i", f"{endpoint}/clients-no-such-bucket/k")
    head, body = done.stdout.decode().split("\r\n\r\n", 1)
    assert head.startswith("HTTP/1.1 404")
    assert "application/xml" in head.lower()
    assert "<Code>NoSuchBucket</Code>" in body
    assert "<Resource>/clients-no-such-bucket/k</Resource>" in body
    (request_id,) = [line.split(": ")[1] for line in head.splitlines() if line.lower().startswith("x-amz-request-id")]
    assert f"<RequestId>{request_id}</RequestId>" in body
