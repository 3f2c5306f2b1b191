"""``alluxio-s3 policy``: what the policy of a daemon says, before somebody is refused."""

from __future__ import annotations

import json
import sys
from typing import Any

import click
from twisted.internet.task import Clock

from alluxio_s3.cli.configuration import ToldWrongly, configured
from alluxio_s3.interfaces import IExplainer
from alluxio_s3.settings import Loaded, SettingsError
from alluxio_s3.threads import Threads


@click.group()
def policy() -> None:
    """See what the policy file lets users do."""


@policy.command()
@click.argument("user")
@click.argument("action")
@click.argument("resource")
@click.option("--group", "groups", metavar="GROUP", multiple=True, help="A group of the user's; may be given again for others.")
@click.option("--role", "roles", metavar="ROLE", multiple=True, help="A role of the user's; may be given again for others.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@configured
def explain(
    loaded: Loaded, user: str, action: str, resource: str, groups: tuple[str, ...], roles: tuple[str, ...], *, as_json: bool
) -> None:
    """Whether USER may do ACTION on RESOURCE, and which rule says so. Ends with 0 if so, with 1 if not.

    ACTION is a permission such as s3:GetObject. RESOURCE is BUCKET, BUCKET/KEY, BUCKET/PREFIX for a listing, or * for the service. The
    user `anonymous` is who sends no credentials. Groups and roles are those that a key of the key file or a token would give.
    """
    from alluxio_s3.admission import build_authorizer  # noqa: PLC0415  # all of the daemon: other commands need not wait for it
    from alluxio_s3.gateway import permissions  # noqa: PLC0415

    if action not in permissions():
        raise ToldWrongly(f"there is no action {action!r}: docs/actions.md names them")
    clock: Any = Clock()
    try:
        # It is asked once: no time need pass, and no thread is needed.
        explainer = IExplainer(build_authorizer(loaded, permissions(), clock, Threads(clock, 1, "none")), None)
    except SettingsError as problem:
        raise ToldWrongly(str(problem)) from None
    if explainer is None:
        raise ToldWrongly("no policy file decides here: set alluxio.worker.s3.authorization.policy.file")
    allowed, rule = explainer.explain(user, frozenset(groups), frozenset(roles), action, resource)
    click.echo(json.dumps({"allowed": allowed, "rule": rule}) if as_json else f"{'allowed' if allowed else 'denied'}: {rule}")
    sys.exit(0 if allowed else 1)
