"""What workers say to each other about objects, as text that fits in a header.

A request is its target: ``/VERSION/VERB?path=/bucket/key&store=...``. An answer is a status, and ``told`` in a header: JSON in ASCII.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from itertools import groupby
from typing import Any
from urllib.parse import quote_plus, unquote_plus

from attrs import asdict, astuple, fields_dict, frozen

from alluxio_s3.storage import Attributes, NoSuchPath, ObjectChanged, PathConflict, Provenance, Status, StorageError, Unavailable

VERSION = "3"
TOLD = "alluxio-told"
HELLO, STATUS, OPEN, FORGET, ARRIVED = "hello", "status", "open", "forget", "arrived"
METHODS: Mapping[str, str] = {HELLO: "GET", STATUS: "GET", OPEN: "GET", FORGET: "POST", ARRIVED: "POST"}
GREETING = f"/{VERSION}/{HELLO}?"
# What is longer is not told: who asked asks the store.
MAX_TOLD = 24 << 10
_COMPACT = json.JSONEncoder(separators=(",", ":")).encode
_PLAIN = re.compile(r"[A-Za-z0-9_.~/-]*")
_PROVENANCE = frozenset(fields_dict(Provenance))
# What an owner says of an object that others believe; whatever else goes wrong there they try without it.
ANSWERS: Mapping[str, type[StorageError]] = {one.__name__: one for one in (NoSuchPath, PathConflict, ObjectChanged)}


@frozen
class Question:
    """A request to a peer: a verb, and what it needs."""

    verb: str
    values: Mapping[str, str]

    @property
    def target(self) -> str:
        """As the target of the request."""
        return f"/{VERSION}/{self.verb}?{'&'.join([f'{name}={_encoded(value)}' for name, value in self.values.items()])}"

    @classmethod
    def read(cls, target: str) -> Question:
        """What ``target`` made. Raises ValueError."""
        path, _, query = target.partition("?")
        _, version, verb = path.split("/")
        if version != VERSION or verb not in METHODS:
            raise ValueError(f"there is no {path}")
        return cls(verb, dict([_decoded(pair) for pair in query.split("&")]) if query else {})


@frozen
class Told:
    """What an answer says. ``ring`` is what the peer takes the ring to be (``Ownership.ring``).

    ``resident`` is how many of the bytes asked for were in the cache, if that was asked; ``process`` the name of the one that answers, if
    it was greeted.
    """

    ring: str
    status: Status | None = None
    provenance: Provenance | None = None
    resident: int | None = None
    offset: int = 0
    error: str = ""
    process: str = ""

    def text(self) -> str:
        """As it is in the header. Raises Unavailable for what does not fit."""
        said: dict[str, Any] = {"ring": self.ring, "offset": self.offset, "error": self.error, "resident": self.resident}
        if self.process:
            said["process"] = self.process
        if self.status is not None:
            said["status"] = _plain(self.status)
            said["seen"] = None if self.status.provenance is None else asdict(self.status.provenance)
        if self.provenance is not None:
            said["provenance"] = asdict(self.provenance)
        text = _COMPACT(said)
        if len(text) > MAX_TOLD:
            raise Unavailable("", "there is too much to tell of this object")
        return text

    @classmethod
    def read(cls, text: str) -> Told:
        """What ``text`` made. Raises ValueError and its kin for anything else."""
        said = json.loads(text)
        status = None
        if "status" in said:
            status = _status(said["status"], None if said["seen"] is None else _provenance(said["seen"]))
        provenance = _provenance(said["provenance"]) if "provenance" in said else None
        return cls(said["ring"], status, provenance, said["resident"], said["offset"], said["error"], said.get("process", ""))


def name_of(identity: str) -> str:
    """The name of a store among workers: only those that mean the same store by a path may answer for each other."""
    return hashlib.blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=9).hexdigest()


def _encoded(value: str) -> str:
    """As in a query. Nearly always nothing is to be done, and much the quicker."""
    return value if _PLAIN.fullmatch(value) else quote_plus(value, safe="/", errors="surrogatepass")


def _decoded(pair: str) -> tuple[str, str]:
    """A name and a value of a query. Raises ValueError."""
    name, separator, value = pair.partition("=")
    if not separator:
        raise ValueError(pair)
    return name, unquote_plus(value, errors="surrogatepass") if "%" in value or "+" in value else value


def _provenance(said: Mapping[str, Any]) -> Provenance:
    """What a worker of another version says more is left out."""
    return Provenance(**{name: value for name, value in said.items() if name in _PROVENANCE})


def _plain(status: Status) -> list[Any]:
    attributes: list[Any] = [dict(one) if hasattr(one, "keys") else one for one in astuple(status.attributes, recurse=False)]
    at = next(number for number, one in enumerate(attributes) if isinstance(one, tuple))
    # Parts are many, and nearly all of one size.
    attributes[at] = [[size, len(list(group))] for size, group in groupby(status.attributes.part_sizes)]
    return [status.path, status.size, status.modified_ns, status.etag, status.validator, at, *attributes]


def _status(plain: list[Any], seen: Provenance | None) -> Status:
    path, size, modified_ns, etag, validator, at, *attributes = plain
    attributes[at] = tuple(size for size, times in attributes[at] for _ in range(times))
    return Status(path, size, modified_ns, etag, validator, Attributes(*attributes), provenance=seen)
