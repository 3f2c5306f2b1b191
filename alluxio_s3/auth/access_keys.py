"""Access keys and their secrets, in the form of an AWS credentials file.

A section is a user::

    [alice]
    aws_access_key_id = AKIAIOSFODNN7EXAMPLE
    aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
    groups = analysts, trainers

A user's second key is a section of its own with ``user = alice``; ``roles`` is like ``groups``.
"""

from __future__ import annotations

from collections.abc import Mapping
from configparser import ConfigParser, Error

from attrs import field, frozen

_KNOWN = frozenset({"aws_access_key_id", "aws_secret_access_key", "user", "groups", "roles"})


@frozen
class AccessKey:
    """Whose key it is, and its secret."""

    user: str
    secret: str = field(repr=False)
    groups: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()


def parse_access_keys(text: str) -> Mapping[str, AccessKey]:
    """The keys of a file, by id. Raises ValueError, with no secret in its message."""
    parser = ConfigParser(interpolation=None, default_section="", strict=True)
    try:
        parser.read_string(text)
    except Error as problem:
        # The message of a line that makes no sense would show the line.
        line = getattr(problem, "lineno", None) or next((number for number, _ in getattr(problem, "errors", ())), None)
        raise ValueError(f"line {line} makes no sense" if line else "it is no credentials file") from None
    keys: dict[str, AccessKey] = {}
    for name in parser.sections():
        section = parser[name]
        unknown = sorted(set(section) - _KNOWN)
        if unknown:
            raise ValueError(f"[{name}] has {unknown[0]!r}; known are {', '.join(sorted(_KNOWN))}")
        key, secret = section.get("aws_access_key_id", ""), section.get("aws_secret_access_key", "")
        if not key or not secret:
            raise ValueError(f"[{name}] needs aws_access_key_id and aws_secret_access_key")
        if key in keys:
            raise ValueError(f"[{name}]: another section has its aws_access_key_id")
        keys[key] = AccessKey(section.get("user", name), secret, _names(section.get("groups", "")), _names(section.get("roles", "")))
    return keys


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip() for name in text.split(",") if name.strip())
