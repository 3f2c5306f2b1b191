"""The properties of the port for operators."""

from __future__ import annotations

from attrs import frozen

from alluxio_s3.settings.definition import setting
from alluxio_s3.settings.values import host, location, optional_port


@frozen(slots=False, kw_only=True)
class Operation:
    """The admin port: [metrics](metrics.md) at `/metrics`, health at `/live` and `/ready`. Without a token it answers everybody."""

    admin_port: int | None = setting(
        "alluxio.worker.s3.admin.port",
        optional_port(),
        "",
        "The admin port; none: no such port. 0 picks a free one, which is printed.",
        ours=True,
    )
    admin_bind_host: str = setting("alluxio.worker.s3.admin.bind.host", host(), "127.0.0.1", "The address of the admin port.", ours=True)
    admin_token: str | None = setting(
        "alluxio.worker.s3.admin.token.path",
        location(),
        "",
        "A file with the token that the admin port asks for, 16 characters or more, read again when it changes:"
        " [authentication](authentication.md#the-admin-port). `/live` and `/ready` are open all the same. None: it answers everybody.",
        ours=True,
    )
