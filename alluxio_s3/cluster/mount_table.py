"""The mount table in etcd, for all workers of a cluster: a key for each mount, ``<prefix>mounts/<bucket>``, of JSON.

A mount's options may hold secrets: whoever may read these keys has them, and nothing of a value is ever shown.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from attrs import evolve, frozen
from zope.interface import implementer

from alluxio_s3.cluster.etcd import Etcd
from alluxio_s3.cluster.etcd_words import Entry, delete_of, get_of, put_of, unchanged
from alluxio_s3.cluster.watched import WatchedPrefix
from alluxio_s3.interfaces import IMountTable
from alluxio_s3.s3.errors import S3Error
from alluxio_s3.s3.target import parse_bucket
from alluxio_s3.storage import AlreadyExists, Mount, NoSuchPath, Unavailable

MOUNTS = "mounts/"
# How long a daemon that has just started waits for the first list.
PATIENCE_SECONDS = 5.0
# How often something is tried again that others change at the same time.
_TRIES = 10


@implementer(IMountTable)
@frozen(eq=False)
class EtcdMountTable:
    """The mounts under ``prefix``. A daemon follows them by what is ``watched``; who only looks once asks ``etcd``.

    ``patience`` is how many seconds the first list may take.
    """

    etcd: Etcd
    prefix: str
    watched: WatchedPrefix | None = None
    patience: float = PATIENCE_SECONDS

    async def mounts(self) -> Sequence[Mount]:
        """See IMountTable. Raises Unavailable while etcd has not been heard of, has lost its data, or has something that is no mount."""
        if self.watched is None:
            entries: Sequence[Entry] = (await self.etcd.list(self.prefix + MOUNTS)).entries
        elif not await self.watched.listed(self.patience):
            raise Unavailable(message="the mount table is in etcd, which has not answered yet")
        else:
            entries = tuple(self.watched.under(MOUNTS).values())
            if self.watched.lost and not entries:
                raise Unavailable(message="etcd has lost the mount table")
        return sorted((self._decode(entry) for entry in entries), key=lambda one: one.path)

    async def add(self, mount: Mount) -> None:
        """See IMountTable. Raises Unavailable."""
        key, value = self._key(mount.path), _encode(evolve(mount, since_ns=time.time_ns()))
        outcome = await self.etcd.transact([unchanged(key, 0)], [put_of(key, value)], [get_of(key)])
        # What is there already may be what was put by a try whose answer was lost.
        if not outcome.held and [entry.value for entry in outcome.found[0]] != [value]:
            raise AlreadyExists(mount.path, f"something is mounted at {mount.path} already")

    async def remove(self, path: str) -> Mount:
        """See IMountTable. Raises Unavailable."""
        key = self._key(path)
        for _ in range(_TRIES):
            entry = await self.etcd.get(key)
            if entry is None:
                raise NoSuchPath(path, f"nothing is mounted at {path}")
            if (await self.etcd.transact([unchanged(key, entry.changed)], [delete_of(key)])).held:
                return self._decode(entry)
        raise Unavailable(path, f"what is mounted at {path} changes all the time")

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """See IMountTable."""
        if self.watched is None:
            raise ValueError("who looks once does not watch")
        return self.watched.subscribe(MOUNTS, lambda _: changed())

    def _key(self, path: str) -> str:
        return f"{self.prefix}{MOUNTS}{path.removeprefix('/')}"

    def _decode(self, entry: Entry) -> Mount:
        bucket = entry.key.removeprefix(self.prefix + MOUNTS)
        try:
            parse_bucket(bucket)
            return _mount(f"/{bucket}", json.loads(entry.value))
        except (S3Error, ValueError, TypeError, RecursionError):
            # Why is not shown: there may be secrets in it.
            raise Unavailable(message=f"what etcd has at {entry.key[:200]} is no mount") from None


def _encode(mount: Mount) -> bytes:
    since = datetime.fromtimestamp(mount.since_ns // 10**9, UTC).isoformat()
    return json.dumps({"uri": mount.uri, "options": dict(mount.options), "since": since}, ensure_ascii=False).encode()


def _mount(path: str, document: Any) -> Mount:
    if not isinstance(document, dict):
        raise TypeError
    uri, options, since = (document.get(name) for name in ("uri", "options", "since"))
    if not isinstance(uri, str) or not uri or not isinstance(options, dict) or not isinstance(since, str):
        raise TypeError
    if not all(isinstance(value, str) for value in options.values()):
        raise TypeError
    try:
        return Mount(path, uri, options, int(datetime.fromisoformat(since).timestamp()) * 10**9)
    except OverflowError:
        raise ValueError from None
