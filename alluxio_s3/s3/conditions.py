"""Conditional requests: RFC 9110 section 13, and S3's conditional writes and deletes.

ETags are compared strongly and without their quotes; ``*`` means any.
"""

from __future__ import annotations

from attrs import frozen

from alluxio_s3.s3.errors import S3Error


@frozen
class WriteCondition:
    """What must hold of the object that a write replaces or a delete removes.

    ``if_match`` and ``if_none_match`` are tuples of ETags (without quotes), or ``("*",)``; empty when the header was
    absent. ``if_size`` and ``if_modified_ns`` (whole seconds) are DeleteObject's own.
    """

    if_match: tuple[str, ...] = ()
    if_none_match: tuple[str, ...] = ()
    if_size: int | None = None
    if_modified_ns: int | None = None

    def check(self, etag: str | None, size: int = 0, modified_ns: int = 0) -> None:
        """Raise ``S3Error`` if the object in place does not satisfy this; ``etag`` is None when there is none.

        PreconditionFailed; NoSuchKey for If-Match on a key that is not there (as AWS does).
        """
        if self.if_match:
            if etag is None:
                raise S3Error("NoSuchKey")
            if "*" not in self.if_match and etag not in self.if_match:
                raise S3Error("PreconditionFailed", Condition="If-Match")
        if self.if_none_match and etag is not None and ("*" in self.if_none_match or etag in self.if_none_match):
            raise S3Error("PreconditionFailed", Condition="If-None-Match")
        if self.if_size is not None and etag is not None and size != self.if_size:
            raise S3Error("PreconditionFailed", Condition="x-amz-if-match-size")
        if self.if_modified_ns is not None and etag is not None and modified_ns // 10**9 != self.if_modified_ns // 10**9:
            raise S3Error("PreconditionFailed", Condition="x-amz-if-match-last-modified-time")


ALWAYS = WriteCondition()
