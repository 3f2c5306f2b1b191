"""Who may do what, on which buckets and prefixes: a small file, in TOML.

::

    [[allow]]
    users = ["alice", "svc-*"]          # who: users, groups, roles; "*" is everybody, "anonymous" who sends no credentials
    groups = ["analysts"]
    actions = ["read", "s3:PutObjectTagging"]
    resources = ["models/*", "data/public/*"]

    [[deny]]
    users = ["*"]
    actions = ["delete"]
    resources = ["models/frozen/*"]

A request is allowed if a rule allows it and none denies it; nothing is allowed that no rule speaks of. A resource is a bucket,
or a bucket and the key (a listing's: the prefix); ``bucket/*`` is every key and the listing of every prefix, ``bucket`` the bucket itself,
``*`` everything. ``*`` in a pattern stands for any characters, ``/`` among them. Actions are S3's permissions, or a word for several.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from attrs import frozen

from alluxio_s3.interfaces import IMember, IPrincipal

# Words for several actions, each by the prefix of S3's name.
WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "read": ("s3:Get*", "s3:List*"),
        "write": ("s3:Put*", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"),
        "delete": ("s3:DeleteObject*",),
        "buckets": ("s3:CreateBucket", "s3:DeleteBucket", "s3:ListAllMyBuckets"),
        "all": ("*",),
    }
)
# What lists the keys under a prefix, which may be empty.
_LISTINGS = frozenset({"s3:ListBucket", "s3:ListBucketMultipartUploads"})
_WHO = ("users", "groups", "roles")
_FIELDS = frozenset({*_WHO, "actions", "resources"})


@frozen
class Rule:
    """One ``[[allow]]`` or ``[[deny]]``; ``number`` counts those of its kind from 1."""

    allows: bool
    number: int
    users: tuple[str, ...]
    groups: tuple[str, ...]
    roles: tuple[str, ...]
    actions: tuple[str, ...]
    resources: tuple[str, ...]

    @property
    def name(self) -> str:
        """What to call it when explaining."""
        return f"{'allow' if self.allows else 'deny'} {self.number}"

    def speaks_of(self, user: str, groups: Iterable[str], roles: Iterable[str], action: str, resource: str) -> bool:
        """Whether it is about that user, action and resource."""
        return (
            (_any(self.users, user) or any(_any(self.groups, one) for one in groups) or any(_any(self.roles, one) for one in roles))
            and _any(self.actions, action)
            and _any(self.resources, resource)
        )


@frozen
class Decision:
    """What a policy says of a request, and why: the rule that decided, or None if no rule speaks of it."""

    allowed: bool
    rule: Rule | None


@frozen
class Policy:
    """The rules of a file, in its order."""

    rules: tuple[Rule, ...]

    def decide(self, user: str, groups: Iterable[str], roles: Iterable[str], action: str, resource: str) -> Decision:
        """See the module. A denial wins."""
        found: Rule | None = None
        for rule in self.rules:
            if (found is None or not rule.allows) and rule.speaks_of(user, groups, roles, action, resource):
                if not rule.allows:
                    return Decision(allowed=False, rule=rule)
                found = rule
        return Decision(allowed=found is not None, rule=found)


def resource_of(bucket: str, key: str, action: str) -> str:
    """How rules name it. A listing is of its prefix, so that whoever may read ``bucket/a/*`` may list ``a/``."""
    if not bucket:
        return "*"
    return f"{bucket}/{key}" if key or action in _LISTINGS else bucket


def names_of(principal: IPrincipal) -> tuple[str, frozenset[str], frozenset[str]]:
    """User, groups and roles of ``principal``, as rules name them."""
    member = IMember(principal, None)
    name = "anonymous" if principal.how == "anonymous" else principal.name
    return name, member.groups if member is not None else frozenset(), member.roles if member is not None else frozenset()


def parse_policy(text: str, actions: frozenset[str]) -> Policy:
    """The policy of a file; ``actions`` are the permissions that there are. Raises ValueError with a message for the operator."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise ValueError(str(problem)) from None
    unknown = sorted(set(document) - {"allow", "deny"})
    if unknown:
        raise ValueError(f"{unknown[0]!r} is neither [[allow]] nor [[deny]]")
    return Policy(tuple(_rule(kind == "allow", n, given, actions) for kind in ("deny", "allow") for n, given in _tables(document, kind)))


def _tables(document: Mapping[str, Any], kind: str) -> Iterable[tuple[int, Any]]:
    tables = document.get(kind, [])
    if not isinstance(tables, list):
        raise ValueError(f"write [[{kind}]], with two brackets")  # noqa: TRY004 - a message for the operator
    return enumerate(tables, 1)


def _rule(allows: bool, number: int, given: Any, actions: frozenset[str]) -> Rule:
    where = f"{'allow' if allows else 'deny'} {number}"
    if not isinstance(given, dict):
        raise ValueError(f"{where}: it is no table")  # noqa: TRY004 - a message for the operator
    unknown = sorted(set(given) - _FIELDS)
    if unknown:
        raise ValueError(f"{where}: there is no {unknown[0]!r}; known are {', '.join(sorted(_FIELDS))}")
    values = {name: _texts(where, name, given.get(name, [])) for name in _FIELDS}
    if not any(values[name] for name in _WHO):
        raise ValueError(f"{where}: it says of nobody (users, groups or roles)")
    for name in ("actions", "resources"):
        if not values[name]:
            raise ValueError(f"{where}: it has no {name}")
    values["actions"] = tuple(one for name in values["actions"] for one in _actions(where, name, actions))
    return Rule(allows, number, **values)


def _texts(where: str, name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise ValueError(f"{where}: {name} is not a list of texts")
    return tuple(value)


def _actions(where: str, name: str, actions: frozenset[str]) -> tuple[str, ...]:
    patterns = WORDS.get(name, (name,))
    if not any(_matches(pattern, action) for pattern in patterns for action in actions):
        raise ValueError(f"{where}: there is no action {name!r}; words for several are {', '.join(WORDS)}")
    return patterns


def _any(patterns: tuple[str, ...], text: str) -> bool:
    return any(_matches(pattern, text) for pattern in patterns)


def _matches(pattern: str, text: str) -> bool:
    if pattern == "*":
        return True
    if "*" not in pattern:
        return pattern == text
    return _compiled(pattern).fullmatch(text) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    # Each piece is taken where it comes first, and never elsewhere: so a pattern of many stars takes no longer than the text is.
    first, *middle, last = map(re.escape, pattern.split("*"))
    return re.compile(first + "".join(f"(?>.*?{piece})" for piece in middle) + f".*{last}", re.DOTALL)
