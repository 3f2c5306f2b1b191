r"""The policy of a form: what somebody signed that others may send to a bucket, and whether they sent that.

"Creating a POST policy" in the S3 API reference. Names of fields are compared whatever their case, values by case. A policy is JSON, in
which S3 takes ``\$`` and ``\v``, too.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from attrs import frozen

from alluxio_s3.s3.errors import S3Error

EQUAL, STARTS = "eq", "starts-with"
_RANGE = "content-length-range"
_TIME = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(\.\d{1,9})?Z", re.ASCII)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"$": "$", "v": "\\u000b"}
_MAX_BYTES = 5 << 40
# What no condition has to speak of: the policy and its signature, the file, and what the form is to keep to itself.
_FREE = frozenset({"policy", "file", "x-amz-signature"})
_FREE_V2 = frozenset({"awsaccesskeyid", "signature"})
IGNORED_PREFIX = "x-ignore-"


@frozen
class Condition:
    """What the ``field``, in lower case, must be, or how it must begin."""

    operator: str
    field: str
    value: str

    def holds(self, value: str | None) -> bool:
        """Whether a field's value is right; None: there is no such field."""
        if value is None:
            return False
        if self.operator == EQUAL:
            return value == self.value
        if self.field == "content-type":
            # A list of types is one value for each.
            return all(one.strip().startswith(self.value) for one in value.split(","))
        return value.startswith(self.value)

    def __str__(self) -> str:
        return json.dumps([self.operator, f"${self.field}", self.value])


@frozen
class PostPolicy:
    """A policy. ``expires_at`` is in seconds since the epoch; ``sizes`` are those that a file may have, in bytes."""

    expires_at: float
    conditions: tuple[Condition, ...]
    sizes: range

    def check(self, fields: Mapping[str, str], now_seconds: float) -> None:
        """That a form, its ``fields`` by lower-case name, is what was signed; ``bucket`` is among them, variables are expanded.

        The size of the file is another question. Raises ``S3Error`` AccessDenied.
        """
        if now_seconds >= self.expires_at:
            raise _denied("Policy expired.")
        for condition in self.conditions:
            if not condition.holds(fields.get(condition.field)):
                raise _denied(f"Policy Condition failed: {condition}")
        free = _FREE if "x-amz-signature" in fields else _FREE | _FREE_V2
        known = {condition.field for condition in self.conditions}
        extra = sorted(name for name in fields if name not in known and name not in free and not name.startswith(IGNORED_PREFIX))
        if extra:
            raise _denied(f"Extra input fields: {', '.join(extra)}")


def parse_policy(encoded: str) -> PostPolicy:
    """The policy in Base64. Raises ``S3Error`` InvalidPolicyDocument."""
    try:
        text = base64.b64decode(encoded, validate=True).decode()
        document = json.loads(_ESCAPE.sub(lambda match: _ESCAPES.get(match[1], match[0]), text))
    except (binascii.Error, ValueError, RecursionError):
        raise _invalid("Invalid JSON.") from None
    if not isinstance(document, dict):
        raise _invalid("Invalid JSON: it is no object.")
    for name in ("expiration", "conditions"):
        if name not in document:
            raise _invalid(f"Policy missing {name}.")
    unknown = sorted(document.keys() - {"expiration", "conditions"})
    if unknown:
        raise _invalid(f"Unexpected: {unknown[0]!r}")
    if not isinstance(document["conditions"], list):
        raise _invalid("Invalid 'conditions' value: it must be a List.")
    conditions: list[Condition] = []
    sizes = range(_MAX_BYTES + 1)
    for one in document["conditions"]:
        found = _sizes(one)
        if found is None:
            conditions += _conditions(one)
        else:
            sizes = range(max(sizes.start, found.start), min(sizes.stop, found.stop))
    return PostPolicy(_time(document["expiration"]), tuple(conditions), sizes)


def _conditions(given: Any) -> Iterator[Condition]:
    if isinstance(given, dict):
        if len(given) != 1:
            raise _invalid("Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.")
        ((name, value),) = given.items()
        if not isinstance(value, str):
            raise _invalid("Invalid Simple-Condition: value must be a string.")
        yield Condition(EQUAL, name.lower(), value)
        return
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise _invalid("Invalid Condition: it must be an Object or a List of strings.")
    operator = given[0].lower() if given else ""
    if operator not in (EQUAL, STARTS):
        raise _invalid(f"Invalid Condition: unknown operation {operator!r}.")
    if len(given) != 3:
        raise _invalid(f"Invalid {operator} Condition: wrong number of arguments.")
    if not given[1].startswith("$") or len(given[1]) == 1:
        raise _invalid(f"Invalid {operator} Condition: the first argument must be a field's name after '$'.")
    yield Condition(operator, given[1][1:].lower(), given[2])


def _sizes(given: Any) -> range | None:
    """What a condition says of the size, if it is about that."""
    if not isinstance(given, list) or not given or not isinstance(given[0], str) or given[0].lower() != _RANGE:
        return None
    if len(given) != 3:
        raise _invalid(f"Invalid {_RANGE} Condition: wrong number of arguments.")
    least, most = (_size(one) for one in given[1:])
    if least > most:
        raise _invalid(f"Invalid {_RANGE} Condition: the least is more than the most.")
    return range(least, min(most, _MAX_BYTES) + 1)


def _size(value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 15:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _invalid(f"Invalid {_RANGE} Condition: the arguments must be numbers that are not negative.")
    return value


def _time(value: Any) -> float:
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise _invalid(f"Invalid 'expiration' value: {str(value)[:64]!r}")
    try:
        return datetime.fromisoformat(match[1]).replace(tzinfo=UTC).timestamp() + float(match[2] or 0)
    except ValueError:
        raise _invalid(f"Invalid 'expiration' value: {value!r}") from None


def _invalid(problem: str) -> S3Error:
    return S3Error("InvalidPolicyDocument", f"Invalid Policy: {problem}")


def _denied(problem: str) -> S3Error:
    return S3Error("AccessDenied", f"Invalid according to Policy: {problem}")
