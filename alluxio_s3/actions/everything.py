"""Every action there is: importing this module fills ``REGISTRY``."""

from __future__ import annotations

from types import ModuleType

from alluxio_s3.actions import (
    buckets,
    cors,
    listings,
    multipart,
    multipart_complete,
    multipart_listings,
    object_attributes,
    object_copy,
    object_delete,
    object_read,
    object_write,
    post_object,
    sts,
    tagging,
    unsupported,
)
from alluxio_s3.actions.registry import REGISTRY

__all__ = ["MODULES", "REGISTRY"]

MODULES: tuple[ModuleType, ...] = (
    buckets,
    listings,
    object_read,
    object_attributes,
    object_write,
    post_object,
    object_copy,
    object_delete,
    tagging,
    cors,
    multipart,
    multipart_complete,
    multipart_listings,
    sts,
    unsupported,
)
