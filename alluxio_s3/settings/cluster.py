"""The properties of workers that work together."""

from __future__ import annotations

from attrs import frozen

from alluxio_s3.settings.definition import setting
from alluxio_s3.settings.values import boolean, choice, duration, integer, location, many, optional_text, port, size, text


@frozen(slots=False, kw_only=True)
class Cluster:
    """Workers that find each other in etcd, and send readers to the one that holds the data."""

    membership: str = setting(
        "alluxio.worker.membership.manager.type",
        choice("ETCD", "STATIC", "NOOP"),
        "ETCD",
        "How workers know each other: by etcd, if it has endpoints below (`ETCD`), from a file (`STATIC`), or not at all (`NOOP`).",
    )
    cluster_name: str = setting(
        "alluxio.cluster.name", text(), "DefaultAlluxioCluster", "The name of the cluster: workers of one are together."
    )
    etcd_endpoints: tuple[str, ...] = setting(
        "alluxio.etcd.endpoints", many(text()), "", "The client URLs of etcd, `http://host:2379`; none: a worker on its own."
    )
    etcd_username: str = setting("alluxio.etcd.username", text(), "", "Who to be in etcd, if it asks.")
    etcd_password: str = setting("alluxio.etcd.password", text(), "", "The password for that.", secret=True)
    etcd_tls_enabled: bool = setting(
        "alluxio.etcd.tls.enabled", boolean(), "false", "Reach etcd by TLS only: endpoints are `https://`, or have no scheme."
    )
    etcd_tls_ca: str | None = setting(
        "alluxio.etcd.tls.ca.cert",
        location(),
        "",
        "The certificates of those who vouch for etcd's, PEM; none: those that this machine trusts.",
    )
    etcd_tls_certificate: str | None = setting("alluxio.etcd.tls.client.cert", location(), "", "The certificate to show etcd, PEM.")
    etcd_tls_key: str | None = setting("alluxio.etcd.tls.client.key", location(), "", "The private key of that, PEM.")
    etcd_prefix: str = setting(
        "alluxio.worker.s3.etcd.prefix",
        text(),
        "/alluxio-s3",
        "What the keys in etcd begin with, before the name of the cluster.",
        ours=True,
    )
    static_members: str | None = setting(
        "alluxio.worker.static.membership.manager.config.file",
        location(),
        "",
        "The file of all workers if they know each other from one: a line for each, `host`, `host:port`, `host:port/peer-port` or"
        " `host:port/peer-port/https-port`.",
    )
    worker_host: str | None = setting(
        "alluxio.worker.hostname",
        optional_text(),
        "",
        "The name or address by which clients and workers reach this one; none: the address that it listens on, or the machine's name.",
    )
    identity: str | None = setting(
        "alluxio.worker.identity.uuid",
        optional_text(),
        "",
        "The id of this worker, which no other may have; none: that in the file below.",
        aliases=("alluxio.worker.identity.external",),
    )
    identity_file: str | None = setting(
        "alluxio.worker.identity.uuid.file.path",
        location(),
        "",
        "Where the id of this worker is kept, which is made at its first start; none: `worker_identity` in the service's state directory,"
        " or beside the properties file.",
    )
    peer_port: int = setting(
        "alluxio.worker.s3.peer.port",
        port(),
        "29995",
        "The port for other workers, opened only in a cluster. 0 picks a free one.",
        ours=True,
    )
    peer_bind_host: str | None = setting(
        "alluxio.worker.s3.peer.bind.host",
        optional_text(),
        "",
        "The address of that port; none: the one that S3 is served on.",
        ours=True,
    )
    weight: int = setting(
        "alluxio.worker.s3.weight",
        integer(1, 10_000),
        "100",
        "This worker's share of the objects: one of 200 holds twice as many as one of 100.",
        ours=True,
    )
    hot_replicas: int = setting(
        "alluxio.worker.s3.hot.object.replicas",
        integer(1, 16),
        "1",
        "How many workers hold an object that is asked for often; the same for all.",
        ours=True,
    )
    cluster_secret: str | None = setting(
        "alluxio.worker.s3.cluster.secret.file",
        location(),
        "",
        "The file of the secret by which workers know each other, at least 32 bytes; none: it is in etcd, made by the first of them.",
        ours=True,
    )
    settings_copy: str | None = setting(
        "alluxio.worker.s3.cluster.settings.file",
        location(),
        "",
        "Where a copy is kept of the properties that etcd has for all workers, which count where this worker's own file and options say"
        " nothing; none: there are none.",
        ours=True,
    )
    failure_detection_ms: int = setting(
        "alluxio.worker.failure.detection.timeout",
        duration(minimum=2000),
        "5sec",
        "How long a worker may be silent before the others take over what it holds; the same for all. Alluxio's default is `15sec`.",
    )
    redirect_enabled: bool = setting(
        "alluxio.worker.s3.redirect.enabled",
        boolean(),
        "true",
        "Answer a read of what another worker holds with a redirect to it. `false`: fetch it for the client.",
    )
    redirect_policy: str = setting(
        "alluxio.worker.s3.redirect.policy",
        choice("auto", "always", "never"),
        "auto",
        "Whom to redirect: every client (`always`), those that follow and gain by it (`auto`), or nobody (`never`).",
        ours=True,
    )
    redirect_min_bytes: int = setting(
        "alluxio.worker.s3.redirect.min.size",
        size(),
        "1MB",
        "From how many bytes on a read is redirected: to go elsewhere costs a client more than a hop costs a small one.",
        ours=True,
    )
