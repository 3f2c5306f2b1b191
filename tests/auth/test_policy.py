"""Policies: what a file allows, what it does not, and what is said of a file that is wrong."""

from __future__ import annotations

from contextlib import suppress
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alluxio_s3.auth.policy import _matches, parse_policy, resource_of

ACTIONS = frozenset({"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket", "s3:ListAllMyBuckets", "s3:CreateBucket"})
EXAMPLE = """
[[allow]]
users = ["alice", "svc-*"]
groups = ["analysts"]
actions = ["read", "s3:PutObject"]
resources = ["models/*", "data/public/*"]

[[allow]]
users = ["anonymous"]
actions = ["read"]
resources = ["open/*"]

[[deny]]
users = ["*"]
actions = ["s3:PutObject", "delete"]
resources = ["models/frozen/*"]

[[allow]]
roles = ["admin"]
actions = ["all"]
resources = ["*"]
"""
POLICY = parse_policy(EXAMPLE, ACTIONS)


def allowed(user: str, action: str, bucket: str, key: str = "", groups: tuple[str, ...] = (), roles: tuple[str, ...] = ()) -> bool:
    return POLICY.decide(user, groups, roles, action, resource_of(bucket, key, action)).allowed


def test_allowed() -> None:
    """Users, groups and roles get what a rule allows them, by name or pattern."""
    assert allowed("alice", "s3:GetObject", "models", "a/b")
    assert allowed("svc-7", "s3:PutObject", "data", "public/x")
    assert allowed("bob", "s3:GetObject", "models", "a", groups=("analysts",))
    assert allowed("anonymous", "s3:GetObject", "open", "x")
    assert allowed("root", "s3:CreateBucket", "new", roles=("admin",))
    assert allowed("root", "s3:ListAllMyBuckets", "", roles=("admin",))


def test_not_allowed() -> None:
    """What no rule speaks of is refused: other users, actions, buckets, and keys beside a prefix."""
    assert not allowed("bob", "s3:GetObject", "models", "a")
    assert not allowed("alice", "s3:DeleteObject", "models", "a")
    assert not allowed("alice", "s3:GetObject", "data", "private/x")
    assert not allowed("alice", "s3:GetObject", "data", "publicity")
    assert not allowed("alice", "s3:GetObject", "models2", "a")
    assert not allowed("anonymous", "s3:GetObject", "models", "a")
    assert not allowed("alice", "s3:CreateBucket", "models")


def test_denied() -> None:
    """A denial wins over every rule that allows, wherever it stands."""
    assert not allowed("alice", "s3:PutObject", "models", "frozen/a")
    assert not allowed("root", "s3:DeleteObject", "models", "frozen/a", roles=("admin",))
    assert allowed("alice", "s3:GetObject", "models", "frozen/a")


def test_listings() -> None:
    """Who may read a prefix may list it, and not what is above it."""
    assert allowed("alice", "s3:ListBucket", "data", "public/")
    assert not allowed("alice", "s3:ListBucket", "data", "")
    assert not allowed("alice", "s3:ListBucket", "data", "pub")
    assert allowed("alice", "s3:ListBucket", "models", "")


def test_explained() -> None:
    """A decision names the rule that made it."""
    decision = POLICY.decide("alice", (), (), "s3:PutObject", "models/frozen/a")
    assert decision.rule is not None
    assert decision.rule.name == "deny 1"
    assert POLICY.decide("nobody", (), (), "s3:GetObject", "models/a").rule is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[allow]\n", "line 1"),
        ("[[permit]]\n", "permit"),
        ("[allow]\nusers=['a']\n", "two brackets"),
        ("allow = [1]", "no table"),
        ("[[allow]]\nusers = ['a']\nactions = ['read']\n", "allow 1: it has no resources"),
        ("[[allow]]\nactions = ['read']\nresources = ['*']\n", "says of nobody"),
        ("[[allow]]\nusers = 'a'\nactions = ['read']\nresources = ['*']\n", "not a list"),
        ("[[deny]]\nusers = ['a']\nactions = ['s3:GetObjct']\nresources = ['*']\n", "deny 1: there is no action 's3:GetObjct'"),
        ("[[allow]]\nusers = ['a']\nuser = ['a']\nactions = ['read']\nresources = ['*']\n", "there is no 'user'"),
    ],
)
def test_wrong_files(text: str, said: str) -> None:
    """A file that is wrong is refused with what is wrong, and where."""
    with pytest.raises(ValueError, match=said):
        parse_policy(text, ACTIONS)


@given(st.text("ab*/", max_size=8), st.text("ab/", max_size=10))
def test_patterns(pattern: str, text: str) -> None:
    """A star stands for any characters; everything else for itself."""
    assert _matches(pattern, text) == fnmatchcase(text, pattern)


@given(st.text(max_size=200))
def test_total(text: str) -> None:
    """Whatever the file says, it is a policy or a ValueError."""
    with suppress(ValueError):
        assert all(rule.resources for rule in parse_policy(text, ACTIONS).rules)
