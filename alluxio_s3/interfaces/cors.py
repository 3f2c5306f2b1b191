"""Where it is kept who may reach buckets from pages of other origins. See the package for the rules that hold for all."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import Interface

from alluxio_s3.s3.cors import CorsRule


class ICorsStore(Interface):
    """The CORS rules of buckets and mounts, by name: one truth for every process, at once and over restarts."""

    async def rules(bucket: str) -> Sequence[CorsRule]:
        """Those of ``bucket``; empty if there are none, or no such bucket."""

    async def keep(bucket: str, rules: Sequence[CorsRule]) -> None:
        """Replace them (empty: remove). Raises StorageError."""
