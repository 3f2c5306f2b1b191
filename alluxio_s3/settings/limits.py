"""The properties of how much clients may take of the daemon."""

from __future__ import annotations

from attrs import frozen

from alluxio_s3.settings.definition import setting
from alluxio_s3.settings.values import integer, size


@frozen(slots=False, kw_only=True)
class Limits:
    """How much clients may take, of each of several processes: [limits](limits.md). `0` is no limit."""

    max_connections: int = setting(
        "alluxio.worker.s3.connections.max",
        integer(0),
        "12000",
        "How many connections there may be. The oldest idle one is closed for a new one. Never more than three quarters of the file"
        " descriptors that the process may have.",
        ours=True,
        reload="limits",
    )
    max_tls_connections: int = setting(
        "alluxio.worker.s3.connections.tls.max",
        integer(0),
        "4000",
        "How many of them may be TLS, which takes more memory.",
        ours=True,
        reload="limits",
    )
    max_address_connections: int = setting(
        "alluxio.worker.s3.connections.per.address.max",
        integer(0),
        "0",
        "How many of them may come from one address. A load balancer is one address.",
        ours=True,
        reload="limits",
    )
    max_requests: int = setting(
        "alluxio.worker.s3.requests.max",
        integer(0),
        "2000",
        "How many requests may be under way; more are answered `503 SlowDown`. A tenth more is for users that have less than their share.",
        ours=True,
        reload="limits",
    )
    max_body_memory: int = setting(
        "alluxio.worker.s3.bodies.memory.max",
        size(),
        "512MB",
        "How much memory the bodies of requests under way may take, 512 KiB at most each; more are answered `503 SlowDown`.",
        ours=True,
        reload="limits",
    )
    min_body_rate: int = setting(
        "alluxio.worker.s3.body.rate.min",
        size(),
        "1KB",
        "How many bytes a second a client must send of a body that is waited for, over the time of `alluxio.worker.s3.body.stall.timeout`.",
        ours=True,
        reload="limits",
    )
    user_request_rate: int = setting(
        "alluxio.worker.s3.user.request.rate.limit",
        integer(0),
        "0",
        "How many requests a second each user may make; more are answered `503 SlowDown`.",
        ours=True,
        reload="limits",
    )
    user_rate_mb: int = setting(
        "alluxio.worker.s3.user.rate.limit.mb",
        integer(0),
        "0",
        "The most that the reads and writes of each user get, in MB/s. What is faster is slowed down.",
        ours=True,
        reload="limits",
    )
    read_rate_mb: int = setting(
        "alluxio.proxy.s3.global.read.rate.limit.mb",
        integer(0),
        "0",
        "The most that all reads get, in MB/s. What is faster is slowed down.",
        reload="limits",
    )
    connection_read_rate_mb: int = setting(
        "alluxio.proxy.s3.single.connection.read.rate.limit.mb",
        integer(0),
        "0",
        "The most that the reads of one connection get, in MB/s.",
        reload="limits",
    )
