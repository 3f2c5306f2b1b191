"""The access log keeps each request and no secret."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from alluxio_s3.ops.access_log import FLUSH_LINES, FLUSH_SECONDS, AuditedLog, EventAccessLog, FileAccessLog
from alluxio_s3.ops.log_forms import AUDIT, STYLES, Account, audit_line, aws_line, aws_time, iso_time, json_line, line_of


def account(target: str = "/b/k") -> Account:
    return Account("ID", "GET", target, "127.0.0.1", "GetObject", "alice", 200, "-", 0, 4096, 0.0123)


def test_a_line_tells_who_did_what() -> None:
    """Address, user, action, request, status, error, bytes, time and id."""
    assert line_of(account()) == '127.0.0.1 alice GetObject "GET /b/k" 200 - in=0 out=4096 12.3ms ID'


def test_a_line_of_json_is_a_document() -> None:
    """Every field by its name, whatever a client sent."""
    found = json.loads(json_line(iso_time(0), account()))
    assert found == {
        "time": "1970-01-01T00:00:00Z",
        "request_id": "ID",
        "peer": "127.0.0.1",
        "user": "alice",
        "action": "GetObject",
        "method": "GET",
        "target": "/b/k",
        "status": 200,
        "error": "-",
        "bytes_in": 0,
        "bytes_out": 4096,
        "seconds": 0.0123,
        "first_byte_seconds": 0.0,
    }


@given(st.text(), st.text(), st.text(), st.sampled_from([200, 403, 0]))
def test_every_form_is_one_line(method: str, target: str, user: str, status: int) -> None:
    """Whatever a client calls itself and asks for, each form is one line, and those of JSON are documents."""
    one = Account("ID", method, target, "127.0.0.1", "-", user, status)
    for style in (*STYLES.values(), AUDIT):
        line = style.form(style.time(0), one)
        assert line.endswith("\n")
        assert len(line.splitlines()) == 1
    for form in (json_line, audit_line):
        assert json.loads(form("now", one))["user"] == user


# The fields of a record of S3's, as its users read them.
AWS = re.compile(
    r"(?P<owner>\S+) (?P<bucket>\S+) \[(?P<time>[^\]]+)\] (?P<peer>\S+) (?P<requester>\S+) (?P<id>\S+) (?P<operation>\S+) (?P<key>\S+)"
    r' "(?P<uri>[^"]*)" (?P<status>\S+) (?P<error>\S+) (?P<sent>\S+) (?P<size>\S+) (?P<total>\S+) (?P<turnaround>\S+) "(?P<referrer>[^"]*)"'
    r' "(?P<agent>[^"]*)" (?P<version>\S+) (?P<host>\S+) (?P<signature>\S+) (?P<cipher>\S+) (?P<auth>\S+) (?P<header>\S+) (?P<tls>\S+)'
    r" (?P<arn>\S+) (?P<acl>\S+)\n"
)


@pytest.mark.parametrize(
    ("one", "operation", "bucket", "key"),
    [
        (account("/b/a/k?x=1"), "REST.GET.OBJECT", "b", "a/k"),
        (Account("ID", "PUT", "/b", "", "CreateBucket", "alice", 200), "REST.PUT.BUCKET", "b", "-"),
        (Account("ID", "GET", "/", "", "ListBuckets", "alice", 200), "REST.GET.SERVICE", "-", "-"),
        (Account("ID", "PUT", "/b/k?partNumber=1&uploadId=u", "", "UploadPart", "al", 200), "REST.PUT.PART", "b", "k"),
        (Account("ID", "PUT", "/b/k", "", "CopyObject", "al", 200), "REST.COPY.OBJECT", "b", "k"),
    ],
)
def test_a_line_of_aws_has_its_fields(one: Account, operation: str, bucket: str, key: str) -> None:
    """Programs that read S3's server access logs find every field in its place."""
    found = AWS.fullmatch(aws_line(aws_time(1549411238), one))
    assert found
    assert (found["operation"], found["bucket"], found["key"], found["id"]) == (operation, bucket, key, "ID")
    assert (found["time"], found["status"]) == ("06/Feb/2019:00:00:38 +0000", "200")


def test_the_audit_log_has_writes_and_refusals(tmp_path: Path) -> None:
    """Who wrote, or was refused, and what came of it; no other reads."""
    clock = Clock()
    log = AuditedLog(FileAccessLog(str(tmp_path / "access"), clock, STYLES["aws"]), FileAccessLog(str(tmp_path / "audit"), clock, AUDIT))
    for method, status in (("GET", 200), ("GET", 404), ("GET", 403), ("PUT", 200), ("DELETE", 204), ("PUT", 500), ("POST", 403)):
        log.record(Account("ID", method, "/b/k", "", "X", "alice", status))
    log.reopen()
    log.close()
    found = [json.loads(line) for line in (tmp_path / "audit").read_text().splitlines()]
    assert [(one["method"], one["outcome"]) for one in found] == [
        ("GET", "refused"),
        ("PUT", "done"),
        ("DELETE", "done"),
        ("PUT", "failed"),
        ("POST", "refused"),
    ]
    assert len((tmp_path / "access").read_text().splitlines()) == 7


def test_a_client_cannot_forge_fields() -> None:
    """Blanks, quotes and controls in what a client chose are escaped; a client without an address is a dash."""
    forged = Account("ID", "G\x1bT", '/b/"k" 200', "", "GetObject", "al ice", 403, "AccessDenied")
    assert line_of(forged).startswith('- al%20ice GetObject "G%1BT /b/%22k%22%20200" 403 AccessDenied ')


@pytest.mark.parametrize(
    "name",
    ["X-Amz-Signature", "x-amz-signature", "X-Amz-Sign%61ture", "X-Amz-Security-Token", "X-Amz-Credential", "Signature", "AWSAccessKeyId"],
)
def test_what_lets_in_is_left_out(name: str) -> None:
    """Signatures and tokens of presigned URLs are not written down, however their names are spelled."""
    for form in (lambda _, one: line_of(one), json_line, aws_line, audit_line):
        line = form("now", account(f"/b/k?a=1&{name}=SECRET&b=2"))
        assert "SECRET" not in line
        assert "a=1" in line
        assert "b=2" in line


def test_the_file_has_every_line_within_a_second(tmp_path: Path) -> None:
    """Lines are written each second, sooner when there are many, and at the end."""
    clock = Clock()
    log = FileAccessLog(str(tmp_path / "log"), clock)
    log.record(account())
    clock.advance(FLUSH_SECONDS)
    assert (tmp_path / "log").read_text() == f"1970-01-01T00:00:00Z {line_of(account())}\n"
    for _ in range(FLUSH_LINES):
        log.record(account())
    assert (tmp_path / "log").read_text().count("\n") == FLUSH_LINES + 1
    log.record(account())
    log.close()
    assert (tmp_path / "log").read_text().count("\n") == FLUSH_LINES + 2
    assert clock.getDelayedCalls() == []


def test_a_full_disk_stops_nothing() -> None:
    """Lines that cannot be written are lost; the service goes on."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    clock = Clock()
    log = FileAccessLog("/dev/full", clock)
    log.record(account())
    clock.advance(FLUSH_SECONDS)
    log.record(account())
    log.close()
    assert clock.getDelayedCalls() == []


def test_events_carry_the_account() -> None:
    """Without a file each request is an event, with its fields for whoever collects events."""
    with capturedLogs() as events:
        EventAccessLog().record(account())
    assert [event["account"].action for event in events] == ["GetObject"]
