"""Files of access keys: what they say, what is wrong with them, and that no secret is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.internet.task import Clock

from alluxio_s3.auth.access_keys import AccessKey, parse_access_keys
from alluxio_s3.auth.watched_file import WatchedFile

ALICE = """
[alice]
aws_access_key_id = AKIAALICE
aws_secret_access_key = canary%(x)s;#=secret
groups = analysts, trainers
"""
SECOND = """
[alice/laptop]
user = alice
aws_access_key_id = AKIALAPTOP
aws_secret_access_key = canary2
roles = admin
"""


def test_parsed() -> None:
    """Keys by id, each with its user, groups and roles; a secret is taken as it is."""
    keys = parse_access_keys(ALICE + SECOND)
    assert keys["AKIAALICE"] == AccessKey("alice", "canary%(x)s;#=secret", frozenset({"analysts", "trainers"}))
    assert keys["AKIALAPTOP"] == AccessKey("alice", "canary2", roles=frozenset({"admin"}))
    assert "canary" not in repr(keys)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("canary", "line 1"),
        ("[a]\ncanary\n", "line 2"),
        ("[a]\naws_access_key_id = x\n", "needs"),
        (ALICE + ALICE.replace("[alice]", "[bob]"), "another section"),
        (ALICE + ALICE, "line"),
        ("[a]\naws_access_key = canary\n", "'aws_access_key'"),
    ],
)
def test_wrong_files(text: str, said: str) -> None:
    """What is wrong is told, without what is secret."""
    with pytest.raises(ValueError, match=said) as caught:
        parse_access_keys(text)
    assert "canary" not in str(caught.value)


def test_changed_file(tmp_path: Path) -> None:
    """A file that changes is read again within a second; one that can't be used leaves what was there."""
    path = tmp_path / "keys"
    path.write_text(ALICE)
    clock = Clock()
    watched = WatchedFile(str(path), parse_access_keys, clock)
    assert set(watched.value) == {"AKIAALICE"}
    path.write_text(ALICE + SECOND)
    assert set(watched.value) == {"AKIAALICE"}
    clock.advance(1)
    assert set(watched.value) == {"AKIAALICE", "AKIALAPTOP"}
    path.write_text("[broken")
    clock.advance(1)
    assert set(watched.value) == {"AKIAALICE", "AKIALAPTOP"}
    path.unlink()
    clock.advance(1)
    assert set(watched.value) == {"AKIAALICE", "AKIALAPTOP"}
    path.write_text(SECOND)
    clock.advance(1)
    assert set(watched.value) == {"AKIALAPTOP"}


def test_no_file(tmp_path: Path) -> None:
    """A file that is not there is told of at once."""
    with pytest.raises(ValueError, match="No such file"):
        WatchedFile(str(tmp_path / "none"), parse_access_keys, Clock())
