"""Cached places for commands, which say in one line what is in the way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from alluxio_s3.cli.configuration import NotDone, ToldWrongly
from alluxio_s3.inspection import cached_place as places
from alluxio_s3.settings import Loaded, SettingsError
from alluxio_s3.storage import StorageError


@asynccontextmanager
async def cached_place(loaded: Loaded, name: str, reactor: Any) -> AsyncIterator[places.CachedPlace]:
    """``inspection.cached_place``. Raises ToldWrongly, NotDone."""
    try:
        async with places.cached_place(loaded, name, reactor) as place:
            yield place
    except places.NothingThere as problem:
        raise NotDone(str(problem)) from None
    except (places.NothingCached, SettingsError) as problem:
        raise ToldWrongly(str(problem)) from None
    except StorageError as problem:
        raise NotDone(f"{problem}.") from None
