"""The access log keeps each request and no secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from alluxio_s3.ops.access_log import FLUSH_LINES, FLUSH_SECONDS, Account, EventAccessLog, FileAccessLog, line_of


def account(target: str = "/b/k") -> Account:
    return Account("ID", "GET", target, "127.0.0.1", "GetObject", "alice", 200, "-", 0, 4096, 0.0123)


def test_a_line_tells_who_did_what() -> None:
    """Address, user, action, request, status, error, bytes, time and id."""
    assert line_of(account()) == '127.0.0.1 alice GetObject "GET /b/k" 200 - in=0 out=4096 12.3ms ID'


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
    line = line_of(account(f"/b/k?a=1&{name}=SECRET&b=2"))
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
