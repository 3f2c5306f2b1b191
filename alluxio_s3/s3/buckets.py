"""Names of new buckets."""

from __future__ import annotations

import re

from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.target import parse_bucket

# "General purpose bucket naming rules" in S3's user guide.
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ADDRESS = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+")
_RESERVED_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")


def check_new_bucket_name(name: str, *, restricted: bool) -> None:
    """Refuse ``name`` for a new bucket: with ``restricted`` by S3's rules, else only what no store could
    hold. Raises ``S3Error`` InvalidBucketName.
    """
    parse_bucket(name)
    if not restricted:
        return
    well_formed = _NAME.fullmatch(name) and ".." not in name and not _ADDRESS.fullmatch(name)
    if not well_formed or name.startswith(_RESERVED_PREFIXES) or name.endswith(_RESERVED_SUFFIXES):
        raise S3Error("InvalidBucketName", BucketName=name)
