"""What a filesystem says of a file, and what that is to S3."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from attrs import frozen

from alluxio_s3.storage import Attributes, Status

# The names under which libraries tell the version of an object, and its time. Those that a listing leaves out are no use.
_VERSIONS = ("generation", "etag", "ETag", "e_tag", "versionId", "version_id", "md5Hash", "checksum")
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "modified", "timeModified", "created", "creation_time")


@frozen
class Facts:
    """A file, a directory or something else, from one look. ``name`` is the whole native path."""

    name: str
    kind: str
    size: int
    modified_ns: int
    validator: str

    @property
    def etag(self) -> str:
        """The ETag. It has a dash, so that nobody takes it for an MD5."""
        return f"{hashlib.blake2b(self.validator.encode(), digest_size=16).hexdigest()}-0"

    def status(self, path: str, attributes: Attributes) -> Status:
        """The Status of the object at ``path``; the ETag is that of the store, whatever it was given."""
        return Status(path, self.size, self.modified_ns, self.etag, self.validator, attributes)


def parse_facts(found: Mapping[str, Any]) -> Facts:
    """The Facts of what ``info`` or ``ls`` gave."""
    kind = str(found.get("type"))
    size = int(found.get("size") or 0)
    moment = next((found[name] for name in _TIMES if found.get(name)), None)
    modified = nanoseconds(moment)
    version = next((str(found[name]) for name in _VERSIONS if found.get(name)), "")
    # As one text without quotes: some libraries have them in a listing, others in a header.
    told = hashlib.blake2b(version.strip('"').encode(), digest_size=12).hexdigest() if version else "0"
    validator = f"{told}.{int(found.get('ino') or 0):x}.{modified:x}.{size:x}"
    return Facts(str(found["name"]), kind, size, modified, validator)


def nanoseconds(moment: Any) -> int:
    """A time in any form that libraries have, to the microsecond; 0 for none."""
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError:
            return 0
    if isinstance(moment, datetime):
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return round(moment * 1e6) * 1000 if isinstance(moment, int | float) else 0
