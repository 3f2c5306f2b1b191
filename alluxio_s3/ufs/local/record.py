"""What is remembered of a file besides its bytes, as one compact JSON text.

A record names the size and the modification time that the file had when it was written. If they are others now, somebody
changed the file behind our back: what was computed from the bytes (ETag, checksums, part sizes) no longer
counts; what a user said of the object (type, headers, metadata, tags, owner) still does.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import secrets
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from attrs import evolve, frozen

from alluxio_s3.storage import Attributes

_NONE = Attributes()
_VERSION = 1
_MOST_PARTS = 10_000
_SHORT = 1024
# Header values must hold no control characters, whoever wrote the record; nothing may hold what UTF-8 cannot.
_HEADER_TEXT = re.compile("[^\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]*")
_ANY_TEXT = re.compile("[^\x00\ud800-\udfff]*")


@frozen
class Record:
    """``attributes`` of a file that had ``size`` and ``modified_ns``, or of a directory, where these are None.

    ``version`` tells this writing of the file from any other; None if the file was not written here. ``created_ns`` is when
    a bucket or folder was made; ``implicit`` says of a directory that it is there only for what is in it.
    """

    attributes: Attributes = _NONE
    size: int | None = None
    modified_ns: int | None = None
    version: str | None = None
    created_ns: int | None = None
    implicit: bool = False

    @classmethod
    def of(cls, attributes: Attributes, found: os.stat_result) -> Record:
        """The record of a file as it is now, written by us."""
        return cls(attributes, found.st_size, found.st_mtime_ns, secrets.token_hex(4))

    def tagged(self, tags: Mapping[str, str], found: os.stat_result) -> Record:
        """The record of the same file, as it is now, with other tags."""
        version = self.version if self.describes(found) else None
        return Record(evolve(self.valid(found), tags=tags), found.st_size, found.st_mtime_ns, version)

    def describes(self, found: os.stat_result) -> bool:
        """Whether the file is as it was when this was written."""
        return self.size == found.st_size and self.modified_ns == found.st_mtime_ns

    def is_torn(self, found: os.stat_result) -> bool:
        """Whether bytes are missing that were written: nobody changed the file, yet it is shorter.

        A power cut does that where durability is ``rename``.
        """
        return self.modified_ns == found.st_mtime_ns and self.size is not None and self.size > found.st_size

    def valid(self, found: os.stat_result) -> Attributes:
        """What of ``attributes`` holds of the file as it is now."""
        if self.describes(found):
            return self.attributes
        return evolve(self.attributes, etag=None, checksums={}, checksum_type=None, part_sizes=())


def encode(record: Record) -> bytes:
    """``record`` as it is stored."""
    attributes = record.attributes
    fields: dict[str, object] = {
        "s": record.size,
        "m": record.modified_ns,
        "w": record.version,
        "n": record.created_ns,
        "i": int(record.implicit),
        "ct": attributes.content_type,
        "h": dict(attributes.headers),
        "u": dict(attributes.user_metadata),
        "t": dict(attributes.tags),
        "e": attributes.etag,
        "c": dict(attributes.checksums),
        "k": attributes.checksum_type,
        "p": [[size, len(list(run))] for size, run in itertools.groupby(attributes.part_sizes)],
        "o": attributes.owner,
    }
    kept = {name: value for name, value in fields.items() if value or (value == 0 and name in "smn" and value is not None)}
    return json.dumps({"v": _VERSION, **kept}, separators=(",", ":"), ensure_ascii=False).encode()


def decode(raw: bytes) -> Record | None:
    """The record stored as ``raw``; None if that is not one of ours, whatever else it is."""
    return _decode_known(raw) if len(raw) <= _SHORT else _decode(raw)


@lru_cache(maxsize=2048)
def _decode_known(raw: bytes) -> Record | None:
    """Short records, as most are, are remembered: who polls a folder asks for the same few again and again."""
    return _decode(raw)


def _decode(raw: bytes) -> Record | None:
    try:
        fields = json.loads(raw.decode())
        if not isinstance(fields, dict) or fields.get("v") != _VERSION:
            return None
        return Record(
            attributes=Attributes(
                content_type=_text(fields.get("ct")),
                headers=_texts(fields.get("h", {})),
                user_metadata=_texts(fields.get("u", {})),
                tags=_texts(fields.get("t", {}), _ANY_TEXT),
                etag=_text(fields.get("e")) or None,
                checksums=_texts(fields.get("c", {})),
                checksum_type=_text(fields.get("k")),
                part_sizes=_parts(fields.get("p", [])),
                owner=_text(fields.get("o")),
            ),
            size=_number(fields.get("s")),
            modified_ns=_number(fields.get("m")),
            version=_text(fields.get("w")) or None,
            created_ns=_number(fields.get("n")),
            implicit=fields.get("i") == 1,
        )
    except (ValueError, RecursionError):
        return None


def _number(value: Any) -> int | None:
    if value is not None and type(value) is not int:
        raise ValueError(value)
    return value


def _text(value: Any, allowed: re.Pattern[str] = _HEADER_TEXT) -> str | None:
    if value is None:
        return None
    # What is printable is allowed everywhere, and found out sooner.
    if not isinstance(value, str) or not (value.isprintable() or allowed.fullmatch(value)):
        raise ValueError(value)
    return value


def _texts(value: Any, allowed: re.Pattern[str] = _HEADER_TEXT) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise ValueError(value)  # noqa: TRY004 - all that is wrong with a record is a ValueError
    for name, text in value.items():
        _text(name, allowed)
        if _text(text, allowed) is None:
            raise ValueError(value)
    return value


def _parts(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise ValueError(value)  # noqa: TRY004
    sizes: list[int] = []
    for run in value:
        match run:
            case [int(size), int(count)] if size >= 0 and 0 < count <= _MOST_PARTS - len(sizes):
                sizes.extend([size] * count)
            case _:
                raise ValueError(value)
    return tuple(sizes)
