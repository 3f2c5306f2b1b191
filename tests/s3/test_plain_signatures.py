"""The short and the long way of verifying a signature come to the same end."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from alluxio_s3.s3.credentials import find_credentials
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.plain_signatures import is_right, parse_authorization
from alluxio_s3.s3.request import Headers, RequestHead
from alluxio_s3.s3.sigv4 import verify
from alluxio_s3.s3.target import parse_target

REGION, SECRET = "us-east-1", "canary-secret"
NOW = int(time.time())


def signed(target: str, more: dict[str, str], secret: str) -> dict[str, str]:
    """The headers of a GET of ``target`` that is signed now."""
    request = AWSRequest("GET", "http://host:29998" + target, headers=dict(more))
    S3SigV4Auth(Credentials("AKIAALICE", secret), "s3", REGION).add_auth(request)
    return {**dict(request.headers.items()), "Host": "host:29998"}


def long_way(method: str, target: bytes, headers: dict[str, str], now: float) -> bool:
    """Whether ``verify`` takes it, as it comes off the wire: without the space around values."""
    try:
        head = RequestHead(method, parse_target(target), Headers({name: value.strip() for name, value in headers.items()}), target)
        credentials = find_credentials(head)
        return credentials is not None and bool(verify(head, credentials, SECRET, region=REGION, service="s3", now_seconds=now))
    except S3Error:
        return False


def short_way(method: str, target: bytes, headers: dict[str, str], now: float) -> bool:
    """Whether ``is_right`` says so."""
    raw = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
    authorization = next((value.strip(b" \t") for name, value in raw.items() if name.lower() == b"authorization"), b"")
    plain = parse_authorization(authorization)
    return plain is not None and is_right(plain, method, target, raw, SECRET, region=REGION, now_seconds=now)


KEYS = st.sampled_from(["/b/k", "/b/a%20b", "/b/a/b~c", "/b/%C3%A9", "/b/a+b", "/b/a%2Bb"])
EXTRA = st.dictionaries(
    st.sampled_from(["x-amz-checksum-mode", "Range", "x-amz-meta-a", "if-match"]), st.sampled_from(["ENABLED", "a  b", " a ", "bytes=0-1"])
)
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("drop"), st.sampled_from(["X-Amz-Date", "X-Amz-Content-SHA256", "Host", "Range", "x-amz-meta-a"])),
        st.tuples(st.just("add"), st.sampled_from(["x-amz-tagging", "X-Amz-Security-Token", "x-amz-acl", "range", "User-Agent"])),
        st.tuples(st.just("set"), st.sampled_from(["X-Amz-Date", "X-Amz-Content-SHA256", "Host", "Authorization"])),
        st.tuples(st.just("pad"), st.sampled_from(["X-Amz-Date", "Host", "Range", "x-amz-checksum-mode"])),
        st.tuples(st.just("method"), st.just("HEAD")),
        st.tuples(st.just("target"), st.sampled_from(["/b/other", "/c/k", "/b/k?acl", "/b/k?versionId=null"])),
        st.tuples(st.just("scope"), st.sampled_from(["eu-west-1", "20200101"])),
    ),
    max_size=2,
)


def changed(given: tuple[str, str], method: str, target: str, headers: dict[str, str]) -> tuple[str, str, dict[str, str]]:
    """The request after one change."""
    kind, what = given
    names = {name.lower(): name for name in headers}
    name = names.get(what.lower(), what)
    if kind == "drop":
        return method, target, {one: value for one, value in headers.items() if one != name}
    if kind == "add":
        return method, target, {**headers, name: "added"}
    if kind == "set":
        return method, target, {**headers, name: headers.get(name, "")[:-1] + "0"}
    if kind == "pad":
        return method, target, {one: f" {value}\t" if one == name else value for one, value in headers.items()}
    if kind == "scope":
        old = REGION if what[0] == "e" else datetime.now(UTC).strftime("%Y%m%d")
        return method, target, {**headers, "Authorization": headers.get("Authorization", "").replace(f"/{old}/", f"/{what}/")}
    return (what, target, headers) if kind == "method" else (method, what, headers)


@given(KEYS, EXTRA, CHANGES, st.sampled_from([SECRET, SECRET, SECRET, "wrong"]), st.sampled_from([0, 0, 0, 899, 1000, -1000]))
def test_both_ways_agree(target: str, extra: dict[str, str], changes: list[tuple[str, str]], secret: str, skew: int) -> None:
    """What the short way lets in the long way does; what SDKs sign, unchanged, the short way lets in."""
    headers = signed(target, extra, secret)
    method = "GET"
    for change in changes:
        method, target, headers = changed(change, method, target, headers)
    now = time.time() + skew
    quick = short_way(method, target.encode(), headers, now)
    right = long_way(method, target.encode(), headers, now)
    assert right or not quick
    if not changes and "+" not in target and "  " not in "".join(extra.values()):
        assert quick == right == (secret == SECRET and abs(skew) < 900)


def test_unusual_requests() -> None:
    """What is not plain is left to the long way: a query, a session token, a body's hash, a header that is signed and not there."""
    headers = signed("/b/k", {}, SECRET)
    now = time.time()
    assert short_way("GET", b"/b/k", headers, now)
    assert not short_way("GET", b"/b/k?x-id=GetObject", headers, now)
    assert not short_way("GET", b"http://host:29998/b/k", headers, now)
    assert not short_way("GET", b"/b/k", signed("/b/k", {"x-amz-security-token": "t"}, SECRET), now)
    for name in ("X-Amz-Date", "X-Amz-Content-SHA256"):
        assert not short_way("GET", b"/b/k", {**headers, name: "20269999T000000Z"}, now)
    assert not short_way("GET", b"/b/k", {name: value for name, value in headers.items() if name.lower() != "host"}, now)
