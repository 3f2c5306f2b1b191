"""The audit log of a real daemon."""

from __future__ import annotations

import json
from pathlib import Path

from tests.daemon.test_admin import properties
from tests.running import Daemon
from tests.wire import Wire

POLICY = """
[[allow]]
users = ["alice"]
actions = ["read", "delete"]
resources = ["bucket", "bucket/*"]

[[deny]]
users = ["*"]
actions = ["delete"]
resources = ["bucket/kept/*"]
"""
BATCH = (
    "<Delete><Quiet>true</Quiet><Object><Key>a &quot;b&quot;</Key></Object><Object><Key>kept/c</Key></Object>"
    '<Object><Key>d</Key><ETag>"other"</ETag></Object></Delete>'
)


def test_a_batch_is_told_of_key_by_key(tmp_path: Path) -> None:
    """Of a DeleteObjects there is the request, and for each key what became of it, be the answer quiet about it or not."""
    (tmp_path / "policy").write_text(POLICY)
    given = properties(tmp_path) | {
        "alluxio.worker.s3.authorization.policy.file": tmp_path / "policy",
        "alluxio.worker.s3.audit.log.path": tmp_path / "audit.log",
    }
    bucket = tmp_path / "data" / "bucket"
    (bucket / "kept").mkdir()
    for key in ('a "b"', "kept/c", "d"):
        (bucket / key).write_bytes(b"bytes")
    with Daemon(tmp_path / "conf") as daemon:
        wire = Wire(daemon.start(given), "alice")
        answer = wire("POST", "bucket", query={"delete": ""}, body=BATCH.encode())
        assert answer.status == 200
        assert sorted(answer.texts("Error/Code")) == ["AccessDenied", "PreconditionFailed"]
        daemon.stop()
        assert daemon.trouble == []
    found = [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]
    assert {one["request_id"] for one in found} == {answer.headers["x-amz-request-id"]}
    assert {one["user"] for one in found} == {"alice"}
    assert {(one["target"], one["outcome"], one["status"], one["error"]) for one in found} == {
        ("/bucket?delete", "done", 200, "-"),
        ("/bucket/a%20%22b%22", "done", 204, "-"),
        ("/bucket/kept/c", "refused", 403, "AccessDenied"),
        ("/bucket/d", "failed", 412, "PreconditionFailed"),
    }
    assert sorted(one.name for one in bucket.iterdir()) == ["d", "kept"]
