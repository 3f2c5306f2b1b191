"""The properties of what is written down."""

from __future__ import annotations

from attrs import frozen

from alluxio_s3.settings.definition import setting
from alluxio_s3.settings.values import choice, location


@frozen(slots=False, kw_only=True)
class Logs:
    """What is written down, and where: [logs](operating.md#logs)."""

    log_level: str = setting(
        "alluxio.worker.s3.log.level",
        choice("debug", "info", "warn", "error"),
        "info",
        "The least that the daemon's own log tells of. The access log is apart from it.",
        ours=True,
        reload="log level",
    )
    access_log: str | None = setting(
        "alluxio.worker.s3.access.log.path",
        location(),
        "",
        "The file of the access log, one line for each request, written each second; none: among the daemon's own log, which is slower.",
        ours=True,
    )
    access_log_format: str = setting(
        "alluxio.worker.s3.access.log.format",
        choice("plain", "json", "aws"),
        "plain",
        "The form of a line of that file: text (`plain`), a JSON document (`json`), or that of S3's server access logs (`aws`).",
        ours=True,
    )
    audit_log: str | None = setting(
        "alluxio.worker.s3.audit.log.path",
        location(),
        "",
        "The file of the audit log: who wrote and deleted what, and who was refused, a JSON document a line; none: there is none.",
        ours=True,
    )
