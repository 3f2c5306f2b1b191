"""What is in the cache, told and freed by path."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from alluxio_s3.cache import catalogue
from alluxio_s3.cache.eviction import SMALL_SHARE, Queue
from alluxio_s3.cache.index import Tally, Transaction
from alluxio_s3.cache.keys import VERSION_BYTES, CachedVersion, Freed
from alluxio_s3.cache.knowledge import Knowledge, raise_floor
from alluxio_s3.cache.stock import Stock

# So many pages that go next are counted in each directory.
MOST_RANKED = 1000
# So many versions and pages are removed in one change, for which others wait.
BATCH = 64


def objects(stock: Stock, identity: str, prefix: str, start: str, limit: int) -> list[CachedVersion]:
    """See ``PageStore.objects``."""
    with stock.index.reading() as transaction:
        found = catalogue.versions(stock.index, transaction, identity, prefix, start, limit)
        ranks = _ranks(stock, transaction) if found else {}
    return [
        CachedVersion(one.thing.path, one.thing.validator, one.thing.size, one.pages, one.stored, ranks.get(one.thing.version))
        for one in found
    ]


def has(stock: Stock, identity: str, path: str) -> bool:
    """See ``PageStore.has``."""
    with stock.index.reading() as transaction:
        return catalogue.has(stock.index, transaction, identity, path)


def tally(stock: Stock) -> Tally:
    """The sums over the index."""
    with stock.index.reading() as transaction:
        return stock.index.tally(transaction)


def stored(stock: Stock, versions: Sequence[bytes]) -> list[int]:
    """See ``PageStore.stored``."""
    with stock.index.reading() as transaction:
        return [catalogue.stored(stock.index, transaction, version) for version in versions]


def free(stock: Stock, knowledge: Knowledge, identity: str, prefix: str) -> Freed:
    """See ``PageStore.free``."""
    with stock.index.writing() as writing:  # what is being asked now is not to be learned
        raise_floor(writing)
    gone = stored = 0
    start = catalogue.name_prefix(identity, prefix)
    while True:
        with stock.index.writing() as writing:
            keys = knowledge.keys(writing.transaction, start, BATCH)
            for key in keys:
                knowledge.drop(writing, key)
        if len(keys) < BATCH:
            break
    while True:
        with stock.index.reading() as transaction:
            found = catalogue.versions(stock.index, transaction, identity, prefix, "", BATCH)
        for version in found:
            stored += version.stored
            gone += 1
            _free_version(stock, version.thing.version)
        if not found:
            return Freed(gone, stored)


def free_object(stock: Stock, identity: str, path: str) -> None:
    """See ``PageStore.free_object``."""
    while True:
        with stock.index.reading() as transaction:
            found = catalogue.versions(stock.index, transaction, identity, path, "", BATCH)
        exact = [one.thing.version for one in found if one.thing.path == path]
        for version in exact:
            _free_version(stock, version)
        if not exact:
            return


def _free_version(stock: Stock, version: bytes) -> None:
    index = stock.index
    while True:
        with index.writing() as writing:
            keys = list(islice(index.keys(writing.transaction, version), BATCH))
            for key in keys:
                found = writing.find(key)
                if found is not None:
                    stock.remove(writing, key, found)
            if not keys:
                # Normally it has gone with its last page.
                catalogue.drop(writing, version)
        stock.close_gone(keys)
        if not keys:
            return


def _ranks(stock: Stock, transaction: Transaction) -> dict[bytes, int]:
    """How many pages go before the first of each version, as far as it is counted, if nothing is read meanwhile."""
    ranks: dict[bytes, int] = {}
    sums = stock.index.tally(transaction)
    for directory in stock.directories:
        small_first = sums.place(directory.number).weights[Queue.SMALL] > SMALL_SHARE * directory.size
        order = (Queue.SMALL, Queue.MAIN) if small_first else (Queue.MAIN, Queue.SMALL)
        keys = (key for queue in order for key in stock.index.queue(transaction, directory.number, queue))
        for rank, key in enumerate(islice(keys, MOST_RANKED)):
            version = key[:VERSION_BYTES]
            ranks[version] = min(rank, ranks.get(version, rank))
    return ranks
