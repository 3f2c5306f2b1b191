"""``alluxio-s3 doctor``: what is wrong with a daemon's configuration and machine, and what to do about it."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click
from twisted.internet.defer import Deferred

from alluxio_s3.cli.configuration import configured
from alluxio_s3.cli.errand import run
from alluxio_s3.cli.examination import OK, PROBLEM, WARNING, Finding, examine
from alluxio_s3.cli.screen import json_option, show_json, show_table
from alluxio_s3.cli.store_examination import examine_stores
from alluxio_s3.settings import Loaded

_STYLES = {OK: "green", WARNING: "yellow", PROBLEM: "red"}


@click.command()
@click.option("--write", is_flag=True, help="Write an object to each store that is not read-only, and delete it.")
@json_option
@configured
def doctor(loaded: Loaded, *, write: bool, as_json: bool) -> None:
    """Examine configuration, ports, certificate, disks, limits, clock and stores, and say what to do.

    Run it as the daemon's user, whether the daemon runs or not. Ends with 0, or with 1 if there is a problem; warnings are none.
    """

    async def stores(reactor: object) -> Sequence[Finding]:
        return await Deferred.fromCoroutine(examine_stores(loaded, reactor, write=write))

    found = [*examine(loaded), *run(stores)]
    if as_json:
        show_json({"ok": not any(one.level == PROBLEM for one in found), "findings": [one.document() for one in found]})
    else:
        show_table(
            ("", "", "", "What to do"),
            [(one.level, one.about, one.said, one.advice) for one in found],
            [_STYLES[one.level] for one in found],
        )
    sys.exit(1 if any(one.level == PROBLEM for one in found) else 0)
