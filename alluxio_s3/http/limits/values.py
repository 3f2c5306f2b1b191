"""The limits as numbers, which may change while the daemon runs."""

from __future__ import annotations

import resource
from typing import Self

from attrs import define, fields

from alluxio_s3.settings import Settings

MEGABYTE = 1 << 20


@define
class ClientLimits:
    """What clients may take, in numbers, bytes, seconds, and bytes or requests a second; 0 is no limit.

    Everybody asks this one object, each time: ``replace`` changes what holds from then on.
    """

    connections: int = 12_000
    tls_connections: int = 4_000
    address_connections: int = 0
    requests: int = 2_000
    body_memory: int = 512 << 20
    head_seconds: float = 30.0
    body_seconds: float = 30.0
    body_rate: int = 1024
    user_requests: int = 0
    user_bytes: int = 0
    read_bytes: int = 0
    connection_read_bytes: int = 0

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Those that ``settings`` set; connections never take all of the descriptors that this process may have."""
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0] * 3 // 4
        return cls(
            connections=min(settings.max_connections or descriptors, descriptors),
            tls_connections=settings.max_tls_connections,
            address_connections=settings.max_address_connections,
            requests=settings.max_requests,
            body_memory=settings.max_body_memory,
            head_seconds=settings.header_timeout_ms / 1000,
            body_seconds=settings.body_stall_ms / 1000,
            body_rate=settings.min_body_rate,
            user_requests=settings.user_request_rate,
            user_bytes=settings.user_rate_mb * MEGABYTE,
            read_bytes=settings.read_rate_mb * MEGABYTE,
            connection_read_bytes=settings.connection_read_rate_mb * MEGABYTE,
        )

    def replace(self, others: ClientLimits) -> None:
        """Take the values of ``others``."""
        for one in fields(ClientLimits):
            setattr(self, one.name, getattr(others, one.name))
