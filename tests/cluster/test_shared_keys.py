"""Access keys in etcd: every worker has them, and what becomes of them, at once."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import globalLogPublisher

from alluxio_s3.auth.shared_keys import SharedKeys
from alluxio_s3.s3.errors import S3Error
from tests.cluster.test_daemons import ROOT, wait_for
from tests.daemon.requests import CONTENT, Wire
from tests.daemon.signer import Ask, Signer
from tests.running import Daemon, DaemonFailed


def section(name: str, secret: str, key: str = "") -> bytes:
    return f"[{name}]\naws_access_key_id = {key or name}\naws_secret_access_key = {secret}\n".encode()


class Texts:
    """A source of texts."""

    def __init__(self) -> None:
        self.version = 0
        self.now: dict[str, bytes] = {}

    def texts(self) -> dict[str, bytes]:
        return self.now

    def become(self, **now: bytes) -> None:
        self.now = now
        self.version += 1


def secrets(keys: SharedKeys) -> dict[str, str]:
    return {name: key.secret for name, key in keys.value.items()}


def test_keys_of_several_texts() -> None:
    """Keys are those of all texts; a text that makes no sense leaves what it said, and of two with one key the first by name counts."""
    told: list[str] = []
    texts, keys = Texts(), SharedKeys()
    with pytest.raises(S3Error, match="ServiceUnavailable"):
        _ = keys.value
    keys.source = texts  # type: ignore[assignment]  # it is one
    with pytest.raises(S3Error, match="ServiceUnavailable"):
        _ = keys.value

    def observe(event: dict[str, Any]) -> None:
        told.append(str(event.get("problem", event.get("key", ""))))

    globalLogPublisher.addObserver(observe)
    try:
        texts.become()
        assert secrets(keys) == {}
        texts.become(a=section("alice", "canary-1"), b=section("bob", "canary-2") + section("carol", "canary-3"))
        assert secrets(keys) == {"alice": "canary-1", "bob": "canary-2", "carol": "canary-3"}
        texts.become(a=b"canary nonsense", b=section("bob", "canary-4"))
        assert secrets(keys) == {"alice": "canary-1", "bob": "canary-4"}
        texts.become(a=b"\xff", b=section("bob", "canary-4"), c=b"canary = 5")
        assert secrets(keys) == {"alice": "canary-1", "bob": "canary-4"}
        texts.become(a=section("x", "canary-6", "one"), b=section("y", "canary-7", "one"))
        assert secrets(keys) == {"one": "canary-6"}
        assert keys.value["one"].user == "x"
        texts.become(b=section("y", "canary-7", "one"))
        assert secrets(keys) == {"one": "canary-7"}
    finally:
        globalLogPublisher.removeObserver(observe)
    assert sum(bool(one) for one in told) == 4
    assert "canary" not in "".join(told)


def put(node: Any, name: str, text: bytes) -> None:
    key = f"{ROOT}access-keys/{name}".encode()
    node.ask("kv/put", key=b64encode(key).decode(), value=b64encode(text).decode())


def properties(node: Any, directory: Path) -> dict[str, object]:
    (directory / "data" / "bucket").mkdir(parents=True, exist_ok=True)
    return {
        "alluxio.worker.s3.api.enabled": True,
        "alluxio.worker.s3.bind.host": "127.0.0.1",
        "alluxio.worker.rest.port": 0,
        "alluxio.worker.s3.peer.port": 0,
        "alluxio.dora.client.ufs.root": directory / "data",
        "alluxio.underfs.xattr.change.enabled": True,
        "alluxio.worker.s3.connection.keep.alive.enabled": True,
        "alluxio.cluster.name": "tests",
        "alluxio.etcd.endpoints": node.endpoint,
        "alluxio.worker.failure.detection.timeout": "2sec",
        "alluxio.worker.s3.authentication.type": "SIGV4",
        "alluxio.worker.s3.authentication.keys.file": "etcd",
    }


def status(wire: Wire, user: str, secret: str) -> int:
    """That of a PUT, and of a GET, which goes the short way, by somebody; 0 if it became another between them."""
    signer = Signer(user, secret)
    found = {wire.send(signer.sign(Ask(method, "/bucket/k", body=body), "sha256", wire.host))[0] for method, body in WAYS}
    return found.pop() if len(found) == 1 else 0


WAYS = (("PUT", CONTENT), ("GET", b""))


def test_workers_with_keys_in_etcd(own_node: Any, tmp_path: Path) -> None:
    """Two workers take who is put into etcd, and refuse who is taken out or has another secret; while etcd is away all is as it was."""
    put(own_node, "first", section("alice", "canary-alice"))
    with Daemon(tmp_path / "one") as one, Daemon(tmp_path / "two") as two:
        wires = [Wire(daemon.start(properties(own_node, tmp_path))) for daemon in (one, two)]
        for wire in wires:
            wait_for(lambda wire=wire: status(wire, "alice", "canary-alice") == 200)
            assert status(wire, "bob", "canary-bob") == 403
        put(own_node, "second", section("bob", "canary-bob"))
        for wire in wires:
            wait_for(lambda wire=wire: status(wire, "bob", "canary-bob") == 200)
        put(own_node, "first", section("alice", "canary-other"))
        for wire in wires:
            wait_for(lambda wire=wire: status(wire, "alice", "canary-other") == 200)
            assert status(wire, "alice", "canary-alice") == 403
        own_node.ask("kv/deleterange", key=b64encode(f"{ROOT}access-keys/second".encode()).decode())
        for wire in wires:
            wait_for(lambda wire=wire: status(wire, "bob", "canary-bob") == 403)
        own_node.kill()
        for wire in wires:
            assert status(wire, "alice", "canary-other") == 200
        three = Daemon(tmp_path / "three")
        with three:
            wire = Wire(three.start(properties(own_node, tmp_path)))
            assert status(wire, "alice", "canary-other") == 503
        for wire in wires:
            wire.close()
    for daemon in (one, two, three):
        assert daemon.trouble == []
        assert "canary" not in daemon.log


def test_keys_in_etcd_need_an_etcd(tmp_path: Path) -> None:
    """Without an etcd the start says what is missing."""

    class Nowhere:
        endpoint = ""

    with pytest.raises(DaemonFailed, match=r"keys\.file: keys are in etcd only where members are"):
        Daemon(tmp_path / "conf").start(properties(Nowhere(), tmp_path))
