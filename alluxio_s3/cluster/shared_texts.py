"""Texts in etcd that every worker of a cluster follows: all values under a part of the cluster's prefix."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen
from zope.interface import implementer

from alluxio_s3.cluster.watched import WatchedPrefix
from alluxio_s3.interfaces import ISharedTexts

ACCESS_KEYS = "access-keys/"


@implementer(ISharedTexts)
@frozen(eq=False)
class SharedTexts:
    """Those under ``part`` of what is ``watched``, by the rest of their keys. While etcd is away they are what they were."""

    watched: WatchedPrefix
    part: str

    @property
    def version(self) -> int:
        """See ``ISharedTexts``."""
        return self.watched.revision

    def texts(self) -> Mapping[str, bytes]:
        """See ``ISharedTexts``."""
        return {name: entry.value for name, entry in self.watched.under(self.part).items()}
