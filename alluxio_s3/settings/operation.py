"""The properties of the port for operators."""

from __future__ import annotations

from attrs import frozen

from alluxio_s3.settings.definition import setting
from alluxio_s3.settings.values import host, optional_port


@frozen(slots=False, kw_only=True)
class Operation:
    """The admin port: [metrics](metrics.md) at `/metrics`, health at `/live` and `/ready`. It asks nobody who they are."""

    admin_port: int | None = setting(
        "alluxio.worker.s3.admin.port",
        optional_port(),
        "",
        "The admin port; none: no such port. 0 picks a free one, which is printed.",
        ours=True,
    )
    admin_bind_host: str = setting("alluxio.worker.s3.admin.bind.host", host(), "127.0.0.1", "The address of the admin port.", ours=True)
