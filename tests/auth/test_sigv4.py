"""SIGV4 and AUDIT: who is let in, as whom, and what is told of the others."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher

from alluxio_s3.auth.audit import AuditAuthenticator, AuditFactory
from alluxio_s3.auth.sigv4 import SigV4Authenticator, SigV4Factory
from alluxio_s3.interfaces import IAuthenticator
from alluxio_s3.ops.exposition import render
from alluxio_s3.ops.metrics import Metrics
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.request import Headers, RequestHead
from alluxio_s3.s3.target import parse_target
from alluxio_s3.threads import Threads
from tests.auth.signing import signed

KEYS = "[alice]\naws_access_key_id = AKIAALICE\naws_secret_access_key = canary-secret\ngroups = analysts\n"


@pytest.fixture
def clock() -> Clock:
    """A clock that shows the wall's time, and stands."""
    clock = Clock()
    clock.advance(time.time())
    return clock


@pytest.fixture
def options(tmp_path: Path) -> dict[str, str]:
    """The options of both authenticators."""
    (tmp_path / "keys").write_text(KEYS)
    return {"user": "daemon", "keys": str(tmp_path / "keys"), "region": "us-east-1"}


@pytest.fixture
def strict(options: dict[str, str], clock: Clock) -> SigV4Authenticator:
    """SIGV4, with one user."""
    return SigV4Factory().build(options, clock, Threads(clock, 1, "none"))  # type: ignore[arg-type]  # runs nothing


@pytest.fixture
def audit(options: dict[str, str], clock: Clock) -> AuditAuthenticator:
    """AUDIT, with the same user."""
    return AuditFactory().build(options, clock, Threads(clock, 1, "none"))  # type: ignore[arg-type]  # runs nothing


async def refusal(authenticator: IAuthenticator, head: RequestHead) -> str:
    try:
        await authenticator.authenticate(head)
    except S3Error as error:
        assert "canary" not in str(error) + str(error.details)
        return error.code
    raise AssertionError("it was let in")


@pytest_twisted.ensureDeferred
async def test_let_in(strict: SigV4Authenticator) -> None:
    """Who signs with the right secret is its user, with the user's groups; who sends no credentials is nobody."""
    for how in ("header", "presigned"):
        principal = await strict.authenticate(signed("AKIAALICE", "canary-secret", how=how))
        assert (principal.name, principal.how, principal.groups) == ("alice", "sigv4", {"analysts"})
        assert principal.signature is not None
        assert (principal.expires_at is not None) == (how == "presigned")
    nobody = await strict.authenticate(RequestHead("GET", parse_target(b"/b/k"), Headers({"host": "h"}), b"/b/k"))
    assert (nobody.name, nobody.how) == ("anonymous", "anonymous")


@pytest_twisted.ensureDeferred
async def test_refused(strict: SigV4Authenticator, clock: Clock) -> None:
    """Another secret, an unknown key, a token that nobody gave, version 2, and a request of long ago are refused as S3 does."""
    right = signed("AKIAALICE", "canary-secret")
    assert await refusal(strict, signed("AKIAALICE", "wrong")) == "SignatureDoesNotMatch"
    assert await refusal(strict, signed("AKIABOB", "canary-secret")) == "InvalidAccessKeyId"
    assert await refusal(strict, signed("AKIAALICE", "canary-secret", token="made-up")) == "InvalidToken"
    assert await refusal(strict, signed("AKIAALICE", "canary-secret", how="presigned-v2")) == "NotImplemented"
    stripped = Headers({name: value for name, value in right.headers.items() if name != "x-amz-content-sha256"})
    assert await refusal(strict, RequestHead("GET", right.target, stripped, right.raw_target)) == "InvalidRequest"
    bearer = RequestHead("GET", right.target, Headers({"authorization": "Bearer x"}), right.raw_target)
    assert await refusal(strict, bearer) == "InvalidArgument"
    clock.advance(16 * 60)
    assert await refusal(strict, right) == "RequestTimeTooSkewed"


@pytest_twisted.ensureDeferred
async def test_version_2(options: dict[str, str], clock: Clock) -> None:
    """Presigned URLs of version 2 are taken when they are asked for, and verified."""
    authenticator = SigV4Factory().build({**options, "sigv2": "true"}, clock, Threads(clock, 1, "none"))  # type: ignore[arg-type]
    principal = await authenticator.authenticate(signed("AKIAALICE", "canary-secret", how="presigned-v2", target="/b/a%20b?versionId=null"))
    assert (principal.name, principal.how) == ("alice", "sigv2")
    assert await refusal(authenticator, signed("AKIAALICE", "wrong", how="presigned-v2")) == "SignatureDoesNotMatch"
    head = signed("AKIAALICE", "canary-secret", how="presigned-v2")
    other = head.raw_target.replace(b"/bucket/", b"/other/")
    assert await refusal(authenticator, RequestHead("GET", parse_target(other), head.headers, other)) == "SignatureDoesNotMatch"
    part = signed("AKIAALICE", "canary-secret", how="presigned-v2", target="/bucket/key?partNumber=1&uploadId=u").raw_target
    doubled = part.replace(b"?", b"?partNumber=2&")
    assert await refusal(authenticator, RequestHead("GET", parse_target(doubled), head.headers, doubled)) == "InvalidArgument"
    clock.advance(61)
    assert await refusal(authenticator, head) == "AccessDenied"


@pytest_twisted.ensureDeferred
async def test_audit(audit: AuditAuthenticator, clock: Clock) -> None:
    """AUDIT serves everybody as SIMPLE does, counts who would be refused and why, and tells of it once a minute."""
    told: list[str] = []
    metrics = Metrics()
    audit.measure(metrics)

    def observe(event: LogEvent) -> None:
        if "Under SIGV4" in str(event.get("log_format")):
            told.append(f"{event['user']}: {event['reason']} ({event['count']})")

    globalLogPublisher.addObserver(observe)
    try:
        for _ in range(3):
            assert (await audit.authenticate(signed("AKIAALICE", "wrong"))).name == "AKIAALICE"
        assert (await audit.authenticate(signed("AKIABOB", "x"))).name == "AKIABOB"
        assert (await audit.authenticate(RequestHead("GET", parse_target(b"/b"), Headers({"host": "h"}), b"/b"))).name == "daemon"
        clock.advance(60)
        assert (await audit.authenticate(signed("AKIAALICE", "canary-secret"))).name == "AKIAALICE"
    finally:
        globalLogPublisher.removeObserver(observe)
    assert audit.failed == {
        ("AKIAALICE", "SignatureDoesNotMatch"): 3,
        ("AKIABOB", "InvalidAccessKeyId"): 1,
        ("daemon", "NoCredentials"): 1,
        ("AKIAALICE", "verified, and would be alice"): 1,
    }
    text = render(metrics.snapshot(), "")[0].decode()
    assert 'alluxio_s3_audit_requests_total{outcome="SignatureDoesNotMatch",user="AKIAALICE"} 3.0' in text
    assert 'alluxio_s3_audit_requests_total{outcome="AnotherUser",user="AKIAALICE"} 1.0' in text
    assert told == [
        "AKIAALICE: SignatureDoesNotMatch (1)",
        "AKIAALICE: SignatureDoesNotMatch (2)",
        "AKIAALICE: verified, and would be alice (1)",
        "AKIABOB: InvalidAccessKeyId (1)",
        "daemon: NoCredentials (1)",
    ]
