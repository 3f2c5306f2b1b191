"""Alluxio's properties for its S3 API that mean nothing here, each with what is so instead.

They are common in files that were written for Alluxio, so they get an answer of their own, not "unknown property".
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_ROOT = "the S3 API is always at the root of the endpoint"
_ONE_WAY = "there is one way through which every request goes"
_UNSEEN = "parts are kept where no listing shows them"

FOREIGN: Mapping[str, str] = MappingProxyType(
    {
        "alluxio.proxy.s3.api.nocache.ufs.read.through.enabled": "a read that is not cached always goes to the under-store",
        "alluxio.proxy.s3.api.noprefix.enabled": _ROOT,
        "alluxio.proxy.s3.bucketpathcache.timeout": "buckets are looked up in the under-store",
        "alluxio.proxy.s3.complete.multipart.upload.pool.size": "alluxio.worker.s3.io.threads sizes the one pool",
        "alluxio.proxy.s3.multipart.temporary.dir.suffix": _UNSEEN,
        "alluxio.proxy.s3.multipart.upload.cleaner.pool.size": "alluxio.worker.s3.io.threads sizes the one pool",
        "alluxio.proxy.s3.multipart.upload.cleaner.retry.count": "the cleaner tries again at its next round",
        "alluxio.proxy.s3.multipart.upload.cleaner.retry.delay": "the cleaner tries again at its next round",
        "alluxio.proxy.s3.multipart.upload.write.through": "writes always go through to the under-store",
        "alluxio.proxy.s3.use.position.read.range.size": "ranges are always read in place",
        "alluxio.proxy.s3.v2.async.processing.enabled": _ONE_WAY,
        "alluxio.proxy.s3.v2.version.enabled": _ONE_WAY,
        "alluxio.proxy.s3.writetype": "writes always go through to the under-store",
    }
)
