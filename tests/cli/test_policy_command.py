"""``alluxio-s3 policy explain``."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from alluxio_s3.cli.main import main

POLICY = """
[[allow]]
users = ["alice", "anonymous"]
groups = ["readers"]
actions = ["read"]
resources = ["models/*"]

[[allow]]
roles = ["admin"]
actions = ["all"]
resources = ["*"]

[[deny]]
users = ["*"]
actions = ["delete"]
resources = ["models/frozen/*"]
"""


def explained(directory: Path, *arguments: str, policy: str = POLICY) -> tuple[int, str]:
    """The exit status, and what was said."""
    (directory / "policy.toml").write_text(policy)
    (directory / "site.properties").write_text(f"alluxio.worker.s3.authorization.policy.file={directory / 'policy.toml'}\n")
    done = CliRunner().invoke(main, ["policy", "explain", "--config", str(directory / "site.properties"), *arguments])
    return done.exit_code, done.output.strip()


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("alice", "s3:GetObject", "models/a"), 0, "allowed: allow 1"),
        (("alice", "s3:ListBucket", "models/"), 0, "allowed: allow 1"),
        (("anonymous", "s3:GetObject", "models/a"), 0, "allowed: allow 1"),
        (("bob", "s3:GetObject", "models/a", "--group", "readers"), 0, "allowed: allow 1"),
        (("bob", "s3:GetObject", "models/a"), 1, "denied: no rule speaks of it"),
        (("alice", "s3:PutObject", "models/a"), 1, "denied: no rule speaks of it"),
        (("bob", "s3:DeleteObject", "models/a", "--role", "admin"), 0, "allowed: allow 2"),
        (("bob", "s3:DeleteObject", "models/frozen/a", "--role", "admin"), 1, "denied: deny 1"),
        (("bob", "s3:ListAllMyBuckets", "*", "--role", "admin"), 0, "allowed: allow 2"),
    ],
)
def test_explain(tmp_path: Path, arguments: tuple[str, ...], status: int, said: str) -> None:
    """It says whether, and by which rule; the exit status says so to scripts."""
    assert explained(tmp_path, *arguments) == (status, said)


def test_told_wrongly(tmp_path: Path) -> None:
    """An action that there is not, a file that makes no sense, and no file at all are told apart from a refusal."""
    assert explained(tmp_path, "alice", "s3:Fly", "b/k")[0] == 2
    status, said = explained(tmp_path, "alice", "s3:GetObject", "b/k", policy="[[allow]]\n")
    assert (status, "it says of nobody" in said) == (2, True)
    done = CliRunner().invoke(main, ["policy", "explain", "alice", "s3:GetObject", "b/k"])
    assert (done.exit_code, "no policy file" in done.output) == (2, True)
