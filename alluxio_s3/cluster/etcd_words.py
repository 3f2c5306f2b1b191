"""What is said to etcd and what it answers, in the JSON of its gateway.

Keys and values are base64 there, numbers of 64 bits are text, and what is zero is left out.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from alluxio_s3.storage import Unavailable

_BUSY = frozenset({408, 429})
_NO_ETCD = "what answers there is no etcd"
Body = Mapping[str, Any]


class EtcdError(Unavailable):
    """etcd did not do it."""


class EtcdRefused(EtcdError):
    """etcd answered, and would not: who asks may not, or what was asked makes no sense to it. Asking again is of no use."""


class WatchEnded(EtcdError):
    """No more events come, and some may have been missed: whoever watched lists again."""


@frozen
class Entry:
    """A key and what is there. ``created`` and ``changed`` are revisions, ``lease`` is 0 without one."""

    key: str
    value: bytes = field(repr=False)
    created: int = 0
    changed: int = 0
    lease: int = 0


@frozen
class Found:
    """What was there at ``revision``, by key."""

    revision: int
    entries: tuple[Entry, ...]


@frozen
class Outcome:
    """How a transaction ended: whether its comparisons held, at which revision, and what the reads of the branch taken have found.

    ``counts`` are how many keys there are in what each of them read, those too that were not asked for. ``term`` grows with each start of
    etcd's, and ``cluster`` is the same as long as its data are.
    """

    held: bool
    revision: int
    found: tuple[tuple[Entry, ...], ...]
    counts: tuple[int, ...] = ()
    cluster: int = 0
    term: int = 0


@frozen
class Event:
    """A change of a key: what is there since; its ``value`` is None when it was deleted, or its lease has ended."""

    entry: Entry
    deleted: bool = False

    @property
    def key(self) -> str:
        """Whose change it is."""
        return self.entry.key

    @property
    def value(self) -> bytes | None:
        """What is there now."""
        return None if self.deleted else self.entry.value


def put_of(key: str, value: bytes, lease: int = 0) -> Body:
    """A step of a transaction that puts."""
    return {"request_put": {"key": b64_text(key), "value": b64(value), "lease": str(lease)}}


def get_of(key: str) -> Body:
    """A step of a transaction that reads."""
    return {"request_range": {"key": b64_text(key)}}


def list_of(prefix: str, since: int) -> Body:
    """A step of a transaction that reads all under ``prefix`` that was changed at revision ``since`` or later."""
    return {"request_range": range_of(prefix) | {"min_mod_revision": str(since)}}


def names_of(prefix: str, since: int) -> Body:
    """The same without what is there. Its count is of all keys under ``prefix``."""
    return {"request_range": range_of(prefix) | {"min_mod_revision": str(since), "keys_only": True}}


def delete_of(key: str) -> Body:
    """A step of a transaction that deletes."""
    return {"request_delete_range": {"key": b64_text(key)}}


def unchanged(key: str, revision: int) -> Body:
    """A comparison: the key was last changed at ``revision``; 0: it is not there."""
    return {"key": b64_text(key), "target": "MOD", "result": "EQUAL", "mod_revision": str(revision)}


def range_of(prefix: str) -> dict[str, Any]:
    """All keys that begin with ``prefix``, whose last character is ASCII."""
    return {"key": b64_text(prefix), "range_end": b64_text(prefix[:-1] + chr(ord(prefix[-1]) + 1))}


def b64_text(key: str) -> str:
    """A key as it is said to etcd."""
    return b64(key.encode("utf-8", "surrogateescape"))


def b64(value: bytes) -> str:
    """A value as it is said to etcd."""
    return b64encode(value).decode("ascii")


def _bytes(text: str) -> bytes:
    return b64decode(text, validate=True)


def number(document: Body, name: str) -> int:
    """A number of 64 bits; 0 if it is not there."""
    return int(document.get(name) or 0)


def revision_of(answer: Body) -> int:
    """At which revision etcd was."""
    return number(answer.get("header") or {}, "revision")


def entries_of(answer: Body) -> tuple[Entry, ...]:
    """What was found. Raises EtcdError."""
    try:
        return tuple(_entry(one) for one in answer.get("kvs", ()))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise EtcdError(message=_NO_ETCD) from None


def _entry(one: Body) -> Entry:
    return Entry(
        _bytes(one["key"]).decode("utf-8", "surrogateescape"),
        _bytes(one.get("value", "")),
        number(one, "create_revision"),
        number(one, "mod_revision"),
        number(one, "lease"),
    )


def document_of(content: bytes) -> dict[str, Any]:
    """One object of JSON; of what is a stream to etcd, the first."""
    try:
        document = json.loads(content.split(b"\n", 1)[0])
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise EtcdError(message=_NO_ETCD)
    if "error" in document and "result" not in document:
        raise EtcdError(message=f"etcd: {str(document['error'])[:200]}")
    return document


def events_of(line: bytes) -> tuple[list[Event], int] | None:
    """The events of one line of a watch, and their revision; None for one that says that all is well. Raises WatchEnded."""
    try:
        document = json.loads(line)
        result = document.get("result")
        if result is None or result.get("canceled"):
            raise WatchEnded(
                message=f"etcd watches no more: {str(document.get('error') or result.get('cancel_reason') or 'compacted')[:200]}"
            )
        events = [Event(_entry(one["kv"]), one.get("type") == "DELETE") for one in result.get("events", ())]
        return (events, revision_of(result)) if events else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise WatchEnded(message=_NO_ETCD) from None


def refusal(code: int, content: bytes) -> EtcdError:
    """The error for an answer that is not 200. It shows what etcd says, which holds no value."""
    try:
        said = str(json.loads(content)["error"])
    except (ValueError, TypeError, KeyError, RecursionError):
        said = content[:200].decode("utf-8", "replace")
    kind = EtcdError if code >= 500 or code in _BUSY else EtcdRefused
    return kind(message=f"etcd answers {code}: {said[:200].strip()}")
