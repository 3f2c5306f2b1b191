"""Prints docs/redirects.md from the table of clients: python -m tools.print_redirects"""

from __future__ import annotations

from alluxio_s3.cluster.clients import FOLLOWS, NEVER, RESIGNS, UNKNOWN, known_clients

PREFACE = """\
# Who is redirected

<!-- Printed by `make docs` from alluxio_s3/cluster/clients.toml. Do not edit. -->

What a worker of a [cluster](cluster.md) does with a read of what another one owns, with `alluxio.worker.s3.redirect.policy=auto`. A
client is known by how its `User-Agent` begins. Who is redirected gets a 307 to the owner; who is served gets the bytes through the
worker that it asked.

| Client | `User-Agent` begins with | Large reads are | Why |
| --- | --- | --- | --- |
"""

DONE = {FOLLOWS: "redirected", RESIGNS: "redirected", NEVER: "served", UNKNOWN: "served"}

REST = """\
| any other | | served | nobody knows what it does |

Whoever it is: reads below `alluxio.worker.s3.redirect.min.size`, HEAD, listings and writes are served. So is a presigned URL, unless the
client is one that follows; a client that was redirected and never arrived, for ten minutes; and one that asks for it with the header
`x-alluxio-redirect: false`. With `true` there a client that is not in the table says that it follows. `policy=always` redirects
everybody, those that stop at it too; `policy=never`, or `alluxio.worker.s3.redirect.enabled=false`, nobody.

The header `Cache-Status` says what was done and why, as `detail=redirect-client` or `detail=proxy-size`, and the metric
`alluxio_s3_redirects_total` counts it.
"""


def page() -> str:
    """The whole page."""
    rows = []
    for one in known_clients().entries:
        agent = f"`{one.prefix}`" if one.prefix else "(it sends none)"
        agent += f", and has `{one.holds}`" if one.holds else ""
        rows.append(f"| {one.shown} | {agent} | {DONE[one.may]} | {one.why} |\n")
    return PREFACE + "".join(rows) + REST


if __name__ == "__main__":
    print(page(), end="")
