"""The properties of workers that work together."""

from __future__ import annotations

from attrs import frozen

from alluxio_s3.settings.definition import setting
from alluxio_s3.settings.values import boolean, choice, duration, many, text


@frozen(slots=False, kw_only=True)
class Cluster:
    """Workers that find each other in etcd, and send readers to the one that holds the data."""

    cluster_name: str = setting("alluxio.cluster.name", text(), "DefaultAlluxioCluster", "The name of the cluster.", acted_on=False)
    etcd_endpoints: tuple[str, ...] = setting(
        "alluxio.etcd.endpoints", many(text()), "", "The client URLs of etcd; none: a worker on its own.", acted_on=False
    )
    failure_detection_ms: int = setting(
        "alluxio.worker.failure.detection.timeout",
        duration(minimum=1000),
        "15sec",
        "How long a worker may be silent before the others take over what it holds.",
        acted_on=False,
    )
    redirect_enabled: bool = setting(
        "alluxio.worker.s3.redirect.enabled",
        boolean(),
        "true",
        "Answer a read of what another worker holds with a redirect to it. `false`: fetch it for the client.",
        acted_on=False,
    )
    redirect_policy: str = setting(
        "alluxio.worker.s3.redirect.policy",
        choice("auto", "always", "never"),
        "auto",
        "Whom to redirect: every client (`always`), or those that follow and gain by it (`auto`).",
        ours=True,
        acted_on=False,
    )
