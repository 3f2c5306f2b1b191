"""The access log: one structured event for each request."""

from __future__ import annotations

import re
from typing import Protocol

from attrs import define, field
from twisted.logger import Logger

_SECRET = re.compile(r"(?i)\b(X-Amz-Signature|X-Amz-Security-Token|X-Amz-Credential|Signature|AWSAccessKeyId)=[^&]*")


@define
class Account:
    """What is known of a request when it is over. ``seconds`` is from the head to the last byte handed to the kernel."""

    request_id: str
    method: str
    raw_target: str
    peer: str
    action: str = "-"
    user: str = "-"
    status: int = 0
    error: str = "-"
    bytes_in: int = 0
    bytes_out: int = 0
    seconds: float = 0.0


class AccessLog(Protocol):
    """Takes the account of each request."""

    def record(self, account: Account) -> None:
        """Write it down."""


@define
class EventAccessLog:
    """Writes accounts to Twisted's log, signatures and tokens left out."""

    _log: Logger = field(factory=lambda: Logger(namespace="alluxio_s3.access"))

    def record(self, account: Account) -> None:
        """One event."""
        target = _SECRET.sub(r"\1=***", account.raw_target) if "?" in account.raw_target else account.raw_target
        self._log.info(
            '{peer} {user} {action} "{method} {target}" {status} {error} in={bytes_in} out={bytes_out} {milliseconds:.1f}ms {request_id}',
            peer=account.peer,
            user=account.user,
            action=account.action,
            method=account.method,
            target=target,
            status=account.status,
            error=account.error,
            bytes_in=account.bytes_in,
            bytes_out=account.bytes_out,
            milliseconds=account.seconds * 1000,
            request_id=account.request_id,
        )
