"""``alluxio-s3 policy``: what the policy of a daemon says, before somebody is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from alluxio_s3.actions.everything import REGISTRY
from alluxio_s3.auth.policy import Policy, parse_policy
from alluxio_s3.cli.configuration import ToldWrongly, configured
from alluxio_s3.settings import Loaded


@click.group()
def policy() -> None:
    """See what the policy file lets users do."""


@policy.command()
@click.argument("user")
@click.argument("action")
@click.argument("resource")
@click.option("--group", "groups", metavar="GROUP", multiple=True, help="A group of the user's; may be given again for others.")
@click.option("--role", "roles", metavar="ROLE", multiple=True, help="A role of the user's; may be given again for others.")
@configured
def explain(loaded: Loaded, user: str, action: str, resource: str, groups: tuple[str, ...], roles: tuple[str, ...]) -> None:
    """Whether USER may do ACTION on RESOURCE, and which rule says so. Ends with 0 if so, with 1 if not.

    ACTION is a permission such as s3:GetObject. RESOURCE is BUCKET, BUCKET/KEY, BUCKET/PREFIX for a listing, or * for the service. The
    user `anonymous` is who sends no credentials. Groups and roles are those that a key of the key file or a token would give.
    """
    if action not in REGISTRY.permissions():
        raise ToldWrongly(f"there is no action {action!r}: docs/actions.md names them")
    decision = _policy(loaded).decide(user, groups, roles, action, resource)
    rule = "no rule speaks of it" if decision.rule is None else decision.rule.name
    click.echo(f"{'allowed' if decision.allowed else 'denied'}: {rule}")
    sys.exit(0 if decision.allowed else 1)


def _policy(loaded: Loaded) -> Policy:
    """The policy that the daemon would follow. Raises ToldWrongly if there is none, or if it makes no sense."""
    path = loaded.settings.policy_file
    if not path or (loaded.settings.authorization_type or "policy").lower() != "policy":
        raise ToldWrongly("no policy file decides here: set alluxio.worker.s3.authorization.policy.file")
    try:
        return parse_policy(Path(path).read_text(encoding="utf-8"), REGISTRY.permissions())
    except (OSError, ValueError) as problem:
        raise ToldWrongly(f"{path}: {getattr(problem, 'strerror', None) or problem}") from None
