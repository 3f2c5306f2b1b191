"""Three real daemons that know each other by a real etcd, with mounts whose owners answer from memory."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.servers.etcd import EtcdNode
from tests.cluster.trio import Trio, get, put, running_trio

HOUR = {"cache": "always", "freshness": "max_age=1hour", "negative.max.age": "1hour"}


@pytest.fixture(scope="module")
def trio(tmp_path_factory: pytest.TempPathFactory, shared_node: EtcdNode) -> Iterator[Trio]:
    """Three of them; what a store said is good for an hour."""
    with running_trio(tmp_path_factory.mktemp("by-etcd"), etcd=shared_node.endpoint, **HOUR) as trio:
        remembering(trio, 1)
        yield trio


def url(trio: Trio, number: int, key: str) -> str:
    """The URL of an object at a worker."""
    return f"{trio.endpoints[number]}/objects/{key}"


def remembering(trio: Trio, owner: int) -> str:
    """Return when that worker answers from memory, which it does only some time after it has come: a key of its own, with ``old``."""
    key = trio.key(owner, "remembered")
    deadline = time.monotonic() + 60
    while True:
        trio.put(key, b"old")
        assert put(url(trio, owner, key), b"old").status == 200
        get(url(trio, owner, key))
        if "fwd" not in get(url(trio, owner, key)).headers["cache-status"]:
            return key
        assert time.monotonic() < deadline, "it never does"


def test_owners_answer_from_memory(trio: Trio) -> None:
    """What an owner remembers is given through every worker, though the directory has changed: that is what the mount asks for."""
    key = remembering(trio, 1)
    trio.put(key, b"behind their backs")
    assert {get(url(trio, number, key)).body for number in range(3)} == {b"old"}


def test_a_write_is_seen_through_every_worker(trio: Trio) -> None:
    """What was written, replaced or deleted through one worker is so for all, at once, though owners answer from memory."""
    for writer in range(3):
        for owner in range(3):
            key = trio.key(owner, f"written-{writer}")
            assert {get(url(trio, number, key)).status for number in range(3)} == {404}
            for version in range(3):
                data = f"{writer} {version}".encode() * 100
                assert put(url(trio, writer, key), data).status == 200
                for number in range(3):
                    assert get(url(trio, number, key)).body == data
                    assert get(url(trio, number, key), method="HEAD").headers["content-length"] == str(len(data))
            assert get(url(trio, writer, key), method="DELETE").status == 204
            assert {get(url(trio, number, key)).status for number in range(3)} == {404}


def test_an_owner_that_slept(trio: Trio) -> None:
    """An owner that stood still while others wrote has forgotten what it remembered when it goes on (promises D5a)."""
    key = remembering(trio, 1)
    os.kill(trio.daemons[1].pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        written = put(url(trio, 0, key), b"written while it slept")
        assert written.status == 200
        # Nobody knows that it sleeps, so the writer has waited till its lease was over.
        assert time.monotonic() - began > 3
    finally:
        os.kill(trio.daemons[1].pid, signal.SIGCONT)
    for number in (1, 0, 2, 1):
        assert get(url(trio, number, key)).body == b"written while it slept"


def test_an_owner_that_died_and_came_back(tmp_path: Path, shared_node: EtcdNode) -> None:
    """A worker that was killed, and started again with what its cache has on the disk, gives nothing that is old."""
    with running_trio(tmp_path, etcd=shared_node.endpoint, **HOUR) as trio:
        key = remembering(trio, 1)
        trio.daemons[1].kill()
        assert put(url(trio, 0, key), b"written while it was dead").status == 200
        assert get(url(trio, 2, key)).body == b"written while it was dead"
        trio.start(1)
        for number in (1, 0, 2):
            assert get(url(trio, number, key)).body == b"written while it was dead"


def test_what_many_ask_for(tmp_path: Path, shared_node: EtcdNode) -> None:
    """Where all hold what is hot, each comes to answer it from memory, and what is written through one is so for all at once."""
    with running_trio(tmp_path, {"alluxio.worker.s3.hot.object.replicas": 3}, shared_node.endpoint, **HOUR) as trio:
        key = remembering(trio, 1)
        assert "detail=proxy" in get(url(trio, 0, key)).headers["cache-status"]
        for number in (0, 2):
            deadline = time.monotonic() + 60
            while re.search("fwd|proxy", get(url(trio, number, key)).headers["cache-status"]):
                assert time.monotonic() < deadline, f"worker {number} never holds it"
        for writer in range(3):
            assert put(url(trio, writer, key), f"by {writer}".encode()).status == 200
            assert {get(url(trio, number, key)).body for number in range(3)} == {f"by {writer}".encode()}
