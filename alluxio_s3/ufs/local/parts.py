"""The parts of one upload: what is remembered of each, in ``<number>.json`` beside their bytes.

The bytes are in a file of their own, or in a slot of the file that becomes the object (``assembly``). A record is replaced in one
step, after the bytes are on the disk. Everything here blocks; raises ``OSError``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from attrs import frozen

from alluxio_s3.s3.errors import S3Error
from alluxio_s3.storage import Part
from alluxio_s3.ufs.local.upload_directories import names_in, read

_NAME = re.compile(r"([1-9][0-9]{0,4})\.json")


@frozen
class StoredPart:
    """A part, and where its bytes are: in the file ``data`` of the upload's directory, from ``offset``."""

    part: Part
    data: str
    offset: int = 0

    @property
    def end(self) -> int:
        """Where in the file its bytes end."""
        return self.offset + self.part.size


def record_name(number: int) -> str:
    """The file that remembers part ``number``."""
    return f"{number}.json"


def stored_part(directory: int, number: int) -> StoredPart | None:
    """Part ``number``, if it has arrived."""
    raw = read(directory, record_name(number))
    return None if raw is None else decode_part(number, raw)


def stored_parts(directory: int) -> dict[int, StoredPart]:
    """All that have arrived, in the order of their numbers."""
    numbers = sorted(int(match[1]) for name in names_in(directory) if (match := _NAME.fullmatch(name)))
    found = ((number, stored_part(directory, number)) for number in numbers)
    return {number: stored for number, stored in found if stored is not None}


def chosen_parts(stored: dict[int, StoredPart], parts: Sequence[Part]) -> list[StoredPart]:
    """Those of ``stored`` that are listed in ``parts``. Raises S3Error InvalidPart for one that is not there, or another by now."""
    chosen = []
    for part in parts:
        found = stored.get(part.number)
        if found is None or found.part.etag != part.etag:
            raise S3Error("InvalidPart", PartNumber=str(part.number), ETag=part.etag)
        chosen.append(found)
    return chosen


def encode_part(stored: StoredPart) -> bytes:
    """``stored`` as it is remembered."""
    part = stored.part
    fields = {
        "size": part.size,
        "modified": part.modified_ns,
        "etag": part.etag,
        "checksums": dict(part.checksums),
        "data": stored.data,
        "offset": stored.offset,
    }
    return json.dumps(fields).encode()


def decode_part(number: int, raw: bytes) -> StoredPart | None:
    """What ``encode_part`` made; None if it did not."""
    try:
        fields = json.loads(raw)
        part = Part(number, fields["size"], fields["modified"], fields["etag"], fields["checksums"])
        return StoredPart(part, fields["data"], fields["offset"])
    except (ValueError, KeyError, TypeError):
        return None
