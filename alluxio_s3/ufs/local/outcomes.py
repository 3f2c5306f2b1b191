"""What uploads became: for a day at least, so that a completion that is asked for again gets the same answer.

In ``.alluxio-s3/completed/<upload id>.json``; while the object is being published, the same text in the upload's own directory
(``INTENT``) says what is to be. Everything here blocks; raises ``OSError``.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress

from attrs import evolve, frozen

from alluxio_s3.storage import Attributes, Status
from alluxio_s3.ufs.local import record
from alluxio_s3.ufs.local.record import Record
from alluxio_s3.ufs.local.staging import Staging
from alluxio_s3.ufs.local.upload_directories import is_upload_id, names_in

INTENT = "complete.json"
_COMPLETED = "completed"
_SUFFIX = ".json"
# A day, and another by which the clock may be set forward.
_KEPT_NS = 2 * 86_400 * 10**9 + 3600 * 10**9


@frozen
class Outcome:
    """The object that an upload became, or is to become when the file ``data`` is renamed; ``at_ns`` is when that was written."""

    path: str
    etag: str
    size: int
    attributes: Attributes
    at_ns: int
    data: str

    @property
    def status(self) -> Status:
        """As a Status, whose time and validator are those of the completion."""
        return Status(self.path, self.size, self.at_ns, self.etag, f"completed.{self.at_ns:x}", evolve(self.attributes, etag=self.etag))


class Outcomes:
    """The outcomes of the uploads of one store."""

    def __init__(self, staging: Staging) -> None:
        self._staging = staging

    def keep(self, upload_id: str, outcome: Outcome) -> None:
        """Remember what an upload became, durably."""
        self._staging.make_directory(_COMPLETED)
        self._staging.write_small(_COMPLETED, upload_id + _SUFFIX, encode_outcome(outcome))

    def find(self, upload_id: str, now_ns: int) -> Outcome | None:
        """What an upload became within the last day; for longer if no clock was set."""
        raw = self._staging.read_small(_COMPLETED, upload_id + _SUFFIX) if is_upload_id(upload_id) else None
        outcome = None if raw is None else decode_outcome(raw)
        return outcome if outcome is not None and outcome.at_ns >= now_ns - _KEPT_NS else None

    def expire(self, now_ns: int) -> None:
        """Forget those of long ago."""
        with suppress(FileNotFoundError), self._staging.directory(_COMPLETED) as completed:
            for name in names_in(completed):
                if self.find(name.removesuffix(_SUFFIX), now_ns) is None:
                    with suppress(FileNotFoundError):
                        os.unlink(name, dir_fd=completed)


def encode_outcome(outcome: Outcome) -> bytes:
    """``outcome`` as it is kept."""
    fields = {
        "path": outcome.path,
        "etag": outcome.etag,
        "size": outcome.size,
        "at": outcome.at_ns,
        "data": outcome.data,
        "record": record.encode(Record(outcome.attributes)).decode(),
    }
    return json.dumps(fields, ensure_ascii=False).encode()


def decode_outcome(raw: bytes) -> Outcome | None:
    """What ``encode_outcome`` made; None if it did not."""
    try:
        fields = json.loads(raw)
        kept = record.decode(fields["record"].encode())
        return (
            None if kept is None else Outcome(fields["path"], fields["etag"], fields["size"], kept.attributes, fields["at"], fields["data"])
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
