"""Tags changed in place, the bytes untouched."""

from __future__ import annotations

import os
from collections.abc import Mapping

from attrs import evolve

from alluxio_s3.storage import NoSuchPath
from alluxio_s3.ufs.local.failures import storage_errors
from alluxio_s3.ufs.local.identity import is_directory
from alluxio_s3.ufs.local.record import Record
from alluxio_s3.ufs.local.tree import Tree


def set_tags(tree: Tree, path: str, tags: Mapping[str, str]) -> None:
    """Replace the tags of the object, folder or bucket at ``path``. Readers see the old ones or the new ones. Blocks.

    A folder stays what it is, implicit or the user's own: its tags go with it.
    """
    tree.check(path)
    with storage_errors(path, writing=True), tree.locks.held(path):
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
        with storage_errors(path), tree.looked_up(path, flags) as (found, record, descriptor):
            tree.describe(path, found, record, descriptor)
            if is_directory(found):
                changed = evolve(record or Record(), attributes=evolve((record or Record()).attributes, tags=tags))
            else:
                changed = (record or Record()).tagged(tags, found)
            if not os.fstat(descriptor).st_nlink:
                raise NoSuchPath(path)
            with storage_errors(path, writing=True):
                tree.records.rewrite(descriptor, changed)
                tree.durability.file(descriptor)
