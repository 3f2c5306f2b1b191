"""AUDIT on a real daemon: everything is served, and what SIGV4 would refuse is counted, down to the last chunk."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from attrs import evolve

from tests.daemon.attacks import OF_SIGNATURES
from tests.daemon.requests import CONTENT, Wire
from tests.daemon.signer import Ask, Signer
from tests.daemon.test_admin import Admin, properties
from tests.running import Daemon

ALICE = Signer("alice", "canary-alice")
OUTCOMES = "alluxio_s3_audit_requests_total"
CHUNKS = ("chunks", "chunks-trailer")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Wire, Admin]]:
    """A daemon under AUDIT."""
    directory = tmp_path_factory.mktemp("audit")
    (directory / "keys").write_text("[alice]\naws_access_key_id = alice\naws_secret_access_key = canary-alice\n")
    with Daemon(directory / "conf") as daemon:
        more = {"alluxio.worker.s3.authentication.type": "AUDIT", "alluxio.worker.s3.authentication.keys.file": directory / "keys"}
        wire = Wire(daemon.start({**properties(directory), **more}))
        yield wire, Admin(daemon)
        wire.close()
        daemon.stop()
    assert daemon.trouble == []
    assert "SignatureDoesNotMatch of a chunk or trailer" in daemon.log
    assert "canary" not in daemon.log


def counted(admin: Admin) -> dict[str, float]:
    """How many requests of Alice's there were, by outcome."""
    return {one[1]: value for one, value in admin.figures().items() if one[0] == OUTCOMES and one[2] == "alice"}


def grown(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {name: value - before.get(name, 0) for name, value in after.items() if value != before.get(name, 0)}


@pytest.mark.parametrize("mode", ["sha256", "unsigned", "chunks", "chunks-trailer", "unsigned-trailer", "presigned"])
def test_what_is_right_is_counted_once(place: tuple[Wire, Admin], mode: str) -> None:
    """A request that SIGV4 would let in is one more that is verified, in every mode that its payload can have."""
    wire, admin = place
    before = counted(admin)
    sent = ALICE.sign(Ask("PUT", f"/bucket/{mode}", body=CONTENT), mode, wire.host)
    assert wire.send(sent)[0] == 200
    assert grown(before, counted(admin)) == {"Verified": 1}


@pytest.mark.parametrize("mode", CHUNKS)
@pytest.mark.parametrize("attack", ["another chunk signature", "no chunk signatures", "no trailer signature", "tampered body"])
def test_chunks_that_are_wrong_are_told_of(place: tuple[Wire, Admin], mode: str, attack: str) -> None:
    """A chunk or trailer that is not as it was signed is stored all the same, and counted as what SIGV4 would refuse."""
    wire, admin = place
    good = ALICE.sign(Ask("PUT", f"/bucket/{mode}-{attack.replace(' ', '-')}", body=CONTENT), mode, wire.host)
    bad = OF_SIGNATURES[attack](good, mode)
    if bad is None or (mode == "chunks-trailer" and attack == "tampered body"):
        return  # the checksum in the trailer refuses that by itself
    before = counted(admin)
    assert wire.send(bad)[0] == 200
    assert grown(before, counted(admin)) == {"SignatureDoesNotMatch": 1}


def test_chunks_of_others(place: tuple[Wire, Admin]) -> None:
    """Where the head's signature is wrong already, it is counted once, whatever the chunks are."""
    wire, admin = place
    before = counted(admin)
    sent = evolve(ALICE, secret="canary-other").sign(Ask("PUT", "/bucket/other", body=CONTENT), "chunks", wire.host)
    assert wire.send(sent)[0] == 200
    assert grown(before, counted(admin)) == {"SignatureDoesNotMatch": 1}


def test_unfinished_chunks_are_not_judged(place: tuple[Wire, Admin]) -> None:
    """A body that does not come to its end is refused, as ever, and says nothing of its sender."""
    wire, admin = place
    before = counted(admin)
    sent = ALICE.sign(Ask("PUT", "/bucket/half", body=CONTENT), "chunks", wire.host)
    assert not wire.break_off(sent).startswith(b"HTTP/1.1 2")
    assert grown(before, counted(admin)) == {}
