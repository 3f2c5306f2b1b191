"""Who may do what: by a policy file, or by the default of the way in which users are known."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import cast

from attrs import frozen
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from alluxio_s3.auth.policy import Policy, names_of, parse_policy, resource_of
from alluxio_s3.auth.principals import ANONYMOUS
from alluxio_s3.auth.watched_file import WatchedFile
from alluxio_s3.interfaces import IAuthorizer, IExplainer, IPluginFactory, IPrincipal, IQuickAuthorizer
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.threads import Threads


@implementer(IAuthorizer, IQuickAuthorizer)
@frozen
class OpenAuthorizer:
    """Everybody may do everything; who sends no credentials, only if ``anonymous``."""

    anonymous: bool

    def allows(self, principal: IPrincipal, action: str, bucket: str, key: str) -> bool:
        """See ``IQuickAuthorizer``."""
        del action, bucket, key
        return self.anonymous or principal.how != ANONYMOUS

    async def authorize(self, principal: IPrincipal, action: str, bucket: str, key: str) -> None:
        """See ``IAuthorizer``."""
        if not self.allows(principal, action, bucket, key):
            raise S3Error("AccessDenied", "Requests without credentials are not taken here.")


@implementer(IAuthorizer, IQuickAuthorizer, IExplainer)
@frozen
class PolicyAuthorizer:
    """What the rules of a file say."""

    policy: WatchedFile[Policy]

    def allows(self, principal: IPrincipal, action: str, bucket: str, key: str) -> bool:
        """See ``IQuickAuthorizer``."""
        return self.policy.value.decide(*names_of(principal), action, resource_of(bucket, key, action)).allowed

    async def authorize(self, principal: IPrincipal, action: str, bucket: str, key: str) -> None:
        """See ``IAuthorizer``."""
        if not self.allows(principal, action, bucket, key):
            raise S3Error("AccessDenied", f"{names_of(principal)[0]} is not allowed to do {action} here.")

    def explain(self, user: str, groups: frozenset[str], roles: frozenset[str], action: str, resource: str) -> tuple[bool, str]:
        """See ``IExplainer``."""
        decision = self.policy.value.decide(user, groups, roles, action, resource)
        return decision.allowed, "no rule speaks of it" if decision.rule is None else decision.rule.name


@implementer(IPluginFactory)
class PolicyFactory:
    """Builds the authorizer. Options: ``file``, ``actions`` (the permissions that there are, with commas)."""

    def build(self, options: Mapping[str, str], reactor: object, threads: Threads) -> PolicyAuthorizer:
        """See ``IPluginFactory``."""
        del threads
        parse = partial(parse_policy, actions=frozenset(options["actions"].split(",")))
        return PolicyAuthorizer(WatchedFile(options["file"], parse, cast("IReactorTime", reactor), options.get(f"kept:{options['file']}")))


@implementer(IPluginFactory)
class OpenFactory:
    """Builds the one that lets everybody in. Option ``anonymous``: whether requests without credentials are taken (``true``)."""

    def build(self, options: Mapping[str, str], reactor: object, threads: Threads) -> OpenAuthorizer:
        """See ``IPluginFactory``."""
        del reactor, threads
        return OpenAuthorizer(options.get("anonymous") == "true")
